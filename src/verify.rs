//! Whether a GPU's kernels are right: every launch of training steps of all kinds, at real and awkward sizes, against
//! its CPU twin on the same memory.

use std::collections::BTreeMap;

use half::f16;

use crate::config::{MaskStrategy, ModelConfig, PatchTarget, Variant};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{
    AttentionForm, AttentionShape, Division, KernelTarget, Precision, ProductLayout, ProductShape,
    Reduction, Tiling,
};
use crate::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use crate::model::classify::{Input, classify};
use crate::model::init::init_params;
use crate::model::objective::{MaskSource, Purpose, masked_objective, predicted_pixels};
use crate::model::params::{ParamSpec, mae_params};
use crate::model::store::{ParamLayout, ParamStore, Role};
use crate::ops;
use crate::ops::optimizer::{AdamW, Optimizer, Scalars};
use crate::philox::Rng;
use crate::program::{Comparison, Device, Program, Recorder};
use crate::train::paper::{PRETRAIN_ADAMW, PROBE_LARS};
use crate::train::step::{BatchData, StepConfig, Task, TrainStep};

/// What two orders of summation in f32 may differ by, of a tensor's largest value.
pub const TOLERANCE: f64 = 2e-5;
/// The same where a value is kept in f16: two roundings of 11 bits.
pub const TOLERANCE_F16: f64 = 1.1e-3;

/// One variant of a kernel.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Verdict {
    /// The kernel.
    pub kernel: &'static str,
    /// Element types, way of reducing and constants, in words.
    pub variant: String,
    /// Launches that were compared.
    pub launches: usize,
    /// The largest difference, over the largest magnitude in the tensor; none where a value is finite on one side
    /// only, or a whole number differs.
    pub error: Option<f64>,
    /// What it may be.
    pub tolerance: f64,
    /// Where the difference was largest: what was computed, and of what sizes.
    pub worst: String,
}

impl Verdict {
    /// Whether the kernel is right as far as this shows.
    pub fn holds(&self) -> bool {
        self.error.is_some_and(|error| error <= self.tolerance)
    }
}

/// A part of the check.
pub struct Case {
    name: String,
    part: Part,
}

/// What is recorded.
enum Part {
    Step(Box<Step>),
    /// Operations of which no step has every side.
    Rest,
    /// Attention in every form.
    Attention,
}

/// A training step of random pictures.
struct Step {
    task: Task,
    batch_size: usize,
    precision: Precision,
    optimizer: Optimizer,
}

/// The cases for a GPU: small models of all kinds and of awkward sizes, and with `large` a ViT-B.
pub fn cases(gpu: &Gpu, large: bool) -> Vec<Case> {
    let adamw = AdamW { clip_norm: 1.0, ema: Some(0.9999), ..PRETRAIN_ADAMW };
    let precisions = if has_f16(&gpu.clone().into()) {
        &[Precision::F32, Precision::F16][..]
    } else {
        &[Precision::F32]
    };
    let mut cases = Vec::new();
    for &precision in precisions {
        let mut masked = |name: &str, model: ModelConfig, batch_size| {
            let task = Task::Masked { model, masks: MaskSource::Generated };
            let name = format!("{name}, batch {batch_size}, {precision:?}").to_lowercase();
            let optimizer = Optimizer::AdamW(adamw);
            cases.push(Case {
                name,
                part: Part::Step(Box::new(Step { task, batch_size, precision, optimizer })),
            });
        };
        for (name, model) in awkward_models() {
            masked(&name, model, 3);
        }
        masked("tiny", preset("tiny"), if large { 64 } else { 4 });
        if large {
            masked("vit-b", preset("vit-b"), 2);
        }
    }
    let dropping =
        ModelConfig { variant: Variant::Plain, dropout: 0.1, emb_dropout: 0.2, ..preset("tiny") };
    for (name, model, pool, head) in [
        ("classifier", preset("tiny"), Pool::Mean, Head::Full),
        ("classifier on the cls token", preset("tiny"), Pool::Cls, Head::Full),
        ("classifier with dropout", dropping, Pool::Cls, Head::Full),
        ("probe", preset("tiny"), Pool::Cls, Head::Probe),
    ] {
        let classifier = ClassifierConfig {
            model,
            pool,
            head,
            classes: 10,
            trainable: if head == Head::Probe { Trainable::None } else { Trainable::All },
            learned_positions: head == Head::Full,
            drop_path: if pool == Pool::Mean { 0.2 } else { 0.0 },
        };
        let optimizer =
            if head == Head::Probe { Optimizer::Lars(PROBE_LARS) } else { Optimizer::AdamW(adamw) };
        let task = Task::Classify { classifier, input: Input::Images };
        let step = Step { task, batch_size: 5, precision: Precision::F32, optimizer };
        cases.push(Case { name: name.to_owned(), part: Part::Step(Box::new(step)) });
    }
    cases.push(Case { name: "the rest".to_owned(), part: Part::Rest });
    if forms_of_attention(&gpu.target(), Precision::F32).next().is_some()
        || forms_of_attention(&gpu.target(), Precision::F16).next().is_some()
    {
        cases.push(Case { name: "attention in every form".to_owned(), part: Part::Attention });
    }
    cases
}

