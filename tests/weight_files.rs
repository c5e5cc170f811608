//! Weight files as people have them: wrapped, averaged, probed, under other names, with more in them than weights; and
//! files that claim what they have not.

#[path = "common/command.rs"]
mod command;
#[path = "common/pictures.rs"]
mod pictures;
#[path = "common/torch_file.rs"]
mod torch_file;

use std::path::{Path, PathBuf};
use std::process::Command;

use command::{json, refuses, succeeds};
use pictures::classes;
use serde_json::{Value, json};
use torch_file::{Saved, save, storage, tensor, text, tuple};
use webmae::data::Normalization;
use webmae::files::safetensors::{self, FloatType};
use webmae::model::classifier::{Head, HeadInfo, Pool};
use webmae::model::init::init_params;
use webmae::model::params::{is_decoder, mae_params};
use webmae::tensor::{HostTensor, TensorMap};
use webmae::weights::{
    FileKind, Format, Metadata, Missing, OpenedWeights, Overrides, VitPytorchModel, describe, open,
    open_set, to_internal, to_vit_pytorch,
};
use webmae::{MaskStrategy, ModelConfig, PatchTarget, StackConfig, Variant};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn model() -> ModelConfig {
    ModelConfig {
        variant: Variant::Paper,
        image_size: [16; 2],
        patch_size: [8; 2],
        channels: 3,
        encoder: StackConfig::new(16, 2, 2),
        decoder: StackConfig::new(8, 1, 4),
        mask_ratio: 0.75,
        mask_strategy: MaskStrategy::Random,
        target: PatchTarget::Pixels,
        norm_pix_loss: false,
        encoder_mask_tokens: false,
        positions: None,
        layer_norm_eps: 1e-6,
        dropout: 0.0,
        emb_dropout: 0.0,
    }
}

fn overrides() -> Overrides {
    Overrides { encoder_heads: Some(2), decoder_heads: Some(4), ..Overrides::default() }
}

/// Random weights of an autoencoder, under FAIR's names.
fn whole(seed: u64) -> TensorMap {
    init_params(&mae_params(&model()), model().grid(), seed)
}

/// Of its encoder.
fn encoder(seed: u64) -> TensorMap {
    let mut tensors = whole(seed);
    tensors.retain(|name, _| !is_decoder(name));
    tensors
}

/// A state dict with other names.
fn state(tensors: &TensorMap, rename: impl Fn(&str) -> String) -> Saved {
    Saved::dict(tensors.iter().map(|(name, t)| (rename(name), Saved::floats(&t.shape, &t.data))))
}

fn plain(tensors: &TensorMap) -> Saved {
    state(tensors, str::to_owned)
}

fn prefixed(tensors: &TensorMap, prefix: &str) -> Saved {
    state(tensors, |name| format!("{prefix}{name}"))
}

fn file(folder: &tempfile::TempDir, name: &str, root: &Saved) -> PathBuf {
    let path = folder.path().join(name);
    save(&path, root);
    path
}

