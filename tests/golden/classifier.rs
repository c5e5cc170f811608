//! The classifiers' cases: forward pass, cross entropy and every gradient.

use pollster::block_on;
use webmae::model::classifier::{ClassifierConfig, Pool, classify};
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::{Target, cross_entropy};
use webmae::program::{Program, Recorder};
use webmae::weights::{Format, Missing, to_internal};

use crate::case::Case;
use crate::common::gpu;

pub fn run(case: &Case) -> Vec<String> {
    let (format, pool) = match case.kind() {
        "hf_vit_cls" => (Format::HuggingFaceVit, Pool::Cls),
        _ => (Format::Fair, Pool::Mean),
    };
    let model = case.model();
    let config = ClassifierConfig {
        model: model.clone(),
        pool,
        classes: case.size("num_labels"),
        learned_positions: true,
    };
    let internal = |prefix: &str, missing| {
        let converted = to_internal(format, &model, &case.group(prefix), missing);
        converted.unwrap_or_else(|e| panic!("{prefix}: {e}")).tensors
    };
    let gpu = gpu();
    let layout = ParamLayout::new(config.params(), gpu.max_binding());
    let store = ParamStore::new(gpu, layout, true).expect("memory");
    store.load(Role::Value, &internal("param.", Missing::Refused)).expect("weights");

    let pixels = case.tensor("input.pixel_values");
    let labels: Vec<u32> = case.tensor("input.labels").data.iter().map(|&l| l as u32).collect();
    let mut rec = Recorder::new(gpu.tier(), true);
    store.layout().declare(&mut rec, true);
    let images = rec.external("images", pixels.shape.clone());
    let wanted = rec.external("labels", [labels.len()]);
    let loss = rec.external("loss", [1]);
    rec.clear_first(loss);
    let classified = classify(&mut rec, &config, images);
    let target = Target::Labels { labels: wanted, smoothing: 0.0 };
    cross_entropy(&mut rec, classified.logits, target, loss);
    rec.backward();
    let latent = match pool {
        Pool::Cls => classified.encoded.latent,
        Pool::Mean => classified.feature,
    };
    rec.keep(classified.encoded.encoder_input, "encoder_input");
    rec.keep(latent, "latent");
    rec.keep(classified.logits, "logits");
    let program = Program::build(gpu, &rec, store.buffers()).expect("a program");
    program.write("images", &pixels.data);
    program.write("labels", &labels);
    program.submit();

    let mut failures = Vec::new();
    let read = |label: &str| -> Vec<f32> { block_on(program.read(label)).expect("a result") };
    let expected_loss = case.json["loss"]["f64"].as_f64().expect("a loss");
    case.check_loss(read("loss")[0], expected_loss, &mut failures);
    case.check_output("debug.encoder_input", &read("encoder_input"), &mut failures);
    case.check_output("output.latent", &read("latent"), &mut failures);
    case.check_output("output.logits", &read("logits"), &mut failures);
    let actual = block_on(store.read(Role::Grad)).expect("gradients");
    case.check_gradients(&actual, &internal("grad.", Missing::Allowed), &mut failures);
    failures
}
