//! `webmae tune`: which tiles of matrix products suit a GPU. Kept in the user's cache folder, from which
//! every command takes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pollster::block_on;
use serde_json::json;

use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::gpu::Gpu;
use crate::kernels::{KernelTarget, Precision, ProductClass, ProductLayout, Products, Tiling};
use crate::program::DeviceOptions;
use crate::tune::{Tuning, key};

/// Options of `webmae tune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures, prints and keeps the result.
pub(super) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let opened = block_on(options.open())?;
    let Some(gpu) = opened.device.gpu() else {
        let problem = format!("there are no tiles to choose on the processor ({})", opened.why);
        return Err(Error::config("tune", problem));
    };
    let name = &gpu.adapter().name;
    let tuning = block_on(Tuning::measure(gpu))?;
    if args.json {
        let text = serde_json::to_string_pretty(&to_json(gpu.target(), &tuning));
        say!("{}", text.map_err(|e| Error::config("--json", e.to_string()))?);
    } else {
        print(name, gpu.target(), &tuning);
    }
    match file() {
        Some(path) => keep(&path, &key(gpu), tuning.products()),
        None => Ok(()),
    }
}

/// Gives a GPU the tiles that suit it: those that were measured before, or measured now.
///
/// # Errors
/// [`Error::Device`] if the device failed.
pub(super) fn apply(gpu: &Gpu) -> Result<()> {
    if gpu.adapter().is_software() {
        return Ok(());
    }
    let (path, key) = (file(), key(gpu));
    let known = path.as_deref().and_then(|path| read(path).remove(&key));
    let products = match known {
        Some(products) => products,
        None => {
            eprintln!("choosing tiles for {} (once)", gpu.adapter().name);
            let products = block_on(Tuning::measure(gpu))?.products();
            if let Some(path) = path {
                // Without the file the next command measures again: no reason to stop this one.
                if let Err(error) = keep(&path, &key, products) {
                    eprintln!("note: the choice could not be kept: {error}");
                }
            }
            products
        }
    };
    gpu.set_products(products);
    Ok(())
}

/// Where choices are kept, if the system has a place for such files.
fn file() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("webmae").join("tiles.json"))
}

/// The choices by device; none if there is no file, or one of another form.
fn read(path: &Path) -> BTreeMap<String, Products> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn keep(path: &Path, key: &str, products: Products) -> Result<()> {
    let mut all = read(path);
    all.insert(key.to_owned(), products);
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    atomic_write(path, |file| Ok(serde_json::to_writer_pretty(file, &all)?))
}

/// The tile of a product of `operands`, and what a thread or a subgroup computes of it.
fn tile_name(target: KernelTarget, tiling: Tiling, operands: Precision) -> String {
    match tiling {
        Tiling::Blocked(blocking) => {
            let [m, n] = blocking.tile();
            let [rows, columns] = blocking.vectors.map(|n| 4 * n);
            format!("{m}×{n}/{rows}×{columns}")
        }
        Tiling::Cooperative(tile) => {
            let extent = target.cooperative.extent(operands).unwrap_or_default();
            let [m, n] = tile.tile(extent);
            let [rows, columns] = tile.fragments.map(|n| n * extent);
            format!("{m}×{n}/{rows}×{columns} coop")
        }
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
    let names = Tiling::ALL.into_iter().filter(offered);
    let heads = names.map(|tiling| format!("{:>19}", tile_name(target, tiling, operands)));
    let heads = format!("\n{:<16}{}", "product", heads.collect::<String>());
    let rows = measured(tuning, operands).map(|(class, rates)| {
        let best = rates.iter().flatten().copied().fold(0.0, f64::max);
        let cell = |rate: &Option<f64>| match rate {
            Some(rate) => format!("{rate:.1}{}", if *rate == best { "*" } else { " " }),
            None => "wrong ".to_owned(),
        };
        let cells = Tiling::ALL.iter().zip(rates).filter(|(tiling, _)| offered(tiling));
        let cells: String = cells.map(|(_, rate)| format!("{:>19}", cell(rate))).collect();
        format!("\n{:<16}{cells}", class_name(class))
    });
    let rows: String = rows.collect();
    if rows.is_empty() { rows } else { heads + &rows }
}

fn to_json(target: KernelTarget, tuning: &Tuning) -> serde_json::Value {
    let classes = [Precision::F32, Precision::F16].into_iter().flat_map(|operands| {
        measured(tuning, operands).map(move |(class, rates)| {
            let rates = Tiling::ALL
                .into_iter()
                .zip(rates)
                .filter_map(|(tiling, rate)| Some((tile_name(target, tiling, operands), (*rate)?)));
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
        gflops[6][7..].copy_from_slice(&[None, Some(99.0)]);
        let half = table(target, &Tuning { gflops }, Precision::F16);
        assert!(half.contains("64×64/32×32 coop") && half.contains("128×128/64×64 coop"), "{half}");
        assert!(half.contains("f16 A·Bᵀ, small") && half.contains(" wrong "), "{half}");
        assert!(half.ends_with(" 99.0*"), "{half}");
        let json = to_json(target, &Tuning { gflops });
        assert_eq!(json["f16 A·Bᵀ, small"]["128×128/64×64 coop"], 99.0);
        assert_eq!(json["A·Bᵀ, large"].as_object().expect("rates").len(), 2);
    }

    #[test]
    fn choices_are_kept_by_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/tiles.json");
        assert!(read(&path).is_empty());
        keep(&path, "a", Products::uniform(1)).unwrap();
        keep(&path, "b", Products::uniform(5)).unwrap();
        keep(&path, "a", Products::uniform(3)).unwrap();
        let all = read(&path);
        assert_eq!(all["a"], Products::uniform(3));
        assert_eq!(all["b"], Products::uniform(5));
    }

    #[test]
    fn a_file_of_another_form_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles.json");
        for text in ["", "{", "[]", r#"{"a":[9,9,9,9,9,9,9,9,9,9,9,9]}"#, r#"{"a":[0,0,0,0,0,0]}"#]
        {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).is_empty(), "{text}");
        }
        keep(&path, "a", Products::default()).unwrap();
        assert_eq!(read(&path).len(), 1);
    }
}
