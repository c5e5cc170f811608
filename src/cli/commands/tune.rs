//! `webmae tune`: how matrix products are best divided on a GPU. Kept in the user's cache folder, from which every
//! command takes it.

use std::time::Duration;

use crate::cli::args::memory::PrecisionArg;
use crate::cli::args::model::size;
use crate::cli::open::open;
use crate::cli::print::print_json;
use crate::cli::tiles;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::{AttentionShape, Precision, Processor, ProgramShapes};
use crate::measure::step::StepSpec;
use crate::measure::workload::{Mode, WORKLOADS, Workload};
use crate::program::DeviceOptions;
use crate::tune::{
    AttentionTuning, Effort, Measured, MeasuredAttention, ShapeTuning, Tuning, TuningRecord,
    layout_name, refused_name, tile_name,
};

/// Options of `webmae tune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Training measures the products of its own model at first use, for some seconds; this command measures more of them,
and prints what it found.

Examples:
  webmae tune                                       the products of a ViT-B's training step, 64 images
  webmae tune --shapes W1 --batch-size 256
  webmae tune --shapes W3 --all --json --budget 60  every tile and every split, for a minute")]
pub(crate) struct Args {
    /// Workloads whose products are measured, see `webmae bench --help`
    #[arg(long, value_name = "W1|W2|W3|W4", value_delimiter = ',', default_value = "W3")]
    shapes: Vec<String>,
    /// Images per batch [default: the workload's in training]
    #[arg(long, value_name = "N", value_parser = size())]
    batch_size: Option<u32>,
    /// Measure products in this precision only [default: all that the GPU has]
    #[arg(long, value_enum, value_name = "f32|f16")]
    precision: Option<PrecisionArg>,
    /// Measure every tile and every number of parts of a sum, not only the likely ones
    #[arg(long)]
    all: bool,
    /// Seconds for each precision
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    budget: f64,
    /// Print JSON, with the rate of every candidate
    #[arg(long)]
    json: bool,
}

/// Parses a time.
fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(time) if time > 0.0 && time <= 86_400.0 => Ok(time),
        _ => Err(format!("{text:?} is no time above 0; write e.g. 30")),
    }
}

/// Measures, prints and keeps the result.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let opened = open(options)?;
    let Some(gpu) = opened.device.gpu() else {
        let problem = format!("there are no tiles to choose on the processor ({})", opened.why);
        return Err(Error::argument("tune", problem));
    };
    let shapes = shapes(args, gpu)?;
    let budget = Duration::from_secs_f64(args.budget);
    let effort = Effort { budget, all: args.all, ..Effort::default() };
    let tuning = tiles::measure(gpu, &shapes, effort)?;
    if args.json {
        print_json(&TuningRecord::new(gpu, &tuning))?;
    } else {
        print(gpu, &tuning);
    }
    tiles::remember(gpu, &tuning)
}

/// What the training steps compute that are asked for.
fn shapes(args: &Args, gpu: &Gpu) -> Result<ProgramShapes> {
    let precisions = match args.precision {
        Some(precision) => {
            let precision = Precision::from(precision);
            gpu.check_precision(precision)?;
            vec![precision]
        }
        None => {
            let offered = |precision: &Precision| gpu.check_precision(*precision).is_ok();
            [Precision::F32, Precision::F16].into_iter().filter(offered).collect()
        }
    };
    let mut shapes = ProgramShapes::default();
    for name in &args.shapes {
        let workload = Workload::named(name).ok_or_else(|| {
            let names = WORKLOADS.map(|workload| workload.name).join(", ");
            Error::argument("--shapes", format!("there is no {name:?}; one of {names}"))
        })?;
        let own = workload.batch_size(Mode::Train, Processor::Gpu);
        let batch_size = args.batch_size.map_or(own, |size| size as usize);
        let model = ModelConfig::preset(workload.preset)?;
        for &precision in &precisions {
            let (model, mode, recompute) = (model.clone(), Mode::Train, false);
            let step = StepSpec { model, mode, batch_size, recompute, precision };
            shapes.extend(&step.shapes(gpu));
        }
    }
    Ok(shapes)
}

fn division_name(measured: &Measured, operands: Precision) -> String {
    let parts = match measured.division.parts {
        1 => String::new(),
        parts => format!(" ÷{parts}"),
    };
    format!("{}{parts}", tile_name(measured.division.tiling, operands))
}

