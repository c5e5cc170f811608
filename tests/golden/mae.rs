//! The masked autoencoder's cases: forward pass, loss and every gradient.

use pollster::block_on;
use webmae::model::drops::Drops;
use webmae::model::mae::{decode, encode};
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::{Truth, masked_loss};
use webmae::program::{Program, Recorder};
use webmae::tensor::TensorMap;
use webmae::weights::{Converted, Format, Missing, to_internal};

use crate::case::Case;
use crate::common::device;

pub fn format(case: &Case) -> Format {
    match case.kind() {
        "blog_mae" => Format::VitPytorchOld,
        "vitp_mae" => Format::VitPytorch,
        _ => Format::HuggingFaceMae,
    }
}

/// A group of the case's tensors under the internal names.
pub fn internal(case: &Case, prefix: &str, missing: Missing) -> Converted {
    to_internal(format(case), &case.model(), &case.group(prefix), missing)
        .unwrap_or_else(|e| panic!("{prefix}: {e}"))
}

pub fn run(case: &Case) -> Vec<String> {
    let config = case.model();
    let device = device();
    let layout = ParamLayout::new(mae_params(&config), device.max_binding());
    let store = ParamStore::new(device, layout, true).expect("memory");
    store.load(Role::Value, &internal(case, "param.", Missing::Refused).tensors).expect("weights");

    let pixels = case.tensor("input.pixel_values");
    let noise_values = case.tensor("input.noise");
    let batch = pixels.shape[0];
    let patches = config.num_patches();
    let mut rec = Recorder::new(device.target(), true);
    store.layout().declare(&mut rec, true);
    let images = rec.external("images", pixels.shape.clone());
    let noise = rec.external("noise", [batch, patches]);
    let encoded = encode(&mut rec, &config, images, noise, Drops::default());
    let decoded = decode(&mut rec, &config, &encoded);
    let loss = rec.external("loss", [1]);
    rec.clear_first(loss);
    let input = Truth { values: images, accumulated: 1 };
    masked_loss(&mut rec, &config, input, decoded.target, decoded.pred, loss);
    rec.backward();
    let mut kept: Vec<(String, &str)> = Vec::new();
    let mut keep = |tensor, label: String, name: &'static str| {
        rec.keep(tensor, &label);
        kept.push((label, name));
    };
    keep(encoded.ids.shuffle, "ids_shuffle".into(), "");
    keep(encoded.ids.restore, "ids_restore".into(), "");
    keep(decoded.pred, "pred".into(), "");
    keep(encoded.latent, "latent".into(), "output.latent");
    keep(encoded.encoder_input, "encoder_input".into(), "debug.encoder_input");
    keep(decoded.decoder_input, "decoder_input".into(), "debug.decoder_input");
    let debug = |name: &str| case.tensors.contains_key(&format!("debug.{name}"));
    if debug("decoder_output") {
        rec.keep(decoded.decoder_output, "decoder_output");
    }
    let mut blocks = Vec::new();
    for (stack, tensors) in
        [("encoder", &encoded.encoder_blocks), ("decoder", &decoded.decoder_blocks)]
    {
        for (i, &tensor) in tensors.iter().enumerate() {
            let name = format!("{stack}_layer.{i}");
            if debug(&name) {
                rec.keep(tensor, &name);
                blocks.push(name);
            }
        }
    }
    let program = Program::build(device, &rec, store.buffers()).expect("a program");
    program.write("images", &pixels.data);
    program.write("noise", &noise_values.data);
    program.submit();

    let mut failures = Vec::new();
    let read = |label: &str| -> Vec<f32> { block_on(program.read(label)).expect("a result") };
    let expected_loss = case.json["loss"]["f64"].as_f64().expect("a loss");
    case.check_loss(read("loss")[0], expected_loss, &mut failures);
    for (label, name) in &kept {
        if !name.is_empty() {
            case.check_output(name, &read(label), &mut failures);
        }
    }
    for name in &blocks {
        case.check_output(&format!("debug.{name}"), &read(name), &mut failures);
    }
    if debug("decoder_output") {
        case.check_output("debug.decoder_output", &read("decoder_output"), &mut failures);
    }
    check_masks_and_pred(case, &program, &mut failures);

    let actual = block_on(store.read(Role::Grad)).expect("gradients");
    let expected: TensorMap = internal(case, "grad.", Missing::Allowed).tensors;
    assert!(!expected.is_empty(), "the case has gradients");
    case.check_gradients(&actual, &expected, &mut failures);
    failures
}

/// Masks exactly, predictions within tolerance, in the reference's order of tokens.
fn check_masks_and_pred(case: &Case, program: &Program, failures: &mut Vec<String>) {
    let config = case.model();
    let ids = |label: &str| -> Vec<u32> { block_on(program.read(label)).expect("ids") };
    let (shuffle, restore) = (ids("ids_shuffle"), ids("ids_restore"));
    let pred: Vec<f32> = block_on(program.read("pred")).expect("predictions");
    let (patches, keep, cls) = (config.num_patches(), config.len_keep(), config.cls_tokens());
    let batch = shuffle.len() / patches;
    let patch_dim = config.patch_dim();
    let token = |b: usize, t: usize| {
        let first = (b * config.decoder_tokens() + t) * patch_dim;
        &pred[first..first + patch_dim]
    };
    let mut exact = |name: &str, actual: Vec<f32>| {
        if actual != case.tensor(name).data {
            failures.push(format!("{name} differs"));
        }
    };
    if case.kind() == "hf_mae" {
        exact("output.ids_restore", restore.iter().map(|&id| id as f32).collect());
        let hidden = |&rank: &u32| f32::from(u8::from(rank as usize >= keep));
        exact("output.mask", restore.iter().map(hidden).collect());
        let rows = (0..batch).flat_map(|b| (0..patches).map(move |i| (b, cls + i)));
        let logits: Vec<f32> = rows.flat_map(|(b, t)| token(b, t).to_vec()).collect();
        case.check_output("output.logits", &logits, failures);
    } else {
        let masked = config.num_masked();
        let by_rank = |ranks: std::ops::Range<usize>| -> Vec<f32> {
            let of = |row: &[u32]| row[ranks.clone()].iter().map(|&i| i as f32).collect::<Vec<_>>();
            shuffle.chunks(patches).flat_map(of).collect()
        };
        exact("output.masked_indices", by_rank(0..masked));
        exact("output.unmasked_indices", by_rank(masked..patches));
        let mut rows = Vec::new();
        for b in 0..batch {
            for rank in 0..masked {
                let patch = shuffle[b * patches + rank] as usize;
                // The plain decoder has its mask tokens in front, the other in patch order.
                let t = if config.variant.unshuffles() { patch } else { rank };
                rows.extend_from_slice(token(b, t));
            }
        }
        case.check_output("output.pred", &rows, failures);
    }
}