fn preset(name: &str) -> ModelConfig {
    ModelConfig::preset(name).expect("a preset")
}

/// Small models with names: every variant with every mask, every target, dropout, heads of several widths, and sizes that
/// are no whole vectors.
pub fn awkward_models() -> Vec<(String, ModelConfig)> {
    let mut models = Vec::new();
    let strategies = [MaskStrategy::Random, MaskStrategy::Block, MaskStrategy::Grid];
    for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
        for (i, mask_strategy) in strategies.into_iter().enumerate() {
            let mut model = ModelConfig { variant, mask_strategy, ..preset("tiny") };
            (model.encoder.depth, model.decoder.depth) = (1, 1);
            model.norm_pix_loss = i == 1;
            model.encoder_mask_tokens = variant == Variant::Paper && i == 2;
            (model.encoder.dim_head, model.channels) = [(16, 3), (24, 3), (8, 1)][i];
            if variant != Variant::Paper && i == 2 {
                (model.encoder.dim_head, model.patch_size, model.image_size) = (7, [1, 1], [8, 8]);
            }
            models.push((format!("{variant:?}, {mask_strategy:?} masks").to_lowercase(), model));
        }
    }
    // Whole vectors, and not.
    for dim_head in [24, 7] {
        let mut model = ModelConfig { variant: Variant::Plain, dropout: 0.2, ..preset("tiny") };
        (model.encoder.depth, model.decoder.depth) = (1, 1);
        model.encoder.dim_head = dim_head;
        if dim_head == 7 {
            (model.encoder.mlp_dim, model.image_size) = (81, [12, 12]);
        }
        models.push((format!("plain, dropout, heads of {dim_head}"), model));
    }
    // Attention divides wide heads otherwise; ViT-H has some of 80.
    for dim_head in [80, 96, 128] {
        let mut model = ModelConfig { variant: Variant::Plain, ..preset("tiny") };
        (model.encoder.depth, model.decoder.depth) = (1, 1);
        model.encoder.dim_head = dim_head;
        models.push((format!("plain, heads of {dim_head}"), model));
    }
    for target in [PatchTarget::Pca { components: 16 }, PatchTarget::Codebook { vocabulary: 100 }] {
        let mut model = ModelConfig { target, ..preset("tiny") };
        (model.encoder.depth, model.decoder.depth) = (1, 1);
        models.push((format!("target {target:?}").to_lowercase(), model));
    }
    models
}

impl Case {
    /// What it is, in words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares every launch.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the GPU failed, [`crate::Error::DoesNotFit`], [`crate::Error::OutOfMemory`].
    pub async fn compare(&self, gpu: &Gpu) -> Result<Vec<Comparison>> {
        let device = Device::from(gpu.clone());
        match &self.part {
            Part::Step(step) => step.compare(&device).await,
            Part::Rest => compare_rest(&device).await,
            Part::Attention => compare_attention(&device).await,
        }
    }
}

