//! Whether products are right on a device: drivers are young, cooperative matrices experimental, and wrong
//! products would only show as a model that does not learn.

use half::f16;

use super::record::{Ending, record_ending};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::{
    Division, KernelTarget, Precision, Processor, ProductLayout, ProductShape, Tiling,
};
use crate::philox::Rng;
use crate::program::{Buffers, Device, Program, Recorder};

/// How thorough a check is.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// `[M, N, K]`, at best with edges in all directions.
    pub sizes: [usize; 3],
    /// Runs that must agree bit for bit: what races shows as a difference between two.
    pub runs: usize,
}

impl Default for Check {
    /// More than 1024³, no whole number of any tile.
    fn default() -> Self {
        Self { sizes: [1048, 1064, 1032], runs: 20 }
    }
}

impl Check {
    /// Edges in all directions, K long enough for two parts.
    pub fn small() -> Self {
        Self { sizes: [140, 132, 520], runs: 3 }
    }
}

/// Of the largest value, between two orders of summation.
const TOLERANCE: f32 = 1e-4;
/// The same between values that are rounded to f16.
const HALF_TOLERANCE: f32 = 2e-3;

/// Says whether products of `operands` in `layout`, divided by `tiling`, come to what they should, with every ending
/// that they have in models, whole and in parts of K; and every time to the same bits.
///
/// What they should come to is what the twins compute; where there are none, the middling tiling is what is compared
/// with.
///
/// # Errors
/// [`Error::Device`] if the device failed in other ways than by refusing a kernel.
pub(super) async fn agrees(
    gpu: &Gpu,
    tiling: usize,
    operands: Precision,
    layout: ProductLayout,
    check: Check,
) -> Result<bool> {
    let mut shape = ProductShape::new(operands, layout, check.sizes);
    let target = gpu.target();
    if !target.offers(tiling, &shape) {
        // Only for whole fragments.
        shape.sizes = shape.sizes.map(|size| size.next_multiple_of(128));
    }
    // What follows a sum in parts has nothing to do with the tiling.
    let endings = Ending::of(layout);
    let whole = endings.iter().map(|&ending| (1, ending));
    for (parts, ending) in whole.chain([(2, endings[0])]) {
        let rec = record_ending(&target, shape, Division { tiling, parts }, ending);
        let device = Device::from(gpu.clone());
        let found = match run(&device, &rec, shape, check.runs).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            // The driver does not take the kernel.
            Err(Error::Device { .. }) if !gpu.is_lost() => return Ok(false),
            Err(other) => return Err(other),
        };
        let wanted = reference(gpu, shape, ending).await?;
        if found.iter().zip(&wanted).any(|(found, wanted)| !agree(found, wanted)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a product should come to.
async fn reference(gpu: &Gpu, shape: ProductShape, ending: Ending) -> Result<Vec<Values>> {
    let division = Division { tiling: Tiling::MIDDLING, parts: 1 };
    let (device, processor) =
        twins(shape.operands).unwrap_or_else(|| (gpu.clone().into(), Processor::Gpu));
    let rec = record_ending(&KernelTarget::from(processor), shape, division, ending);
    Ok(run(&device, &rec, shape, 1).await?.expect("a single run"))
}

/// The twins, where the build has them in this precision.
pub(super) fn twins(operands: Precision) -> Option<(Device, Processor)> {
    #[cfg(feature = "cpu")]
    {
        let device = Device::from(crate::cpu::Cpu::default());
        device.check_precision(operands).is_ok().then_some((device, Processor::Cpu))
    }
    #[cfg(not(feature = "cpu"))]
    {
        let _ = operands;
        None
    }
}

/// A result.
#[derive(Debug, PartialEq)]
pub(super) struct Values {
    precision: Precision,
    bytes: Vec<u8>,
}

impl Values {
    fn wide(&self) -> Vec<f32> {
        match self.precision {
            Precision::F32 => bytemuck::pod_collect_to_vec(&self.bytes),
            Precision::F16 => {
                let values: Vec<f16> = bytemuck::pod_collect_to_vec(&self.bytes);
                values.into_iter().map(f32::from).collect()
            }
        }
    }
}

pub(super) fn agree(found: &Values, wanted: &Values) -> bool {
    let tolerance = match wanted.precision {
        Precision::F32 => TOLERANCE,
        Precision::F16 => HALF_TOLERANCE,
    };
    let (found, wanted) = (found.wide(), wanted.wide());
    let largest = wanted.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    found.len() == wanted.len()
        && found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= tolerance * largest)
}

/// What a recording leaves in `out` and `pre`, run `runs` times from the same values; nothing if two runs differ.
async fn run(
    device: &Device,
    rec: &Recorder,
    shape: ProductShape,
    runs: usize,
) -> Result<Option<Vec<Values>>> {
    let program = Program::build(device, rec, &Buffers::new())?;
    #[cfg(target_family = "wasm")]
    device.compile(|_, _| ()).await?;
    let [m, n, k] = shape.sizes.map(|size| size as usize);
    let deviation = 1.0 / (k as f32).sqrt();
    for (stream, (label, count)) in
        [("a", m * k), ("b", n * k), ("bias", n), ("extra", m * n)].into_iter().enumerate()
    {
        if program.has_buffer(label) {
            let scale = if label == "b" { deviation } else { 1.0 };
            let precision = if label == "bias" { Precision::F32 } else { shape.operands };
            write(&program, label, &normal(stream as u32, scale, count), precision);
        }
    }
    // What is added to, or what GELU's derivative is taken at.
    let before = normal(7, 1.0, m * n);
    let output = if shape.layout == ProductLayout::Tn { Precision::F32 } else { shape.operands };
    let labels = [("out", output), ("pre", shape.operands)];
    same_every_time(&program, &labels, runs, |program| write(program, "out", &before, output)).await
}

/// What `runs` runs of a program leave in those of the buffers `labels` that it has, each prepared by `prepare`;
/// nothing if two differ.
pub(super) async fn same_every_time(
    program: &Program,
    labels: &[(&str, Precision)],
    runs: usize,
    prepare: impl Fn(&Program),
) -> Result<Option<Vec<Values>>> {
    let mut first: Option<Vec<Values>> = None;
    for _ in 0..runs {
        prepare(program);
        program.submit();
        let mut values = Vec::new();
        for &(label, precision) in labels {
            if program.has_buffer(label) {
                values.push(Values { precision, bytes: program.read(label).await? });
            }
        }
        match &first {
            None => first = Some(values),
            Some(first) if *first != values => return Ok(None),
            Some(_) => {}
        }
    }
    Ok(first)
}

pub(super) fn normal(stream: u32, scale: f32, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(1, [stream, 0, 0]);
    (0..count).map(|_| scale * rng.normal()).collect()
}

pub(super) fn write(program: &Program, label: &str, values: &[f32], precision: Precision) {
    match precision {
        Precision::F32 => program.write(label, values),
        Precision::F16 => {
            let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
            program.write(label, &halves);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_do_not_agree() {
        let single = |values: [f32; 4]| Values {
            precision: Precision::F32,
            bytes: bytemuck::cast_slice(&values).to_vec(),
        };
        let wanted = [1.0, -40.0, 0.25, 7.0];
        assert!(agree(&single([1.003, -40.003, 0.248, 7.0]), &single(wanted)));
        assert!(!agree(&single([1.005, -40.0, 0.25, 7.0]), &single(wanted)));
        assert!(!agree(&single(wanted.map(|x| 2.0 * x)), &single(wanted)), "everything twice");
        assert!(!agree(&single([0.0; 4]), &single(wanted)));
        assert!(!agree(&single([1.0, -40.0, f32::NAN, 7.0]), &single(wanted)));
    }
}
