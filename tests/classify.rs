//! Judging an encoder with the command line: probing, fine-tuning, training from scratch, and what comes of
//! it; on good data and bad.

#[path = "common/command.rs"]
mod command;
#[path = "common/pictures.rs"]
mod pictures;

use std::fs;
use std::path::{Path, PathBuf};

use command::{json, refuses, succeeds, webmae};
use pictures::classes;
use serde_json::Value;
use webmae::files::safetensors::{self, FloatType};
use webmae::tensor::{HostTensor, TensorMap};
use webmae::train::checkpoint::Checkpoint;
use webmae::train::checkpoints;

const PICTURE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/golden/preprocessing/rgb_landscape.png");
/// A model of two blocks on four patches.
const MODEL: [&str; 16] = [
    "--image-size",
    "16",
    "--patch-size",
    "8",
    "--dim",
    "16",
    "--depth",
    "2",
    "--heads",
    "2",
    "--decoder-dim",
    "16",
    "--decoder-depth",
    "1",
    "--decoder-heads",
    "2",
];

/// A folder with class pictures and a pre-trained run.
struct Bench {
    folder: tempfile::TempDir,
    data: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = classes(&folder.path().join("pictures"), 6);
        Self { folder, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Pre-trains for `steps`, with more `options`; returns the run.
    fn pretrain(&self, name: &str, steps: &str, options: &[&str]) -> String {
        let out = self.text(name);
        let args = ["pretrain", "--data", &self.data, "--batch-size", "4", "--steps", steps];
        succeeds(&[&args[..], &MODEL, &["--out", &out], options].concat());
        out
    }

    /// `command` on `weights` with more `options`; returns the run.
    fn train(&self, command: &str, weights: &str, name: &str, options: &[&str]) -> String {
        let out = self.text(name);
        let args = [command, "--data", &self.data, "--weights", weights, "--out", &out];
        succeeds(&[&args[..], options].concat());
        out
    }

    fn accuracy(&self, run: &str) -> f64 {
        let result = json(&["eval", "--weights", run, "--data", &self.data, "--json"]);
        result["top1"].as_f64().unwrap()
    }
}

/// Lines of `metrics.jsonl`.
fn metrics(run: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The newest checkpoint without the time that it took.
fn newest(run: &str) -> Checkpoint {
    let (_, mut checkpoint, _) = checkpoints::latest(Path::new(run)).unwrap();
    checkpoint.meta.seconds = 0.0;
    checkpoint.probe.iter_mut().for_each(|probe| probe.meta.seconds = 0.0);
    checkpoint
}

#[test]
fn a_linear_probe_learns_from_cached_features_and_from_pictures() {
    let bench = Bench::new();
    let pretrained = bench.pretrain("mae", "3", &[]);
    let before = newest(&pretrained).params;
    let fixed = ["--crop", "center", "--no-flip", "--batch-size", "4", "--epochs", "30"];
    let cached = bench.train("linprobe", &pretrained, "cached", &fixed);
    let random = ["--batch-size", "4", "--epochs", "10"];
    let augmented = bench.train("linprobe", &pretrained, "augmented", &random);
    for run in [&cached, &augmented] {
        assert_eq!(bench.accuracy(run), 1.0, "bright and dark are easily told apart");
        let after = newest(run);
        assert!(Path::new(run).join("confusion.png").is_file());
        for (name, tensor) in before.iter().filter(|(name, _)| name.starts_with("blocks.")) {
            assert_eq!(after.params[name], *tensor, "{name} is frozen");
        }
        let trained: Vec<&String> = after.moment1.keys().collect();
        assert_eq!(trained, ["head.bias", "head.weight"]);
        assert_ne!(after.params["head_norm.running_var"].data, vec![1.0; 16]);
    }
    // Half of the way, and on from there: the same bits, the features being extracted again.
    let half = bench.text("half");
    fs::create_dir_all(checkpoints::folder_of(Path::new(&half))).unwrap();
    let every = ["--checkpoint-every", "15", "--keep-checkpoints", "9"];
    let straight = bench.train("linprobe", &pretrained, "straight", &[&fixed[..], &every].concat());
    let file = "checkpoints/step-00000045.safetensors";
    fs::copy(Path::new(&straight).join(file), Path::new(&half).join(file)).unwrap();
    succeeds(&["linprobe", "--resume", &half]);
    assert!(newest(&straight) == newest(&half), "not the same bits");
    // The encoder of a probe's run is the pre-trained one.
    let features = |weights: &str, name: &str| {
        let out = bench.text(name);
        succeeds(&["embed", "--weights", weights, "--data", &bench.data, "--out", &out]);
        safetensors::read(out).unwrap().tensors["features"].clone()
    };
    let own = features(&pretrained, "own.safetensors");
    assert_eq!(own, features(&cached, "probed.safetensors"));

    let said = succeeds(&["predict", "--weights", &cached, PICTURE, "--top", "1"]);
    assert!(said.contains("bright") || said.contains("dark"), "{said}");
    let exported = bench.text("probe.safetensors");
    let args = ["export", "--weights", &cached, "--format", "webmae", "--out", &exported];
    succeeds(&args);
    assert_eq!(bench.accuracy(&exported), 1.0);
    let results = bench.text("results");
    let args = ["eval", "--weights", &exported, "--data", &bench.data, "--out", &results];
    let said = succeeds(&args);
    assert!(said.contains("top-1 100.00 %") && said.contains("100.0 %  dark"), "{said}");
    let table = fs::read_to_string(bench.path("results/confusion.csv")).unwrap();
    assert_eq!(table.lines().nth(2).unwrap(), "dark,0,6", "{table}");
    assert!(bench.path("results/confusion.png").is_file());
}

#[test]
fn fine_tuning_goes_on_bit_for_bit_and_trains_what_it_is_told() {
    let bench = Bench::new();
    let pretrained = bench.pretrain("mae", "3", &["--mask-ratio", "0.5"]);
    let full = ["--batch-size", "4", "--steps", "6", "--warmup-steps", "1", "--blr", "0.1"];
    let every = ["--checkpoint-every", "1", "--keep-checkpoints", "9"];
    let straight = bench.train("finetune", &pretrained, "straight", &[&full[..], &every].concat());
    let resumed = bench.text("resumed");
    fs::create_dir_all(checkpoints::folder_of(Path::new(&resumed))).unwrap();
    let file = "checkpoints/step-00000003.safetensors";
    fs::copy(Path::new(&straight).join(file), Path::new(&resumed).join(file)).unwrap();
    succeeds(&["finetune", "--resume", &resumed]);
    assert!(newest(&straight) == newest(&resumed), "not the same bits");
    refuses(1, &["pretrain", "--resume", &straight], &["no such run", "webmae finetune"]);
    refuses(1, &["finetune", "--resume", &pretrained], &["no such run", "webmae pretrain"]);
    refuses(2, &["pretrain", "--resume", &pretrained, "--dim", "32"], &["--dim", "--resume"]);
    refuses(2, &["finetune", "--resume", &straight, "--mixup", "0"], &["--mixup", "--resume"]);
    for (command, run) in [("pretrain", &pretrained), ("finetune", &straight)] {
        let args = [command, "--resume", run, "--dropout", "0.1"];
        refuses(2, &args, &["--dropout", "--resume"]);
    }

    let device_bytes = |run: &str| {
        let text = fs::read_to_string(Path::new(run).join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        config["derived"]["device_bytes"].as_u64().unwrap()
    };
    let mut bytes = device_bytes(&straight);
    for (part, tensors) in [("1", 12 + 2 + 2), ("half", 6 + 2 + 2), ("none", 2)] {
        let options = [&full[..], &["--trainable-blocks", part]].concat();
        let run = bench.train("finetune", &pretrained, part, &options);
        let checkpoint = newest(&run);
        assert_eq!(checkpoint.moment1.len(), tensors, "{part}");
        let (mine, theirs) = (&checkpoint.params, &newest(&pretrained).params);
        assert_eq!(mine["blocks.0.mlp.fc1.weight"], theirs["blocks.0.mlp.fc1.weight"], "{part}");
        let less = device_bytes(&run);
        assert!(less < bytes, "{part}: {less} bytes, {bytes} with more blocks");
        bytes = less;
    }
}

/// Whatever is done with a run's weights is done with their moving average, where it keeps one, and says so.
#[test]
fn the_moving_average_is_what_a_run_is_used_by() {
    let bench = Bench::new();
    let averaged = bench.pretrain("averaged", "6", &["--ema", "0.9"]);
    let plain = bench.pretrain("plain", "6", &[]);
    let average = "the moving average of the weights (EMA 0.9)";
    let taken = format!("{average} is taken (--weights-key param");
    let left = format!("the weights are taken (--weights-key ema takes {average})");
    let checkpoint = newest(&averaged);
    let mut expected = checkpoint.params.clone();
    expected.extend(checkpoint.average);
    assert_ne!(expected, checkpoint.params);
    for (key, said, expected) in
        [(&[][..], &taken, expected), (&["--weights-key", "param"], &left, checkpoint.params)]
    {
        let file = bench.text("exported.safetensors");
        let export = ["export", "--weights", &averaged, "--format", "webmae", "--out", &file];
        assert!(succeeds(&[&export[..], key].concat()).contains(said));
        let exported = fs::read(&file).unwrap();
        assert_eq!(safetensors::from_bytes(&exported).unwrap().tensors, expected, "{key:?}");
        let picture = bench.text("picture.png");
        for command in [
            &["info", &averaged][..],
            &["knn", "--weights", &averaged, "--data", &bench.data, "-k", "1"],
            &["reconstruct", "--weights", &averaged, "--out", &picture, PICTURE],
        ] {
            let text = succeeds(&[command, key].concat());
            assert!(text.contains(said), "{text}");
        }
    }
    let words = ["step-00000006", "no weights below \"teacher\"", "ema", "param"];
    refuses(1, &["info", &averaged, "--weights-key", "teacher"], &words);
    refuses(1, &["info", &plain, "--weights-key", "ema"], &["no weights below \"ema\"", "param"]);
    assert!(!succeeds(&["info", &plain, "--weights-key", "param"]).contains("taken"));

    // A run says which it began with, where there is a choice.
    for (weights, key) in
        [(&averaged, &["--weights-key", "param"][..]), (&averaged, &[]), (&plain, &[])]
    {
        let kept = match key {
            _ if weights == &plain => Value::Null,
            [_, key] => (*key).into(),
            _ => "ema".into(),
        };
        let name = format!("of {kept}");
        let run = bench.train("linprobe", weights, &name, &[key, &["--steps", "1"]].concat());
        let config = fs::read_to_string(Path::new(&run).join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["recipe"]["classify"]["weights_key"], kept);
    }

    // A run that begins with one may keep another.
    let options = ["--batch-size", "4", "--steps", "3", "--ema", "0.5"];
    let tuned = bench.train("finetune", &averaged, "tuned", &options);
    let said = succeeds(&["eval", "--weights", &tuned, "--data", &bench.data]);
    assert!(said.contains("(EMA 0.5) is taken"), "{said}");

    let resume = ["pretrain", "--resume", &plain, "--ema", "0.9"];
    refuses(2, &resume, &["--ema", "--resume"]);
    for decay in ["1", "-0.1", "nan", "on"] {
        for command in ["pretrain", "train", "finetune", "plan"] {
            refuses(2, &[command, "--ema", decay], &["--ema", "below 1", "off"]);
        }
    }
}

#[test]
fn dropout_stays_with_the_model_and_leaves_evaluations_alone() {
    let bench = Bench::new();
    let rates = |run: &str| {
        let text = fs::read_to_string(Path::new(run).join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let model = &config["recipe"]["model"];
        ["dropout", "emb_dropout"].map(|field| model[field].as_f64())
    };
    let plain = ["--variant", "plain"];
    let dropping = ["--variant", "plain", "--dropout", "0.2", "--emb-dropout", "0.1"];
    let whole = bench.pretrain("whole", "3", &plain);
    let pretrained = bench.pretrain("dropping", "3", &dropping);
    assert_eq!(rates(&whole), [None, None]);
    assert_eq!(rates(&pretrained), [Some(0.2), Some(0.1)]);
    assert_ne!(metrics(&whole)[0]["loss"], metrics(&pretrained)[0]["loss"]);

    let few = ["--batch-size", "4", "--steps", "3", "--pool", "mean"];
    let tuned = bench.train("finetune", &pretrained, "tuned", &few);
    assert_eq!(rates(&tuned), [Some(0.2), Some(0.1)], "what pre-training had");
    let other = [&few[..], &["--dropout", "0.4", "--emb-dropout", "0"]].concat();
    assert_eq!(rates(&bench.train("finetune", &pretrained, "other", &other)), [Some(0.4), None]);

    // The same weights, which say nothing of dropout: the same classes, as probable.
    let probable = |weights: &str| succeeds(&["predict", "--weights", weights, PICTURE, "--json"]);
    let said = probable(&tuned);
    assert_eq!(said, probable(&tuned));
    let other = changed(&bench, &tuned, "undropped", |checkpoint| {
        let model = &mut checkpoint.meta.model;
        (model.dropout, model.emb_dropout) = (0.0, 0.0);
        checkpoint.meta.recipe.model = model.clone();
    });
    assert_eq!(said, probable(&other));

    refuses(2, &["pretrain", "--data", &bench.data, "--dropout", "0.1"], &["--variant plain"]);
    let planned = |rate: &str| {
        let plan = ["plan", "--preset", "plain", "--batch-size", "2", "--dropout", rate, "--json"];
        json(&plan)["estimate"]["dispatches"].as_u64().unwrap()
    };
    // In each of the six blocks three products' outputs, forward and backward, and two residuals that products no longer
    // add.
    assert_eq!(planned("0.1") - planned("0"), 6 * (2 * 3 + 2));
}

/// The newest checkpoint of `run`, changed, as a run of its own.
fn changed(bench: &Bench, run: &str, name: &str, change: impl FnOnce(&mut Checkpoint)) -> String {
    let mut checkpoint = newest(run);
    change(&mut checkpoint);
    let other = bench.text(name);
    checkpoints::write(checkpoint, &checkpoints::folder_of(Path::new(&other))).unwrap();
    other
}

/// Pictures for which the frozen encoder overflows: their steps are skipped, and leave nothing behind.
#[test]
fn a_batch_that_overflows_leaves_a_probe_as_it_was() {
    let bench = Bench::new();
    let pretrained = bench.pretrain("mae", "3", &[]);
    // The first value of a token grows with red, from near the largest of all numbers on.
    let bright = changed(&bench, &pretrained, "bright", |checkpoint| {
        let params = &mut checkpoint.params;
        let weight = params.get_mut("patch_embed.proj.weight").unwrap();
        weight.data[..64].fill(1e38 / 64.0);
        weight.data[64..192].fill(0.0);
        params.get_mut("patch_embed.proj.bias").unwrap().data[0] = 3e38;
    });
    let out = bench.text("probe");
    let args = ["linprobe", "--weights", &bright, "--data", &bench.data, "--out", &out];
    let output = webmae(&[&args[..], &["--batch-size", "1", "--steps", "8"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(said.contains("skipped: its loss or gradients are not finite"), "{said}");
    let words = "what the model yields for 6 of 12 held-out pictures is not finite";
    assert!(said.contains(words), "{said}");
    assert!(!said.contains("accuracy") && !said.contains("try it"), "{said}");
    assert!(!Path::new(&out).join("confusion.png").exists());
    for name in ["head_norm.running_mean", "head_norm.running_var", "head.weight"] {
        assert!(newest(&out).params[name].data.iter().all(|x| x.is_finite()), "{name}");
    }
    let eval = ["eval", "--weights", &out, "--data", &bench.data];
    refuses(1, &eval, &["logits are not finite", "6 pictures of 12"]);
}

#[test]
fn logits_that_are_not_finite_are_no_accuracy() {
    let bench = Bench::new();
    let pretrained = bench.pretrain("mae", "3", &[]);
    let far = ["--recipe", "plain", "--lr", "1e18", "--warmup-steps", "0"];
    let few = ["--batch-size", "4", "--steps", "1"];
    let weights = ["--weights", &pretrained];
    for (command, own) in [("train", &MODEL[..10]), ("finetune", &weights)] {
        let out = bench.text(command);
        let args = [command, "--data", &bench.data, "--out", &out];
        let output = webmae(&[&args[..], own, &far, &few].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("12 of 12 held-out pictures is not finite"), "{command}: {error}");
        assert!(!said.contains("accuracy") && !said.contains("try it"), "{command}: {said}");
        assert!(!Path::new(&out).join("confusion.png").exists(), "{command}");
    }
}

#[test]
fn every_variant_is_trained_from_scratch() {
    let bench = Bench::new();
    let learn = ["--batch-size", "4", "--epochs", "25", "--lr", "0.01", "--recipe", "plain"];
    for (variant, pool) in [
        ("paper", "cls"),
        ("paper", "mean"),
        ("plain", "cls"),
        ("plain", "mean"),
        ("vit-pytorch", "cls"),
        ("vit-pytorch", "mean"),
    ] {
        let out = bench.text(&format!("{variant}-{pool}"));
        let args = ["train", "--data", &bench.data, "--variant", variant, "--pool", pool];
        let rest = ["--eval-every", "0", "--checkpoint-every", "0", "--out", &out];
        succeeds(&[&args[..], &MODEL, &learn, &rest].concat());
        let accuracy = bench.accuracy(&out);
        assert!(accuracy >= 0.9, "{variant} {pool}: {accuracy}");
    }
    // The paper's augmentation and regularisation, all at once.
    let out = bench.text("strong");
    let args = ["train", "--data", &bench.data, "--batch-size", "4", "--steps", "3", "--out", &out];
    succeeds(&[&args[..], &MODEL].concat());
    let loss = metrics(&out)[0]["loss"].as_f64().unwrap();
    assert!((loss - 2.0_f64.ln()).abs() < 0.01, "two classes and nearly no head: {loss}");
}

#[test]
fn a_probe_beside_pre_training_is_measured_and_resumed_and_changes_nothing() {
    let bench = Bench::new();
    let alone = bench.pretrain("alone", "6", &[]);
    let every = ["--checkpoint-every", "1", "--keep-checkpoints", "9", "--probe-every", "1"];
    let data = classes(&bench.path("probe-pictures"), 6);
    let options = [&["--probe-data", &data][..], &every].concat();
    let probed = bench.pretrain("probed", "6", &options);
    assert_eq!(newest(&alone).params, newest(&probed).params, "the encoder sees no label");
    let measured: Vec<f64> =
        metrics(&probed).iter().filter_map(|line| line["accuracy"].as_f64()).collect();
    assert_eq!(measured.len(), 2, "one for each of two epochs");
    let resumed = bench.text("resumed");
    fs::create_dir_all(checkpoints::folder_of(Path::new(&resumed))).unwrap();
    let file = "checkpoints/step-00000003.safetensors";
    fs::copy(Path::new(&probed).join(file), Path::new(&resumed).join(file)).unwrap();
    let last = bench.path("probe-pictures").join("val/dark/5.png");
    let kept = bench.path("5.png");
    fs::rename(&last, &kept).unwrap();
    let words = ["--probe-data", "began with 12 held-out pictures, now there are 11"];
    refuses(2, &["pretrain", "--resume", &resumed, "--strict"], &words);
    fs::rename(kept, last).unwrap();
    succeeds(&["pretrain", "--resume", &resumed]);
    let (probed, resumed) = (newest(&probed), newest(&resumed));
    assert!(probed.probe.is_some() && probed == resumed, "not the same bits");
}

#[test]
fn other_targets_are_learned_and_shown() {
    let bench = Bench::new();
    for target in
        [&["pca", "--target-components", "8"][..], &["codebook", "--target-vocabulary", "5"]]
    {
        let options = [&["--target"][..], target].concat();
        let run = bench.pretrain(target[0], "30", &[&options[..], &["--lr", "0.01"]].concat());
        let losses: Vec<f64> =
            metrics(&run).iter().filter_map(|line| line["loss"].as_f64()).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        assert!(mean(&losses[25..]) < 0.9 * mean(&losses[..5]), "{target:?}: {losses:?}");
        let picture = bench.text("picture.png");
        succeeds(&["reconstruct", "--weights", &run, "--out", &picture, PICTURE]);
        let file = bench.text("weights.safetensors");
        succeeds(&["export", "--weights", &run, "--format", "webmae", "--out", &file]);
        succeeds(&["reconstruct", "--weights", &file, "--out", &picture, PICTURE]);
    }

    // Tokens of a file: each picture's own, found by the end of its path.
    let mut names = Vec::new();
    for part in ["train", "val"] {
        for class in ["bright", "dark"] {
            names.extend((0..6).map(|i| format!("{part}/{class}/{i}.png")));
        }
    }
    let tokens: Vec<f32> = (0..names.len() * 4).map(|i| (i / 24 % 3) as f32).collect();
    let write = |names: &[String], tokens: &[f32]| {
        let tensor = HostTensor::new([names.len(), 4], tokens.to_vec());
        let map = TensorMap::from([("tokens".to_owned(), tensor)]);
        let entry = ("names".to_owned(), serde_json::json!(names).to_string());
        let path = bench.text("tokens.safetensors");
        safetensors::write(&path, &map, &[entry].into(), FloatType::F32).unwrap();
        path
    };
    let path = write(&names, &tokens);
    let args = ["--target", "tokens", "--target-vocabulary", "3", "--tokens", &path];
    let whole = ["--crop", "none", "--no-flip"];
    let run = bench.text("tokens");
    let begin = ["pretrain", "--data", &bench.data, "--batch-size", "4", "--steps", "4"];
    let said = succeeds(&[&begin[..], &MODEL, &["--out", &run], &args, &whole].concat());
    // What is advised in the end works.
    let advice = said.lines().find_map(|line| line.strip_prefix("try it       webmae ")).unwrap();
    let features = bench.text("features.npy");
    let advice: Vec<&str> = advice
        .split(' ')
        .map(|word| if word == "features.npy" { features.as_str() } else { word })
        .collect();
    assert_eq!(advice[0], "embed");
    succeeds(&advice);
    let loss = metrics(&run)[0]["loss"].as_f64().unwrap();
    assert!((0.5..2.5).contains(&loss), "{loss}");
    let picture = bench.text("picture.png");
    refuses(2, &["reconstruct", "--weights", &run, "--out", &picture, PICTURE], &["no pixels"]);
    let begin = ["pretrain", "--data", &bench.data, "--steps", "1", "--out", "unused"];
    let begin = [&begin[..], &MODEL, &args].concat();
    refuses(2, &begin, &["--tokens", "--crop none", "--no-flip and no --jitter"]);
    write(&names[1..], &tokens[4..]);
    refuses(1, &[&begin[..], &whole].concat(), &["no tokens of the picture", "bright/0.png"]);
    write(&names, &vec![3.0; tokens.len()]);
    refuses(1, &[&begin[..], &whole].concat(), &["3 is no token from 0 to 2"]);
    refuses(
        2,
        &["plan", "--target", "tokens", "--target-components", "3"],
        &["--target-components"],
    );
}

#[test]
fn pictures_of_another_size_get_resized_positions() {
    let bench = Bench::new();
    let run = bench.pretrain("mae", "2", &[]);
    let out = bench.text("features.npy");
    let embed = ["embed", "--weights", &run, "--data", &bench.data, "--out", &out];
    succeeds(&[&embed[..], &["--image-size", "24x32"]].concat());
    let picture = bench.text("picture.png");
    let args = ["reconstruct", "--weights", &run, "--image-size", "32", "--out", &picture, PICTURE];
    assert!(succeeds(&args).contains("of 16 patches"));
    let options = ["--image-size", "32", "--batch-size", "4", "--steps", "2"];
    let tuned = bench.train("finetune", &run, "tuned", &options);
    assert_eq!(newest(&tuned).params["pos_embed"].shape, [1, 17, 16]);
    refuses(2, &[&embed[..], &["--image-size", "20"]].concat(), &["--image-size", "16 or 24"]);
}

#[test]
fn odd_data_and_weights_are_named() {
    let bench = Bench::new();
    let run = bench.pretrain("mae", "2", &[]);
    let few = ["--batch-size", "4", "--steps", "2", "--crop", "center", "--no-flip"];
    let probe = |data: &str| {
        let args = ["linprobe", "--weights", &run, "--data", data, "--out", "unused"];
        args.iter().chain(&few).map(|s| (*s).to_owned()).collect::<Vec<String>>()
    };
    let refused = |args: Vec<String>, code: i32, words: &[&str]| {
        refuses(code, &args.iter().map(String::as_str).collect::<Vec<_>>(), words);
    };
    // No classes, or no data at all.
    refused(probe(&bench.text("pictures/train/dark")), 2, &["--data", "a folder for each class"]);
    refuses(2, &["linprobe", "--weights", &run], &["--data", "is missing"]);
    refuses(2, &["finetune", "--data", &bench.data], &["--weights"]);

    // A class without held-out pictures is named; one that training lacks is left out.
    let odd = classes(&bench.path("odd"), 4);
    fs::rename(bench.path("odd/val/dark"), bench.path("odd/val/grey")).unwrap();
    let out = bench.text("odd-run");
    let args = ["linprobe", "--weights", &run, "--data", &odd, "--out", &out];
    let said = succeeds(&[&args[..], &few].concat());
    assert!(said.contains("4 held-out pictures") && said.contains("left out"), "{said}");
    assert!(said.contains("1 of 2 classes have no held-out pictures"), "{said}");
    assert!(said.contains(": dark."), "{said}");
    fs::rename(bench.path("odd/val/bright"), bench.path("odd/val/white")).unwrap();
    refused(probe(&odd), 2, &["--held-out", "no held-out picture has a class"]);
    refuses(
        2,
        &["eval", "--weights", &out, "--data", &bench.text("odd/val")],
        &["no class of the"],
    );

    // Weights that lack what is needed.
    refuses(1, &["predict", "--weights", &run, PICTURE], &["classification head", "fine-tuned"]);
    refuses(1, &["eval", "--weights", &run, "--data", &bench.data], &["classification head"]);
    let file = bench.text("decoder.safetensors");
    let whole = checkpoints::latest(Path::new(&run)).unwrap().1;
    let decoder: TensorMap = whole
        .params
        .into_iter()
        .filter(|(name, _)| name.starts_with("decoder") || name == "mask_token")
        .collect();
    safetensors::write(&file, &decoder, &Default::default(), FloatType::F32).unwrap();
    let args = ["finetune", "--weights", &file, "--data", &bench.data, "--heads", "2"];
    refuses(1, &args, &["decoder.safetensors"]);
    // A head with other classes and no names.
    let three = HostTensor::zeros([3, 16]);
    let mut headed = newest(&out).params;
    headed.insert("head.weight".to_owned(), three);
    headed.insert("head.bias".to_owned(), HostTensor::zeros([3]));
    headed.retain(|name, _| !name.starts_with("head_norm"));
    let file = bench.text("three.safetensors");
    safetensors::write(&file, &headed, &Default::default(), FloatType::F32).unwrap();
    let args = ["eval", "--weights", &file, "--data", &bench.data, "--heads", "2"];
    refuses(2, &args, &["head has 3 classes", "the data has 2"]);

    // Numbers that cannot be.
    let tune = ["finetune", "--weights", &run, "--data", &bench.data, "--out", "unused"];
    for (option, value, word) in [
        ("--trainable-blocks", "3", "has 2 blocks"),
        ("--trainable-blocks", "some", "half, all or none"),
        ("--drop-path", "1", "--drop-path"),
        ("--mixup", "-1", "mixup"),
        ("--rand-augment", "11,0", "magnitude"),
        ("--erasing", "2", "erasing"),
        ("--layer-decay", "0", "--layer-decay"),
        ("--smoothing", "1", "--smoothing"),
    ] {
        let option = format!("{option}={value}");
        refuses(2, &[&tune[..], &[&option]].concat(), &[word]);
    }
    assert!(!Path::new("unused").exists(), "what is refused leaves nothing behind");
}