fn opened(path: &Path) -> OpenedWeights {
    open(path, &overrides()).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(path: &Path) -> String {
    let error = open(path, &overrides()).unwrap_err().to_string();
    assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_state_dict_is_found_wherever_scripts_put_it() {
    let folder = tempfile::tempdir().unwrap();
    let weights = encoder(1);
    let lr = || ("lr", Saved::Opcodes(b"G\x3f\x50\x62\x4d\xd2\xf1\xa9\xfc".to_vec()));
    for (name, root, chosen) in [
        ("plain.bin", plain(&weights), ""),
        ("model.pth", Saved::dict([("model", plain(&weights)), lr()]), "model"),
        (
            "lightning.ckpt",
            Saved::dict([("state_dict", prefixed(&weights, "model.")), lr()]),
            "state_dict",
        ),
        ("compiled.pt", prefixed(&weights, "module._orig_mod."), ""),
        ("ema.pth", Saved::dict([("state_dict_ema", plain(&weights))]), "state_dict_ema"),
        ("model_ema.pth", Saved::dict([("model_ema", plain(&weights))]), "model_ema"),
        (
            "nested.pth",
            Saved::dict([("model", Saved::dict([("state_dict", plain(&weights))])), lr()]),
            "model.state_dict",
        ),
        ("dino.pth", Saved::dict([("teacher", prefixed(&weights, "module.backbone."))]), "teacher"),
    ] {
        let opened = opened(&file(&folder, name, &root));
        assert_eq!(opened.weights.tensors, weights, "{name}");
        assert_eq!((&*opened.sets.chosen, opened.sets.others.len()), (chosen, 0), "{name}");
    }
}

#[test]
fn of_several_sets_one_is_chosen_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let [trained, averaged] = [encoder(1), encoder(2)];
    let root = Saved::dict([("model_ema", plain(&averaged)), ("model", plain(&trained))]);
    let path = file(&folder, "both.pth", &root);
    let first = opened(&path);
    assert_eq!(first.weights.tensors, trained);
    assert_eq!(
        (&*first.sets.chosen, &first.sets.others[..]),
        ("model", &["model_ema".to_owned()][..])
    );
    let second = open_set(&path, &overrides(), Some("model_ema")).unwrap();
    assert_eq!(second.weights.tensors, averaged);

    let heads = ["--heads", "2"];
    let said = succeeds(&[&["info", as_text(&path)], &heads[..]].concat());
    assert!(said.contains("model, model_ema: model is taken (--weights-key"), "{said}");
    let key = |key| [&["info", as_text(&path), "--weights-key", key], &heads[..]].concat();
    assert!(succeeds(&key("model_ema")).contains("model_ema is taken"));
    refuses(1, &key("teacher"), &["both.pth", "no weights below \"teacher\"", "model_ema"]);
    let single = folder.path().join("single.safetensors");
    safetensors::write(&single, &trained, &Metadata::new(), FloatType::F32).unwrap();
    refuses(1, &["info", as_text(&single), "--weights-key", "model"], &["one set of weights"]);
    // What the tensors do not tell is asked for by the option's name.
    refuses(
        2,
        &["info", as_text(&single)],
        &["--heads: ", "single.safetensors", "give their number"],
    );
}

/// The dictionaries of a checkpoint and the names in them are sets alike; all are said and can be chosen.
#[test]
fn sets_are_found_however_they_lie_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [encoder(1), encoder(2)];
    let both = |first: &str, second: &str| {
        let entries = |prefix: &str, tensors: &TensorMap| match prefixed(tensors, prefix) {
            Saved::Dict(entries) => entries,
            _ => unreachable!(),
        };
        Saved::Dict(entries(first, &one).into_iter().chain(entries(second, &two)).collect())
    };
    let nested = |inner: &str| Saved::dict([(inner, plain(&two))]);
    let inside = Saved::dict([("state_dict", plain(&one)), ("state_dict_ema", plain(&two))]);
    for (name, root, [first, second], usual) in [
        (
            "nested.pth",
            Saved::dict([("model", inside)]),
            ["model.state_dict", "model.state_dict_ema"],
            0,
        ),
        (
            "deeper.pth",
            Saved::dict([("student", plain(&one)), ("teacher", nested("backbone"))]),
            ["student", "teacher.backbone"],
            1,
        ),
        (
            "unusual.pth",
            Saved::dict([("ema_model_state_dict", plain(&two)), ("model_state_dict", plain(&one))]),
            ["model_state_dict", "ema_model_state_dict"],
            0,
        ),
        ("dino.pth", both("student.backbone.", "teacher.backbone."), ["student", "teacher"], 1),
        ("flat.pth", both("module.", "ema."), ["module", "ema"], 0),
        (
            "lightning.ckpt",
            Saved::dict([("state_dict", both("model.", "model_ema.module."))]),
            ["state_dict.model", "state_dict.model_ema"],
            0,
        ),
        (
            "unusual.ckpt",
            Saved::dict([("state_dict", both("model.", "ema_model."))]),
            ["state_dict.model", "state_dict.ema_model"],
            0,
        ),
    ] {
        let path = file(&folder, name, &root);
        let keys = [first, second];
        for (key, tensors) in
            [(None, [&one, &two][usual]), (Some(first), &one), (Some(second), &two)]
        {
            let opened =
                open_set(&path, &overrides(), key).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(opened.weights.tensors == *tensors, "{name} {key:?}");
            let chosen = key.unwrap_or(keys[usual]);
            let other = if chosen == first { second } else { first };
            assert_eq!(
                (&*opened.sets.chosen, &opened.sets.others[..]),
                (chosen, &[other.to_owned()][..])
            );
        }
        let heads = ["--heads", "2"];
        let said = succeeds(&[&["info", as_text(&path)], &heads[..]].concat());
        assert!(said.contains(&format!("{} is taken (--weights-key", keys[usual])), "{said}");
        let wrong = [&["info", as_text(&path), "--weights-key", "mean"], &heads[..]].concat();
        refuses(1, &wrong, &[name, "no weights below \"mean\""]);
    }
    // What is inside the usual dictionary needs not be named from the outermost on.
    let short = open_set(folder.path().join("lightning.ckpt"), &overrides(), Some("model_ema"));
    assert_eq!(short.unwrap().weights.tensors, two);
    let whole = open_set(folder.path().join("dino.pth"), &overrides(), Some("student.backbone"));
    assert_eq!(whole.unwrap().weights.tensors, one);

    for (names, usual) in
        [(["model.", "ema."], 0), (["student.", "teacher."], 1), (["", "ema."], 0)]
    {
        let path = folder.path().join("sets.safetensors");
        let named = |(tensors, prefix): (&TensorMap, &str)| {
            let named = tensors.iter().map(|(name, t)| (format!("{prefix}{name}"), t.clone()));
            named.collect::<Vec<_>>()
        };
        let all: TensorMap =
            [(&one, names[0]), (&two, names[1])].into_iter().flat_map(named).collect();
        safetensors::write(&path, &all, &Metadata::new(), FloatType::F32).unwrap();
        assert_eq!(opened(&path).weights.tensors, *[&one, &two][usual], "{names:?}");
        let key = names[1].trim_end_matches('.');
        let second = open_set(&path, &overrides(), Some(key)).unwrap();
        assert_eq!((second.weights.tensors, &*second.sets.chosen), (two.clone(), key));
    }
}

/// What lies beside an encoder's module is its head, or no part of the model.
#[test]
fn a_head_may_lie_beside_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = classifier(1, 2);
    let rename = |name: &str| match name.starts_with("head.") {
        true => name.to_owned(),
        false => format!("backbone.{name}"),
    };
    let Saved::Dict(mut entries) = state(&tensors, rename) else { unreachable!() };
    entries.push(("dino_loss.center".to_owned(), Saved::floats(&[2], &[0.5; 2])));
    entries.push(("norm.weight".to_owned(), Saved::floats(&[2], &[0.5; 2])));
    let path = file(&folder, "beside.pth", &Saved::Dict(entries));
    let found = opened(&path);
    assert_eq!((found.weights.kind, found.weights.tensors), (FileKind::Classifier, tensors));
    assert_eq!(found.weights.ignored, ["dino_loss.center", "norm.weight"]);
    let alone = open_set(&path, &overrides(), Some("backbone")).unwrap();
    assert_eq!((alone.weights.kind, alone.weights.tensors), (FileKind::EncoderOnly, encoder(1)));
}

