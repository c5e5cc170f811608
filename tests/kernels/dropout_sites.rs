//! Where vit-pytorch's models drop values: every site of the encoder, with its own mask, in plain f64; and nothing in
//! the decoder, nor anywhere in an evaluation.

use webmae::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use webmae::model::classify::{Input, classify};
use webmae::model::init::init_params;
use webmae::model::mae::Forward;
use webmae::model::objective::{MaskSource, Purpose, masked_objective};
use webmae::model::params::{ParamSpec, mae_params};
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::program::{Program, Recorder};
use webmae::tensor::TensorMap;
use webmae::{ModelConfig, StackConfig, Variant};

use crate::bench::{Failures, Results, Setup, normal, setups, wide};
use crate::dropout::Site;
use crate::oracle;

const BATCH: usize = 3;
const RATE: f64 = 0.2;
const EMBEDDING_RATE: f64 = 0.4;

/// 12 patches, and heads of several kinds.
fn model(variant: Variant, heads: usize, dim_head: usize) -> ModelConfig {
    let stack = |dim| StackConfig { dim, depth: 2, heads, dim_head, mlp_dim: 10 };
    ModelConfig {
        variant,
        image_size: [8, 9],
        patch_size: [2, 3],
        encoder: stack(8),
        decoder: stack(6),
        mask_ratio: 0.5,
        layer_norm_eps: variant.layer_norm_eps(),
        dropout: RATE,
        emb_dropout: EMBEDDING_RATE,
        ..ModelConfig::preset("plain").expect("a preset")
    }
}

fn models() -> Vec<(String, ModelConfig)> {
    let mut models = Vec::new();
    for variant in [Variant::Plain, Variant::VitPytorch] {
        // The last one has no projection, so nothing to drop behind it.
        for (heads, dim_head) in [(2, 4), (3, 5), (1, 8)] {
            let name = format!("{variant:?} with {heads} heads of {dim_head}");
            models.push((name, model(variant, heads, dim_head)));
        }
    }
    models
}

/// A model on a device, with parameters that are far from their initial values.
struct Model<'a> {
    setup: &'a Setup,
    params: TensorMap,
    store: ParamStore,
    config: &'a ModelConfig,
}

impl<'a> Model<'a> {
    fn new(setup: &'a Setup, config: &'a ModelConfig, specs: Vec<ParamSpec>) -> Self {
        config.validate().expect("a valid model");
        let mut params = init_params(&specs, config.grid(), 1);
        for (i, tensor) in params.values_mut().enumerate() {
            let noise = normal(100 + i as u32, tensor.data.len());
            tensor.data.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.5 * noise);
        }
        let layout = ParamLayout::new(specs, setup.device.max_binding());
        let store = ParamStore::new(setup.device, layout, false).expect("memory");
        store.load(Role::Value, &params).expect("parameters");
        Self { setup, params, store, config }
    }

    /// The encoder's input and the outputs of its blocks, in what `record` records.
    fn run(&self, record: impl FnOnce(&mut Recorder) -> Forward) -> Vec<Vec<f64>> {
        let mut rec = Recorder::new(self.setup.device.target(), false);
        self.store.layout().declare(&mut rec, false);
        let encoded = record(&mut rec);
        let tensors = [encoded.encoder_input].into_iter().chain(encoded.encoder_blocks);
        let labels: Vec<String> = tensors
            .enumerate()
            .map(|(i, tensor)| {
                let label = format!("kept {i}");
                rec.keep(tensor, &label);
                label
            })
            .collect();
        let program =
            Program::build(self.setup.device, &rec, self.store.buffers()).expect("a program");
        program.write("images", &normal(1, BATCH * self.config.image_len()));
        if program.has_buffer("noise") {
            program.write("noise", &normal(2, BATCH * self.config.num_patches()));
        }
        if program.has_buffer("step") {
            let site = Site::new(BATCH, RATE);
            program.write("step", &[site.scalars]);
            program.write("sample_ids", &site.sample_ids);
        }
        program.submit();
        let run = Results { program };
        labels.iter().map(|label| wide(&run.f32(label))).collect()
    }

    fn param(&self, name: &str) -> Option<Vec<f64>> {
        self.params.get(name).map(|tensor| wide(&tensor.data))
    }

    /// Block `number` as vit-pytorch computes it.
    fn block(&self, number: usize, x: &[f64]) -> Vec<f64> {
        let StackConfig { dim, heads, dim_head, mlp_dim, .. } = self.config.encoder;
        let (rows, inner) = (x.len() / dim, heads * dim_head);
        let tokens = rows / BATCH;
        let optional = |part: &str| self.param(&format!("blocks.{number}.{part}"));
        let param = |part: &str| optional(part).unwrap_or_else(|| panic!("no {part}"));
        let norm = |x: &[f64], part: &str| {
            let [gamma, beta] = ["weight", "bias"].map(|kind| param(&format!("{part}.{kind}")));
            oracle::layer_norm(x, &gamma, &beta, self.config.layer_norm_eps.into())
        };
        let qkv = oracle::linear(
            &norm(x, "norm1"),
            &param("attn.qkv.weight"),
            None,
            [rows, 3 * inner, dim],
        );
        let probabilities = site(1 + 4 * number, RATE);
        let row = tokens.next_multiple_of(4);
        let factor = |[sample, head, query, key]: [usize; 4]| {
            f64::from(probabilities.factor(sample, (head * tokens + query) * row + key))
        };
        let sizes = [BATCH, tokens, heads, dim_head];
        let (mut branch, _) = oracle::dropped_attention(&qkv, sizes, None, factor);
        if let Some(weight) = optional("attn.proj.weight") {
            let bias = param("attn.proj.bias");
            branch = oracle::linear(&branch, &weight, Some(&bias), [rows, dim, inner]);
            branch = dropped(&branch, &site(2 + 4 * number, RATE));
        }
        let x: Vec<f64> = x.iter().zip(&branch).map(|(x, branch)| x + branch).collect();
        let [w1, b1, w2, b2] = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
            .map(|n| param(&format!("mlp.{n}")));
        let hidden = oracle::linear(&norm(&x, "norm2"), &w1, Some(&b1), [rows, mlp_dim, dim]);
        let hidden: Vec<f64> = hidden.into_iter().map(oracle::gelu).collect();
        let hidden = dropped(&hidden, &site(3 + 4 * number, RATE));
        let branch = oracle::linear(&hidden, &w2, Some(&b2), [rows, dim, mlp_dim]);
        let branch = dropped(&branch, &site(4 + 4 * number, RATE));
        x.iter().zip(&branch).map(|(x, branch)| x + branch).collect()
    }

    /// Notes blocks that are not [`Self::block`] of what comes before them.
    fn check_blocks(&self, what: &str, outputs: &[Vec<f64>], failures: &mut Failures) {
        for (number, pair) in outputs.windows(2).enumerate() {
            let actual: Vec<f32> = pair[1].iter().map(|&x| x as f32).collect();
            let expected = self.block(number, &pair[0]);
            failures.compare(&format!("{what} block {number}"), &actual, &expected, 1e-5);
        }
    }
}

