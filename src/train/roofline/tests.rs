//! Counts by hand, and predictions whose cause is known.

use super::assumptions::STAGED;
use super::*;
use crate::kernels::{
    Precision, ProductLayout, Products, Tiling, adamw, add, gather_rows, layer_norm_backward,
};
use crate::ops::product;
use crate::program::Recorder;
use crate::train::estimate::{Estimate, Limits};

const MAX_BINDING: u64 = 128 << 20;

/// 10 TFLOP/s, 40 in f16, 500 GB/s, 20 multiprocessors.
fn card() -> Card {
    "f32=10T,f16=40T,bandwidth=500G,processors=20,cache=4M".parse().unwrap()
}

fn recorder(card: &Card) -> Recorder {
    Recorder::new(card.target(), false)
}

/// The prediction of the first launch.
fn first(card: &Card, rec: &Recorder) -> Prediction {
    Anatomies::default().predict(card, &rec.launches().next().expect("a launch"))
}

/// `A[M,K] · B[N,K]ᵀ` in `precision`.
fn product_of(card: &Card, [m, n, k]: [usize; 3], precision: Precision) -> Recorder {
    let mut rec = recorder(card);
    let shapes = [("a", [m, k]), ("b", [n, k]), ("out", [m, n])];
    let operands = shapes.map(|(name, shape)| rec.external_of(precision, name, shape));
    product(&mut rec, ProductLayout::Nt, [m, n, k], operands);
    rec
}

fn launch_add(rec: &mut Recorder, count: usize) {
    let [x, out] = ["x", "out"].map(|name| rec.external(name, [count]));
    let params = add::Params { count: count as u32 };
    rec.launch(params, Default::default(), add::Bindings { x, out }, count.div_ceil(64));
}

fn factor(prediction: &Prediction, cause: Cause) -> f64 {
    prediction.causes.iter().find(|(other, _)| *other == cause).map_or(1.0, |&(_, factor)| factor)
}

/// Relative to either.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn a_sum_waits_for_memory() {
    let mut rec = recorder(&card());
    let count = 1 << 24;
    launch_add(&mut rec, count);
    let add = first(&card(), &rec);
    // x is read, out is read and written.
    let bytes = 3 * 4 * count as u64;
    assert_eq!((add.bytes, add.memory_bytes, add.bound), (bytes, bytes, Bound::Memory));
    assert!(close(add.floor, bytes as f64 / 500e9 + LAUNCH.value), "{add:?}");
    // 20 multiprocessors × 1536 invocations × 4 bytes are not the 500e9 × 500e-9 that must be on their way.
    let waiting = 500e9 * 500e-9 / (20.0 * 1536.0 * 4.0 * 2.0);
    assert!(close(factor(&add, Cause::FewBytes), waiting), "{add:?}");
    let read = 2.0 / 3.0 * bytes as f64 * waiting + bytes as f64 / 3.0;
    assert!(close(add.predicted, read / (500e9 * BANDWIDTH.value) + LAUNCH.value), "{add:?}");
}

#[test]
fn a_large_product_waits_for_vector_units() {
    let card = card();
    let sizes = [2048, 1280, 1024];
    let gemm = first(&card, &product_of(&card, sizes, Precision::F32));
    let [m, n, k] = sizes.map(|extent| extent as f64);
    assert_eq!(gemm.bound, Bound::Vector);
    assert_eq!(gemm.bytes, 4 * (2048 * 1024 + 1280 * 1024 + 2048 * 1280));
    assert!(close(gemm.floor, 2.0 * m * n * k / 10e12 + LAUNCH.value), "{gemm:?}");
    // 640 tiles of 64×64 on 20 multiprocessors, no padding: only what surrounds the multiply-adds is left. An
    // invocation's K step has 32 of these, 3 reads, and a quarter of a vector to stage.
    let around = 1.0 + (3.0 + 0.25 * 8.0) / 32.0;
    assert!(close(factor(&gemm, Cause::Instructions), around), "{gemm:?}");
    for cause in [Cause::Wave, Cause::ExtraProducts, Cause::NoFragments, Cause::FewInvocations] {
        assert_eq!(factor(&gemm, cause), 1.0, "{gemm:?}");
    }
    let tiles = 2.0 * m * n * k / 10e12 * around / STAGED.value;
    let values = 8.0 * m * n / 5e12;
    assert!(close(gemm.predicted, tiles + values + LAUNCH.value), "{gemm:?}");
}