/// Whether a device and the twins keep values in f16; in a browser the twins do not.
fn has_f16(device: &Device) -> bool {
    let devices = [device.clone(), Cpu::default().into()];
    devices.iter().all(|device| device.check_precision(Precision::F16).is_ok())
}

/// A recording on the processor.
fn twin(recorder: &Recorder) -> Result<Program> {
    Program::build(&Cpu::default().into(), recorder, &Default::default())
}

/// Gradients that come from two sides, of softmax and of BatchNorm, and parameters in f16.
async fn compare_rest(device: &Device) -> Result<Vec<Comparison>> {
    const SHAPE: [usize; 2] = [67, 65];
    // A product whose sum workgroups share, as products of few tiles may be divided.
    let mut target = device.target();
    let [m, k] = SHAPE;
    let shape = ProductShape::new(Precision::F32, ProductLayout::Nt, [m, m, k]);
    target.products.choose(shape, Division { tiling: Tiling::MIDDLING, parts: 2 });
    let mut rec = Recorder::new(target, true);
    let mut inputs = vec!["running mean", "running var"];
    let mut input = |rec: &mut Recorder, label| {
        inputs.push(label);
        let tensor = rec.external(label, SHAPE);
        rec.require_grad(tensor);
        tensor
    };
    let [x, logits, a, b] = ["x", "logits", "a", "b"].map(|label| input(&mut rec, label));
    let [d_norm, d_softmax, d_sum, d_a] =
        ["d norm", "d softmax", "d sum", "d a"].map(|label| input(&mut rec, label));
    let norm = ops::BatchNorm {
        running_mean: rec.external("running mean", [SHAPE[1]]),
        running_var: rec.external("running var", [SHAPE[1]]),
        eps: 1e-6,
        momentum: 0.1,
        train: true,
    };
    let normed = ops::batch_norm(&mut rec, x, norm);
    rec.set_grad(normed, d_norm);
    let probabilities = ops::softmax(&mut rec, logits);
    rec.set_grad(probabilities, d_softmax);
    let sum = ops::residual(&mut rec, a, b);
    rec.set_grad(a, d_a);
    rec.set_grad(sum, d_sum);
    rec.backward();
    let product = rec.external("product", [m, m]);
    ops::product(&mut rec, ProductLayout::Nt, [m, m, k], [a, b, product]);
    if has_f16(device) {
        let values = rec.external("values", [1000]);
        let halves = rec.external_of(Precision::F16, "halves", [1000]);
        ops::optimizer::halve(&mut rec, values, halves);
        inputs.push("values");
    }
    let program = Program::build(device, &rec, &Default::default())?;
    let mut rng = Rng::new(9, [0; 3]);
    for label in inputs.into_iter() {
        let count = program.buffer(label).bytes() as usize / 4;
        let values: Vec<f32> = (0..count).map(|_| rng.normal()).collect();
        program.write(label, &values);
    }
    program.compare_with(&twin(&rec)?).await
}

/// Tokens and heads of the attention that is compared in every form.
const TOKENS: usize = 67;
const HEADS: ops::Heads = ops::Heads { count: 2, dim: 16 };

/// The forms beside the usual one in which a device may compute attention, once it was measured.
fn forms_of_attention(
    target: &KernelTarget,
    precision: Precision,
) -> impl Iterator<Item = AttentionForm> {
    let shape = AttentionShape::new(precision, TOKENS, HEADS.dim);
    AttentionForm::ALL.into_iter().filter(move |&form| {
        form != AttentionForm::default() && target.offers_attention(form, &shape)
    })
}

