//! Runs that stop and go on: bit for bit after a checkpoint, after Ctrl-C, after `kill -9`; and
//! runs whose numbers are no longer finite.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use common::device;
use webmae::data::Augment;
use webmae::gpu::GpuOptions;
use webmae::kernels::Precision;
use webmae::ops::optimizer::{AdamW, Optimizer};
use webmae::tensor::TensorMap;
use webmae::train::checkpoint::Checkpoint;
use webmae::train::checkpoints;
use webmae::train::event::{Event, Outcome};
use webmae::train::paper::{PRETRAIN_ADAMW, PROBE_LARS};
use webmae::train::recipe::{DataRecipe, Length, Recipe};
use webmae::train::run::{self, Start};
use webmae::train::run_folder::read_config;
use webmae::{Error, ModelConfig, Positions, Result, StackConfig, Variant};

const OPTIMIZER: AdamW = AdamW { clip_norm: 1.0, ..PRETRAIN_ADAMW };

/// Ten steps an epoch, a checkpoint after each epoch.
fn recipe(steps: u64) -> Recipe {
    let mut model = ModelConfig::preset("tiny").unwrap();
    model.image_size = [16, 16];
    model.encoder = StackConfig::new(32, 2, 2);
    model.decoder = StackConfig::new(16, 1, 2);
    let recipe = Recipe::pretrain(model, "synthetic");
    Recipe {
        data: DataRecipe {
            synthetic_len: 85,
            augment: Augment::pretrain(),
            held_out_images: 4,
            pictures: 2,
            ..recipe.data
        },
        batch_size: 8,
        length: Length::Steps(steps),
        warmup: Length::Steps(3),
        lr: None,
        optimizer: Optimizer::AdamW(OPTIMIZER),
        seed: 7,
        eval_every: 1.0,
        pictures_every: 0.0,
        checkpoint_every: 1.0,
        keep_checkpoints: 3,
        ..recipe
    }
}

/// The same with a moving average of the weights.
fn averaged(ema: impl Into<Option<f32>>, recipe: Recipe) -> Recipe {
    Recipe { optimizer: Optimizer::AdamW(AdamW { ema: ema.into(), ..OPTIMIZER }), ..recipe }
}

fn train(recipe: &Recipe, start: Start, observe: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
    run::train(device(), recipe, start, &AtomicBool::new(false), observe)
}

/// A new run's folder, with fresh parameters.
fn new(run: &Path) -> Start {
    Start::New(run.to_path_buf(), TensorMap::new())
}

fn resume(run: &Path) -> Start {
    let (_, checkpoint, broken) = checkpoints::latest(run).expect("a checkpoint");
    assert!(broken.is_empty(), "{broken:?}");
    Start::Resume(run.to_path_buf(), Box::new(checkpoint))
}

fn step_file(run: &Path, step: u64) -> PathBuf {
    checkpoints::folder_of(run).join(format!("step-{step:08}.safetensors"))
}

/// Everything of a checkpoint but the time that it took, and whether it recomputed.
fn without_time(mut checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.meta.seconds = 0.0;
    checkpoint.meta.recipe.recompute = false;
    checkpoint
}