#[test]
fn one_tile_too_many_takes_another_wave() {
    let card = card();
    // K is too short to be shared.
    let [even, ragged] = [20, 21]
        .map(|tiles| first(&card, &product_of(&card, [64 * tiles, 64, 256], Precision::F32)));
    assert_eq!(factor(&even, Cause::Wave), 1.0);
    assert!(close(factor(&ragged, Cause::Wave), 40.0 / 21.0), "{ragged:?}");
    assert!(ragged.predicted > even.predicted);
}

#[test]
fn f16_goes_through_fragments_where_there_are_some() {
    let mut with = card();
    let sizes = [2048, 1280, 1024];
    // The largest, which the cache can feed.
    let is_cooperative = |tiling| matches!(tiling, Tiling::Cooperative(_));
    let tiling = Tiling::ALL.into_iter().rposition(is_cooperative).expect("a tiling");
    let recorded = |card: &Card, tiling: Option<usize>| {
        let mut target = card.target();
        if let Some(tiling) = tiling {
            target.products = Products::uniform(tiling);
        }
        let mut rec = Recorder::new(target, false);
        let [m, n, k] = sizes;
        let shapes = [("a", [m, k]), ("b", [n, k]), ("out", [m, n])];
        let operands = shapes.map(|(name, shape)| rec.external_of(Precision::F16, name, shape));
        product(&mut rec, ProductLayout::Nt, sizes, operands);
        first(card, &rec)
    };
    let (blocked, fragments) = (recorded(&with, None), recorded(&with, Some(tiling)));
    assert!(close(blocked.floor, fragments.floor));
    assert_eq!((blocked.bound, fragments.bound), (Bound::Vector, Bound::Fragments));
    assert!(close(factor(&blocked, Cause::NoFragments), 4.0), "{blocked:?}");
    assert!(fragments.predicted < blocked.predicted);
    // A card without them records and expects vector units.
    (with.f16_flops, with.cooperative.f16) = (None, None);
    let without = recorded(&with, Some(tiling));
    assert_eq!((without.bound, factor(&without, Cause::NoFragments)), (Bound::Vector, 1.0));
    assert!(without.floor > blocked.floor);
}

#[test]
fn what_is_picked_and_what_is_added_to_count_as_they_move() {
    let card = card();
    let mut rec = recorder(&card);
    // 3 of 1000 rows.
    let (table, out) = (rec.external("table", [1000, 64]), rec.external("out", [3, 64]));
    let ids = rec.external("ids", [3]);
    let params = gather_rows::Params { dim: 64, count: 192 };
    rec.launch(params, Default::default(), gather_rows::Bindings { table, ids, out }, 3);
    assert_eq!(first(&card, &rec).bytes, 4 * (192 + 3 + 192));

    let bytes = |accumulate| {
        let mut rec = recorder(&card);
        let [dy, x, dx] = ["dy", "x", "dx"].map(|name| rec.external(name, [10, 64]));
        let (gamma, stats) = (rec.external("gamma", [64]), rec.external("stats", [10, 2]));
        let constants = layer_norm_backward::Constants { accumulate, wg: 32 };
        let bindings = layer_norm_backward::Bindings { dy, x, gamma, stats, dx };
        rec.launch(layer_norm_backward::Params { rows: 10, dim: 64 }, constants, bindings, 10);
        first(&card, &rec).bytes
    };
    assert_eq!([false, true].map(bytes), [4 * (3 * 640 + 64 + 20), 4 * (4 * 640 + 64 + 20)]);

    // AdamW reads four tensors and writes three of them.
    let mut rec = recorder(&card);
    let words = |rec: &mut Recorder, name| rec.external(name, [9]);
    let (step, state) = (words(&mut rec, "step"), words(&mut rec, "state"));
    let [grads, values, moment1, moment2] =
        ["g", "v", "m1", "m2"].map(|name| rec.external(name, [4096]));
    let halves = rec.unused_out();
    let bindings = adamw::Bindings { step, state, grads, values, moment1, moment2, halves };
    let params = adamw::Params {
        count: 1024,
        decay_count: 0,
        lr_scale: 1.0,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.0,
    };
    rec.launch(params, Default::default(), bindings, 16);
    assert_eq!(first(&card, &rec).bytes, 4 * (7 * 4096 + 9 + 9));
}

