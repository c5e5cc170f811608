// Element types of a kernel in f32, in front of its text.

alias act = f32;      // a weight or activation
alias act4 = vec4<f32>;
alias output = f32;   // a product of matrices
alias output4 = vec4<f32>;

fn to_act(x: f32) -> act { return x; }
fn to_act4(v: vec4<f32>) -> act4 { return v; }
fn to_output(x: f32) -> output { return x; }
fn to_output4(v: vec4<f32>) -> output4 { return v; }
