//! Classification with every variant's own head and with the linear probe's.

use pollster::block_on;
use webmae::data::augment::mix::soft_targets;
use webmae::kernels::Precision;
use webmae::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use webmae::model::classify::Input;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::{Optimizer, Scalars};
use webmae::program::Program;
use webmae::tensor::TensorMap;
use webmae::train::step::{StepConfig, Task};
use webmae::{ModelConfig, Variant};

use crate::common::{device, within};
use crate::masked::model;
use crate::slopes::{OPTIMIZER, Objective, Tally, moved_params, normal};

const CLASSES: usize = 5;
pub const BATCH: usize = 6;

pub fn classifier(variant: Variant, pool: Pool, head: Head, drop_path: f32) -> ClassifierConfig {
    ClassifierConfig {
        model: model(variant, 3, 0.0, false),
        pool,
        head,
        classes: CLASSES,
        trainable: if head == Head::Probe { Trainable::None } else { Trainable::All },
        learned_positions: true,
        drop_path,
    }
}

/// `config` with some values dropped in its blocks and behind its embedding.
fn dropping(config: ClassifierConfig) -> ClassifierConfig {
    let model = ModelConfig { dropout: 0.2, emb_dropout: 0.1, ..config.model };
    ClassifierConfig { model, ..config }
}

/// Classifiers with their names. Every variant and pooling without drop-path and dropout is compared with PyTorch
/// (golden tests).
pub fn cases() -> Vec<(String, ClassifierConfig)> {
    let cases = [
        (Variant::Paper, Pool::Cls, 0.0),
        (Variant::Paper, Pool::Mean, 0.3),
        (Variant::Plain, Pool::Cls, 0.3),
        (Variant::VitPytorch, Pool::Mean, 0.3),
    ];
    let named = cases.map(|(variant, pool, drop_path)| {
        let name = format!("{variant:?} {pool:?} drop {drop_path}");
        (name, classifier(variant, pool, Head::Full, drop_path))
    });
    let plain = |drop_path| dropping(classifier(Variant::Plain, Pool::Mean, Head::Full, drop_path));
    let dropping = [
        ("plain dropout".to_owned(), plain(0.0)),
        ("plain dropout and drop-path".to_owned(), plain(0.3)),
    ];
    named.into_iter().chain(dropping).collect()
}

pub fn step_config(classifier: &ClassifierConfig, input: Input) -> StepConfig {
    StepConfig {
        task: Task::Classify { classifier: classifier.clone(), input },
        batch_size: BATCH,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(OPTIMIZER),
        layer_decay: 1.0,
        recompute: false,
        precision: Precision::F32,
    }
}

/// A batch's program on parameters of its own; `run` has its loss, and the store its gradients.
pub struct Recorded {
    pub store: ParamStore,
    pub params: TensorMap,
    program: Program,
}

impl Recorded {
    pub fn new(config: &ClassifierConfig, input: Input) -> Self {
        Self::of(config, &step_config(config, input), input)
    }

    /// That of `step`, whose task `config` and `input` are.
    pub fn of(config: &ClassifierConfig, step: &StepConfig, input: Input) -> Self {
        config.validate().expect("a valid configuration");
        let specs = config.params();
        let params = moved_params(&specs, config.model.grid());
        let store =
            ParamStore::new(device(), ParamLayout::new(specs, device().max_binding()), true);
        let store = store.expect("memory");
        store.load(Role::Value, &params).expect("weights");
        let rec = step.record_batch(device().target(), store.layout());
        let program = Program::build(device(), &rec, store.buffers()).expect("a program");
        let values = match input {
            Input::Images => config.model.image_len(),
            Input::Features => config.model.encoder.dim,
        };
        program.write(input.label(), &normal(1, BATCH * values));
        let labels: Vec<u32> = (0..BATCH).map(|i| (i * i % CLASSES) as u32).collect();
        program.write("targets", &soft_targets(&labels, CLASSES, 0.1));
        if config.drop_path > 0.0 {
            // Every branch is kept for some samples and dropped for others, at another rate each.
            let scale = |i: usize| {
                let (connection, sample) = (i / BATCH, i % BATCH);
                let dropped = (connection + sample) % 4 == 1;
                if dropped { 0.0 } else { 1.0 / (1.0 - 0.1 * connection as f32) }
            };
            let scales = (0..config.connections() * BATCH).map(scale);
            program.write("drop_path", &scales.collect::<Vec<_>>());
        }
        if program.has_buffer("sample_ids") {
            program.write("step", &[Scalars { epoch: 2, ..Scalars::seeded(3) }]);
            program.write("sample_ids", &std::array::from_fn::<u32, BATCH, _>(|i| 7 * i as u32));
        }
        Self { store, params, program }
    }

