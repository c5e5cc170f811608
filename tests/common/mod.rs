//! What the tests share: one device per test binary, and comparisons that collect every failure.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::Write as _;
use std::sync::OnceLock;

use webmae::cpu::Cpu;
use webmae::gpu::{Gpu, GpuOptions};
use webmae::kernels::{CooperativeTile, Precision};
use webmae::program::Device;

/// The device of this test binary: the processor, or with `WEBMAE_TEST_DEVICE=gpu` a graphics adapter. Without one
/// the test fails: it is never skipped.
pub fn device() -> &'static Device {
    match std::env::var("WEBMAE_TEST_DEVICE").as_deref() {
        Ok("gpu") => gpu(),
        Ok("cpu") | Err(_) => cpu(),
        Ok(other) => panic!("WEBMAE_TEST_DEVICE is cpu or gpu, not {other}"),
    }
}

/// The processor.
pub fn cpu() -> &'static Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(|| Cpu::default().into())
}

/// A graphics adapter.
///
/// `WEBMAE_TEST_CHECKED=1` keeps the shaders' run-time checks, `WEBMAE_TEST_DEFAULT_LIMITS=1` asks
/// for exactly WebGPU's default limits.
pub fn gpu() -> &'static Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    GPU.get_or_init(|| {
        let is_set = |name| std::env::var(name).is_ok_and(|value| value == "1");
        open_gpu(&GpuOptions {
            checked: is_set("WEBMAE_TEST_CHECKED"),
            default_limits: is_set("WEBMAE_TEST_DEFAULT_LIMITS"),
            ..Default::default()
        })
    })
}

/// A graphics adapter of the test's own.
pub fn open_gpu(options: &GpuOptions) -> Device {
    pollster::block_on(Gpu::new(options)).expect("the tests need a graphics adapter").into()
}

/// The processor and the graphics adapter.
pub fn devices() -> [&'static Device; 2] {
    [cpu(), gpu()]
}

/// Says, past the test runner's capture, that a test has nothing to run on this adapter. With
/// `WEBMAE_TEST_<feature>=1` it fails instead.
pub fn skip(feature: &str, why: &str) {
    let required = std::env::var(format!("WEBMAE_TEST_{feature}")).is_ok_and(|value| value == "1");
    assert!(!required, "WEBMAE_TEST_{feature}=1, but the adapter has {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED {test}: the adapter has {why}");
}

/// Whether a driver compiles a cooperative tiling in seconds. llvmpipe takes the longer the more fragments a subgroup has,
/// up to an hour, and for operands in workgroup memory is slowed further by run-time checks and pointers to scalars.
pub fn compiles_soon(
    device: &Device,
    tile: CooperativeTile,
    operands: Precision,
    slowed: bool,
) -> bool {
    let extent = device.target().cooperative.extent(operands).unwrap_or(1);
    let count = |i: usize| tile.sides[i] / tile.subgroups[i] / extent;
    let is_software = device.gpu().is_some_and(|gpu| gpu.adapter().is_software());
    !is_software || count(0) * count(1) <= if slowed && !tile.direct { 4 } else { 16 }
}

/// Whether a difference stays within its limit; NaN never does.
pub fn within(difference: f64, limit: f64) -> bool {
    difference <= limit
}

/// Largest magnitude.
pub fn max_abs(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |max, &x| f64::from(x.abs()).max(max))
}

/// Largest difference; infinite if a value is not finite or the lengths differ.
pub fn max_difference(actual: &[f32], expected: &[f32]) -> f64 {
    if actual.len() != expected.len() || actual.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let pairs = actual.iter().zip(expected);
    pairs.fold(0.0, |max, (&a, &e)| (f64::from(a) - f64::from(e)).abs().max(max))
}

/// ‖actual − expected‖ / ‖expected‖.
pub fn relative_norm(actual: &[f32], expected: &[f32]) -> f64 {
    if actual.len() != expected.len() || actual.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let square = |x: f64| x * x;
    let difference: f64 =
        actual.iter().zip(expected).map(|(&a, &e)| square(f64::from(a) - f64::from(e))).sum();
    let norm: f64 = expected.iter().map(|&e| square(f64::from(e))).sum();
    (difference / norm.max(1e-300)).sqrt()
}
