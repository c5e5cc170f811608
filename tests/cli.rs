//! The command line on good and bad input: what it prints, where it writes, how it ends.

#[path = "common/command.rs"]
mod command;
#[path = "common/pictures.rs"]
mod pictures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use command::{json, refuses, succeeds};
use pictures::classes;
use serde_json::Value;
use webmae::data::Normalization;
use webmae::files::safetensors::{self, FloatType};
use webmae::model::init::init_params;
use webmae::model::params::mae_params;
use webmae::tensor::TensorMap;
use webmae::weights::{Metadata, Overrides, describe, open};
use webmae::{MaskStrategy, ModelConfig, PatchTarget, Positions, StackConfig, Variant};

const PICTURE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/golden/preprocessing/rgb_landscape.png");

/// A small model of `variant` whose grid and channels are no squares of each other.
fn model(variant: Variant) -> ModelConfig {
    ModelConfig {
        variant,
        image_size: [16, 24],
        patch_size: [4, 8],
        channels: 3,
        encoder: StackConfig::new(32, 2, 2),
        decoder: StackConfig::new(16, 1, 2),
        mask_ratio: 0.75,
        mask_strategy: MaskStrategy::Random,
        target: PatchTarget::Pixels,
        norm_pix_loss: variant == Variant::Paper,
        encoder_mask_tokens: false,
        positions: None,
        layer_norm_eps: variant.layer_norm_eps(),
        dropout: 0.0,
        emb_dropout: 0.0,
    }
}

fn tensors(config: &ModelConfig) -> TensorMap {
    init_params(&mae_params(config), config.grid(), 1)
}

/// A header that names the model, but not its pixel statistics.
fn described(config: &ModelConfig) -> Metadata {
    let mut metadata = describe(config, &Normalization::imagenet(), None).expect("a header");
    metadata.retain(|name, _| name != "webmae.normalization");
    metadata
}

