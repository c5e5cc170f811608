//! `webmae tune`: which tiles of matrix products suit a GPU. Kept in the user's cache folder, from which
//! every command takes them.

use std::collections::BTreeMap;

use pollster::block_on;
use serde_json::json;

use crate::cli::print::print_json;
use crate::cli::tiles;
use crate::error::{Error, Result};
use crate::kernels::{KernelTarget, Precision, ProductClass, ProductLayout, Tiling};
use crate::program::DeviceOptions;
use crate::tune::Tuning;

/// Options of `webmae tune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures, prints and keeps the result.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let opened = block_on(options.open())?;
    let Some(gpu) = opened.device.gpu() else {
        let problem = format!("there are no tiles to choose on the processor ({})", opened.why);
        return Err(Error::argument("tune", problem));
    };
    let name = &gpu.adapter().name;
    let tuning = block_on(Tuning::measure(gpu))?;
    if args.json {
        print_json(&to_json(&tuning))?;
    } else {
        print(name, gpu.target(), &tuning);
    }
    tiles::remember(gpu, tuning.products())
}

/// The tile of a product of `operands`, and what a thread or a subgroup computes of it.
fn tile_name(tiling: Tiling, operands: Precision) -> String {
    match tiling {
        Tiling::Blocked(blocking) => {
            let [m, n] = blocking.tile();
            let [rows, columns] = blocking.vectors.map(|n| 4 * n);
            format!("{m}×{n}/{rows}×{columns}")
        }
        Tiling::Cooperative(tile) => format!("{} coop", tile.describe(operands)),
    }
}

fn class_name(class: ProductClass) -> String {
    let layout = match class.layout {
        ProductLayout::Nt => "A·Bᵀ",
        ProductLayout::Nn => "A·B",
        ProductLayout::Tn => "Aᵀ·B",
    };
    let operands = match class.operands {
        Precision::F32 => "",
        Precision::F16 => "f16 ",
    };
    format!("{operands}{layout}, {}", if class.large { "large" } else { "small" })
}

/// The classes that were measured in one precision, with their rates.
fn measured(
    tuning: &Tuning,
    operands: Precision,
) -> impl Iterator<Item = (ProductClass, &[Option<f64>; Tiling::ALL.len()])> {
    let rows = ProductClass::ALL.into_iter().zip(&tuning.gflops);
    rows.filter(move |(class, rates)| {
        class.operands == operands && rates.iter().any(Option::is_some)
    })
}

fn print(name: &str, target: KernelTarget, tuning: &Tuning) {
    say!(
        "{name}: GFLOP/s by tile/values of a thread (coop: of a subgroup, by cooperative matrices)"
    );
    for operands in [Precision::F32, Precision::F16] {
        say!("{}", table(target, tuning, operands));
    }
    let chosen = KernelTarget { products: tuning.products(), ..target };
    if let Some(matrices) = chosen.describe_cooperative() {
        say!("\ncooperative matrices: {matrices}");
    }
}

/// A line for each class that was measured in one precision, a column for each tiling that is offered; the
/// fastest have a star.
fn table(target: KernelTarget, tuning: &Tuning, operands: Precision) -> String {
    let offered = |tiling: &Tiling| target.offers(*tiling, operands);
    let names = Tiling::ALL.map(|tiling| format!("  {:>11}", tile_name(tiling, operands)));
    let widths = names.each_ref().map(|name| name.chars().count());
    let heads = Tiling::ALL.iter().zip(names).filter(|(tiling, _)| offered(tiling));
    let heads: String = heads.map(|(_, name)| name).collect();
    let heads = format!("\n{:<16}{heads}", "product");
    let rows = measured(tuning, operands).map(|(class, rates)| {
        let best = rates.iter().flatten().copied().fold(0.0, f64::max);
        let cell = |rate: &Option<f64>| match rate {
            Some(rate) => format!("{rate:.1}{}", if *rate == best { "*" } else { " " }),
            None => "wrong ".to_owned(),
        };
        let cells = Tiling::ALL.iter().zip(rates.iter().zip(widths));
        let cells = cells.filter(|(tiling, _)| offered(tiling));
        let cells: String =
            cells.map(|(_, (rate, width))| format!("{:>width$}", cell(rate))).collect();
        format!("\n{:<16}{cells}", class_name(class))
    });
    let rows: String = rows.collect();
    if rows.is_empty() { rows } else { heads + &rows }
}

fn to_json(tuning: &Tuning) -> serde_json::Value {
    let classes = [Precision::F32, Precision::F16].into_iter().flat_map(|operands| {
        measured(tuning, operands).map(move |(class, rates)| {
            let rates = Tiling::ALL
                .into_iter()
                .zip(rates)
                .filter_map(|(tiling, rate)| Some((tile_name(tiling, operands), (*rate)?)));
            (class_name(class), json!(rates.collect::<BTreeMap<String, f64>>()))
        })
    });
    serde_json::Value::Object(classes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Processor;

    #[test]
    fn tables_have_what_was_measured() {
        let mut target = KernelTarget::from(Processor::Gpu);
        let mut gflops = [[None; Tiling::ALL.len()]; ProductClass::ALL.len()];
        gflops[1][..6].copy_from_slice(&[Some(1.5), Some(7.5), None, None, None, None]);
        let single = table(target, &Tuning { gflops }, Precision::F32);
        assert!(single.contains("128×128/8×8\n") && !single.contains("coop"), "{single}");
        assert!(single.contains("\nA·Bᵀ, large") && single.contains(" 7.5*"), "{single}");
        assert_eq!(single.lines().count(), 3, "an empty line, heads, one class: {single}");
        assert_eq!(table(target, &Tuning { gflops }, Precision::F16), "");

        target.cooperative.f16 = Some(16);
        target.cooperative.subgroup_sizes = [32, 32];
        gflops[6] = [Some(1.0); Tiling::ALL.len()];
        gflops[6][7] = None;
        gflops[6][Tiling::ALL.len() - 1] = Some(99.0);
        target.workgroup_memory = 48 << 10;
        let half = table(target, &Tuning { gflops }, Precision::F16);
        let names = ["64×64/32×32 K32 unrolled coop", "128×128/64×32 K32 unrolled direct coop"];
        assert!(names.iter().all(|name| half.contains(name)), "{half}");
        assert!(half.contains("f16 A·Bᵀ, small") && half.contains(" wrong "), "{half}");
        assert!(half.ends_with(" 99.0*"), "{half}");
        let json = to_json(&Tuning { gflops });
        assert_eq!(json["f16 A·Bᵀ, small"][names[1]], 99.0);
        assert_eq!(json["A·Bᵀ, large"].as_object().expect("rates").len(), 2);
    }
}
