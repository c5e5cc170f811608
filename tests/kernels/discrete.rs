//! Discrete values, all exact: the best of a row, the row of a number, the label of a token's
//! patch.

use webmae::ops;

use crate::bench::{Bench, Failures, normal, setups};
use crate::patchify::random_orders;

const NONE: u32 = u32::MAX;

#[test]
fn the_first_of_the_largest() {
    let mut failures = Failures::default();
    let sizes = [[1, 1], [7, 65], [63, 7], [65, 63], [197, 2], [3, 1030]];
    for (setup, [rows, dim]) in setups().iter().flat_map(|s| sizes.map(|z| (s, z))) {
        let x = normal(1, rows * dim);
        let cases: [(&str, Vec<f32>); 4] = [
            ("normal", x.clone()),
            ("negative", x.iter().map(|x| -1e3 - x.abs()).collect()),
            // Five values or so, most of them more than once.
            ("ties", x.iter().map(|x| x.round()).collect()),
            ("equal", vec![-0.5; rows * dim]),
        ];
        for (name, x) in cases {
            let mut bench = Bench::new(setup);
            let x_in = bench.input("x", &[rows, dim], &x);
            let out = ops::argmax(&mut bench.rec, x_in);
            bench.rec.keep(out, "out");
            let run = bench.run();
            let first = |row: &[f32]| {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row.iter().position(|&x| x == largest).expect("it is there") as u32
            };
            let wanted: Vec<u32> = x.chunks(dim).map(first).collect();
            let what = format!("{} argmax {name} {rows}×{dim}", setup.name);
            failures.equal(&what, &run.u32("out"), &wanted);
        }
    }
    failures.report();
}

/// Rows in any order, some more than once, some never.
#[test]
fn rows_of_a_table() {
    let mut failures = Failures::default();
    let sizes = [[1, 1, 1], [7, 65, 3], [65, 7, 63], [197, 63, 2], [3, 4, 1030]];
    for (setup, [rows, table_rows, dim]) in setups().iter().flat_map(|s| sizes.map(|z| (s, z))) {
        let table = normal(1, table_rows * dim);
        let ids: Vec<u32> =
            (0..rows).map(|i| ((i * i + table_rows - 1) % table_rows) as u32).collect();
        let mut bench = Bench::new(setup);
        let table_in = bench.input("table", &[table_rows, dim], &table);
        let ids_in = bench.ids("ids", &[rows], &ids);
        let out = ops::gather_rows(&mut bench.rec, table_in, ids_in);
        bench.rec.keep(out, "out");
        let run = bench.run();
        let row = |&id: &u32| table[id as usize * dim..][..dim].to_vec();
        let wanted: Vec<f32> = ids.iter().flat_map(row).collect();
        let what = format!("{} {rows} of {table_rows} rows of {dim}", setup.name);
        failures.equal(&what, &run.f32("out"), &wanted);
    }
    failures.report();
}

/// Behind cls tokens or not, all patches or some of them, and tokens that have no target.
#[test]
fn labels_of_tokens() {
    let mut failures = Failures::default();
    // Samples, patches, cls tokens, tokens of patches.
    let cases = [[1, 1, 0, 1], [3, 7, 1, 7], [2, 65, 1, 65], [5, 63, 0, 17], [1, 197, 1, 100]];
    for (setup, [batch, patches, cls, some]) in setups().iter().flat_map(|s| cases.map(|c| (s, c)))
    {
        // Other labels in every sample.
        let labels: Vec<u32> = (0..(batch * patches) as u32).map(|i| 1000 + 3 * i).collect();
        let tokens = cls + some;
        let mut target = vec![NONE; batch * tokens];
        let mut wanted = target.clone();
        for (b, order) in random_orders(batch, patches).chunks(patches).enumerate() {
            for (t, &patch) in order[..some].iter().enumerate().filter(|(t, _)| t % 4 != 3) {
                let place = b * tokens + cls + t;
                target[place] = patch;
                wanted[place] = labels[b * patches + patch as usize];
            }
        }
        let mut bench = Bench::new(setup);
        let target_in = bench.ids("target", &[batch, tokens], &target);
        let labels_in = bench.ids("labels", &[batch, patches], &labels);
        let out = ops::gather_labels(&mut bench.rec, target_in, labels_in);
        bench.rec.keep(out, "out");
        let run = bench.run();
        let what = format!("{} labels {batch}×{patches} of {tokens} tokens", setup.name);
        failures.equal(&what, &run.u32("out"), &wanted);
    }
    failures.report();
}