/// Attention and its gradient, with and without dropout, in these forms.
async fn compare_attention(device: &Device) -> Result<Vec<Comparison>> {
    const BATCH: usize = 2;
    let target = device.target();
    let mut precisions = vec![Precision::F32];
    precisions.extend(has_f16(device).then_some(Precision::F16));
    let mut comparisons = Vec::new();
    let forms =
        |precision| forms_of_attention(&target, precision).map(move |form| (precision, form));
    for (precision, form) in precisions.into_iter().flat_map(forms) {
        let products = target.products.clone().with_attention(form);
        let mut rec = Recorder::new(KernelTarget { products, ..target.clone() }, true);
        let step = rec.external("step", [ops::optimizer::STEP_WORDS]);
        let sample_ids = rec.external("sample_ids", [BATCH]);
        let mut inputs = Vec::new();
        for (label, rate) in [("whole", None), ("dropped", Some(0.2))] {
            let shapes = [3, 1].map(|parts| [BATCH, TOKENS, parts * HEADS.count * HEADS.dim]);
            let labels = [format!("{label} qkv"), format!("{label} d out")];
            let [qkv, d_out] = [0, 1].map(|i| rec.external_of(precision, &labels[i], shapes[i]));
            inputs.extend(labels.into_iter().zip(shapes));
            rec.require_grad(qkv);
            let dropout = rate.map(|rate| ops::Dropout { rate, step, sample_ids, site: 1 });
            let out = ops::attention(&mut rec, qkv, HEADS, dropout);
            rec.set_grad(out, d_out);
        }
        rec.backward();
        let program = Program::build(device, &rec, &Default::default())?;
        let mut rng = Rng::new(11, [0; 3]);
        for (label, shape) in inputs {
            let values = (0..shape.iter().product()).map(|_| rng.normal());
            match precision {
                Precision::F32 => program.write(&label, &values.collect::<Vec<f32>>()),
                Precision::F16 => {
                    program.write(&label, &values.map(f16::from_f32).collect::<Vec<f16>>());
                }
            }
        }
        program.write("step", &[Scalars::seeded(5)]);
        program.write("sample_ids", &[3_u32, 5]);
        comparisons.extend(program.compare_with(&twin(&rec)?).await?);
    }
    Ok(comparisons)
}

impl Step {
    /// Compares every launch of the step, and of what follows it.
    async fn compare(&self, device: &Device) -> Result<Vec<Comparison>> {
        let (specs, model) = self.specs();
        let initial = init_params(&specs, model.grid(), 1);
        let layout = ParamLayout::with_precision(specs, device.max_binding(), self.precision);
        let mut store = ParamStore::new(device, layout, true)?;
        if self.optimizer.ema().is_some() {
            store.add_average()?;
        }
        store.load(Role::Value, &initial)?;
        let config = StepConfig {
            task: self.task.clone(),
            batch_size: self.batch_size,
            grad_accum: 1,
            recompute: false,
            precision: self.precision,
            optimizer: self.optimizer,
            layer_decay: 0.75,
        };
        let step = TrainStep::new(device, config.clone(), &store)?;
        // The whole step first: it fills every buffer, and the second one has moments to go by.
        let inputs = Inputs::new(model, &self.task, self.batch_size);
        let scalars = Scalars { epoch: 3, step: 1, lr: 1e-3, ..Scalars::seeded(5) };
        step.run_batch(0, scalars, inputs.batch());
        let [batch, update] = step.programs();
        let target = device.target();
        let mut comparisons =
            batch.compare_with(&twin(&config.record_batch(&target, store.layout()))?).await?;
        let recorded = config.record_update(&target, store.layout());
        comparisons.extend(update.compare_with(&twin(&recorded)?).await?);
        let after = self.record_use(target, store.layout());
        let used = Program::build(device, &after, store.buffers())?;
        inputs.write(&used, &after);
        comparisons.extend(used.compare_with(&twin(&after)?).await?);
        Ok(comparisons)
    }

    fn specs(&self) -> (Vec<ParamSpec>, &ModelConfig) {
        match &self.task {
            Task::Masked { model, .. } => (mae_params(model), model),
            Task::Classify { classifier, .. } => (classifier.params(), &classifier.model),
        }
    }