/// Random weights of `config` in a file of this crate's.
fn save(folder: &Path, config: &ModelConfig) -> String {
    let path = folder.join("model.safetensors");
    safetensors::write(&path, &tensors(config), &described(config), FloatType::F32)
        .expect("a written file");
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn help_names_every_command_and_option_with_a_sentence() {
    let help = succeeds(&["--help"]);
    for command in ["pretrain", "reconstruct", "plan", "info", "bench", "export"] {
        assert!(help.contains(command), "{command}");
        let own = succeeds(&[command, "--help"]);
        assert!(own.contains("--adapter") && own.contains("Usage"), "{command}: {own}");
    }
    assert!(succeeds(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn unknown_words_are_usage_errors() {
    refuses(2, &["trian"], &["trian"]);
    refuses(2, &["plan", "--batch-sizes", "3"], &["--batch-size"]);
    refuses(2, &["plan", "--batch-size", "0"], &["--batch-size", "1.."]);
    refuses(2, &["plan", "--image-size", "large"], &["--image-size", "HxW"]);
    refuses(2, &["plan", "--vram", "8 apples"], &["--vram", "8GiB"]);
    let probe = ["--device", "cpu", "pretrain", "--steps", "1", "--probe-data", "synthetic:40"];
    refuses(2, &[&probe[..], &["--probe-batch-size", "0"]].concat(), &["--probe-batch-size"]);
    refuses(2, &[&probe[..], &["--probe-blr=-1"]].concat(), &["--probe-blr"]);
    refuses(2, &["plan", "--mask-strategy", "stripes"], &["random", "block", "grid"]);
}

#[test]
fn plan_prints_numbers_and_refuses_what_cannot_fit() {
    let table = succeeds(&["plan", "--preset", "vit-b", "--batch-size", "64"]);
    let large = succeeds(&["plan", "--preset", "vit-l", "--batch-size", "1"]);
    for words in ["50 tokens × ", "197 tokens × ", "(8.9 % of the encoder's)", "3.24 times"] {
        assert!(large.contains(words), "{words} is missing in:\n{large}");
    }
    refuses(2, &["plan", "--precision", "f8"], &["--precision", "f32", "f16"]);
    for word in [
        "--precision f16",
        "111.9 M",
        "peak memory",
        "largest binding",
        "TFLOP",
        "49 of 196",
        "--recompute",
    ] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let args = ["plan", "--preset", "small", "--batch-size", "8", "--grad-accum", "4", "--json"];
    let plan = json(&args);
    assert_eq!(plan["estimate"]["batch_size"], 8);
    assert!(plan["estimate"]["largest_binding"].as_u64().unwrap() <= 128 << 20);
    let halved = json(&[&args[..], &["--precision", "f16"]].concat());
    let bytes = |plan: &serde_json::Value, part: &str| plan["estimate"][part].as_f64().unwrap();
    let share = |part| bytes(&halved, part) / bytes(&plan, part);
    assert!((0.5..0.53).contains(&share("activation_bytes")), "{halved}");
    // With the copy that products read; gradients and moments stay as they are.
    assert!((1.49..1.51).contains(&share("parameter_bytes")), "{halved}");
    assert!((0.99..1.01).contains(&share("moment_bytes")), "{halved}");
    // Two tables of 145 rows.
    let trained = |positions| {
        let plan = json(&[&args[..], &["--positions", positions]].concat());
        plan["estimate"]["trainable_parameters"].as_u64().unwrap()
    };
    assert_eq!(trained("learned") - trained("sincos"), 145 * (384 + 192));
    let averaged = json(&[&args[..], &["--ema", "0.9999"]].concat());
    assert_eq!(bytes(&plan, "average_bytes"), 0.0);
    assert_eq!(bytes(&averaged, "average_bytes"), bytes(&averaged, "gradient_bytes"));
    let more = bytes(&averaged, "peak_bytes") - bytes(&plan, "peak_bytes");
    assert!(more >= bytes(&averaged, "average_bytes"), "{averaged}");
    let big = ["plan", "--preset", "vit-b", "--batch-size", "4096"];
    refuses(1, &big, &["does not fit", "128.0 MiB", "largest batch that fits", "--grad-accum"]);
    let small = ["plan", "--preset", "vit-l", "--batch-size", "64", "--vram", "8GiB"];
    refuses(1, &small, &["8192.0 MiB", "--batch-size", "--recompute (a batch of 64 fits)"]);
    succeeds(&[&small[..], &["--recompute"]].concat());
    let smaller = ["plan", "--preset", "vit-l", "--batch-size", "64", "--vram", "5.5GiB"];
    refuses(1, &smaller, &["or --recompute (a batch of "]);
    let tiny = ["plan", "--preset", "vit-l", "--batch-size", "1", "--vram", "1GiB"];
    refuses(1, &tiny, &["not even one image fits", "--preset"]);
}

#[test]
fn plan_predicts_a_step_on_a_card() {
    let args = ["plan", "--preset", "tiny", "--batch-size", "8", "--roofline"];
    let with = |more: &[&'static str]| [&args[..], more].concat();
    let table = succeeds(&with(&["h100"]));
    for words in ["NVIDIA H100", "predicted", "assumed, not measured", "times their floor", "gemm"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
    refuses(2, &with(&["h1000"]), &["--roofline", "h100, rtx4060, m2", "f32=67T,bandwidth=3.35T"]);
    refuses(2, &with(&["f32=67T"]), &["--roofline", "bandwidth= is missing"]);

    let kernels = |plan: &serde_json::Value| -> Vec<String> {
        let launches = plan["roofline"]["step"]["launches"].as_array().unwrap();
        launches.iter().map(|launch| launch["kernel"].as_str().unwrap().to_owned()).collect()
    };
    let own = |plan: &serde_json::Value| plan["estimate"]["dispatches"].as_u64().unwrap() as usize;
    let plan = json(&with(&["f32=20T,bandwidth=500G", "--json"]));
    let step = &plan["roofline"]["step"];
    assert_eq!(kernels(&plan).len(), own(&plan));
    assert_eq!(step["flops"], plan["estimate"]["step_flops"]);
    assert!(step["predicted"].as_f64() > step["floor"].as_f64(), "{step}");
    // Only cards with fragments have products of fragments.
    let has = |plan: &serde_json::Value| kernels(plan).contains(&"gemm_cooperative".to_owned());
    let halved = json(&with(&["f32=20T,bandwidth=500G", "--precision", "f16", "--json"]));
    let fragments =
        json(&with(&["f32=20T,bandwidth=500G,f16=200T", "--precision", "f16", "--json"]));
    assert!(!has(&plan) && !has(&halved) && has(&fragments));
    assert!(
        json(&args[..5].iter().copied().chain(["--json"]).collect::<Vec<_>>())["roofline"]
            .is_null()
    );
}

#[test]
fn plan_names_the_option_that_is_wrong() {
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--preset", "giant"], &["--preset", "tiny, small, vit-b"]),
        (&["--image-size", "33"], &["--image-size", "try 32 or 36"]),
        (&["--mask-ratio", "1.0"], &["--mask-ratio", "[0, 1)"]),
        (&["--mask-ratio", "-0.5"], &["--mask-ratio", "[0, 1)"]),
        (&["--dim", "100"], &["--heads", "try 2 or 4"]),
    ];
    for (options, words) in cases {
        refuses(2, &[&["plan"], options].concat(), words);
    }
}

#[test]
fn info_lists_adapters() {
    let adapters = json(&["info", "--json"]);
    let first = &adapters["adapters"][0];
    assert!(first["name"].is_string() && first["max_binding"].as_u64() >= Some(128 << 20));
    let name = first["name"].as_str().unwrap();
    let listed = succeeds(&["info"]);
    assert!(listed.contains(&format!("0: {name}")) && listed.contains("timestamps"), "{listed}");
    // Before the command as well as after it.
    succeeds(&["--adapter", "0", "plan"]);
    succeeds(&["plan", "--adapter", name]);
    refuses(1, &["plan", "--adapter", "No Such GPU"], &["No Such GPU", &format!("0: {name}")]);
}

#[test]
fn info_says_what_weights_hold() {
    let (_guard, dir) = folder();
    let weights = save(&dir, &model(Variant::Paper));
    let info = json(&["info", &weights, "--json"]);
    assert_eq!(info["holds"], "encoder and decoder");
    assert_eq!(info["model"]["image_size"], serde_json::json!([16, 24]));
    let uses = |info: &Value| -> BTreeMap<String, bool> {
        let list = info["uses"].as_array().unwrap().iter();
        list.map(|u| (u["use"].as_str().unwrap().into(), u["possible"] == true)).collect()
    };
    assert!(uses(&info)["reconstruct"] && !uses(&info)["go on training"]);
    assert!(succeeds(&["info", &weights]).contains("yes reconstruct"));
    let encoder = encoder_only(&dir);
    let info = json(&["info", &encoder, "--json"]);
    assert!(!uses(&info)["reconstruct"] && uses(&info)["features, probing, fine-tuning"]);
}

/// The encoder of a model whose sizes are known by its width.
fn encoder_only(dir: &Path) -> String {
    let config = ModelConfig { image_size: [32; 2], ..ModelConfig::preset("tiny").unwrap() };
    let mut tensors = tensors(&config);
    tensors.retain(|name, _| !name.starts_with("decoder") && name != "mask_token");
    let path = dir.join("encoder.safetensors");
    safetensors::write(&path, &tensors, &BTreeMap::new(), FloatType::F32).unwrap();
    text(&path)
}

#[test]
fn reconstruct_draws_every_variant() {
    for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
        let (_guard, dir) = folder();
        let weights = save(&dir, &model(variant));
        let out = text(&dir.join("grid.png"));
        let args = ["reconstruct", "--weights", &weights, PICTURE, PICTURE, "--out", &out];
        let printed = succeeds(&args);
        assert_eq!(printed.matches("patches hidden").count(), 2, "{printed}");
        assert!(printed.contains("of 12 patches hidden") && printed.contains(&out), "{printed}");
        assert!(printed.contains("ImageNet's"), "{printed}");
        let first = std::fs::read(&out).unwrap();
        assert_eq!(&first[1..4], b"PNG");
        succeeds(&args);
        assert_eq!(std::fs::read(&out).unwrap(), first, "the same seed gives the same picture");
    }
}

#[test]
fn reconstruct_takes_masks_and_views() {
    let (_guard, dir) = folder();
    let weights = save(&dir, &model(Variant::Paper));
    let out = text(&dir.join("grid.png"));
    let run = |options: &[&str]| {
        let base = ["reconstruct", "--weights", &weights, PICTURE, "--out", &out];
        succeeds(&[&base, options].concat())
    };
    let width = || {
        let png = std::fs::read(&out).unwrap();
        u32::from_be_bytes(png[16..20].try_into().unwrap())
    };
    assert!(run(&["--mask", "011/000/111/100"]).contains(" 6 of 12 patches hidden"));
    let four_columns = width();
    std::fs::write(dir.join("mask.txt"), "0 1 1\n0 0 0\n1 1 1\n1 0 1\n").unwrap();
    let file = text(&dir.join("mask.txt"));
    assert!(run(&["--mask", &file, "--view", "all"]).contains(" 7 of 12 patches hidden"));
    assert!(width() > four_columns, "all views are drawn");
    assert!(run(&["--mask-ratio", "0.5", "--seed", "3"]).contains(" 6 of 12"));
    assert!(run(&["--mask-ratio", "0.5", "--mask-strategy", "grid"]).contains(" 6 of 12"));
    assert!(run(&["--mask-ratio", "0"]).contains("loss 0.0000, 0 of 12"));
    let refused = |options: &[&str], words: &[&str]| {
        let base = ["reconstruct", "--weights", &weights, PICTURE, "--out", &out];
        refuses(2, &[&base, options].concat(), words);
    };
    refused(&["--mask", "0110"], &["--mask", "4 digits", "4 rows of 3"]);
    refused(&["--mask", "no-such-file"], &["--mask", "no file"]);
    refused(&["--mask", "111111111111"], &["hides all 12"]);
    refused(&["--mask", "0/1", "--mask-ratio", "0.5"], &["--mask", "--mask-ratio"]);
    refused(&["--mask-ratio", "1.0"], &["--mask-ratio", "[0, 1)"]);
    refused(&["--mask-ratio", "0.99"], &["--mask-ratio", "none visible"]);
}

#[test]
fn reconstruct_measures_hidden_pixels_alone() {
    let (_guard, dir) = folder();
    let out = text(&dir.join("grid.png"));
    let flat = text(&dir.join("flat.png"));
    image::RgbImage::from_pixel(24, 16, image::Rgb([90, 160, 40])).save(&flat).unwrap();
    for variant in [Variant::Paper, Variant::Plain] {
        let weights = save(&dir, &model(variant));
        let run = |image: &str, options: &[&str]| {
            let base = ["reconstruct", "--weights", &weights, image, "--out", &out];
            succeeds(&[&base, options].concat())
        };
        let printed = run(&flat, &[]);
        let baselines = "harmonic filling inf dB, mean colour inf dB";
        assert!(printed.contains(baselines), "{printed}");
        let printed =
            run(PICTURE, &["--view", if variant == Variant::Paper { "all" } else { "raw" }]);
        let names: &[&str] = match variant {
            Variant::Paper => &["raw prediction", "(uses the answer)", "visible neighbours"],
            _ => &["reconstruction"],
        };
        for name in names.iter().chain(&["harmonic filling", "mean colour"]) {
            let (_, after) = printed.split_once(&format!("{name} ")).expect(name);
            let decibels = after.split_once(" dB").expect("a unit").0;
            assert!((0.0..40.0).contains(&decibels.parse::<f64>().unwrap()), "{name}: {printed}");
        }
        assert!(!run(PICTURE, &["--mask-ratio", "0"]).contains("dB"), "nothing is hidden");
    }
}

/// No loss trains what a model predicts where a patch was visible.
#[test]
fn reconstruct_shows_visible_patches_as_they_are() {
    let (_guard, dir) = folder();
    let out = text(&dir.join("grid.png"));
    // Patches of 4 × 8 pixels, each pixel 7 × 7 in the picture; columns are 24 pixels and a gap wide.
    let (scale, left, top, step) = (7, 6, 28, 24 * 7 + 6);
    for (variant, columns) in [(Variant::Paper, 6), (Variant::Plain, 4)] {
        let weights = save(&dir, &model(variant));
        let rows = ["011", "000", "111", "100"];
        let base = ["reconstruct", "--weights", &weights, PICTURE, "--out", &out];
        let view = if variant == Variant::Paper { "all" } else { "raw" };
        succeeds(&[&base[..], &["--mask", &rows.join("/"), "--view", view]].concat());
        let picture = image::open(&out).unwrap().into_rgb8();
        assert_eq!(picture.width(), left + columns * step);
        for (row, digits) in rows.into_iter().enumerate() {
            for (column, digit) in digits.chars().enumerate() {
                let (x, y) = (left + column as u32 * 8 * scale, top + row as u32 * 4 * scale);
                let patch = |tile: u32| {
                    let at = |i: u32| {
                        let (dx, dy) = (i % (8 * scale), i / (8 * scale));
                        picture.get_pixel(x + tile * step + dx, y + dy).0
                    };
                    (0..4 * 8 * scale * scale).map(at).collect::<Vec<_>>()
                };
                for tile in 1..columns {
                    assert_eq!(patch(tile) == patch(0), digit == '0', "{tile}: {row}, {column}");
                }
            }
        }
    }
}

#[test]
fn reconstruct_names_what_cannot_be_read() {
    let (_guard, dir) = folder();
    let weights = save(&dir, &model(Variant::Plain));
    let run = |code, weights: &str, image: &str, words: &[&str]| {
        refuses(code, &["reconstruct", "--weights", weights, image], words);
    };
    run(1, "no-such-run", PICTURE, &["no-such-run", "does not exist", "run folder"]);
    run(1, &text(&dir), "missing.png", &["missing.png"]);
    run(1, &weights, "missing.png", &["missing.png"]);
    let fake = text(&dir.join("text.png"));
    std::fs::write(&fake, "not a picture at all").unwrap();
    run(1, &weights, &fake, &["text.png", "is no JPEG, PNG"]);
    let cut = text(&dir.join("cut.safetensors"));
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    run(1, &cut, PICTURE, &["cut.safetensors", "not a whole safetensors file"]);
    run(1, PICTURE, PICTURE, &["rgb_landscape.png", ".safetensors"]);
    run(1, &encoder_only(&dir), PICTURE, &["only an encoder", "mae_visualize_vit"]);
    let no_view = ["reconstruct", "--weights", &weights, PICTURE, "--view", "true"];
    refuses(2, &no_view, &["--view", "predicts pixels"]);
    let unwritable = ["reconstruct", "--weights", &weights, PICTURE, "--out", "/no/such/dir/a.png"];
    refuses(1, &unwritable, &["/no/such/dir"]);
}

#[test]
fn weights_of_other_shapes_are_refused() {
    let (_guard, dir) = folder();
    let config = model(Variant::Paper);
    let mut wrong = tensors(&config);
    let weight = wrong.get_mut("decoder_pred.weight").unwrap();
    weight.shape[0] /= 2;
    weight.data.truncate(weight.data.len() / 2);
    let path = dir.join("wrong.safetensors");
    safetensors::write(&path, &wrong, &described(&config), FloatType::F32).unwrap();
    let args = ["reconstruct", "--weights", &text(&path), PICTURE];
    refuses(1, &args, &["wrong.safetensors", "decoder_pred.weight"]);
}

#[test]
fn export_round_trips() {
    let (_guard, dir) = folder();
    let config = ModelConfig { image_size: [32; 2], patch_size: [8; 2], ..model(Variant::Paper) };
    let weights = save(&dir, &config);
    let hf = text(&dir.join("hf"));
    let mean = ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.1"];
    succeeds(&[&["export", "--weights", &weights, "--out", &hf], &mean[..]].concat());
    let info = json(&["info", &hf, "--json"]);
    assert_eq!(info["format"], "Hugging Face ViTMAE");
    assert_eq!(info["model"]["norm_pix_loss"], true);
    let given = info["normalization"]["mean"][2].as_f64().unwrap();
    assert!((given - 0.3).abs() < 1e-6);
    let single = text(&dir.join("single.safetensors"));
    let to_file = ["export", "--weights", &hf, "--out", &single, "--format", "webmae", "--f16"];
    succeeds(&to_file);
    assert_eq!(json(&["info", &single, "--json"])["normalization"], info["normalization"]);
    let half = std::fs::metadata(&single).unwrap().len();
    assert!(half < std::fs::metadata(&weights).unwrap().len() * 6 / 10);

    let uneven = save(&dir, &model(Variant::Paper));
    let to_hf = ["export", "--weights", &uneven, "--out", &hf];
    refuses(2, &to_hf, &["square"]);
    let no_ending = ["export", "--weights", &uneven, "--out", &hf, "--format", "webmae"];
    refuses(2, &no_ending, &["--out", ".safetensors"]);
    let lone_mean = ["export", "--weights", &uneven, "--out", &hf, "--mean", "0.5,0.5,0.5"];
    refuses(2, &lone_mean, &["--std"]);
}

#[test]
fn positions_of_either_kind_are_named_resized_and_exported() {
    for (variant, positions, named, format, said) in [
        (
            Variant::Paper,
            Positions::Learned,
            "learned",
            "hugging-face",
            "ViTMAE trains no positions",
        ),
        (
            Variant::Plain,
            Positions::Sincos,
            "sincos",
            "vit-pytorch",
            "vit-pytorch trains positions",
        ),
    ] {
        let (_guard, dir) = folder();
        let square = ModelConfig { image_size: [32; 2], patch_size: [8; 2], ..model(variant) };
        let config = ModelConfig { positions: Some(positions), ..square };
        let weights = save(&dir, &config);
        let webmae = text(&dir.join("webmae.safetensors"));
        let args = ["export", "--weights", &weights, "--format", "webmae", "--out", &webmae];
        succeeds(&args);
        assert_eq!(json(&["info", &webmae, "--json"])["model"]["positions"], named);
        let picture = text(&dir.join("picture.png"));
        let args = ["reconstruct", "--weights", &webmae, "--out", &picture, PICTURE];
        succeeds(&[&args[..], &["--image-size", "24x40"]].concat());

        let out = dir.join("exported.safetensors");
        let printed =
            succeeds(&["export", "--weights", &weights, "--format", format, "--out", &text(&out)]);
        assert!(printed.contains(said), "{printed}");
        let overrides =
            Overrides { decoder_heads: Some(2), encoder_heads: Some(2), ..Default::default() };
        let opened = open(&out, &overrides).unwrap();
        assert_eq!(opened.weights.tensors, tensors(&config));
    }
}

/// A workload that takes no time.
const SMALL_BENCH: &str = "--depth 1 --decoder-depth 1 --dim 16 --heads 1 --decoder-dim 16 \
                           --decoder-heads 1 --steps 2 --warmup 0";

fn bench<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["bench"], args].concat().into_iter().chain(SMALL_BENCH.split_whitespace()).collect()
}

#[test]
fn bench_measures_and_names_workloads() {
    let result = json(&bench(&["W1", "--json", "--profile", "--batch-size", "2"]));
    let [best] = &result["gemm"].as_array().unwrap()[..] else { panic!("one precision: {result}") };
    assert!(best["precision"] == "f32" && best["gflops"].as_f64() > Some(0.0), "{best}");
    assert!([512, 1024, 2048, 4096].map(Value::from).contains(&best["extent"]), "{best}");
    let results = result["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(result["ms_per_step"].as_f64() > Some(0.0), "{result}");
        assert_eq!(result["submits"], 1);
        let Some(kernels) = result["kernels"].as_array() else { continue };
        let shares: f64 = kernels.iter().map(|k| k["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-6);
        let slowest = result["slowest"].as_array().unwrap();
        assert_eq!(slowest.len(), 10);
        for pair in slowest.windows(2) {
            assert!(pair[0]["milliseconds"].as_f64() >= pair[1]["milliseconds"].as_f64());
        }
        for dispatch in slowest {
            assert!(dispatch["sizes"].as_str().unwrap().contains(" → "), "{dispatch}");
            assert!(dispatch["gigabytes_per_second"].as_f64() > Some(0.0), "{dispatch}");
            assert!(!dispatch["computes"].as_str().unwrap().is_empty(), "{dispatch}");
        }
    }
    refuses(2, &["bench", "W9"], &["W9", "W1, W2, W3, W4"]);
    refuses(2, &["bench", "--profile", "W1"], &["--profile all", "workloads stand before it"]);
}

#[test]
fn bench_uses_the_kernels_that_it_is_told() {
    let on_gpu =
        |args: &[&'static str]| bench(&[&["W1", "--forward", "--adapter", "0"], args].concat());
    let result = json(&on_gpu(&[
        "--json",
        "--batch-size",
        "2",
        "--profile",
        "all",
        "--kernel",
        "gemm=64x128/8x8",
        "--kernel",
        "reduction=barriers",
    ]));
    let variants: Vec<&str> = result["kernel_variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let [tiles, reduction] = variants[..] else { panic!("{variants:?}") };
    assert!(tiles.starts_with("gemm=64×128/8×8") && reduction == "reduction=barriers", "{tiles}");
    let forward = &result["results"][0];
    let listed = forward["slowest"].as_array().unwrap().len();
    assert_eq!(Some(listed as u64), forward["dispatches"].as_u64());

    refuses(2, &on_gpu(&["--kernel", "gemm=9x9"]), &["--kernel", "\"9x9\"", "64×128/8×8"]);
    refuses(2, &bench(&["--kernel", "speed=9"]), &["--kernel", "gemm, reduction"]);
    let on_cpu = bench(&["--device", "cpu", "--kernel", "gemm=64x128"]);
    refuses(2, &on_cpu, &["--kernel", "on the processor", "--adapter NAME"]);
}

#[test]
fn bench_compares_with_a_saved_run() {
    let (_guard, dir) = folder();
    let file = text(&dir.join("before.json"));
    let saved = bench(&["W1", "--train", "--batch-size", "2", "--json", "--save", &file]);
    let saved = json(&saved);
    let on_disk: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(on_disk, saved);

    // What was not saved cannot be compared.
    refuses(2, &["bench", "W2", "--compare", &file], &["--compare", "only W1 train"]);
    refuses(2, &["bench", "--forward", "--compare", &file], &["--compare", "only W1 train"]);

    // The same workload, mode and batch without being told; any speed is enough.
    let again = ["--compare", &file, "--json", "--fail-below", "1e-9"];
    let compared = json(&bench(&again));
    assert_eq!(compared["results"].as_array().unwrap().len(), 1);
    assert_eq!(compared["results"][0]["batch_size"], 2);
    let ratio = &compared["compared"][0];
    let figure = |key: &str| ratio[key].as_f64().unwrap();
    assert_eq!((ratio["workload"].as_str(), ratio["mode"].as_str()), (Some("W1"), Some("train")));
    assert_eq!(ratio["saved_ms"], saved["results"][0]["ms_per_step"]);
    assert!((figure("ratio") - figure("saved_ms") / figure("ms")).abs() < 1e-9, "{ratio}");

    // No speed is enough; a different batch is told.
    let output = command::webmae(&bench(&[
        "W1",
        "--compare",
        &file,
        "--batch-size",
        "1",
        "--fail-below",
        "1e9",
    ]));
    let (table, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("warning: batch of W1 train differs: 2 saved, 1 now"), "{error}");
    assert!(error.contains("error: slower than the saved run: W1 train"), "{error}");
    assert!(table.contains("compared with webmae") && table.contains("ratio"), "{table}");
}

#[test]
fn bench_names_files_that_it_cannot_use() {
    let (_guard, dir) = folder();
    let missing = text(&dir.join("missing.json"));
    refuses(1, &["bench", "--compare", &missing], &["missing.json", "--save FILE"]);
    let foreign = text(&dir.join("package.json"));
    std::fs::write(&foreign, r#"{"name": "something else"}"#).unwrap();
    refuses(1, &["bench", "--compare", &foreign], &["package.json", "is no saved run", "--save"]);
    refuses(1, &["bench", "--save", &text(&dir)], &["is a folder"]);
    let nowhere = text(&dir.join("no/run.json"));
    refuses(1, &["bench", "--save", &nowhere], &["run.json", "cannot be written", "give a folder"]);
    refuses(2, &["bench", "--fail-below", "0.9"], &["--compare"]);
    refuses(2, &["bench", "--compare", &foreign, "--fail-below", "0"], &["--fail-below", "0.95"]);
}

#[test]
fn bench_measures_the_loader() {
    let (_guard, dir) = folder();
    let data = classes(&dir.join("pictures"), 2);
    std::fs::write(dir.join("pictures/train/dark/broken.png"), "no picture").unwrap();
    let options = ["--image-size", "32", "--batch-size", "4", "--steps", "1", "--warmup", "1"];
    let args = [&["bench", "--data", &data], &options[..]].concat();
    let result = json(&[&args[..], &["--json", "--profile"]].concat());
    let first = &result["results"][0];
    assert_eq!((first["workers"].as_u64(), first["unreadable"].as_u64()), (Some(1), Some(1)));
    assert!(first["images_per_second"].as_f64() > Some(0.0), "{result}");
    assert_eq!(result["stages"]["images"], 4);
    let table = succeeds(&args);
    assert!(table.contains("1 worker ") && table.contains("1 unreadable"), "{table}");
    // Sizes of which no model could be made will do.
    succeeds(&["bench", "--data", "synthetic:4", "--image-size", "10", "--steps", "1"]);
    refuses(1, &["bench", "--data", "no-such-folder"], &["no-such-folder", "does not exist"]);
    refuses(2, &["bench", "W1", "--data", &data], &["--data"]);
}

#[test]
fn pretraining_names_unreadable_files_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("pictures");
    std::fs::create_dir(&data).unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        std::fs::copy(PICTURE, data.join(name)).unwrap();
    }
    std::fs::write(data.join("text.png"), "no picture").unwrap();
    std::fs::write(data.join("zero.jpg"), "").unwrap();
    let (data, run) = (data.to_str().unwrap(), folder.path().join("run"));
    let options = "--image-size 16 --dim 16 --depth 1 --heads 1 --decoder-dim 16 --decoder-depth 1 \
                   --decoder-heads 1 --batch-size 2 --steps 6";
    let mut args = vec!["pretrain", "--data", data, "--out", run.to_str().unwrap()];
    args.extend(options.split_whitespace());
    let output = succeeds(&args);
    for words in ["text.png", "zero.jpg", "unreadable files skipped", "held-out loss"] {
        assert!(output.contains(words), "{words} is missing in: {output}");
    }
    // The run exists now; and --strict stops at the first bad file.
    refuses(2, &args, &["--out", "--resume"]);
    let strict = folder.path().join("strict");
    args[4] = strict.to_str().unwrap();
    args.push("--strict");
    refuses(1, &args, &["pictures"]);
}

#[test]
fn crops_and_colours_that_cannot_be_are_refused() {
    let (_guard, dir) = folder();
    let data = classes(&dir.join("data"), 2);
    let out = text(&dir.join("run"));
    let pretrain = ["pretrain", "--data", &data, "--steps", "1", "--out", &out];
    let train = ["train", "--data", &data, "--steps", "1", "--out", &out];
    let cases: [(&[&str], &[&str]); 10] = [
        (&["--crop-scale", "0"], &["--crop-scale: must be 0 < from", "got 0 to 1"]),
        (&["--crop-scale", "0.5,0.2"], &["--crop-scale: must be", "got 0.5 to 0.2"]),
        (&["--crop-scale", "0.2,1.5"], &["--crop-scale: must be", "got 0.2 to 1.5"]),
        (&["--crop-scale", "-1"], &["--crop-scale: must be", "got -1 to 1"]),
        (&["--crop-scale", "half"], &["--crop-scale", "0.2,1"]),
        (&["--crop-scale", "0.5", "--crop", "center"], &["--crop-scale", "try --crop random"]),
        (&["--jitter", "1.5"], &["--jitter: its brightness must be between 0 and 1, got 1.5"]),
        (&["--jitter", "-0.1"], &["--jitter: its brightness must be", "got -0.1"]),
        (&["--jitter", "nan"], &["--jitter", "got NaN"]),
        (&["--jitter", "0.4", "--color-jitter"], &["--jitter", "cannot be used with"]),
    ];
    for (options, words) in cases {
        for command in [&pretrain, &train] {
            refuses(2, &[command, options].concat(), words);
        }
    }
    let synthetic = ["pretrain", "--crop-scale", "0.5", "--out", &out];
    refuses(2, &synthetic, &["--crop-scale", "try --crop random"]);
    for option in ["--crop-scale=0.5", "--jitter=0.5", "--no-flip", "--crop=none", "--exclude=a"] {
        let resumed = ["pretrain", "--resume", &out, option];
        let (name, _) = option.split_once('=').unwrap_or((option, ""));
        refuses(2, &resumed, &[name, "cannot be used with"]);
    }
    let resumed = ["finetune", "--resume", &out, "--image-size", "32"];
    refuses(2, &resumed, &["--image-size", "cannot be used with"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn embed_writes_a_row_for_every_picture() {
    let (_guard, dir) = folder();
    let data = classes(&dir.join("pictures"), 3);
    std::fs::write(dir.join("pictures/train/dark/broken.png"), "no picture").unwrap();
    let weights = save(&dir, &model(Variant::Paper));
    let out = text(&dir.join("features.safetensors"));
    let args = ["embed", "--weights", &weights, "--data", &data, "--batch-size", "4", "--out"];
    let output = succeeds(&[&args[..], &[&out]].concat());
    assert!(output.contains("broken.png") && output.contains("6 features of"), "{output}");
    let file = safetensors::read(&out).unwrap();
    let features = &file.tensors["features"];
    assert_eq!(features.shape, [6, model(Variant::Paper).encoder.dim]);
    let names: Vec<String> = serde_json::from_str(&file.metadata["names"]).unwrap();
    let class_names: Vec<String> = serde_json::from_str(&file.metadata["classes"]).unwrap();
    assert!(names[0].contains("bright") && names[5].contains("dark"), "{names:?}");
    assert_eq!(class_names, ["bright", "bright", "bright", "dark", "dark", "dark"]);

    // Another batch size, another file format: the same rows.
    let npy = dir.join("features.npy");
    succeeds(&["embed", "--weights", &weights, "--data", &data, "--out", &text(&npy)]);
    let bytes = std::fs::read(&npy).unwrap();
    let array = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(array.shape(), [6, features.shape[1] as u64]);
    let rows = array.into_vec::<f32>().unwrap();
    let difference = rows.iter().zip(&features.data).map(|(a, b)| (a - b).abs());
    assert!(difference.fold(0.0, f32::max) < 1e-5);
    let table = std::fs::read_to_string(dir.join("features.csv")).unwrap();
    assert_eq!(table.lines().count(), 7);
    assert!(table.lines().nth(6).unwrap().ends_with(",dark"), "{table}");

    refuses(2, &[&args[..], &["features.txt"]].concat(), &["--out", ".npy", ".safetensors"]);
}

#[test]
fn knn_finds_classes_and_names_what_is_missing() {
    let (_guard, dir) = folder();
    let data = classes(&dir.join("pictures"), 4);
    let weights = save(&dir, &model(Variant::Plain));
    let result = json(&["knn", "--weights", &weights, "--data", &data, "-k", "3", "--json"]);
    assert_eq!((&result["train_images"], &result["classes"]), (&8.into(), &2.into()));
    // Even random weights tell bright pictures from dark ones.
    assert!(result["top1"].as_f64() >= Some(0.75), "{result}");
    assert_eq!(result["top5"], 1.0);
    let cls = ["knn", "--weights", &weights, "--data", &data, "--pool", "cls"];
    refuses(2, &cls, &["no cls token", "mean"]);
    let flat = text(&dir.join("pictures/train/dark"));
    refuses(2, &["knn", "--weights", &weights, "--data", &flat], &["--data", "class folders"]);
    let train = dir.join("pictures/train");
    std::fs::copy(
        dir.join("pictures/train/dark").read_dir().unwrap().next().unwrap().unwrap().path(),
        train.join("loose.png"),
    )
    .unwrap();
    let said = succeeds(&["knn", "--weights", &weights, "--data", &data, "-k", "3"]);
    assert!(said.contains("1 of the training pictures") && said.contains("loose.png"), "{said}");
}

/// What would be found out after the work is found out before: the weights are not even looked for.
#[test]
fn outputs_are_checked_before_the_work() {
    let (_kept, dir) = folder();
    let at = |name: &str| text(&dir.join(name));
    std::fs::write(dir.join("file"), b"").unwrap();
    let (missing, below, none) = (at("none/out"), at("file/below"), at("no-weights"));
    let picture = |ending: &str| format!("{missing}.{ending}");
    refuses(
        1,
        &["reconstruct", "--weights", &none, "a.png", "--out", &picture("png")],
        &["none does not exist"],
    );
    refuses(
        1,
        &["reconstruct", "--weights", &none, "a.png", "--out", &picture("gif")],
        &[".png, .jpg, .jpeg"],
    );
    refuses(
        1,
        &["reconstruct", "--weights", &none, "a.png", "--out", &at("")],
        &["pictures are written as"],
    );
    refuses(
        1,
        &["embed", "--weights", &none, "--data", &none, "--out", &picture("npy")],
        &["none does not exist"],
    );
    refuses(1, &["export", "--weights", &none, "--out", &below], &["is a file"]);
    refuses(
        1,
        &["export", "--weights", &none, "--format", "webmae", "--out", &picture("safetensors")],
        &["make it first"],
    );
    refuses(1, &["eval", "--weights", &none, "--data", &none, "--out", &below], &["is a file"]);
    refuses(1, &["pretrain", "--steps", "1", "--out", &below], &["is a file"]);
    refuses(1, &["bench", "--save", &picture("json")], &["none does not exist"]);
}

#[test]
fn pictures_are_what_their_ending_says_and_one_view_is_said_to_be_one() {
    let (_kept, dir) = folder();
    let weights = save(&dir, &model(Variant::Plain));
    let picture = dir.join("in.png");
    image::RgbImage::from_pixel(24, 16, image::Rgb([90, 160, 40])).save(&picture).unwrap();
    for (name, begins) in [("out.jpg", &b"\xFF\xD8\xFF"[..]), ("out.PNG", &b"\x89PNG"[..])] {
        let out = dir.join(name);
        let args = [
            "--device",
            "cpu",
            "reconstruct",
            "--weights",
            &weights,
            &text(&picture),
            "--out",
            &text(&out),
        ];
        let plain = succeeds(&args);
        assert!(!plain.contains("--view all"), "{plain}");
        let all = succeeds(&[&args[..], &["--view", "all"]].concat());
        assert!(all.contains("--view all: this model predicts pixels"), "{all}");
        assert!(std::fs::read(&out).unwrap().starts_with(begins), "{name}");
    }
}

/// Scripts that keep what a command prints know when nothing was kept.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    for args in
        [&["plan", "--preset", "nano"][..], &["--help"], &["--version"], &["plan", "--json"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_webmae"));
        let output = command.args(args).stdout(full).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert!(error.contains("error: standard output cannot be written"), "{args:?}: {error}");
        // A reader that goes away is none, and neither is nobody to complain to.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_webmae"));
        let status = command.arg("no-such-command").stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(2));
    }
}