/// A program that reads JSON learns what was chosen for it, too.
#[test]
fn json_says_which_weights_were_taken() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(&folder.path().join("pictures"), 2);
    let root =
        Saved::dict([("model", plain(&classifier(1, 2))), ("model_ema", plain(&classifier(2, 2)))]);
    let path = file(&folder, "both.pth", &root);
    let picture = format!("{data}/val/bright/0.png");
    let more = ["--json", "--heads", "2", "--weights", as_text(&path)];
    for command in [
        &["predict", "--device", "cpu", &picture][..],
        &["eval", "--device", "cpu", "--data", &data],
        &["knn", "--device", "cpu", "--data", &data],
    ] {
        let said = json(&[command, &more].concat());
        assert_eq!(said["weights_key"], "model", "{said}");
        assert_eq!(said["other_weights_keys"], json!(["model_ema"]), "{said}");
        assert_eq!(said["pool"], "cls", "{said}");
        let chosen = json(&[command, &more, &["--weights-key", "model_ema"]].concat());
        assert_eq!(chosen["weights_key"], "model_ema", "{chosen}");
    }
}

/// An option that a file contradicts is not passed over.
#[test]
fn options_that_contradict_the_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.safetensors");
    let metadata = describe(&model(), &Normalization::imagenet(), None).unwrap();
    safetensors::write(&own, &whole(1), &metadata, FloatType::F32).unwrap();
    let fair = file(&folder, "fair.pth", &plain(&whole(1)));
    let sizes = ["--heads", "2", "--decoder-heads", "4"];
    let own = as_text(&own);
    succeeds(&[&["info", own, "--patch-size", "8", "--channels", "3"], &sizes[..]].concat());
    for (option, value, said) in [
        ("--heads", "4", "say 2, not 4"),
        ("--decoder-heads", "2", "say 4, not 2"),
        ("--patch-size", "4x8", "say 8×8, not 4×8"),
        ("--channels", "1", "say 3, not 1"),
    ] {
        refuses(2, &["info", own, option, value], &[option, "own.safetensors", said]);
        if !option.ends_with("heads") {
            let args = [&["info", as_text(&fair), option, value], &sizes[..]].concat();
            refuses(2, &args, &[option, "fair.pth", said]);
        }
    }
    let said = ["--norm-pix-loss", "own.safetensors", "not normalised"];
    refuses(2, &["reconstruct", "--weights", own, "--norm-pix-loss", "x.png"], &said);
    succeeds(&[&["info", as_text(&fair), "--norm-pix-loss"], &sizes[..]].concat());

    let out = folder.path().join("out.safetensors");
    let export = ["export", "--format", "webmae", "--out", as_text(&out), "--weights", own];
    for (option, value, word) in
        [("--pool", "mean", "no classifier"), ("--classes", "7", "only vit-pytorch's MAE")]
    {
        let said = [option, "own.safetensors", word];
        refuses(2, &[&export[..], &[option, value]].concat(), &said);
    }
    refuses(2, &[&export[..], &["--classes", "0"]].concat(), &["--classes"]);
    assert!(!out.exists());

    // A run's earlier checkpoints are no better, and none of them is broken.
    let run = folder.path().join("run");
    let run = as_text(&run);
    let pretrain = ["pretrain", "--data", "synthetic:40", "--device", "cpu", "--batch-size", "2"];
    let still = ["--channels", "6", "--steps", "2", "--out", run];
    succeeds(&[&pretrain[..], &still].concat());
    let checkpoint = |step| format!("{run}/checkpoints/step-{step:08}.safetensors");
    std::fs::copy(checkpoint(2), checkpoint(1)).unwrap();
    for (option, value, word) in
        [("--weights-key", "foo", "below \"foo\""), ("--heads", "7", "not 7")]
    {
        let output = command::webmae(&["info", run, option, value]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.matches(word).count() == 1, "{said}");
        assert!(!said.contains("no readable checkpoint"), "{said}");
    }
    // It took pictures of six channels from somewhere already.
    let about = json(&["info", run, "--json"]);
    assert_eq!(
        (&about["uses"][0]["use"], &about["uses"][0]["possible"]),
        (&json!("go on training"), &json!(true))
    );
}

#[test]
fn names_of_mmpretrain_convert() {
    let folder = tempfile::tempdir().unwrap();
    let rename = |name: &str| {
        let (stack, rest) = match name.strip_prefix("decoder_blocks.") {
            Some(rest) => ("neck.decoder_blocks.", rest),
            None if is_decoder(name) => ("neck.", name),
            None => ("backbone.", name),
        };
        let name = format!("{stack}{}", rest.replace("blocks.", "layers."))
            .replace("norm1.", "ln1.")
            .replace("norm2.", "ln2.")
            .replace("mlp.fc1.", "ffn.layers.0.0.")
            .replace("mlp.fc2.", "ffn.layers.1.")
            .replace("patch_embed.proj.", "patch_embed.projection.");
        match name.as_str() {
            name if name.starts_with("backbone.norm.") => name.replace("norm.", "ln1."),
            name if name.starts_with("neck.decoder_norm.") => name.replace("decoder_norm.", "ln1."),
            _ => name,
        }
    };
    for (name, tensors, kind) in
        [("mae.pth", whole(1), FileKind::Mae), ("vit.pth", encoder(1), FileKind::EncoderOnly)]
    {
        let root = Saved::dict([("state_dict", state(&tensors, rename))]);
        let opened = opened(&file(&folder, name, &root));
        assert_eq!((opened.format, opened.weights.kind), (Format::MmPretrain, kind));
        assert_eq!(opened.weights.tensors, tensors);
    }
}