#[test]
fn twenty_steps_are_ten_and_ten() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, resumed) = (folder.path().join("straight"), folder.path().join("resumed"));
    type Change = fn(&mut Recipe);
    let cases: [(&str, Change); 6] = [
        ("as it is", |_| {}),
        ("two batches a step", |recipe| recipe.grad_accum = 2),
        ("resumed with recomputation", |recipe| recipe.recompute = true),
        ("learned positions", |recipe| recipe.model.positions = Some(Positions::Learned)),
        ("a moving average", |recipe| *recipe = averaged(Some(0.9), recipe.clone())),
        ("dropout, two batches a step, resumed with recomputation", |recipe| {
            recipe.model.variant = Variant::Plain;
            recipe.model.dropout = 0.2;
            recipe.grad_accum = 2;
            recipe.recompute = true;
        }),
    ];
    for (name, change) in cases {
        let steps = 20;
        let mut recipe = recipe(steps);
        change(&mut recipe);
        // Only what goes on computes anew.
        let recompute = std::mem::take(&mut recipe.recompute);
        // With two batches a step, ten steps are two epochs.
        recipe.checkpoint_every = 10.0 / (10 / recipe.grad_accum) as f64;
        let _ = fs::remove_dir_all(&straight);
        let _ = fs::remove_dir_all(&resumed);
        train(&recipe, new(&straight), &mut |_| ()).unwrap();
        fs::create_dir_all(checkpoints::folder_of(&resumed)).unwrap();
        fs::copy(step_file(&straight, 10), step_file(&resumed, 10)).unwrap();
        recipe.recompute = recompute;
        let outcome = train(&recipe, resume(&resumed), &mut |_| ()).unwrap();
        assert_eq!((outcome.step, outcome.complete), (steps, true));
        let last = |run| without_time(checkpoints::read(&step_file(run, steps)).unwrap());
        assert!(last(&straight) == last(&resumed), "not the same bits: {name}");
        // Fixed positions have no moments.
        let learned = recipe.model.learned_positions();
        assert_eq!(last(&resumed).moment1.contains_key("decoder_pos_embed"), learned, "{name}");
    }
}

/// Ten steps on the processor and ten on a graphics adapter: nearly the run that stays, and it says that it moved.
#[test]
fn a_run_goes_on_on_another_device() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, moved) = (folder.path().join("straight"), folder.path().join("moved"));
    let recipe = recipe(20);
    let train_on = |device, start, notes: &mut Vec<String>| {
        let mut observe = |event: Event<'_>| {
            if let Event::Started { derived, .. } = event {
                notes.extend(derived.notes.iter().cloned());
            }
        };
        run::train(device, &recipe, start, &AtomicBool::new(false), &mut observe).unwrap()
    };
    for [first, second] in [[common::cpu(), common::gpu()], [common::gpu(), common::cpu()]] {
        for run in [&straight, &moved] {
            let _ = fs::remove_dir_all(run);
        }
        let mut notes = Vec::new();
        let stayed = train_on(first, new(&straight), &mut notes).held_out_loss;
        assert_eq!(notes, [] as [&str; 0]);
        fs::create_dir_all(checkpoints::folder_of(&moved)).unwrap();
        fs::copy(step_file(&straight, 10), step_file(&moved, 10)).unwrap();
        fs::copy(straight.join("config.json"), moved.join("config.json")).unwrap();
        let went = train_on(second, resume(&moved), &mut notes).held_out_loss;
        assert!(common::within((went / stayed - 1.0).abs(), 1e-5), "{went} after {stayed}");
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        for device in [first, second] {
            let name = device.summary().to_string();
            assert!(note.contains(&name), "{name} is missing in: {note}");
        }
        let last = |run| checkpoints::read(&step_file(run, 20)).unwrap().params;
        for (name, expected) in last(&straight) {
            // A key's bias has no gradient but rounding, of which AdamW makes steps of full length.
            let tolerance = if name.ends_with("qkv.bias") { 1e-2 } else { 1e-4 };
            let difference = common::relative_norm(&last(&moved)[&name].data, &expected.data);
            assert!(common::within(difference, tolerance), "{name}: {difference:.1e}");
        }
    }
}

