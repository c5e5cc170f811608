//! What is done to each picture after decoding it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use webmae::data::{Augment, Normalization, Pixels};
use webmae::philox::Rng;

/// Pre-training's crop, resize and flip to 224 × 224 of a small and of an ordinary photograph's size;
/// and normalisation.
pub fn preparation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data");
    group.throughput(Throughput::Elements(224 * 224));
    let mut rng = Rng::new(0, [0; 3]);
    for (width, height) in [(170, 128), (500, 375)] {
        let data = (0..width * height * 3).map(|_| (rng.next_u32() & 255) as u8).collect();
        let picture = Pixels::<u8>::new(width, height, 3, data);
        let augment = Augment::pretrain();
        let id = BenchmarkId::new("random resized crop", format!("{width}x{height}"));
        group.bench_function(id, |b| {
            b.iter(|| augment.apply(black_box(&picture), [224, 224], &mut rng).expect("a sample"));
        });
    }
    let sample = Pixels::<u8>::zeros(224, 224, 3);
    let (normalization, mut values) = (Normalization::imagenet(), vec![0.0; 224 * 224 * 3]);
    group.bench_function("normalise/224x224", |b| {
        b.iter(|| normalization.normalise(black_box(&sample), &mut values));
    });
    group.finish();
}