/// What nothing is computed with is no reason to refuse a file; what is, is one.
#[test]
fn tensors_without_use_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let weights = encoder(1);
    let with = |more: Vec<(&str, Saved)>| {
        let own = weights.iter();
        let own = own.map(|(name, t)| (name.clone(), Saved::floats(&t.shape, &t.data)));
        Saved::dict(own.chain(more.into_iter().map(|(name, value)| (name.to_owned(), value))))
    };
    let bytes =
        |class, len: usize, size: usize| Saved::Tensor(class, vec![len], vec![1; len * size]);
    let foreign = Saved::Opcodes(b"ctorch._utils\n_rebuild_qtensor\n)R".to_vec());
    let more = vec![
        ("quantised", bytes("CharStorage", 2, 1)),
        ("phases", bytes("ComplexFloatStorage", 2, 8)),
        ("steps", bytes("LongStorage", 1, 8)),
        ("packed", foreign),
    ];
    let path = file(&folder, "more.pth", &with(more));
    let found = opened(&path);
    assert_eq!(found.weights.tensors, weights);
    assert_eq!(found.weights.ignored, ["packed", "phases", "quantised", "steps"]);

    let error = refused(&file(
        &folder,
        "gamma.pth",
        &with(vec![("gamma", Saved::floats(&[2], &[1.0; 2]))]),
    ));
    assert!(error.contains("unexpected gamma"), "{error}");
    let needed = with(vec![]);
    let Saved::Dict(mut entries) = needed else { unreachable!() };
    entries.retain(|(name, _)| name != "norm.bias");
    entries.push(("norm.bias".to_owned(), bytes("CharStorage", 16, 1)));
    let error = refused(&file(&folder, "int8.pth", &Saved::Dict(entries)));
    assert!(error.contains("norm.bias holds CharStorage values"), "{error}");

    let heads =
        ["head.weight", "head.1.weight"].map(|name| (name, Saved::floats(&[2, 16], &[0.5; 32])));
    let error = refused(&file(&folder, "heads.pth", &with(heads.into())));
    assert!(error.contains("head.1.weight and head.weight are both head.weight"), "{error}");
    let twice = with(vec![("norm.bias", Saved::floats(&[16], &[1.0; 16]))]);
    let error = refused(&file(&folder, "twice.pth", &twice));
    assert!(error.contains("norm.bias: two tensors have this name"), "{error}");
}

/// Encoder and head of `classes` classes.
fn classifier(seed: u64, classes: usize) -> TensorMap {
    let mut tensors = encoder(seed);
    let values = (0..classes * 16).map(|i| (i as f32 * 0.7).sin() / 4.0).collect();
    tensors.insert("head.weight".into(), HostTensor::new([classes, 16], values));
    tensors.insert("head.bias".into(), HostTensor::zeros([classes]));
    tensors
}

/// `main_linprobe.py` without and with `--global_pool`: the cls token behind `norm`, or the mean behind `fc_norm`.
#[test]
fn a_linear_probe_of_fair_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(&folder.path().join("pictures"), 1);
    let said = ["norm", "fc_norm"].map(|norm| {
        let mut tensors = classifier(1, 2);
        for suffix in ["weight", "bias"] {
            let moved = tensors.remove(&format!("norm.{suffix}")).unwrap();
            tensors.insert(format!("{norm}.{suffix}"), moved);
        }
        let statistics = |offset: f32| {
            HostTensor::new([16], (0..16).map(|i| offset + i as f32 / 20.0).collect())
        };
        tensors.insert("head_norm.running_mean".into(), statistics(-0.3));
        tensors.insert("head_norm.running_var".into(), statistics(0.5));
        let rename = |name: &str| name.replace("head.", "head.1.").replace("head_norm.", "head.0.");
        let Saved::Dict(mut entries) = state(&tensors, rename) else { unreachable!() };
        let count = Saved::Tensor("LongStorage", vec![], 10_u64.to_le_bytes().to_vec());
        entries.push(("head.0.num_batches_tracked".to_owned(), count));
        let path = file(&folder, "probe.pth", &Saved::dict([("model", Saved::Dict(entries))]));
        let found = opened(&path);
        assert_eq!(found.weights.kind, FileKind::Classifier);
        assert_eq!(found.weights.tensors, tensors);

        // The same as a ViT whose head has the BatchNorm in it.
        let vit = file(&folder, "vit.pth", &plain(&without_batch_norm(tensors)));
        let own = folder.path().join("own.safetensors");
        let export = ["export", "--weights", as_text(&path), "--heads", "2", "--format", "webmae"];
        succeeds(&[&export[..], &["--out", as_text(&own)]].concat());
        let said = [&path, &vit, &own].map(|path| probabilities(path, &data, &["--heads", "2"])[0]);
        assert!((said[0] - said[1]).abs() < 1e-5 && (said[0] - 0.5).abs() > 1e-3, "{said:?}");
        assert_eq!(said[0], said[2], "{norm}");
        said[0]
    });
    assert!((said[0] - said[1]).abs() > 1e-3, "{said:?}");
}

/// A linear probe whose head has the BatchNorm in it.
fn without_batch_norm(mut tensors: TensorMap) -> TensorMap {
    let [mean, var] = ["head_norm.running_mean", "head_norm.running_var"]
        .map(|name| tensors.remove(name).unwrap().data);
    let scale: Vec<f32> = var.iter().map(|v| 1.0 / (v + 1e-6).sqrt()).collect();
    let head = tensors.get_mut("head.weight").unwrap();
    for row in head.data.chunks_exact_mut(16) {
        row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s);
    }
    let offsets = head.data.chunks_exact(16);
    let offsets =
        offsets.map(|row| -row.iter().zip(&mean).map(|(w, m)| w * m).sum::<f32>()).collect();
    tensors.insert("head.bias".into(), HostTensor::new([2], offsets));
    tensors
}

