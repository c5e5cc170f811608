//! Sequences put together from given tokens, cls and mask tokens and positions, for every layout a
//! model uses, against code that walks through each sample's patches in turn.

use webmae::ops::{Layout, MaskIds, assemble_tokens, token_maps};
use webmae::{ModelConfig, Variant};

use crate::bench::{Bench, Failures, Setup, normal, setups, sum, wide};
use crate::patchify::{config, random_orders};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Source {
    Given(usize),
    Cls,
    Mask,
}

/// A token: what it is made of, its position's row, and the patch that it must predict.
type Token = (Source, Option<usize>, Option<usize>);

/// Where in a model a sequence is made.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Encoder,
    /// Features: nothing is masked.
    EncodeAll,
    Decoder,
}

/// One sample's sequence as the variants define it (design, section 3). `order` lists the patches
/// from smallest to largest noise.
fn sequence(config: &ModelConfig, stage: Stage, order: &[usize]) -> Vec<Token> {
    let patches = config.num_patches();
    let (visible, masked): (&[usize], &[usize]) = if config.variant == Variant::Paper {
        order.split_at(config.len_keep())
    } else {
        let (masked, visible) = order.split_at(config.num_masked());
        (visible, masked)
    };
    let rank = |patch: usize| visible.iter().position(|&v| v == patch);
    let has_cls = config.variant == Variant::Paper;
    let mut tokens = Vec::new();
    match stage {
        Stage::Encoder | Stage::EncodeAll => {
            // Position row 0 belongs to the cls token in every variant's table.
            if has_cls {
                tokens.push((Source::Cls, Some(0), None));
            }
            if stage == Stage::EncodeAll {
                tokens.extend((0..patches).map(|i| (Source::Given(i), Some(1 + i), None)));
            } else if config.encoder_mask_tokens {
                tokens.extend((0..patches).map(|i| match rank(i) {
                    Some(rank) => (Source::Given(rank), Some(1 + i), None),
                    None => (Source::Mask, Some(1 + i), Some(i)),
                }));
            } else {
                let rows = visible.iter().enumerate();
                tokens.extend(rows.map(|(j, i)| (Source::Given(j), Some(1 + i), None)));
            }
        }
        Stage::Decoder if config.variant == Variant::Plain => {
            tokens.extend(masked.iter().map(|&i| (Source::Mask, Some(i), Some(i))));
            tokens.extend((0..visible.len()).map(|j| (Source::Given(j), None, None)));
        }
        Stage::Decoder => {
            let cls = usize::from(has_cls);
            if has_cls {
                tokens.push((Source::Given(0), Some(0), None));
            }
            tokens.extend((0..patches).map(|i| match rank(i) {
                Some(_) if config.encoder_mask_tokens => {
                    (Source::Given(cls + i), Some(cls + i), None)
                }
                None if config.encoder_mask_tokens => {
                    (Source::Given(cls + i), Some(cls + i), Some(i))
                }
                Some(rank) => (Source::Given(cls + rank), Some(cls + i), None),
                None => (Source::Mask, Some(cls + i), Some(i)),
            }));
        }
    }
    tokens
}

struct Case {
    config: ModelConfig,
    stage: Stage,
    layout: Layout,
}

/// Every layout that a variant has, as the model asks for it.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let grids = [
        ([3, 5], 0.75),
        ([1, 7], 0.5),
        ([9, 7], 0.9),
        ([1, 65], 0.75),
        ([2, 1], 0.5),
        ([3, 3], 0.0),
    ];
    for (grid, ratio) in grids {
        for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
            for encoder_mask_tokens in [false, true] {
                if encoder_mask_tokens && variant != Variant::Paper {
                    continue;
                }
                let mut config = config(grid, [1, 1], 1);
                (config.variant, config.mask_ratio) = (variant, ratio);
                config.encoder_mask_tokens = encoder_mask_tokens;
                let encoder =
                    if encoder_mask_tokens { Layout::PatchOrder } else { Layout::Shuffled };
                let decoder = match (variant, encoder_mask_tokens) {
                    (Variant::Plain, _) => Layout::Concatenated,
                    (_, true) => Layout::AllTokens,
                    (_, false) => Layout::PatchOrder,
                };
                for (stage, layout) in [
                    (Stage::Encoder, encoder),
                    (Stage::EncodeAll, Layout::AllTokens),
                    (Stage::Decoder, decoder),
                ] {
                    cases.push(Case { config: config.clone(), stage, layout });
                }
            }
        }
    }
    cases
}

