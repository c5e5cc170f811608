// Dropout (Srivastava et al. 2014), for kernels whose `Params` have `threshold`, `factor` and `site`. Masks are
// drawn anew wherever they are needed, forward and backward, and never stored. Their CPU twin is `masks.rs`.

@group(0) @binding(1) var<storage, read> step: Step; // whose seed and epoch decide, with the sample and the site
@group(0) @binding(2) var<storage, read> sample_ids: array<u32>; // [B]

/// Factors of a sample's values 4·quad to 4·quad + 3: 0 for those that are dropped, 1 / (1 − p) for others.
fn dropout_factors(sample: u32, quad: u32) -> vec4<f32> {
    let words = philox(vec4<u32>(quad, sample_ids[sample], step.epoch, params.site), step.seed);
    return select(vec4<f32>(), vec4<f32>(params.factor), words >= vec4<u32>(params.threshold));
}