/// What `predict` says of a picture, by class.
fn probabilities(weights: &Path, data: &str, more: &[&str]) -> Vec<f64> {
    let picture = format!("{data}/val/bright/0.png");
    let args =
        ["predict", "--device", "cpu", "--json", "--top", "9", "--weights", as_text(weights)];
    let found = json(&[&args[..], more, &[&picture]].concat());
    let mut classes: Vec<(String, f64)> = found["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| {
            (class["class"].as_str().unwrap().to_owned(), class["probability"].as_f64().unwrap())
        })
        .collect();
    classes.sort_by(|a, b| a.0.cmp(&b.0));
    classes.into_iter().map(|class| class.1).collect()
}

/// Tensors of a golden file below `prefix`, and the case's description.
fn golden(set: &str, name: &str, prefix: &str) -> (TensorMap, Value) {
    let folder = Path::new(FIXTURES).join(set);
    let tensors = safetensors::read(folder.join(format!("{name}.safetensors"))).unwrap().tensors;
    let strip = |(key, t): (String, HostTensor)| Some((key.strip_prefix(prefix)?.to_owned(), t));
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let about =
        manifest["cases"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone();
    (tensors.into_iter().filter_map(strip).collect(), about)
}

/// The model of a golden classifier of vit-pytorch.
fn vit_model(about: &Value) -> ModelConfig {
    let c = &about["config"];
    let n = |key: &str| c[key].as_u64().unwrap() as usize;
    let sides = |key: &str| [0, 1].map(|i| c[key][i].as_u64().unwrap() as usize);
    let older = about["name"].as_str().unwrap().starts_with("plain");
    let variant = if older { Variant::Plain } else { Variant::VitPytorch };
    ModelConfig {
        variant,
        image_size: sides("image_size"),
        patch_size: sides("patch_size"),
        channels: n("num_channels"),
        encoder: StackConfig {
            dim: n("dim"),
            depth: n("depth"),
            heads: n("heads"),
            dim_head: n("dim_head"),
            mlp_dim: n("mlp_dim"),
        },
        layer_norm_eps: 1e-5,
        dropout: 0.0,
        emb_dropout: 0.0,
        ..model()
    }
}

/// Whether a classifier pools the cls token or the mean is no matter of taste, and the plain variant's files do not tell.
#[test]
fn pooling_is_told_or_chosen_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let (tensors, about) = golden("golden-vit", "plain_vit_mean_tiny", "param.");
    let config = vit_model(&about);
    let path = folder.path().join("vit.safetensors");
    safetensors::write(&path, &tensors, &Metadata::new(), FloatType::F32).unwrap();
    let data = classes(&folder.path().join("pictures"), 1);
    let ([h, w], [p, q]) = (config.image_size, config.patch_size);
    let sizes = [format!("{h}x{w}"), format!("{p}x{q}"), config.encoder.heads.to_string()];
    let [image, patch, heads] = &sizes;
    let sizes = ["--image-size", image, "--patch-size", patch, "--heads", heads];
    let sizes = [&sizes[..], &["--channels", "1", "--mean", "0.5", "--std", "0.2"]].concat();
    let pooled = |pool| probabilities(&path, &data, &[&sizes[..], &["--pool", pool]].concat());
    let [cls, mean] = ["cls", "mean"].map(pooled);
    assert!((cls[0] - mean[0]).abs() > 1e-3, "{cls:?} {mean:?}");
    assert_eq!(probabilities(&path, &data, &sizes), cls);
    let picture = format!("{data}/val/bright/0.png");
    let predict = ["predict", "--device", "cpu", "--weights", as_text(&path), &picture];
    let said = succeeds(&[&predict[..], &sizes].concat());
    assert!(said.contains("cls is taken (--pool mean"), "{said}");
    let info = succeeds(&[&["info", as_text(&path)], &sizes[..]].concat());
    assert!(info.contains("cls is taken (--pool mean"), "{info}");
    let said = |more: &[&str]| json(&[&predict[..], &sizes, &["--json"], more].concat());
    assert_eq!((&said(&[])["pool"], &said(&[])["pool_assumed"]), (&json!("cls"), &json!(true)));
    let given = said(&["--pool", "mean"]);
    assert_eq!((&given["pool"], &given["pool_assumed"]), (&json!("mean"), &json!(false)));
    let about = json(&[&["info", as_text(&path), "--json"], &sizes[..]].concat());
    assert_eq!(about["pool"], Value::Null);

    // A file that is written says it.
    let own = folder.path().join("own.safetensors");
    let export = ["export", "--weights", as_text(&path), "--pool", "mean", "--out", as_text(&own)];
    succeeds(&[&export[..], &["--format", "webmae"], &sizes].concat());
    assert_eq!(probabilities(&own, &data, &[]), mean);
    assert_eq!(json(&["info", as_text(&own), "--json"])["pool"], "mean");
    let against = ["predict", "--weights", as_text(&own), "--pool", "cls", &picture];
    refuses(1, &against, &["own.safetensors", "pools by mean (as it was saved), not cls"]);

    // Others tell by what they have.
    let [cls, mean] = [false, true].map(|mean| {
        let mut tensors = classifier(1, 2);
        if mean {
            for suffix in ["weight", "bias"] {
                let norm = tensors.remove(&format!("norm.{suffix}")).unwrap();
                tensors.insert(format!("fc_norm.{suffix}"), norm);
            }
        }
        file(&folder, if mean { "mean.pth" } else { "cls.pth" }, &plain(&tensors))
    });
    for (path, pool, other) in [(&cls, "cls", "mean"), (&mean, "mean", "cls")] {
        let args = ["info", as_text(path), "--json", "--heads", "2"];
        assert_eq!(json(&args)["pool"], pool);
        let args =
            ["predict", "--weights", as_text(path), "--heads", "2", "--pool", other, &picture];
        refuses(1, &args, &["fc_norm", &format!("not {other}")]);
    }
}

