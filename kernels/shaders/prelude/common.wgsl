// Prelude of every shader: the build script puts this text in front of each kernel.

/// Marks "no token", "no row" in index maps.
const NONE: u32 = 0xffffffffu;
/// Sources in a token map that are parameters, not rows of the input.
const CLS_TOKEN: u32 = 0xfffffffeu;
const MASK_TOKEN: u32 = 0xfffffffdu;

/// Whether the value is NaN or infinite, by its exponent bits: compilers may assume that floats are
/// neither.
fn is_non_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

/// Index of a workgroup in a one-dimensional list folded into a two-dimensional grid
/// (a grid dimension holds at most 65,535 groups). Ids past the end of the list occur.
fn group_index(wid: vec3<u32>, nwg: vec3<u32>) -> u32 {
    return wid.x + wid.y * nwg.x;
}

/// Error function, |error| < 1.3e-7 everywhere, exactly ±1 from |x| = 3.92 on.
/// Only multiplications and additions: the accuracy of a driver's `exp` does not enter.
/// Below 1: x·P(x²); from 1 to 4: a polynomial centred on 2.5 (both minimax fits).
fn erf(x: f32) -> f32 {
    let t = abs(x);
    let t2 = t * t;
    var near = -0.000563145762;
    near = near * t2 + 0.0049175614;
    near = near * t2 - 0.0267113216;
    near = near * t2 + 0.112801806;
    near = near * t2 - 0.376123263;
    near = near * t2 + 1.12837912;
    let u = (min(t, 4.0) - 2.5) * 0.6666667;
    var far = -0.00111526815;
    far = far * u + 0.00184233078;
    far = far * u + 0.00338572258;
    far = far * u - 0.0107739042;
    far = far * u + 0.00752442997;
    far = far * u + 0.00978878713;
    far = far * u - 0.0321829435;
    far = far * u + 0.0463308789;
    far = far * u - 0.0435984636;
    far = far * u + 0.0281944273;
    far = far * u - 0.0122561707;
    far = far * u + 0.00326703162;
    far = far * u + 0.999593082;
    let magnitude = select(select(far, t * near, t < 1.0), 1.0, t >= 3.92);
    return select(magnitude, -magnitude, x < 0.0);
}

/// GELU in its exact form, x·Φ(x).
fn gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + erf(x * 0.70710678));
}

/// Derivative of `gelu`: Φ(x) + x·φ(x). The exponent is clamped where φ has vanished.
fn gelu_grad(x: f32) -> f32 {
    let density = 0.39894228 * exp(max(-0.5 * x * x, -80.0));
    return 0.5 * (1.0 + erf(x * 0.70710678)) + x * select(density, 0.0, abs(x) > 12.0);
}
