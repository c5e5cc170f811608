// Element types of a kernel in mixed precision: memory holds f16, registers f32.

enable f16;
alias act = f16;      // a weight or activation
alias act4 = vec4<f16>;
alias output = f16;   // a product of matrices that is an activation
alias output4 = vec4<f16>;

/// What f16 cannot hold becomes infinite, by which the end of the step notices it: of a number as large
/// drivers are free to make the largest one. (A variable, as constants must not be infinite.)
fn bounded(v: vec4<f32>) -> vec4<f32> {
    var infinity = 0x7f800000u;
    return select(v, vec4<f32>(bitcast<f32>(infinity)), abs(v) >= vec4<f32>(65520.0));
}
fn to_act(x: f32) -> act { return act(bounded(vec4<f32>(x)).x); }
fn to_act4(v: vec4<f32>) -> act4 { return act4(bounded(v)); }
fn to_output(x: f32) -> output { return to_act(x); }
fn to_output4(v: vec4<f32>) -> output4 { return to_act4(v); }