/// The loss's scale and its count are in the checkpoint: it grows at the same step, to the same bits.
#[test]
fn mixed_precision_goes_on_with_its_scale() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, resumed) = (folder.path().join("straight"), folder.path().join("resumed"));
    let recipe = Recipe { precision: Precision::F16, checkpoint_every: 0.5, ..recipe(20) };
    let recipe = averaged(0.9, recipe);
    train(&Recipe { length: Length::Steps(10), ..recipe.clone() }, new(&straight), &mut |_| ())
        .unwrap();
    let mut early = checkpoints::read(&step_file(&straight, 10)).unwrap();
    assert_eq!(early.meta.loss_scale, Some(65_536.0));
    let mut state = early.meta.state();
    assert_eq!((state.good_steps, state.updates), (10, 10));
    // Five steps before it grows.
    (state.good_steps, state.loss_scale) = (1995, 4096.0);
    (early.meta.optimizer_state, early.meta.loss_scale) =
        webmae::train::checkpoint::Meta::words_of(state, &recipe);
    train(&recipe, Start::Resume(straight.clone(), Box::new(early)), &mut |_| ()).unwrap();
    let middle = checkpoints::read(&step_file(&straight, 15)).unwrap();
    assert_eq!((middle.meta.loss_scale, middle.meta.state().good_steps), (Some(8192.0), 0));
    fs::create_dir_all(checkpoints::folder_of(&resumed)).unwrap();
    fs::copy(step_file(&straight, 15), step_file(&resumed, 15)).unwrap();
    train(&recipe, resume(&resumed), &mut |_| ()).unwrap();
    let last = |run| without_time(checkpoints::read(&step_file(run, 20)).unwrap());
    assert!(last(&straight) == last(&resumed), "not the same bits");
    assert_eq!(last(&straight).meta.state().good_steps, 5);
    let records = webmae::report::metrics::read(straight.join("metrics.jsonl")).unwrap();
    let scales: Vec<f64> = records.iter().filter_map(|record| record.loss_scale).collect();
    assert_eq!(scales, [[65_536.0; 10].as_slice(), &[4096.0; 5], &[8192.0; 5]].concat());
}

/// A run in mixed precision may meet steps that overflow: it stops only where the scale is not to blame.
#[test]
fn mixed_precision_stops_when_nothing_is_left_to_halve() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let recipe = |steps| Recipe { precision: Precision::F16, ..recipe(steps) };
    train(&recipe(10), new(&run), &mut |_| ()).unwrap();
    let mut bad = checkpoints::read(&step_file(&run, 10)).unwrap();
    let weight = bad.params.get_mut("blocks.1.mlp.fc1.weight").unwrap();
    // Finite in f32, and beyond f16.
    weight.data[0] = 1e6;
    let mut scales = Vec::new();
    let error = train(&recipe(40), Start::Resume(run, Box::new(bad)), &mut |event| {
        if let Event::Skipped { loss_scale, .. } = event {
            scales.push(loss_scale.unwrap());
        }
    })
    .unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }), "{message}");
    for words in ["17 steps in a row up to step 27", "blocks.1.mlp", "precision f32"] {
        assert!(message.contains(words), "{words} is missing in: {message}");
    }
    assert_eq!(scales, (0..=16).map(|n| 65_536.0 / f64::from(1 << n)).collect::<Vec<_>>());
}

#[test]
fn lars_is_refused_in_mixed_precision() {
    let optimizer = Optimizer::Lars(PROBE_LARS);
    let recipe = Recipe { precision: Precision::F16, optimizer, ..recipe(1) };
    let error = recipe.validate().unwrap_err().to_string();
    assert!(error.starts_with("precision: f16 is for training with AdamW"), "{error}");
}

#[test]
fn a_device_without_f16_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let options = GpuOptions { without_f16: true, ..Default::default() };
    let device = common::open_gpu(&options);
    let recipe = Recipe { precision: Precision::F16, ..recipe(10) };
    let stop = AtomicBool::new(false);
    let error = run::train(&device, &recipe, new(&run), &stop, &mut |_| ()).unwrap_err();
    assert!(error.to_string().starts_with("precision: f16 needs"), "{error}");
    assert!(!run.exists());
}

/// What is measured are the weights that their moving average would be, and not those in training.
#[test]
fn held_out_losses_are_those_of_the_moving_average() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let outcome = train(&averaged(0.9, recipe(10)), new(&run), &mut |_| ()).unwrap();
    let checkpoint = checkpoints::read(&step_file(&run, 10)).unwrap();
    // A finished run that goes on measures, and does nothing else.
    let measured = |params: TensorMap| {
        let average = TensorMap::new();
        let plain = Checkpoint { params, average, ..checkpoint.clone() };
        let path = folder.path().join("plain");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let outcome = train(&recipe(10), Start::Resume(path, Box::new(plain)), &mut |_| ());
        let outcome = outcome.unwrap();
        (outcome.held_out_loss, outcome.fidelity)
    };
    let mut average = checkpoint.params.clone();
    average.extend(checkpoint.average.clone());
    let expected = (outcome.held_out_loss, outcome.fidelity);
    assert_eq!(measured(average), expected);
    assert_ne!(measured(checkpoint.params.clone()), expected);
}

