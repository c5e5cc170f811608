//! Features and attention maps of whole pictures against PyTorch's values and the network's own
//! attention.

mod common;

use std::path::Path;

use common::{device, max_abs, max_difference, within};
use pollster::block_on;
use serde_json::Value;
use webmae::ModelConfig;
use webmae::files::safetensors;
use webmae::model::attention_map::AttentionMap;
use webmae::model::classifier::Pool;
use webmae::model::features::Embedder;
use webmae::model::init::init_params;
use webmae::model::mae::encode_to_qkv;
use webmae::model::params::{encoder_or_mae_params, mae_params};
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::{Heads, attention};
use webmae::philox::Rng;
use webmae::program::{Program, Recorder};
use webmae::tensor::{HostTensor, TensorMap, shapes};
use webmae::weights::{Missing, Overrides, detect, infer_config, to_internal};

/// The tensors of a golden case, and its line in the manifest.
fn golden(name: &str) -> (TensorMap, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let cases = manifest["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap().clone();
    let file = safetensors::read(folder.join(format!("{name}.safetensors"))).unwrap();
    (file.tensors, case)
}

/// Encoders of classifiers, with their own `fc_norm` where they pool: the feature in front of the head.
#[test]
fn features_are_those_of_pytorch() {
    for (name, pool) in [("hf_vit_cls_tiny", Pool::Cls), ("timm_vit_avg_tiny", Pool::Mean)] {
        let (tensors, case) = golden(name);
        let weights: TensorMap = tensors
            .iter()
            .filter_map(|(name, t)| Some((name.strip_prefix("param.")?.to_owned(), t.clone())))
            .collect();
        let number = |field: &str| case["config"][field].as_u64().map(|n| n as usize);
        let overrides = Overrides {
            encoder_heads: number("num_attention_heads"),
            layer_norm_eps: case["config"]["layer_norm_eps"].as_f64().map(|eps| eps as f32),
            ..Overrides::default()
        };
        let shapes = shapes(&weights);
        let format = detect(&shapes).unwrap();
        let config = infer_config(format, &shapes, &overrides).unwrap();
        let converted = to_internal(format, &config, &weights, Missing::Refused).unwrap();
        let specs = encoder_or_mae_params(&config, |n| converted.tensors.contains_key(n));
        let store =
            ParamStore::new(device(), ParamLayout::new(specs, device().max_binding()), false);
        let store = store.unwrap();
        store.load(Role::Value, &converted.tensors).unwrap();
        let images = &tensors["input.pixel_values"];
        let embedder = Embedder::new(device(), &config, images.shape[0], &store, pool).unwrap();
        let features = block_on(embedder.run(&images.data)).unwrap();
        let latent = &tensors["output.latent"];
        let expected = match pool {
            Pool::Cls => first_tokens(latent),
            Pool::Mean => latent.data.clone(),
        };
        let tolerance = case["suggested_tolerance"]["output_rel_to_max"].as_f64().unwrap();
        let difference = max_difference(&features, &expected);
        let limit = tolerance * max_abs(&expected);
        assert!(within(difference, limit), "{name}: {difference:.3e} > {limit:.3e}");
        assert!(block_on(embedder.run(&images.data[1..])).is_err());
    }
}

/// `[B, T, D]` → `[B, D]`.
fn first_tokens(latent: &HostTensor) -> Vec<f32> {
    let &[_, tokens, dim] = latent.shape.as_slice() else { panic!("{:?}", latent.shape) };
    latent.data.chunks(tokens * dim).flat_map(|image| image[..dim].to_vec()).collect()
}

/// Weighting the values by the map gives what the network's streamed attention gives.
#[test]
fn attention_maps_are_the_weights_of_the_networks_attention() {
    let config = ModelConfig::preset("tiny").unwrap();
    let layout = ParamLayout::new(mae_params(&config), device().max_binding());
    let store = ParamStore::new(device(), layout, false).unwrap();
    store.load(Role::Value, &init_params(store.layout().specs(), config.grid(), 5)).unwrap();
    let mut rng = Rng::new(9, [0; 3]);
    let image: Vec<f32> = (0..config.image_len()).map(|_| 4.0 * rng.uniform() - 2.0).collect();
    let block = 3;
    let map = AttentionMap::new(device(), &config, &store, block).unwrap();
    let weights = block_on(map.run(&image)).unwrap();

    let mut rec = Recorder::new(device().target(), false);
    store.layout().declare(&mut rec, false);
    let [h, w] = config.image_size;
    let images = rec.external("images", [1, config.channels, h, w]);
    let qkv = encode_to_qkv(&mut rec, &config, images, block);
    let stack = config.encoder;
    let out = attention(&mut rec, qkv, Heads { count: stack.heads, dim: stack.dim_head }, None);
    rec.keep(qkv, "qkv");
    rec.keep(out, "out");
    let program = Program::build(device(), &rec, store.buffers()).unwrap();
    program.write("images", &image);
    program.submit();
    let read = |label: &str| -> Vec<f32> { block_on(program.read(label)).unwrap() };
    let (qkv, expected) = (read("qkv"), read("out"));

    let (inner, dim) = (stack.inner_dim(), stack.dim_head);
    let tokens = expected.len() / inner;
    assert_eq!(weights.len(), stack.heads * tokens * tokens);
    let mut actual = vec![0.0; expected.len()];
    for (row, weights) in weights.chunks(tokens).enumerate() {
        let (head, query) = (row / tokens, row % tokens);
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        for (key, weight) in weights.iter().enumerate() {
            let value = &qkv[key * 3 * inner + 2 * inner + head * dim..][..dim];
            let sum = &mut actual[query * inner + head * dim..][..dim];
            sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    let difference = max_difference(&actual, &expected);
    assert!(within(difference, 1e-5 * max_abs(&expected)), "{difference:.3e}");
    assert!(AttentionMap::new(device(), &config, &store, config.encoder.depth).is_err());
}