fn site(number: usize, rate: f64) -> Site {
    Site { number: number as u32, ..Site::new(BATCH, rate) }
}

fn dropped(x: &[f64], site: &Site) -> Vec<f64> {
    let per_sample = x.len() / BATCH;
    let factor = |i: usize| f64::from(site.factor(i / per_sample, i % per_sample));
    x.iter().enumerate().map(|(i, x)| x * factor(i)).collect()
}

#[test]
fn classifiers_drop_behind_the_embedding_and_at_four_places_of_a_block() {
    let mut failures = Failures::default();
    for (setup, (name, model)) in
        setups().iter().flat_map(|setup| models().into_iter().map(move |model| (setup, model)))
    {
        let classifier = ClassifierConfig {
            model: model.clone(),
            pool: Pool::Mean,
            head: Head::Full,
            classes: 5,
            trainable: Trainable::All,
            learned_positions: true,
            drop_path: 0.0,
        };
        let what = format!("{} {name}", setup.name);
        let used = Model::new(setup, &model, classifier.params());
        let encoded = |rec: &mut Recorder, train| {
            classify(rec, &classifier, BATCH, Input::Images, train).encoded.expect("an encoder")
        };
        let trained = used.run(|rec| encoded(rec, true));
        let evaluated = used.run(|rec| encoded(rec, false));
        let input: Vec<f32> = trained[0].iter().map(|&x| x as f32).collect();
        let expected = dropped(&evaluated[0], &site(0, EMBEDDING_RATE));
        failures.compare(&format!("{what} input"), &input, &expected, 1e-6);
        used.check_blocks(&what, &trained, &mut failures);
        // An evaluation is that of the model without dropout.
        let whole = ModelConfig { dropout: 0.0, emb_dropout: 0.0, ..model.clone() };
        let classifier = ClassifierConfig { model: whole, ..classifier.clone() };
        let without = used.run(|rec| {
            classify(rec, &classifier, BATCH, Input::Images, true).encoded.expect("an encoder")
        });
        failures.ensure(without == evaluated, || format!("{what}: an evaluation drops values"));
    }
    failures.report();
}

#[test]
fn autoencoders_drop_in_the_encoders_blocks_only() {
    let mut failures = Failures::default();
    for (setup, (name, model)) in
        setups().iter().flat_map(|setup| models().into_iter().map(move |model| (setup, model)))
    {
        let what = format!("{} {name}", setup.name);
        let used = Model::new(setup, &model, mae_params(&model));
        let encoded = |rec: &mut Recorder, config: &ModelConfig, purpose| {
            masked_objective(rec, config, BATCH, MaskSource::Given, purpose).encoded
        };
        let training = Purpose::Training { accumulated: 1 };
        let trained = used.run(|rec| {
            let encoded = encoded(rec, &model, training);
            let droppers = rec.kernels().filter(|kernel| {
                let drops = kernel.constants.contains(&("DROPOUT", 1));
                drops || kernel.shader == "dropout"
            });
            let per_block = if model.encoder.heads == 1 { 3 } else { 4 };
            let count = droppers.count();
            failures.ensure(count == 2 * per_block, || format!("{what}: {count} kernels drop"));
            encoded
        });
        used.check_blocks(&what, &trained, &mut failures);
        let evaluated = used.run(|rec| encoded(rec, &model, Purpose::Evaluation));
        let whole = ModelConfig { dropout: 0.0, emb_dropout: 0.0, ..model.clone() };
        let without = used.run(|rec| encoded(rec, &whole, training));
        failures.ensure(without == evaluated, || format!("{what}: an evaluation drops values"));
        failures.ensure(trained[0] == evaluated[0], || format!("{what}: the input is dropped"));
    }
    failures.report();
}