#[test]
fn a_moving_average_goes_on_or_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    for (began, goes_on, words) in [
        (None, Some(0.9), "ema: the run was begun without a moving average"),
        (Some(0.9), None, "ema: the run was begun with a moving average"),
    ] {
        let run = folder.path().join(format!("{began:?}"));
        train(&averaged(began, recipe(10)), new(&run), &mut |_| ()).unwrap();
        let saved = fs::read(step_file(&run, 10)).unwrap();
        let says = |word: &[u8]| saved.windows(word.len()).any(|found| found == word);
        assert_eq!(says(b"ema"), began.is_some(), "a checkpoint without one is as it was before");
        let error = train(&averaged(goes_on, recipe(20)), resume(&run), &mut |_| ()).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

#[test]
fn decays_that_make_no_average_are_refused() {
    for decay in [1.0, -0.1, f32::NAN, f32::INFINITY] {
        let error = averaged(decay, recipe(1)).validate().unwrap_err().to_string();
        assert!(error.starts_with("ema: must be at least 0 and below 1, got"), "{error}");
    }
}

#[test]
fn a_run_leaves_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut held_out = Vec::new();
    let recipe = |steps| Recipe { lr: Some(2e-3), ..recipe(steps) };
    let outcome = train(&recipe(30), new(&run), &mut |event| {
        if let Event::HeldOut { loss, .. } = event {
            held_out.push(loss);
        }
    })
    .unwrap();
    assert!(outcome.held_out_loss < 0.9 * held_out[0], "{held_out:?}");
    for file in ["config.json", "metrics.jsonl", "loss.png", "reconstructions.png"] {
        assert!(fs::metadata(run.join(file)).unwrap().len() > 100, "{file}");
    }
    let records = webmae::report::metrics::read(run.join("metrics.jsonl")).unwrap();
    let losses = records.iter().filter(|r| r.loss.is_some());
    assert_eq!(losses.map(|r| r.step).collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    let measured: Vec<_> = records.iter().filter(|r| r.held_out_loss.is_some()).collect();
    assert_eq!(measured.len(), 3);
    // Training changes what the model predicts, not what needs no model.
    let fidelity = outcome.fidelity.unwrap();
    let close = |logged: Option<f64>, value: f64| (logged.unwrap() - value).abs() < 1e-9;
    for record in &measured {
        assert!(close(record.harmonic_psnr, fidelity.harmonic), "{record:?}, {fidelity:?}");
        assert!(close(record.mean_color_psnr, fidelity.mean_color), "{record:?}, {fidelity:?}");
    }
    assert!(close(measured[2].held_out_psnr, fidelity.model), "{measured:?}, {fidelity:?}");
    assert!(measured[0].held_out_psnr < Some(fidelity.model), "{measured:?}");
    assert!(fidelity.harmonic.min(fidelity.mean_color) > 8.0, "{fidelity:?}");
    assert!(fs::read_dir(run.join("tensorboard")).unwrap().count() == 1);

    // The same folder is not overwritten.
    let error = train(&recipe(30), new(&run), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("try resume "), "{error}");
    // A finished run that is resumed has nothing to do, and loses nothing.
    let again = train(&recipe(30), resume(&run), &mut |_| ()).unwrap();
    assert_eq!((again.held_out_loss, again.fidelity), (outcome.held_out_loss, outcome.fidelity));
    // A broken newest checkpoint is named, an earlier one taken.
    fs::write(step_file(&run, 30), b"not a checkpoint").unwrap();
    let (path, _, broken) = checkpoints::latest(&run).unwrap();
    assert_eq!((path, broken.len()), (step_file(&run, 20), 1));
}

#[test]
fn numbers_that_are_not_finite_stop_the_run_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&recipe(10), new(&run), &mut |_| ()).unwrap();
    let good = checkpoints::read(&step_file(&run, 10)).unwrap();
    for (value, first) in [(f32::NAN, "blocks.1.mlp.fc1.weight"), (3e38, "blocks.1.mlp")] {
        let mut bad = good.clone();
        let weight = bad.params.get_mut("blocks.1.mlp.fc1.weight").unwrap();
        weight.data.iter_mut().for_each(|x| *x = value);
        let before = bad.params.clone();
        let mut skipped = Vec::new();
        let start = Start::Resume(run.clone(), Box::new(bad));
        // Every step's checkpoint would push out the one before.
        let eager = Recipe { checkpoint_every: 0.1, keep_checkpoints: 1, ..recipe(30) };
        let error = train(&eager, start, &mut |event| {
            if let Event::Skipped { in_a_row, .. } = event {
                skipped.push(in_a_row);
            }
        })
        .unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Diverged { .. }), "{message}");
        assert!(message.contains(first), "{message}");
        let kept = step_file(&run, 10).display().to_string();
        assert!(message.contains(&kept), "{message} names the checkpoint from before");
        assert_eq!(skipped, [1, 2, 3, 4, 5]);
        assert!(before.contains_key("blocks.1.mlp.fc1.weight"));
        // The last good checkpoint is as it was, and nothing came after it.
        assert!(checkpoints::read(&step_file(&run, 10)).unwrap() == good);
        assert_eq!(fs::read_dir(checkpoints::folder_of(&run)).unwrap().count(), 1);
    }
}

