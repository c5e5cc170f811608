//! The classifiers' cases: forward pass, cross entropy and every gradient.

use pollster::block_on;
use webmae::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use webmae::model::classify::{Input, classify};
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::{Target, cross_entropy};
use webmae::program::{Program, Recorder};
use webmae::weights::{Format, Missing, to_internal};

use crate::case::Case;
use crate::common::device;

pub fn run(case: &Case) -> Vec<String> {
    let (format, pool) = match case.kind() {
        "hf_vit_cls" => (Format::HuggingFaceVit, Pool::Cls),
        "plain_vit_cls" => (Format::VitPytorchOld, Pool::Cls),
        "plain_vit_mean" => (Format::VitPytorchOld, Pool::Mean),
        "vitp_vit_cls" => (Format::VitPytorch, Pool::Cls),
        "vitp_vit_mean" => (Format::VitPytorch, Pool::Mean),
        _ => (Format::Fair, Pool::Mean),
    };
    let model = case.model();
    let config = ClassifierConfig {
        model: model.clone(),
        pool,
        head: Head::Full,
        classes: case.size("num_labels"),
        trainable: Trainable::All,
        learned_positions: true,
        drop_path: 0.0,
    };
    let internal = |prefix: &str, missing| {
        let converted = to_internal(format, &model, &case.group(prefix), missing);
        converted.unwrap_or_else(|e| panic!("{prefix}: {e}")).tensors
    };
    let device = device();
    let layout = ParamLayout::new(config.params(), device.max_binding());
    let store = ParamStore::new(device, layout, true).expect("memory");
    let values = internal("param.", Missing::Refused);
    let mut failures = Vec::new();
    for spec in store.layout().specs() {
        if !values.contains_key(&spec.name) {
            failures.push(format!("the case has no {}", spec.name));
        }
    }
    store.load(Role::Value, &values).expect("weights");

    let pixels = case.tensor("input.pixel_values");
    let labels: Vec<u32> = case.tensor("input.labels").data.iter().map(|&l| l as u32).collect();
    let batch = labels.len();
    let mut rec = Recorder::new(device.target(), true);
    store.layout().declare(&mut rec, true);
    let classified = classify(&mut rec, &config, batch, Input::Images, true);
    let wanted = rec.external("labels", [batch]);
    let loss = rec.external("loss", [1]);
    rec.clear_first(loss);
    let target = Target::Labels { labels: wanted, smoothing: 0.0 };
    cross_entropy(&mut rec, classified.logits, target, batch, loss);
    rec.backward();
    let encoded = classified.encoded.expect("images are encoded");
    // timm's case has the feature in its place.
    let is_feature = case.kind() == "timm_vit_avg";
    let latent = if is_feature { classified.feature } else { encoded.latent };
    rec.keep(encoded.encoder_input, "encoder_input");
    rec.keep(latent, "latent");
    rec.keep(classified.logits, "logits");
    let program = Program::build(device, &rec, store.buffers()).expect("a program");
    program.write(Input::Images.label(), &pixels.data);
    program.write("labels", &labels);
    program.submit();

    let read = |label: &str| -> Vec<f32> { block_on(program.read(label)).expect("a result") };
    let expected_loss = case.json["loss"]["f64"].as_f64().expect("a loss");
    case.check_loss(read("loss")[0], expected_loss, &mut failures);
    case.check_output("debug.encoder_input", &read("encoder_input"), &mut failures);
    case.check_output("output.latent", &read("latent"), &mut failures);
    case.check_output("output.logits", &read("logits"), &mut failures);
    let actual = block_on(store.read(Role::Grad)).expect("gradients");
    let expected = internal("grad.", Missing::Allowed);
    for name in actual.keys().filter(|name| !expected.contains_key(*name)) {
        failures.push(format!("the case has no gradient of {name}"));
    }
    case.check_gradients(&actual, &expected, &mut failures);
    failures
}