    pub fn run(&self) -> f64 {
        self.program.submit();
        f64::from(block_on(self.program.read::<f32>("loss")).expect("a loss")[0])
    }

    pub fn gradients(&self) -> TensorMap {
        block_on(self.store.read(Role::Grad)).expect("gradients")
    }
}

fn check(name: &str, config: &ClassifierConfig, input: Input, tally: &mut Tally) {
    let recorded = Recorded::new(config, input);
    recorded.run();
    let gradients = recorded.gradients();
    let (store, params) = (&recorded.store, &recorded.params);
    let objective = Objective { name, store, params, loss: &|| recorded.run() };
    objective.check(&gradients, tally);
}

#[test]
fn gradients_of_classifiers_are_the_loss_slopes() {
    let mut tally = Tally::default();
    for (name, config) in cases() {
        check(&name, &config, Input::Images, &mut tally);
    }
    tally.report();
}

/// A connection dropped for every sample is a branch that ends in zeros: attention's at even
/// numbers, the MLP's at odd ones.
#[test]
fn connections_are_numbered_by_branch() {
    let mut failures = Vec::new();
    for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
        let dropping = classifier(variant, Pool::Mean, Head::Full, 0.3);
        let whole = ClassifierConfig { drop_path: 0.0, ..dropping.clone() };
        let full = Recorded::new(&whole, Input::Images).run();
        let dropped = Recorded::new(&dropping, Input::Images);
        for connection in 0..dropping.connections() {
            let mut scales = vec![1.0_f32; dropping.connections() * BATCH];
            scales[connection * BATCH..(connection + 1) * BATCH].fill(0.0);
            dropped.program.write("drop_path", &scales);
            let end = if connection % 2 == 0 { "attn.proj" } else { "mlp.fc2" };
            let end = format!("blocks.{}.{end}.", connection / 2);
            let without = Recorded::new(&whole, Input::Images);
            let mut params = without.params.clone();
            params.retain(|name, _| name.starts_with(&end));
            assert_eq!(params.len(), 2, "{end}");
            params.values_mut().for_each(|tensor| tensor.data.fill(0.0));
            without.store.load(Role::Value, &params).expect("weights");
            let (loss, expected) = (dropped.run(), without.run());
            let is_near = within((loss - expected).abs(), 2e-6 * expected);
            if !is_near || within((loss - full).abs(), 1e-3 * full) {
                failures.push(format!(
                    "{variant:?} without {end}: {loss}, with zeros {expected}, whole {full}"
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn gradients_of_probes_are_the_loss_slopes() {
    let mut tally = Tally::default();
    for (variant, pool) in [
        (Variant::Paper, Pool::Cls),
        (Variant::Paper, Pool::Mean),
        (Variant::Plain, Pool::Mean),
        (Variant::VitPytorch, Pool::Mean),
    ] {
        for input in [Input::Images, Input::Features] {
            let config = classifier(variant, pool, Head::Probe, 0.0);
            let name = format!("{variant:?} {pool:?} probe on {}", input.label());
            check(&name, &config, input, &mut tally);
            let trained: Vec<String> =
                Recorded::new(&config, input).gradients().into_keys().collect();
            if trained != ["head.bias", "head.weight"] {
                tally.failures.push(format!("{name}: gradients of {trained:?}"));
            }
        }
    }
    // The gradient through the batch's statistics.
    let probe = classifier(Variant::Paper, Pool::Mean, Head::Probe, 0.0);
    let config = ClassifierConfig { trainable: Trainable::Blocks(1), ..probe };
    check("probe with a trained block", &config, Input::Images, &mut tally);
    tally.report();
}