fn request(precision: Precision) -> Request {
    Request { batch_size: 4, grad_accum: 3, recompute: false, precision, averaged: false }
}

#[test]
fn a_step_is_the_sum_of_its_launches() {
    let config = ModelConfig::preset("tiny").unwrap();
    for precision in [Precision::F32, Precision::F16] {
        let request = request(precision);
        let roofline = Roofline::new(card(), &config, request, MAX_BINDING).unwrap();
        let limits = Limits { target: card().target(), max_binding: MAX_BINDING, memory: None };
        let estimate = Estimate::new(&config, request, &limits).unwrap();
        assert_eq!(roofline.flops, estimate.step_flops);
        // The gradients of every batch are added up; they are zeroed once, with the loss.
        assert_eq!(roofline.cleared.bytes, estimate.gradient_bytes + 4);
        let kernels = roofline.kernels();
        let flops: u64 = kernels.iter().map(|sum| sum.flops).sum();
        let bytes: u64 = kernels.iter().map(|sum| sum.bytes).sum();
        assert_eq!((flops, bytes + roofline.cleared.bytes), (roofline.flops, roofline.bytes));
        let floor: f64 = kernels.iter().map(|sum| sum.floor).sum();
        let predicted: f64 = kernels.iter().map(|sum| sum.predicted).sum();
        assert!(close(floor + roofline.cleared.floor, roofline.floor));
        assert!(close(predicted + roofline.cleared.predicted, roofline.predicted));
        assert!(roofline.launches.iter().all(|launch| launch.prediction.factor() >= 1.0));
        // Of the launches that are named, none is lost and each has a reason.
        let above = roofline.above(2.0);
        let far = roofline.launches.iter().filter(|launch| launch.prediction.factor() > 2.0);
        let times = |launches: Vec<usize>| launches.into_iter().sum::<usize>();
        let count = times(above.iter().map(|alike| alike.launches).collect());
        assert!(count > 0 && count == times(far.map(|launch| launch.times).collect()));
        assert!(above.iter().all(|alike| alike.factor() > 2.0 && !alike.causes.is_empty()));
    }
}

#[test]
fn the_best_tiles_are_taken() {
    let config = ModelConfig::preset("tiny").unwrap();
    let request = request(Precision::F16);
    let roofline = Roofline::new(card(), &config, request, MAX_BINDING).unwrap();
    let fragments = roofline.tiles.iter().filter(|tile| tile.fragments == Some(16)).count();
    assert!(fragments > 0, "{:?}", roofline.tiles);
    let (layout, step) = request.step(&config, MAX_BINDING);
    let usual = step.record_batch(card().target(), &layout);
    let mut anatomies = Anatomies::default();
    let mut seconds = |launches: &mut dyn Iterator<Item = LaunchCounts>| -> f64 {
        launches.map(|launch| anatomies.predict(&card(), &launch).predicted).sum()
    };
    let usual = seconds(&mut usual.launches());
    let batch = roofline.launches.iter().filter(|launch| launch.times == 3);
    let chosen: f64 = batch.map(|launch| launch.prediction.predicted).sum();
    assert!(chosen < usual, "{chosen} beside {usual}");
}