fn check(setup: &Setup, case: &Case, [batch, dim]: [usize; 2], failures: &mut Failures) {
    let Case { config, stage, layout } = case;
    let (patches, rows) = (config.num_patches(), config.position_rows());
    let order = random_orders(batch, patches);
    let mut restore = vec![0; order.len()];
    for (i, &patch) in order.iter().enumerate() {
        restore[i / patches * patches + patch as usize] = (i % patches) as u32;
    }
    let sequences: Vec<Vec<Token>> = order
        .chunks(patches)
        .map(|order| {
            let order: Vec<usize> = order.iter().map(|&i| i as usize).collect();
            sequence(config, *stage, &order)
        })
        .collect();
    let tokens = sequences[0].len();
    let given_rows = sequences[0].iter().filter(|t| matches!(t.0, Source::Given(_))).count();
    let cls_given = *stage == Stage::Decoder && config.variant.cls_token();
    let row_offset = if *stage == Stage::Decoder { config.cls_tokens() } else { 1 };

    let given = normal(1, batch * given_rows * dim);
    let (cls, mask, positions) = (normal(2, dim), normal(3, dim), normal(4, rows * dim));
    let (old_cls, old_mask, old_positions) =
        (normal(5, dim), normal(6, dim), normal(7, rows * dim));
    let dy = normal(8, batch * tokens * dim);
    let mut bench = Bench::new(setup);
    let ids = MaskIds {
        shuffle: bench.ids("shuffle", &[batch, patches], &order),
        restore: bench.ids("restore", &[batch, patches], &restore),
    };
    let extents = [tokens, given_rows];
    let maps = token_maps(&mut bench.rec, config, ids, *layout, extents, cls_given, row_offset);
    let given_in = bench.variable("given", &[batch, given_rows, dim], &given);
    let cls_in = bench.param("cls", &[1, 1, dim], &cls, &old_cls);
    let mask_in = bench.param("mask", &[1, 1, dim], &mask, &old_mask);
    let positions_in = bench.param("positions", &[1, rows, dim], &positions, &old_positions);
    let out =
        assemble_tokens(&mut bench.rec, maps, given_in, Some(cls_in), Some(mask_in), positions_in);
    bench.rec.keep(out, "out");
    bench.rec.keep(maps.target, "target");
    bench.backward(out, &dy);
    bench.keep_grad(given_in, "given");
    let run = bench.run();

    let [given, cls, mask, positions, dy] = [&given, &cls, &mask, &positions, &dy].map(|v| wide(v));
    let mut expected = Vec::new();
    let (mut d_given, mut d_positions) = (vec![0.0; given.len()], vec![0.0; positions.len()]);
    let (mut d_cls, mut d_mask) = (vec![0.0; dim], vec![0.0; dim]);
    for (b, t, d) in
        (0..batch).flat_map(|b| (0..tokens).flat_map(move |t| (0..dim).map(move |d| (b, t, d))))
    {
        let (source, row, _) = sequences[b][t];
        let g = dy[(b * tokens + t) * dim + d];
        let value = match source {
            Source::Given(s) => {
                let at = (b * given_rows + s) * dim + d;
                d_given[at] += g;
                given[at]
            }
            Source::Cls => {
                d_cls[d] += g;
                cls[d]
            }
            Source::Mask => {
                d_mask[d] += g;
                mask[d]
            }
        };
        expected.push(value + row.map_or(0.0, |row| positions[row * dim + d]));
        if let Some(row) = row {
            d_positions[row * dim + d] += g;
        }
    }
    let what = |part: &str| {
        let (variant, grid, ratio) = (config.variant, config.grid(), config.mask_ratio);
        format!("{} {variant:?} {stage:?} {layout:?} {grid:?} {ratio} {part}", setup.name)
    };
    failures.compare(&what("out"), &run.f32("out"), &expected, 2e-7);
    failures.compare(&what("d given"), &run.f32("d given"), &d_given, 2e-7);
    for (name, gradient, old) in [
        ("d cls", d_cls, old_cls),
        ("d mask", d_mask, old_mask),
        ("d positions", d_positions, old_positions),
    ] {
        failures.compare(&what(name), &run.f32(name), &sum(&gradient, &wide(&old)), 2e-6);
    }
    // Only a decoder's targets are used.
    if *stage == Stage::Decoder {
        let targets: Vec<u32> =
            sequences.iter().flatten().map(|t| t.2.map_or(u32::MAX, |i| i as u32)).collect();
        failures.equal(&what("targets"), &run.u32("target"), &targets);
    }
}

#[test]
fn sequences() {
    let mut failures = Failures::default();
    for setup in setups() {
        for (i, case) in cases().iter().enumerate() {
            // The last has more rows than a GPU sums at once.
            check(&setup, case, [[1, 1], [3, 7], [9, 65]][i % 3], &mut failures);
        }
    }
    failures.report();
}