    /// What a trained model is used for: pictures, or probabilities, always in f32.
    fn record_use(&self, target: KernelTarget, layout: &ParamLayout) -> Recorder {
        let mut rec = Recorder::new(target, false);
        layout.declare(&mut rec, false);
        match &self.task {
            Task::Masked { model, masks } => {
                let objective =
                    masked_objective(&mut rec, model, self.batch_size, *masks, Purpose::Evaluation);
                rec.clear_first(objective.loss);
                let predicted = predicted_pixels(&mut rec, model, objective.decoded.pred);
                rec.keep(predicted, "predicted");
            }
            Task::Classify { classifier, input } => {
                let logits = classify(&mut rec, classifier, self.batch_size, *input, false).logits;
                let best = ops::argmax(&mut rec, logits);
                rec.keep(best, "best");
                let probabilities = ops::softmax(&mut rec, logits);
                rec.keep(probabilities, "probabilities");
            }
        }
        rec
    }
}

/// A batch of noise.
struct Inputs {
    images: Vec<f32>,
    sample_ids: Vec<u32>,
    targets: Vec<f32>,
    drop_path: Vec<f32>,
}

impl Inputs {
    fn new(model: &ModelConfig, task: &Task, batch: usize) -> Self {
        let mut rng = Rng::new(7, [0; 3]);
        let (classes, connections) = match task {
            Task::Masked { .. } => (0, 0),
            Task::Classify { classifier, .. } => (classifier.classes, 2 * model.encoder.depth),
        };
        let hit = |i: usize| f32::from(u8::from(i / classes % classes == i % classes));
        Self {
            images: (0..batch * model.image_len()).map(|_| rng.normal()).collect(),
            sample_ids: (0..batch as u32).collect(),
            targets: (0..batch * classes).map(hit).collect(),
            drop_path: (0..connections * batch).map(|i| [1.25, 0.0, 1.25][i % 3]).collect(),
        }
    }

    fn batch(&self) -> BatchData<'_> {
        BatchData {
            images: &self.images,
            sample_ids: &self.sample_ids,
            targets: &self.targets,
            drop_path: &self.drop_path,
            ..Default::default()
        }
    }

    /// Uploads what `program` takes.
    fn write(&self, program: &Program, recorder: &Recorder) {
        program.write("images", &self.images);
        if recorder.has_external("sample_ids") {
            program.write("sample_ids", &self.sample_ids);
            program.write("step", &[Scalars::seeded(5)]);
        }
    }
}

/// What was compared, by kernel and variant, in the kernels' order.
pub fn verdicts(comparisons: &[Comparison]) -> Vec<Verdict> {
    let mut by_variant: BTreeMap<(&'static str, String), Vec<&Comparison>> = BTreeMap::new();
    for comparison in comparisons {
        let key = (comparison.kernel.shader, variant(comparison));
        by_variant.entry(key).or_default().push(comparison);
    }
    let verdict = |((kernel, variant), all): ((&'static str, String), Vec<&Comparison>)| {
        let worst = all.iter().max_by(|a, b| a.error.total_cmp(&b.error)).expect("one at least");
        let rounded = all.iter().any(|comparison| comparison.rounded);
        Verdict {
            kernel,
            variant,
            launches: all.len(),
            error: worst.error.is_finite().then_some(worst.error),
            tolerance: if rounded { TOLERANCE_F16 } else { TOLERANCE },
            worst: format!("{}: {}", worst.computes, worst.sizes),
        }
    };
    by_variant.into_iter().map(verdict).collect()
}

/// A kernel's variant in words: what differs from its defaults.
fn variant(comparison: &Comparison) -> String {
    let key = &comparison.kernel;
    let mut words = vec![match (key.types.activations, key.types.output) {
        (Precision::F32, _) => "f32".to_owned(),
        (_, Precision::F16) => "f16".to_owned(),
        (_, Precision::F32) => "f16 → f32".to_owned(),
    }];
    if key.reduction == Reduction::Subgroups {
        words.push("subgroups".to_owned());
    }
    let set = key.constants.iter().filter(|(_, value)| *value != 0);
    words.extend(set.map(|(name, value)| match value {
        1 => name.to_lowercase(),
        _ => format!("{} {value}", name.to_lowercase()),
    }));
    words.join(", ")
}