/// `load_state_dict(strict=True)` wants exactly these names and shapes; checked with PyTorch in docs/interop.md.
#[test]
fn vit_pytorch_gets_back_what_it_gave() {
    for (set, name, format) in [
        ("golden", "blog_mae", Format::VitPytorchOld),
        ("golden", "blog_mae_identity", Format::VitPytorchOld),
        ("golden", "seed_mae_tiny", Format::VitPytorch),
        ("golden-vit", "plain_vit_cls_tiny", Format::VitPytorchOld),
        ("golden-vit", "plain_vit_mean_tiny", Format::VitPytorchOld),
        ("golden-vit", "vitp_vit_cls_tiny", Format::VitPytorch),
        ("golden-vit", "vitp_vit_mean_tiny", Format::VitPytorch),
    ] {
        let (given, about) = golden(set, name, "param.");
        let pool = if name.contains("cls") { Pool::Cls } else { Pool::Mean };
        let (config, model) = match set {
            "golden" => (mae_model(&about), VitPytorchModel::Mae { classes: 10 }),
            _ => (vit_model(&about), VitPytorchModel::Vit { pool }),
        };
        let internal = to_internal(format, &config, &given, Missing::Refused).unwrap();
        let back = to_vit_pytorch(&config, &internal.tensors, model).unwrap();
        let shapes = |tensors: &TensorMap| -> Vec<(String, Vec<usize>)> {
            tensors.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect()
        };
        assert_eq!(shapes(&back), shapes(&given), "{name}");
        for (key, tensor) in &back {
            // Pre-training does not touch them, so that they are not kept.
            let unused = set == "golden" && (key.contains("mlp_head") || key.contains("cls_token"));
            assert!(unused || *tensor == given[key], "{name}: {key}");
        }
    }
    let paper = to_vit_pytorch(&model(), &whole(1), VitPytorchModel::Mae { classes: 2 });
    assert!(paper.unwrap_err().to_string().contains("no paper variant"));
}

/// The model of a golden autoencoder of vit-pytorch.
fn mae_model(about: &Value) -> ModelConfig {
    let c = &about["config"];
    let n = |key: &str| c[key].as_u64().unwrap() as usize;
    let stack = |prefix: &str| StackConfig {
        dim: n(&format!("{prefix}dim")),
        depth: n(&format!("{prefix}depth")),
        heads: n(&format!("{prefix}heads")),
        dim_head: n(&format!("{prefix}dim_head")),
        mlp_dim: n(&format!("{prefix}mlp_dim")),
    };
    let older = about["kind"] == "blog_mae";
    ModelConfig {
        variant: if older { Variant::Plain } else { Variant::VitPytorch },
        image_size: [n("image_size"); 2],
        patch_size: [n("patch_size"); 2],
        channels: n("num_channels"),
        encoder: stack(""),
        decoder: stack("decoder_"),
        ..model()
    }
}

#[test]
fn export_writes_what_vit_pytorch_loads() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig {
        variant: Variant::Plain,
        layer_norm_eps: 1e-5,
        norm_pix_loss: true,
        ..model()
    };
    let weights = folder.path().join("plain.safetensors");
    let tensors = init_params(&mae_params(&config), config.grid(), 1);
    let statistics = Normalization::new(vec![0.3; 3], vec![0.4; 3]).unwrap();
    let metadata = describe(&config, &statistics, None).unwrap();
    safetensors::write(&weights, &tensors, &metadata, FloatType::F32).unwrap();
    let out = folder.path().join("mae.safetensors");
    let args =
        ["export", "--weights", as_text(&weights), "--format", "vit-pytorch", "--classes", "7"];
    succeeds(&[&args[..], &["--out", as_text(&out)]].concat());
    let state = safetensors::read(&out).unwrap().tensors;
    assert_eq!(state["encoder.mlp_head.1.weight"].shape, [7, 16]);
    assert_eq!(state["patch_to_emb.weight"], state["encoder.to_patch_embedding.1.weight"]);
    let opened = open(&out, &overrides()).unwrap();
    assert_eq!((opened.format, opened.weights.tensors), (Format::VitPytorchOld, tensors));
    // What PyTorch does not look at tells the rest.
    let opened = open(&out, &Overrides::default()).unwrap();
    assert_eq!((opened.config, opened.normalization), (config, Some(statistics)));
    let refused = [&args[..], &["--pool", "cls", "--out", as_text(&out)]].concat();
    refuses(2, &refused, &["--pool", "plain.safetensors"]);
    refuses(2, &[&args[..], &["--out", "mae.pth"]].concat(), &["--out", ".safetensors"]);
}

/// Pooling, names and pixel statistics of a classifier come back from vit-pytorch's format.
#[test]
fn a_classifier_of_vit_pytorch_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(&folder.path().join("pictures"), 1);
    for name in ["plain_vit_mean_tiny", "vitp_vit_mean_tiny", "plain_vit_cls_tiny"] {
        let (given, about) = golden("golden-vit", name, "param.");
        let config = vit_model(&about);
        let format = match config.variant {
            Variant::Plain => Format::VitPytorchOld,
            _ => Format::VitPytorch,
        };
        let tensors = to_internal(format, &config, &given, Missing::Refused).unwrap().tensors;
        let classes = tensors["head.weight"].shape[0];
        let head = HeadInfo {
            pool: if name.contains("mean") { Pool::Mean } else { Pool::Cls },
            head: Head::Full,
            class_names: (0..classes).map(|class| format!("kind {class}")).collect(),
        };
        let channels = config.channels;
        let statistics = Normalization::new(vec![0.3; channels], vec![0.4; channels]).unwrap();
        let own = folder.path().join("own.safetensors");
        let metadata = describe(&config, &statistics, Some(&head)).unwrap();
        safetensors::write(&own, &tensors, &metadata, FloatType::F32).unwrap();
        let out = folder.path().join("vit.safetensors");
        let args = ["export", "--weights", as_text(&own), "--format", "vit-pytorch"];
        succeeds(&[&args[..], &["--out", as_text(&out)]].concat());
        assert_eq!(safetensors::read(&out).unwrap().tensors, given, "{name}");

        let [before, after] = [&own, &out].map(|path| probabilities(path, &data, &[]));
        assert_eq!(before, after, "{name}");
        let picture = format!("{data}/val/bright/0.png");
        let said =
            json(&["predict", "--device", "cpu", "--json", "--weights", as_text(&out), &picture]);
        assert!(said["classes"][0]["class"].as_str().unwrap().starts_with("kind "), "{said}");
        assert_eq!(said["pool_assumed"], false);
    }
}

