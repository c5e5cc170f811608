//! Every published naming converts to the internal tensors and back, and broken files are refused
//! with a sentence that helps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use webmae::config::{MaskStrategy, ModelConfig, PatchTarget, StackConfig, Variant};
use webmae::data::Normalization;
use webmae::files::pth;
use webmae::files::safetensors::{self, FloatType};
use webmae::model::params::mae_params;
use webmae::model::position::sin_cos_2d;
use webmae::tensor::{HostTensor, TensorMap, shapes};
use webmae::weights::stream::Stream;
use webmae::weights::{
    FileKind, Format, Metadata, Missing, Overrides, describe, detect, hugging_face, infer_config,
    open, to_hugging_face, to_internal,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A golden case: its description and its tensors.
struct Case {
    about: Value,
    config: ModelConfig,
    tensors: TensorMap,
}

impl Case {
    /// Tensors whose name begins with `prefix`, without it.
    fn part(&self, prefix: &str) -> TensorMap {
        let strip = |(name, tensor): (&String, &HostTensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(strip).collect()
    }

    /// What the tensors alone do not tell.
    fn overrides(&self) -> Overrides {
        Overrides {
            encoder_heads: Some(self.config.encoder.heads),
            decoder_heads: Some(self.config.decoder.heads),
            mask_ratio: Some(self.config.mask_ratio),
            norm_pix_loss: Some(self.config.norm_pix_loss),
            layer_norm_eps: Some(self.config.layer_norm_eps),
            ..Overrides::default()
        }
    }

    fn convert(&self, format: Format) -> webmae::Result<webmae::weights::Converted> {
        to_internal(format, &self.config, &self.part("param."), Missing::Refused)
    }
}

fn case(name: &str) -> Case {
    let golden = fixtures().join("golden");
    let manifest = std::fs::read_to_string(golden.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let about = manifest["cases"].as_array().unwrap().iter().find(|c| c["name"] == name);
    let about = about.unwrap().clone();
    let tensors = safetensors::read(golden.join(format!("{name}.safetensors"))).unwrap().tensors;
    Case { config: model_config(&about), about, tensors }
}

fn model_config(about: &Value) -> ModelConfig {
    let c = &about["config"];
    let n = |key: &str| c[key].as_u64().unwrap_or(0) as usize;
    let variant = match about["kind"].as_str().unwrap() {
        "blog_mae" => Variant::Plain,
        "vitp_mae" => Variant::VitPytorch,
        _ => Variant::Paper,
    };
    let (encoder, decoder) = if variant == Variant::Paper {
        let stack = |dim, depth, heads, mlp_dim| StackConfig {
            mlp_dim,
            ..StackConfig::new(dim, depth, heads)
        };
        let decoder = match n("decoder_hidden_size") {
            0 => StackConfig::new(512, 8, 16),
            dim => stack(
                dim,
                n("decoder_num_hidden_layers"),
                n("decoder_num_attention_heads"),
                n("decoder_intermediate_size"),
            ),
        };
        let heads = n("num_attention_heads");
        (stack(n("hidden_size"), n("num_hidden_layers"), heads, n("intermediate_size")), decoder)
    } else {
        let stack = |prefix: &str| StackConfig {
            dim: n(&format!("{prefix}dim")),
            depth: n(&format!("{prefix}depth")),
            heads: n(&format!("{prefix}heads")),
            dim_head: n(&format!("{prefix}dim_head")),
            mlp_dim: n(&format!("{prefix}mlp_dim")),
        };
        (stack(""), stack("decoder_"))
    };
    ModelConfig {
        variant,
        image_size: [n("image_size"); 2],
        patch_size: [n("patch_size"); 2],
        channels: n("num_channels"),
        encoder,
        decoder,
        mask_ratio: c["mask_ratio"].as_f64().or(c["masking_ratio"].as_f64()).unwrap_or(0.75),
        mask_strategy: MaskStrategy::Random,
        target: PatchTarget::Pixels,
        norm_pix_loss: c["norm_pix_loss"].as_bool().unwrap_or(false),
        encoder_mask_tokens: false,
        positions: None,
        layer_norm_eps: c["layer_norm_eps"].as_f64().unwrap() as f32,
        dropout: 0.0,
        emb_dropout: 0.0,
    }
}

const MAE_CASES: [(&str, Format); 7] = [
    ("hf_mae_tiny", Format::HuggingFaceMae),
    ("hf_mae_tiny_normpix", Format::HuggingFaceMae),
    ("hf_mae_odd", Format::HuggingFaceMae),
    ("blog_mae", Format::VitPytorchOld),
    ("blog_mae_identity", Format::VitPytorchOld),
    ("seed_mae_tiny", Format::VitPytorch),
    ("seed_mae_cls_tiny", Format::VitPytorch),
];

#[test]
fn every_golden_mae_converts_completely() {
    for (name, format) in MAE_CASES {
        let case = case(name);
        let file = case.part("param.");
        assert_eq!(detect(&shapes(&file)).unwrap(), format, "{name}");
        let converted = case.convert(format).unwrap();
        assert_eq!(converted.kind, FileKind::Mae);
        converted.kind.require(FileKind::Mae).unwrap();
        let shapes = |tensors: &TensorMap| -> BTreeMap<String, Vec<usize>> {
            tensors.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect()
        };
        let expected: BTreeMap<_, _> =
            mae_params(&case.config).into_iter().map(|p| (p.name, p.shape)).collect();
        assert_eq!(shapes(&converted.tensors), expected, "{name}");
        let listed = |key: &str| match &case.about[key] {
            Value::Array(names) => names.len(),
            Value::Object(names) => names.len(),
            _ => 0,
        };
        let unused = listed("unused_params") + listed("tied_params");
        assert_eq!(converted.ignored.len(), unused, "{name}: {:?}", converted.ignored);
    }
}

#[test]
fn gradients_convert_like_parameters() {
    for (name, format) in MAE_CASES {
        let case = case(name);
        let gradients = case.part("grad.");
        let converted = to_internal(format, &case.config, &gradients, Missing::Allowed).unwrap();
        for param in mae_params(&case.config) {
            assert_eq!(converted.tensors.contains_key(&param.name), param.trainable, "{name}");
        }
        let sum = |tensors: &TensorMap| -> f64 {
            tensors.values().flat_map(|t| &t.data).map(|v| f64::from(v.abs())).sum()
        };
        let (before, after) = (sum(&gradients), sum(&converted.tensors));
        assert!((before - after).abs() <= 1e-9 * before, "{name}: {before} {after}");
    }
}

#[test]
fn qkv_is_fused_by_rows_and_positions_are_padded() {
    let case_ = case("hf_mae_tiny");
    let file = case_.part("param.");
    let fused = case_.convert(Format::HuggingFaceMae).unwrap().tensors;
    let fused = &fused["decoder_blocks.1.attn.qkv.weight"];
    assert_eq!(fused.shape, [144, 48]);
    for (i, part) in ["query", "key", "value"].into_iter().enumerate() {
        let name = format!("decoder.decoder_layers.1.attention.attention.{part}.weight");
        assert_eq!(fused.data[i * 48 * 48..][..48 * 48], file[&name].data);
    }

    let case_ = case("seed_mae_tiny");
    let file = case_.part("param.");
    let tensors = case_.convert(Format::VitPytorch).unwrap().tensors;
    let (encoder, decoder) = (&tensors["pos_embed"].data, &tensors["decoder_pos_embed"].data);
    assert_eq!(encoder[..48], [0.0; 48]);
    assert_eq!(encoder[48..], file["encoder.pos_embedding"].data);
    assert_eq!(decoder[..16 * 36], file["decoder_pos_emb.weight"].data);
    assert_eq!(decoder[16 * 36..], [0.0; 36]);
}

#[test]
fn classifiers_convert() {
    for (name, format, norm) in [
        ("hf_vit_cls_tiny", Format::HuggingFaceVit, "norm.weight"),
        ("timm_vit_avg_tiny", Format::Fair, "fc_norm.weight"),
    ] {
        let case = case(name);
        assert_eq!(detect(&shapes(&case.part("param."))).unwrap(), format);
        let converted = case.convert(format).unwrap();
        assert_eq!(converted.kind, FileKind::Classifier);
        assert_eq!(converted.tensors["head.weight"].shape, [10, 64]);
        assert!(converted.tensors.contains_key(norm));
        let gradients =
            to_internal(format, &case.config, &case.part("grad."), Missing::Allowed).unwrap();
        assert_eq!(gradients.tensors.len(), converted.tensors.len());
        let error = converted.kind.require(FileKind::Mae).unwrap_err().to_string();
        assert!(error.contains("classification head") && error.contains("vit-mae"), "{error}");
    }
}

#[test]
fn hugging_face_round_trip_is_bit_exact() {
    for name in ["hf_mae_tiny", "hf_mae_odd"] {
        let case = case(name);
        let internal = case.convert(Format::HuggingFaceMae).unwrap().tensors;
        assert_eq!(to_hugging_face(&case.config, &internal).unwrap(), case.part("param."));
        let folder = tempfile::tempdir().unwrap();
        let statistics = [0.5; 3];
        hugging_face::write(
            folder.path(),
            &case.config,
            &internal,
            &statistics,
            &statistics,
            FloatType::F32,
        )
        .unwrap();
        let opened = open(folder.path(), &Overrides::default()).unwrap();
        assert_eq!((opened.format, opened.config), (Format::HuggingFaceMae, case.config));
        assert_eq!(opened.weights.tensors, internal);
    }
}

#[test]
fn names_of_transformers_5_convert_too() {
    let state_dict = |name: &str| {
        name.replace("vit.encoder.layer.", "vit.layers.")
            .replace("attention.attention.query", "attention.q_proj")
            .replace("attention.attention.key", "attention.k_proj")
            .replace("attention.attention.value", "attention.v_proj")
            .replace("attention.output.dense", "attention.o_proj")
            .replace("intermediate.dense", "mlp.fc1")
            .replace("output.dense", "mlp.fc2")
    };
    let saved = |name: &str| name.replace("decoder_layers.", "decoder_encoder.layer.");
    let case = case("hf_mae_tiny");
    for rename in [&state_dict as &dyn Fn(&str) -> String, &saved] {
        let renamed: TensorMap =
            case.part("param.").into_iter().map(|(name, t)| (rename(&name), t)).collect();
        let format = detect(&shapes(&renamed)).unwrap();
        assert_eq!(format, Format::HuggingFaceMae);
        let converted = to_internal(format, &case.config, &renamed, Missing::Refused).unwrap();
        assert_eq!(converted, case.convert(format).unwrap());
    }
}

#[test]
fn sin_cos_tables_are_the_published_ones() {
    let golden = safetensors::read(fixtures().join("golden/primitives.safetensors")).unwrap();
    for (name, dim, grid) in
        [("dim48grid4", 48, 4), ("dim64grid4", 64, 4), ("dim768grid14", 768, 14)]
    {
        let expected = &golden.tensors[&format!("sincos.{name}")].data;
        let table = sin_cos_2d(dim, [grid, grid], 1);
        assert_eq!(table.len(), expected.len());
        let worst = table.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-6, "{name}: {worst}");
    }
}

#[test]
fn configurations_are_inferred() {
    for (name, format) in MAE_CASES {
        let case = case(name);
        let shapes = shapes(&case.part("param."));
        let inferred = infer_config(format, &shapes, &case.overrides()).unwrap();
        assert_eq!(inferred, case.config, "{name}");
    }
    let case = case("hf_mae_tiny");
    let unknown =
        infer_config(Format::HuggingFaceMae, &shapes(&case.part("param.")), &Overrides::default());
    let error = unknown.unwrap_err().to_string();
    assert!(error.starts_with("encoder.heads: "), "{error}");
}

#[test]
fn published_sizes_are_recognised_from_fair_weights() {
    let published = ModelConfig::preset("tiny").unwrap();
    let tensors: TensorMap = mae_params(&published)
        .into_iter()
        .map(|p| (format!("module.{}", p.name), HostTensor::zeros(p.shape)))
        .collect();
    assert_eq!(detect(&shapes(&tensors)).unwrap(), Format::Fair);
    let overrides = Overrides { decoder_heads: Some(3), ..Overrides::default() };
    assert_eq!(infer_config(Format::Fair, &shapes(&tensors), &overrides).unwrap(), published);
}

#[test]
fn encoder_only_files_are_recognised() {
    let case = case("hf_mae_tiny");
    let internal = case.convert(Format::HuggingFaceMae).unwrap().tensors;
    let encoder: TensorMap = internal
        .into_iter()
        .filter(|(name, _)| !name.starts_with("decoder") && name != "mask_token")
        .map(|(name, tensor)| (format!("encoder.{name}"), tensor))
        .collect();
    assert_eq!(detect(&shapes(&encoder)).unwrap(), Format::Fair);
    let converted = to_internal(Format::Fair, &case.config, &encoder, Missing::Refused).unwrap();
    assert_eq!(converted.kind, FileKind::EncoderOnly);
    converted.kind.require(FileKind::EncoderOnly).unwrap();
    let error = converted.kind.require(FileKind::Mae).unwrap_err().to_string();
    assert!(error.contains("only an encoder") && error.contains("mae_visualize_vit"), "{error}");

    // The ViT inside vit-pytorch's MAE, saved alone: its names lose `encoder.`.
    let case = self::case("seed_mae_cls_tiny");
    let vit: TensorMap = case.part("param.encoder.");
    let format = detect(&shapes(&vit)).unwrap();
    assert_eq!(format, Format::VitPytorch);
    let converted = to_internal(format, &case.config, &vit, Missing::Refused).unwrap();
    assert_eq!(converted.kind, FileKind::Classifier);
    assert_eq!(converted.tensors["cls_token"].shape, [1, 1, 40]);
}

#[test]
fn misfits_are_listed_in_one_sentence() {
    let case = case("hf_mae_tiny");
    let mut tensors = case.part("param.");
    tensors.remove("vit.layernorm.bias");
    tensors.insert("vit.extra".into(), HostTensor::zeros([2]));
    tensors.insert("decoder.decoder_pred.bias".into(), HostTensor::zeros([7]));
    let error = to_internal(Format::HuggingFaceMae, &case.config, &tensors, Missing::Refused);
    let error = error.unwrap_err().to_string();
    for part in [
        "missing norm.bias [64]",
        "unexpected vit.extra",
        "decoder.decoder_pred.bias (decoder_pred.bias) is [7] where the model has [192]",
        "encoder and decoder",
    ] {
        assert!(error.contains(part), "{part:?} not in {error}");
    }
    tensors.remove("vit.encoder.layer.1.attention.attention.key.bias");
    let error = to_internal(Format::HuggingFaceMae, &case.config, &tensors, Missing::Allowed);
    assert!(error.unwrap_err().to_string().contains("needs query, key and value"));

    let mut tied = self::case("blog_mae");
    let alias = tied.tensors.get_mut("param.patch_to_emb.bias").unwrap();
    alias.data[3] += 1.0;
    let error = tied.convert(Format::VitPytorchOld).unwrap_err().to_string();
    assert!(error.contains("patch_to_emb.bias") && error.contains("differ"), "{error}");

    let error = case.convert(Format::VitPytorchOld).unwrap_err().to_string();
    assert!(error.contains("Plain variant"), "{error}");
    let unknown = TensorMap::from([("conv1.weight".to_owned(), HostTensor::zeros([1]))]);
    assert!(detect(&shapes(&unknown)).unwrap_err().to_string().contains("conv1.weight"));
}

#[test]
fn what_hugging_face_cannot_express_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |config: &ModelConfig| {
        let tensors = TensorMap::new();
        let precision = FloatType::F32;
        let result =
            hugging_face::write(folder.path(), config, &tensors, &[0.5; 3], &[0.5; 3], precision);
        result.unwrap_err().to_string()
    };
    assert!(write(&ModelConfig::preset("plain").unwrap()).contains("only the paper variant"));
    let mut config = ModelConfig::preset("tiny").unwrap();
    assert!(write(&config).contains("6 encoder blocks"));
    config.image_size = [32, 64];
    assert!(write(&config).contains("32×64"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn own_files_carry_their_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for (name, format) in
        [("seed_mae_tiny", Format::VitPytorch), ("blog_mae", Format::VitPytorchOld)]
    {
        let case = case(name);
        let internal = case.convert(format).unwrap().tensors;
        let path = folder.path().join("own.safetensors");
        let metadata = describe(&case.config, &Normalization::imagenet(), None).unwrap();
        safetensors::write(&path, &internal, &metadata, FloatType::F32).unwrap();
        let opened = open(&path, &Overrides::default()).unwrap();
        assert_eq!((opened.format, opened.config), (Format::Webmae, case.config));
        assert_eq!(opened.weights.tensors, internal);
    }
}

/// Read tensor by tensor, a file of every naming gives the same model as read as a whole.
#[test]
fn streams_give_what_whole_files_give() {
    let dir = tempfile::tempdir().unwrap();
    for (name, _) in MAE_CASES {
        let case = case(name);
        let path = dir.path().join("weights.safetensors");
        safetensors::write(&path, &case.part("param."), &Metadata::new(), FloatType::F16).unwrap();
        let whole = open(&path, &case.overrides()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let size = bytes.len() as u64;
        let stream = Stream::open(&bytes[..header], size, None, &case.overrides()).unwrap();
        assert_eq!((stream.format, &stream.config), (whole.format, &whole.config), "{name}");
        assert_eq!(stream.kind(), whole.weights.kind, "{name}");
        let mut streamed: TensorMap = stream
            .mapping
            .tensors
            .iter()
            .map(|(name, assembled)| (name.clone(), HostTensor::zeros(assembled.shape.clone())))
            .collect();
        let mut last = 0;
        for wanted in &stream.wanted {
            let range = wanted.entry.begin as usize..wanted.entry.end as usize;
            assert!(range.start >= last, "{name}: out of order");
            last = range.end;
            let values = wanted.values(&bytes[range]).unwrap();
            let tensor = streamed.get_mut(&wanted.internal).unwrap();
            tensor.data[wanted.first..][..values.len()].copy_from_slice(&values);
        }
        assert!(streamed == whole.weights.tensors, "{name}");
        let short = Stream::open(&bytes[..header], size - 1, None, &case.overrides());
        assert!(short.unwrap_err().to_string().contains("download it again"), "{name}");
    }
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let golden = std::fs::read(fixtures().join("golden/blog_mae.safetensors")).unwrap();
    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, &golden[..golden.len() - 1]).unwrap();
    let error = open(&cut, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("cut.safetensors") && error.contains("download it again"), "{error}");

    let whole = std::fs::read(fixtures().join("pth/torch.pth")).unwrap();
    let path = folder.path().join("cut.pth");
    for end in [0, 1, 2, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = pth::read(&path).unwrap_err().to_string();
        assert!(error.contains("cut.pth"), "{error}");
    }
    // Flipped bytes give an error or other values, never a panic.
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();
        drop(pth::read(&path));
    }
    std::fs::write(&path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    assert!(pth::read(&path).unwrap_err().to_string().contains("before 1.6"));
    assert!(open(folder.path().join("x.onnx"), &Overrides::default()).is_err());
}

#[test]
fn a_header_with_other_bytes_never_panics() {
    let case = case("blog_mae_identity");
    let bytes = safetensors::to_bytes(&case.part("param."), &BTreeMap::new(), FloatType::F32);
    let bytes = bytes.unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut read = 0;
    for (i, at) in (0..header).step_by(5).enumerate() {
        let mut bytes = bytes.clone();
        bytes[at] = b"0917,]\"x"[i % 8];
        let Ok(contents) = safetensors::from_bytes(&bytes) else { continue };
        read += 1;
        let Ok(format) = detect(&shapes(&contents.tensors)) else { continue };
        drop(infer_config(format, &shapes(&contents.tensors), &Overrides::default()));
        drop(to_internal(format, &case.config, &contents.tensors, Missing::Refused));
    }
    assert!(read > 50, "only {read} were readable at all");

    // Sizes whose product overflows, hidden behind a zero.
    for (name, shape) in [
        ("decoder_pos_emb.weight", vec![0, 1 << 40, 1 << 40]),
        ("encoder.transformer.layers.0.0.fn.to_qkv.weight", vec![1 << 63, 0]),
        ("encoder.pos_embedding", vec![0, usize::MAX, usize::MAX]),
    ] {
        let mut tensors = case.part("param.");
        tensors.insert(name.into(), HostTensor { shape, data: vec![] });
        drop(infer_config(Format::VitPytorchOld, &shapes(&tensors), &Overrides::default()));
        let misfit = to_internal(Format::VitPytorchOld, &case.config, &tensors, Missing::Refused);
        assert!(misfit.unwrap_err().to_string().contains(name));
    }
}

/// `tests/fixtures/pth/torch.pth` was made with PyTorch 2.15:
///
/// ```python
/// base = torch.arange(6, dtype=torch.float32)
/// state = OrderedDict(
///     f32=base.reshape(2, 3), transposed=base.reshape(2, 3).t(), tail=base[4:],
///     f16=base.half() / 4, bf16=base.bfloat16() / 4, i64=torch.tensor([-1, 1 << 20]),
///     scalar=torch.tensor(2.5, dtype=torch.float64), parameter=torch.nn.Parameter(base[:2] + 0.5),
/// )
/// args = argparse.Namespace(lr=1e-3, input_size=224, output_dir="x")
/// torch.save({"model": state, "epoch": 7, "args": args, "optimizer": {"state": {0: base}}}, path)
/// ```
#[test]
fn a_file_of_torch_save_is_read() {
    let tensors = pth::read(fixtures().join("pth/torch.pth")).unwrap();
    let quarters = vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.25];
    let expected = TensorMap::from(
        [
            ("f32", vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ("transposed", vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            ("tail", vec![2], vec![4.0, 5.0]),
            ("f16", vec![6], quarters.clone()),
            ("bf16", vec![6], quarters),
            ("i64", vec![2], vec![-1.0, 1_048_576.0]),
            ("scalar", vec![], vec![2.5]),
            ("parameter", vec![2], vec![0.5, 1.5]),
        ]
        .map(|(name, shape, data)| (name.to_owned(), HostTensor::new(shape, data))),
    );
    assert_eq!(tensors, expected);
}