/// A moment that is infinite stays so, and takes every step of its weight away: nothing is skipped.
#[test]
fn what_no_run_could_go_on_from_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&recipe(10), new(&run), &mut |_| ()).unwrap();
    let good = checkpoints::read(&step_file(&run, 10)).unwrap();
    let mut bad = good.clone();
    bad.moment2.get_mut("blocks.1.mlp.fc1.weight").unwrap().data[7] = f32::INFINITY;
    let start = Start::Resume(run.clone(), Box::new(bad));
    let one = Recipe { keep_checkpoints: 1, ..recipe(20) };
    let error = train(&one, start, &mut |_| ()).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }), "{message}");
    for words in ["step 20 moment2/blocks.1.mlp.fc1.weight holds", "step-00000010"] {
        assert!(message.contains(words), "{words} is missing in: {message}");
    }
    assert!(checkpoints::read(&step_file(&run, 10)).unwrap() == good);
    assert_eq!(fs::read_dir(checkpoints::folder_of(&run)).unwrap().count(), 1);
}

#[test]
fn a_run_that_ends_among_skipped_steps_fails_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&recipe(10), new(&run), &mut |_| ()).unwrap();
    let mut bad = checkpoints::read(&step_file(&run, 10)).unwrap();
    bad.params.get_mut("blocks.1.mlp.fc1.weight").unwrap().data.fill(3e38);
    let start = Start::Resume(run.clone(), Box::new(bad));
    let one = Recipe { keep_checkpoints: 1, ..recipe(12) };
    let error = train(&one, start, &mut |_| ()).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }), "{message}");
    assert!(message.contains("2 steps in a row up to step 12"), "{message}");
    assert!(step_file(&run, 10).exists() && step_file(&run, 12).exists());
}

/// One step that is far too long, after which nothing is finite: neither a loss nor a picture is made of that.
#[test]
fn predictions_that_are_not_finite_are_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let one = Recipe { lr: Some(1e18), warmup: Length::Steps(0), ..recipe(1) };
    let mut said = Vec::new();
    let error = train(&one, new(&run), &mut |event| match event {
        Event::HeldOut { loss, .. } => panic!("a held-out loss of {loss}"),
        Event::Picture { path } => panic!("a picture {}", path.display()),
        Event::Meaningless { who, pictures, measured, .. } => said.push((who, pictures, measured)),
        _ => {}
    })
    .unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }), "{message}");
    assert!(message.contains("4 of 4 held-out pictures is not finite"), "{message}");
    assert_eq!(said, [("the model", 4, 4)]);
    assert!(!run.join("reconstructions.png").exists());
}

