//! The tables of `webmae plan --roofline`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::format::{flops, scaled};
use crate::train::estimate::Estimate;
use crate::train::roofline::{ASSUMPTIONS, Bound, Card, Cause, ChosenTile, Roofline};

/// Launches that take more than this many times their floor are named.
const NAMED: f64 = 2.0;
/// Factors below that are no reason.
const REASON: f64 = 1.1;
/// Reasons of a launch.
const REASONS: usize = 3;

/// All of it, launch by launch, with the sums that [`print`] shows.
pub(super) fn as_json(roofline: &Roofline) -> Value {
    json!({
        "step": roofline,
        "kernels": roofline.kernels(),
        "above": { "factor": NAMED, "launches": roofline.above(NAMED) },
        "assumptions": ASSUMPTIONS,
    })
}

/// Prints the sums, the launches far above their floor, and what was assumed.
pub(super) fn print(roofline: &Roofline, estimate: &Estimate) {
    let Roofline { card, cleared, .. } = roofline;
    say!("\nroofline        {}", describe(card));
    for (tiles, products) in tiles(&roofline.tiles) {
        say!("{:<16}{tiles} in {products} of {} products", "", roofline.tiles.len());
    }
    let images = (estimate.batch_size * estimate.grad_accum) as f64 / roofline.predicted;
    say!(
        "a step          {} predicted, {} with the card's peak rates: {:.2} times as long; {images:.0} images/s",
        time(roofline.predicted),
        time(roofline.floor),
        roofline.predicted / roofline.floor,
    );
    say!(
        "                {} and {}: {:.0} FLOP a byte\n",
        flops(roofline.flops),
        moved(roofline.bytes),
        roofline.flops as f64 / roofline.bytes as f64,
    );
    say!(
        "{:<28}{:>9}{:>15}{:>12}{:>11}{:>12}{:>12}{:>8}",
        "kernel",
        "launches",
        "FLOP",
        "bytes",
        "FLOP/byte",
        "floor",
        "predicted",
        "factor"
    );
    let row = |name: &str, launches: usize, work: [u64; 2], [floor, predicted]: [f64; 2]| {
        say!(
            "{name:<28}{launches:>9}{:>15}{:>12}{:>11.1}{:>12}{:>12}{:>8.2}",
            flops(work[0]),
            moved(work[1]),
            work[0] as f64 / work[1].max(1) as f64,
            time(floor),
            time(predicted),
            predicted / floor,
        );
    };
    for sum in roofline.kernels() {
        let (work, times) = ([sum.flops, sum.bytes], [sum.floor, sum.predicted]);
        row(sum.kernel, sum.launches, work, times);
    }
    row("(gradients zeroed)", 1, [0, cleared.bytes], [cleared.floor, cleared.predicted]);

    let above = roofline.above(NAMED);
    let count: usize = above.iter().map(|alike| alike.launches).sum();
    let all: usize = roofline.launches.iter().map(|launch| launch.times).sum();
    say!("\n{count} of {all} launches take more than {NAMED} times their floor:");
    for alike in &above {
        say!(
            "{:>5} × {:<27}{:>11}, floor {:>10}: {:>5.2} ×  {}",
            alike.launches,
            alike.kernel,
            time(alike.predicted),
            time(alike.floor),
            alike.factor(),
            reason(alike.bound, &alike.causes),
        );
        say!("{:>8}{}", "", alike.sizes);
    }
    say!("\nassumed, not measured:");
    for assumption in ASSUMPTIONS {
        let value = match assumption.unit {
            "s" => time(assumption.value),
            unit => format!("{} {unit}", assumption.value),
        };
        say!("  {}: {value} ({})", assumption.name, assumption.why);
    }
    say!("  {}: {}", card.name, card.source);
}

fn describe(card: &Card) -> String {
    let rate = |value: f64, unit: &str| scaled_rate(value, unit);
    let fragments = match (card.f16_flops, card.cooperative.any()) {
        (Some(rate_f16), true) => {
            format!(", fragments {} at {}", card.cooperative.describe(), rate(rate_f16, "FLOP/s"))
        }
        _ => String::new(),
    };
    format!(
        "{}: f32 {}{fragments}, memory {}, {} multiprocessors",
        card.name,
        rate(card.f32_flops, "FLOP/s"),
        rate(card.bandwidth, "B/s"),
        card.processors,
    )
}

/// Kinds of tiles, and how many products have them.
fn tiles(chosen: &[ChosenTile]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for ChosenTile { shape, tile: [m, n], fragments, .. } in chosen {
        let operands = format!("{:?}", shape.operands).to_lowercase();
        let units = fragments.map_or(String::new(), |n| format!(" of fragments {n}×{n}"));
        *kinds.entry(format!("{operands} tiles {m}×{n}{units}")).or_default() += 1;
    }
    kinds
}

/// What a launch waits for, and why that takes so long.
fn reason(bound: Bound, causes: &[(Cause, f64)]) -> String {
    let bound = match bound {
        Bound::Vector => "vector units",
        Bound::Fragments => "fragments",
        Bound::Memory => "memory",
        Bound::Cache => "cache",
    };
    let told = causes.iter().filter(|&&(_, factor)| factor >= REASON).take(REASONS);
    let told: Vec<String> =
        told.map(|(cause, factor)| format!("{} {factor:.2} ×", cause.words())).collect();
    format!("{bound}: {}", told.join(", "))
}

/// Bytes with a decimal unit, as rates have them.
fn moved(bytes: u64) -> String {
    scaled(bytes as f64, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

fn scaled_rate(value: f64, unit: &str) -> String {
    let units = ["", "k", "M", "G", "T", "P"].map(|prefix| format!("{prefix}{unit}"));
    scaled(value, 1000.0, &units.each_ref().map(String::as_str))
}

fn time(seconds: f64) -> String {
    scaled(seconds * 1e9, 1000.0, &["ns", "µs", "ms", "s"])
}
