// Element types of a kernel in mixed precision whose product is the gradient of a parameter.

enable f16;
alias act = f16;      // a weight or activation
alias act4 = vec4<f16>;
alias output = f32;   // a product of matrices
alias output4 = vec4<f32>;

/// As in f16.wgsl; such products have no activation beside them.
fn to_act4(v: vec4<f32>) -> act4 { return act4(v); }
fn to_act(x: f32) -> act { return act(x); }
fn to_output(x: f32) -> output { return x; }
fn to_output4(v: vec4<f32>) -> output4 { return v; }