fn print(gpu: &Gpu, tuning: &Tuning) {
    let matrices = gpu.target().cooperative;
    say!(
        "{}: GFLOP/s by tile/values of a thread (coop: of a subgroup, by cooperative matrices), ÷ parts of the sum",
        gpu.adapter().name
    );
    for line in table(tuning) {
        say!("{line}");
    }
    for line in attention_table(tuning) {
        say!("{line}");
    }
    for &tiling in &tuning.refused {
        say!("wrong products, not used: {}", refused_name(matrices, tiling));
    }
    for form in &tuning.refused_attention {
        say!("wrong attention, not used: {}", form.name());
    }
}

/// A line for each shape of attention in several forms, the one that is used with a star.
fn attention_table(tuning: &Tuning) -> Vec<String> {
    let row = |AttentionTuning { shape, measured, chosen }: &AttentionTuning| {
        let cells = measured.iter().map(|MeasuredAttention { form, gflops }| {
            let star = if form == chosen { "*" } else { " " };
            format!("  {:<24}{gflops:>9.1}{star}", form.name())
        });
        let AttentionShape { operands, tokens, dim } = shape;
        let head = format!("{} attention {tokens}×{dim}", operands.name());
        format!("{head:<28}{}", cells.collect::<String>())
    };
    let several = tuning.attentions.iter().filter(|attention| !attention.measured.is_empty());
    several.map(row).collect()
}

/// A line for each shape: its fastest divisions, the one that is used with a star.
fn table(tuning: &Tuning) -> Vec<String> {
    /// Divisions that are shown.
    const SHOWN: usize = 3;
    let row = |ShapeTuning { shape, measured, chosen, .. }: &ShapeTuning| {
        let [m, n, k] = shape.sizes;
        let cells = measured.iter().take(SHOWN).map(|candidate| {
            let star = if candidate.division == *chosen { "*" } else { " " };
            let name = division_name(candidate, shape.operands);
            format!("  {name:<24}{:>9.1}{star}", candidate.gflops)
        });
        let head = format!("{} {} {m}×{n}×{k}", shape.operands.name(), layout_name(shape.layout));
        format!("{head:<28}{}", cells.collect::<String>())
    };
    tuning.shapes.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernels::{
        AttentionForm, CooperativeMatrices, Division, ProductLayout, ProductShape, Tiling,
    };

    #[test]
    fn tables_have_what_was_measured() {
        let shape = ProductShape::new(Precision::F32, ProductLayout::Tn, [768, 768, 12608]);
        let measured =
            |tiling, parts, gflops| Measured { division: Division { tiling, parts }, gflops };
        let measured = vec![measured(7, 4, 900.0), measured(Tiling::MIDDLING, 1, 512.25)];
        let chosen = measured[1].division;
        let shapes = vec![ShapeTuning { shape, timed: shape.sizes, measured, chosen }];
        let lines = table(&Tuning { shapes, refused: BTreeSet::from([7]), ..Default::default() });
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert!(line.starts_with("f32 Aᵀ·B 768×768×12608 "), "{line}");
        assert!(line.contains("128×128/8×8 k8 ÷4") && line.contains(" 900.0 "), "{line}");
        assert!(line.ends_with(" 512.2*"), "{line}");
        assert_eq!(refused_name(CooperativeMatrices::default(), 7), "128×128/8×8 k8");
    }

    #[test]
    fn attention_is_listed_where_there_is_a_choice() {
        let shape = AttentionShape::new(Precision::F16, 197, 64);
        let measured = |form, gflops| MeasuredAttention { form, gflops };
        let measured = vec![
            measured(AttentionForm::Cooperative, 4000.0),
            measured(AttentionForm::Staged, 1234.5),
        ];
        let chosen = AttentionForm::Staged;
        let only = AttentionTuning { shape, measured: Vec::new(), chosen };
        let attentions = vec![AttentionTuning { measured, ..only.clone() }, only];
        let lines = attention_table(&Tuning { attentions, ..Default::default() });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("f16 attention 197×64 "), "{}", lines[0]);
        assert!(lines[0].contains("cooperative") && lines[0].contains(" 4000.0 "), "{}", lines[0]);
        assert!(lines[0].ends_with(" 1234.5*"), "{}", lines[0]);
    }

    #[test]
    fn times_are_above_nothing() {
        assert_eq!(seconds("2.5"), Ok(2.5));
        for wrong in ["0", "-1", "inf", "x", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