/// A checkpoint whose moments are no numbers would go on without a word: its square root takes the step away.
#[test]
fn damaged_moments_are_named_and_an_earlier_checkpoint_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&recipe(10), new(&run), &mut |_| ()).unwrap();
    let good = checkpoints::read(&step_file(&run, 10)).unwrap();
    let name = "blocks.1.mlp.fc1.weight";
    let mut last = good.clone();
    last.meta.step = 20;
    let damaged = |change: &dyn Fn(&mut Checkpoint)| {
        let mut bad = last.clone();
        change(&mut bad);
        checkpoints::write(bad, &checkpoints::folder_of(&run)).unwrap();
        let (path, found, broken) = checkpoints::latest(&run).unwrap();
        assert!(found == good && path == step_file(&run, 10));
        broken[0].to_string()
    };
    let value = |map: &mut TensorMap, value| map.get_mut(name).unwrap().data[7] = value;
    let infinite = damaged(&|bad| value(&mut bad.moment2, f32::INFINITY));
    assert!(infinite.contains("moment2/blocks.1.mlp.fc1.weight holds 1 values"), "{infinite}");
    let nan = damaged(&|bad| value(&mut bad.moment1, f32::NAN));
    assert!(nan.contains("moment1/blocks.1.mlp.fc1.weight holds 1 values"), "{nan}");
    let negative = damaged(&|bad| value(&mut bad.moment2, -1.0));
    assert!(negative.contains("below 0"), "{negative}");

    // One that lacks a moment is read, but not gone on from.
    last.moment2.remove(name);
    let start = Start::Resume(run.clone(), Box::new(last));
    let error = train(&recipe(30), start, &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("missing"), "{error}");
}

/// The command on a run that would take very long, with a checkpoint every other step.
fn spawn(run: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmae"));
    command.arg("pretrain").args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    if checkpoints::latest(run).is_ok() {
        command.args(["--steps", "100000", "--resume"]).arg(run);
    } else {
        command.arg("--out").arg(run).args(
            "--data synthetic --synthetic-images 85 --image-size 16 --dim 32 --depth 1 --heads 2 \
             --decoder-dim 16 --decoder-depth 1 --decoder-heads 2 --batch-size 8 --steps 100000 \
             --eval-every 0 --pictures-every 0 --checkpoint-every 0.2"
                .split_whitespace(),
        );
    }
    command.spawn().expect("the binary runs")
}

fn wait_for_step(run: &Path, step: u64) {
    let since = Instant::now();
    while checkpoints::latest(run).map_or(0, |(_, c, _)| c.meta.step) < step {
        assert!(since.elapsed() < Duration::from_secs(120), "no checkpoint of step {step}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn kill_9_never_leaves_an_unreadable_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut step = 0;
    for kill in 0..5_u64 {
        let mut child = spawn(&run, &[]);
        wait_for_step(&run, step + 2);
        // At another moment each time, writing a checkpoint or not.
        std::thread::sleep(Duration::from_millis(37 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, checkpoint, broken) = checkpoints::latest(&run).unwrap();
        assert!(broken.is_empty(), "{broken:?}");
        assert!(checkpoint.meta.step > step, "kill {kill} lost earlier work");
        step = checkpoint.meta.step;
    }
    // What a killed run left half done is cleaned up, and the metrics have each step once.
    train_on(&run, step + 2, "--recompute");
    assert!(read_config(&run).unwrap().recipe.recompute);
    train_on(&run, step + 4, "--recompute=false");
    assert!(!read_config(&run).unwrap().recipe.recompute);
    let records = webmae::report::metrics::read(run.join("metrics.jsonl")).unwrap();
    let steps: Vec<u64> = records.iter().filter(|r| r.loss.is_some()).map(|r| r.step).collect();
    assert_eq!(steps, (1..=step + 4).collect::<Vec<_>>());
    let names = fs::read_dir(checkpoints::folder_of(&run)).unwrap();
    let names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with("step-")), "{names:?}");
}

fn train_on(run: &Path, steps: u64, option: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmae"));
    command.args(["pretrain", option, "--steps", &steps.to_string(), "--resume"]).arg(run);
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let child = spawn(&run, &[]);
    wait_for_step(&run, 2);
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains(&format!("--resume {}", run.display())), "{text}");
    let (_, checkpoint, _) = checkpoints::latest(&run).unwrap();
    let records = webmae::report::metrics::read(run.join("metrics.jsonl")).unwrap();
    assert_eq!(records.last().unwrap().step, checkpoint.meta.step, "every step is saved");
}