/// Weights that are no numbers are refused by every command, with tensor, count and file.
#[test]
fn weights_that_are_not_finite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(&folder.path().join("pictures"), 1);
    let picture = format!("{data}/val/bright/0.png");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut tensors = classifier(1, 2);
        tensors.get_mut("blocks.1.mlp.fc1.bias").unwrap().data[3..5].fill(value);
        let pth = file(&folder, "bad.pth", &plain(&tensors));
        let own = folder.path().join("bad.safetensors");
        safetensors::write(&own, &tensors, &Metadata::new(), FloatType::F32).unwrap();
        for path in [pth, own] {
            let error = refused(&path);
            let said = format!(
                "blocks.1.mlp.fc1.bias holds 2 values of 64 that are not finite (the first is {value})"
            );
            assert!(error.contains(&said), "{error}");
        }
    }
    let bad = folder.path().join("bad.safetensors");
    let out = folder.path().join("out.npy");
    let (bad, out) = (as_text(&bad), as_text(&out));
    for command in [
        &["info", bad][..],
        &["predict", "--weights", bad, &picture],
        &["eval", "--weights", bad, "--data", &data],
        &["knn", "--weights", bad, "--data", &data],
        &["embed", "--weights", bad, "--data", &data, "--out", out],
        &["linprobe", "--weights", bad, "--data", &data, "--out", out],
        &["reconstruct", "--weights", bad, &picture],
        &["export", "--weights", bad, "--format", "webmae", "--out", bad],
    ] {
        let heads = [command, &["--heads", "2"]].concat();
        refuses(1, &heads, &["bad.safetensors", "blocks.1.mlp.fc1.bias holds 2 values"]);
    }
    assert!(!Path::new(out).exists());
}

/// Finite weights can make what is not: the results are looked at as well.
#[test]
fn what_overflows_inside_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(&folder.path().join("pictures"), 1);
    let picture = format!("{data}/val/bright/0.png");
    let written = |name: &str, mut tensors: TensorMap| {
        tensors.get_mut("blocks.1.mlp.fc1.weight").unwrap().data.fill(3e38);
        let path = folder.path().join(name);
        safetensors::write(&path, &tensors, &Metadata::new(), FloatType::F32).unwrap();
        as_text(&path).to_owned()
    };
    let head = written("head.safetensors", classifier(1, 2));
    let mae = written("mae.safetensors", whole(1));
    let out = folder.path().join("out.npy");
    let out = as_text(&out);
    let drawn = folder.path().join("out.png");
    let drawn = as_text(&drawn);
    let args = |command: &[&str]| {
        let more = ["--device", "cpu", "--heads", "2"];
        command.iter().chain(&more).map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    let still = ["--crop", "center", "--no-flip", "--batch-size", "2", "--steps", "2"];
    let probe =
        [&["linprobe", "--weights", &head, "--data", &data, "--out", out], &still[..]].concat();
    for (command, what) in [
        (args(&["predict", "--weights", &head, &picture]), "logits"),
        (args(&["eval", "--weights", &head, "--data", &data]), "logits"),
        (args(&["knn", "--weights", &head, "--data", &data]), "features"),
        (args(&["embed", "--weights", &head, "--data", &data, "--out", out]), "features"),
        (args(&probe), "features"),
        (
            args(&[
                "reconstruct",
                "--weights",
                &mae,
                "--decoder-heads",
                "4",
                "--out",
                drawn,
                &picture,
            ]),
            "predictions",
        ),
    ] {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        refuses(1, &command, &[what, "not finite"]);
    }
    assert!(!Path::new(out).exists());

    // In f16 it would have been infinite already; every format refuses.
    let own = folder.path().join("half.safetensors");
    let export = ["export", "--f16", "--heads", "2", "--decoder-heads", "4", "--weights", &mae];
    for format in ["webmae", "hugging-face"] {
        let new = folder.path().join("new");
        let out = if format == "webmae" { as_text(&own) } else { as_text(&new) };
        let args = [&export[..], &["--format", format, "--out", out]].concat();
        refuses(
            1,
            &args,
            &["mlp.fc1.weight", "3e38", "f16"].map(|word| match word {
                "mlp.fc1.weight" if format != "webmae" => "intermediate.dense.weight",
                word => word,
            }),
        );
        assert!(!Path::new(out).exists(), "{format} left something behind");
    }
}

/// A checkpoint's header with this model.
fn claimed(model: Value) -> Metadata {
    let normalization = Normalization::imagenet();
    let head = json!({ "model": model, "normalization": normalization, "step": 3 });
    Metadata::from([("webmae.checkpoint".to_owned(), head.to_string())])
}

/// Models that cannot be, and models that no command can feed.
#[test]
fn info_says_no_to_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let named = |(name, t): (String, HostTensor)| (format!("param/{name}"), t);
    let tensors: TensorMap = whole(1).into_iter().map(named).collect();
    let path = folder.path().join("claims.safetensors");
    for (pointer, value, word) in [
        ("/encoder/dim", json!(1_u64 << 40), "encoder"),
        ("/encoder/heads", json!(0), "encoder.heads"),
        ("/encoder/depth", json!(200_000_000), "encoder.depth"),
        ("/encoder/depth", json!(900), "900 encoder blocks"),
        ("/decoder/depth", json!(1_000_000_000_000_u64), "decoder.depth"),
        ("/decoder/depth", json!(2), "decoder_blocks.1"),
        ("/encoder/mlp_dim", json!(1_u64 << 50), "mlp.fc1.weight is"),
        ("/patch_size", json!([0, 8]), "patch_size"),
        ("/image_size", json!([1_u64 << 40, 1_u64 << 40]), "image_size"),
        ("/image_size", json!([1 << 20, 1 << 20]), "pos_embed"),
        ("/channels", json!(u64::MAX), "channels"),
        ("/mask_ratio", json!(2), "mask_ratio"),
        ("/layer_norm_eps", json!(0), "layer_norm_eps"),
    ] {
        let mut model = serde_json::to_value(model()).unwrap();
        *model.pointer_mut(pointer).unwrap() = value;
        for metadata in [
            claimed(model.clone()),
            Metadata::from([("webmae.config".to_owned(), model.to_string())]),
        ] {
            let checkpoint = metadata.contains_key("webmae.checkpoint");
            let tensors = if checkpoint { tensors.clone() } else { whole(1) };
            safetensors::write(&path, &tensors, &metadata, FloatType::F32).unwrap();
            let error = refused(&path);
            assert!(error.contains(word), "{pointer}: {error}");
        }
        refuses(1, &["info", as_text(&path)], &["claims.safetensors"]);
    }

    let six = ModelConfig { channels: 6, ..model() };
    let statistics = Normalization::new(vec![0.5; 6], vec![0.2; 6]).unwrap();
    let metadata = describe(&six, &statistics, None).unwrap();
    let tensors = init_params(&mae_params(&six), six.grid(), 1);
    safetensors::write(&path, &tensors, &metadata, FloatType::F32).unwrap();
    let info = json(&["info", as_text(&path), "--json"]);
    for use_ in info["uses"].as_array().unwrap() {
        let export = use_["use"] == "export";
        assert_eq!(use_["possible"] == true, export, "{use_}");
    }
    assert!(succeeds(&["info", as_text(&path)]).contains("this model takes 6"));
}

/// `webmae info` in 1 GB of address space.
#[cfg(unix)]
fn info_in_little_memory(path: &Path) -> (bool, String) {
    let line = format!(
        "ulimit -v 1000000; exec {} info --heads 2 '{}'",
        env!("CARGO_BIN_EXE_webmae"),
        path.display()
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// A small file must not take much memory, whatever it repeats.
#[cfg(unix)]
#[test]
fn what_a_file_names_again_and_again_is_held_once() {
    let folder = tempfile::tempdir().unwrap();
    let weights = encoder(1);
    // One tuple of many sizes, which thousands of tensors and calls refer to by its number in the memo.
    let many = [tuple(&vec![1; 100_000]), b"r\x00\x00\x01\x00".to_vec()].concat();
    let recall = b"j\x00\x00\x01\x00";
    let floats = storage("FloatStorage", 0, 1);
    let mut repeated = [&b"("[..], &many, b"0"].concat();
    for i in 0..10_000 {
        let size = [b"ctorch\nSize\n", &recall[..], b"\x85R"].concat();
        repeated.extend(text(&format!("sizes{i}")));
        repeated.extend(size);
        repeated.extend(text(&format!("tensor{i}")));
        repeated.extend(tensor(&floats, recall, recall));
    }
    let repeated = [&b"}"[..], &repeated, b"u"].concat();
    let root =
        Saved::dict([("model", plain(&weights)), ("more", Saved::Opcodes(repeated.clone()))]);
    let (read, said) = info_in_little_memory(&file(&folder, "sizes.pth", &root));
    assert!(read && said.contains("only an encoder"), "{said}");
    let (read, said) =
        info_in_little_memory(&file(&folder, "chosen.pth", &Saved::Opcodes(repeated)));
    assert!(!read && said.contains("chosen.pth") && said.contains("at most 64"), "{said}");

    // Many tensors that show the same storage.
    let mut shared = b"}(".to_vec();
    let block =
        [tensor(&storage("FloatStorage", 0, 1 << 20), &tuple(&[1 << 20]), &tuple(&[1]))].concat();
    for i in 0..2000 {
        shared.extend(text(&format!("blocks.{i}.norm1.weight")));
        shared.extend(&block);
    }
    shared.push(b'u');
    let data = Saved::Tensor("FloatStorage", vec![1 << 20], vec![0; 4 << 20]);
    let root = Saved::dict([("first", data), ("model", Saved::Opcodes(shared))]);
    let path = file(&folder, "shared.pth", &root);
    let error = webmae::files::pth::read(&path).unwrap_err().to_string();
    assert!(error.contains("again and again"), "{error}");
    assert!(!info_in_little_memory(&path).0);

    // A configuration that claims a model, beside a few tensors.
    let hf = folder.path().join("hf");
    std::fs::create_dir(&hf).unwrap();
    let config = json!({ "model_type": "vit_mae", "num_hidden_layers": 1_000_000_000_000_u64 });
    std::fs::write(hf.join("config.json"), config.to_string()).unwrap();
    let tensors = TensorMap::from([(
        "vit.embeddings.patch_embeddings.projection.bias".into(),
        HostTensor::zeros([4]),
    )]);
    safetensors::write(hf.join("model.safetensors"), &tensors, &Metadata::new(), FloatType::F32)
        .unwrap();
    let (read, said) = info_in_little_memory(&hf);
    assert!(!read && said.contains("config.json") && said.contains("encoder.depth"), "{said}");
}
