//! What a run does by default, one constructor a recipe. The command line and the browser only change what these
//! give.
//!
//! The numbers are those of the paper (He et al. 2021, appendix A) and of FAIR's `main_pretrain.py`,
//! `main_finetune.py` and `main_linprobe.py`, for one small card: batches of 64 instead of thousands, which the
//! learning rate follows ([`Recipe::blr`]), 100 epochs of pre-training instead of 800, and a tenth of a run for
//! warm-up where its length is not the paper's. Augmentations have their numbers with them: [`Augment`],
//! [`RandAugment`], [`RandomErasing`], [`Mix`].

#[cfg(feature = "labels")]
use super::recipe::{Classify, ProbeRecipe};
use super::recipe::{DataRecipe, Length, NormalizationChoice, Recipe};
use crate::config::ModelConfig;
#[cfg(feature = "labels")]
use crate::config::Positions;
use crate::data::Augment;
#[cfg(feature = "labels")]
use crate::data::augment::erasing::RandomErasing;
#[cfg(feature = "labels")]
use crate::data::augment::mix::Mix;
#[cfg(feature = "labels")]
use crate::data::augment::rand_augment::RandAugment;
use crate::data::augment::transform::Crop;
use crate::data::sources::synthetic::{SYNTHETIC_LEN, is_synthetic};
use crate::kernels::Precision;
#[cfg(feature = "labels")]
use crate::model::classifier::{Head, Pool, Trainable};
use crate::ops::optimizer::{AdamW, Lars, Optimizer};

/// AdamW of pre-training (Table 8).
pub const PRETRAIN_ADAMW: AdamW =
    AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.05, clip_norm: 0.0, ema: None };
/// AdamW of fine-tuning (Table 9).
pub const FINETUNE_ADAMW: AdamW = AdamW { beta2: 0.999, ..PRETRAIN_ADAMW };
/// AdamW of training from random values, with the moving average of the weights (Table 11).
pub const SCRATCH_ADAMW: AdamW = AdamW { weight_decay: 0.3, ema: Some(0.9999), ..PRETRAIN_ADAMW };
/// LARS of linear probing (Table 10), with the trust coefficient of `util/lars.py`.
pub const PROBE_LARS: Lars = Lars { momentum: 0.9, weight_decay: 0.0, trust: 0.001 };

/// Pictures of ImageNet-1k, for which the paper's learning rates are.
pub const IMAGENET_IMAGES: usize = 1_281_167;

/// Held-out pictures that an online probe is measured on, at most.
#[cfg(feature = "labels")]
const MAX_PROBED_IMAGES: usize = 1000;
/// More pictures than a data set can have; fits where numbers have 32 bits, too.
const EVERY_PICTURE: usize = u32::MAX as usize;

impl Recipe {
    /// Masked pre-training of `model` on `data`, see [`crate::data::open`] (Table 8). The base learning rate is the
    /// paper's 1.5e-4 for a ViT-B and wider; narrower encoders, which see small pictures and little data, take
    /// more.
    ///
    /// On drawn pictures (`synthetic`) it is a first look of 2200 steps: a minute or two on two cores.
    pub fn pretrain(model: ModelConfig, data: &str) -> Self {
        if !is_synthetic(data) {
            return Self::masked(model, data, Length::Epochs(100.0));
        }
        let look = Self::small_batches(model, data, Length::Steps(2200));
        // Of drawn pictures there are as many as are needed, and no two pictures' parts are alike.
        let augment = Augment { crop: Crop::None, ..look.data.augment };
        Self {
            data: DataRecipe { augment, ..look.data },
            eval_every: 0.1,
            pictures_every: 0.1,
            checkpoint_every: 0.1,
            ..look
        }
    }

    /// Pre-training where minutes count and pictures are few, as in a browser's tab: 1000 steps.
    pub fn first_look(model: ModelConfig, data: &str) -> Self {
        Self::small_batches(model, data, Length::Steps(1000))
    }
}

#[cfg(feature = "labels")]
impl Recipe {
    /// Training of a pre-trained encoder and a new head on it, with labels (Table 9). `data` has the classes
    /// `class_names`.
    ///
    /// The base learning rate is 5e-4, as `FINETUNE.md` of facebookresearch/mae has it for ViT-B; for ViT-L and
    /// ViT-H it has 1e-3.
    pub fn finetune(model: ModelConfig, data: &str, class_names: Vec<String>) -> Self {
        let classify = Classify {
            layer_decay: by_depth(&model, [0.65, 0.75, 0.75]),
            drop_path: by_depth(&model, [0.1, 0.2, 0.3]),
            ..Classify::regularised(class_names)
        };
        let length = Length::Epochs(by_depth(&model, [100.0, 50.0, 50.0]));
        Self {
            blr: 5e-4,
            optimizer: Optimizer::AdamW(FINETUNE_ADAMW),
            ..Self::with_labels(model, data, length, classify)
        }
    }

    /// [`Self::finetune`] of a part of the encoder (section 4.3).
    pub fn partial(
        model: ModelConfig,
        data: &str,
        class_names: Vec<String>,
        trainable: Trainable,
    ) -> Self {
        let whole = Self::finetune(model, data, class_names);
        let classify = whole.classify.map(|classify| Classify { trainable, ..classify });
        Self { classify, ..whole }
    }

    /// Training of the same classifier from random values, the supervised baseline (Table 11): without random
    /// erasing, which fine-tuning has; with the moving average of the weights, and the paper's length and warm-up.
    /// Positions are trained, unless the model names sin-cos ones.
    pub fn train_from_scratch(model: ModelConfig, data: &str, class_names: Vec<String>) -> Self {
        let classify = Classify {
            learned_positions: model.positions != Some(Positions::Sincos),
            drop_path: by_depth(&model, [0.1, 0.2, 0.2]),
            ..Classify::regularised(class_names)
        };
        let length = Length::Epochs(by_depth(&model, [300.0, 200.0, 200.0]));
        let labelled = Self::with_labels(model, data, length, classify);
        let augment = Augment { erasing: None, ..labelled.data.augment };
        Self {
            warmup: Length::Epochs(20.0),
            data: DataRecipe { augment, ..labelled.data },
            blr: 1e-4,
            optimizer: Optimizer::AdamW(SCRATCH_ADAMW),
            ..labelled
        }
    }

    /// [`Self::train_from_scratch`] with crops and flips only, and length and AdamW as in fine-tuning: what one would
    /// try first.
    pub fn train_plainly(model: ModelConfig, data: &str, class_names: Vec<String>) -> Self {
        let length = Length::Epochs(100.0);
        Self {
            length,
            warmup: length.warmup(),
            blr: 5e-4,
            optimizer: Optimizer::AdamW(FINETUNE_ADAMW),
            ..Self::train_from_scratch(model, data, class_names).crops_and_flips_only()
        }
    }

    /// A linear layer on frozen features (Table 10), with `images` pictures for training, by which its rate goes
    /// ([`probe_blr`]); batches of 256 instead of 16384.
    pub fn linprobe(
        model: ModelConfig,
        data: &str,
        class_names: Vec<String>,
        images: usize,
    ) -> Self {
        let classify = Classify { class_names, ..Classify::probe(Pool::usual(&model)) };
        let probe = Self::with_labels(model, data, Length::Epochs(90.0), classify);
        Self {
            data: DataRecipe { augment: Augment::classify(), ..probe.data },
            batch_size: 256,
            blr: probe_blr(images),
            optimizer: Optimizer::Lars(PROBE_LARS),
            ..probe
        }
    }

    /// The same without what regularises training with labels: drop-path, smoothing, mixing, RandAugment, erasing.
    pub fn crops_and_flips_only(mut self) -> Self {
        self.data.augment = Augment { rand_augment: None, erasing: None, ..self.data.augment };
        self.classify = self.classify.map(|classify| Classify {
            drop_path: 0.0,
            smoothing: 0.0,
            mix: Mix { mixup: 0.0, cutmix: 0.0, ..classify.mix },
            ..classify
        });
        self
    }

    /// The recipe of a probe beside this run: the same model and seed, its own pictures and rate, in f32.
    pub fn probe_recipe(&self, probe: &ProbeRecipe) -> Self {
        Self {
            data: DataRecipe {
                data: probe.data.clone(),
                held_out: None,
                class_prefix: probe.class_prefix.clone(),
                augment: Augment::classify(),
                held_out_images: MAX_PROBED_IMAGES,
                tokens: None,
                ..self.data.clone()
            },
            batch_size: probe.batch_size,
            grad_accum: 1,
            blr: probe.blr,
            lr: None,
            precision: Precision::F32,
            optimizer: Optimizer::Lars(PROBE_LARS),
            classify: Some(Classify {
                class_names: probe.class_names.clone(),
                ..Classify::probe(probe.pool)
            }),
            probe: None,
            ..self.clone()
        }
    }
}

impl Recipe {
    /// Makes it `length` long, a tenth of that for warm-up; its own length keeps its own warm-up.
    pub fn set_length(&mut self, length: Length) {
        if length != self.length {
            (self.length, self.warmup) = (length, length.warmup());
        }
    }

    /// Small batches make many updates in little time, which a first look needs.
    fn small_batches(model: ModelConfig, data: &str, length: Length) -> Self {
        Self { batch_size: 16, lr: Some(1.5e-3), ..Self::masked(model, data, length) }
    }

    fn masked(model: ModelConfig, data: &str, length: Length) -> Self {
        let data = DataRecipe {
            held_out_images: 256,
            pictures: 8,
            ..DataRecipe::new(&model, data, Augment::pretrain())
        };
        Self { pictures_every: 5.0, ..Self::new(model, data, length) }
    }

    #[cfg(feature = "labels")]
    fn with_labels(model: ModelConfig, data: &str, length: Length, classify: Classify) -> Self {
        let augment = Augment {
            rand_augment: Some(RandAugment::paper()),
            erasing: Some(RandomErasing::paper()),
            ..Augment::classify()
        };
        let data = DataRecipe::new(&model, data, augment);
        Self { classify: Some(classify), ..Self::new(model, data, length) }
    }

    /// What recipes have in common.
    fn new(model: ModelConfig, data: DataRecipe, length: Length) -> Self {
        Self {
            batch_size: 64,
            grad_accum: 1,
            length,
            warmup: length.warmup(),
            blr: pretrain_blr(&model),
            lr: None,
            min_lr: 0.0,
            recompute: false,
            precision: Precision::F32,
            optimizer: Optimizer::AdamW(PRETRAIN_ADAMW),
            seed: 0,
            eval_every: 1.0,
            pictures_every: 0.0,
            checkpoint_every: 1.0,
            keep_checkpoints: 2,
            classify: None,
            probe: None,
            model,
            data,
        }
    }
}

impl Length {
    /// The warm-up of a run of this length: a tenth.
    fn warmup(self) -> Self {
        match self {
            Self::Epochs(epochs) => Self::Epochs(epochs / 10.0),
            Self::Steps(steps) => Self::Steps(steps / 10),
        }
    }
}

impl NormalizationChoice {
    /// What suits pictures of `channels` channels of which nothing else is known.
    pub fn usual(channels: usize) -> Self {
        if channels == 3 { Self::Imagenet } else { Self::Measured }
    }
}

impl DataRecipe {
    /// Pictures of `data` for `model`, all held-out ones measured, none drawn.
    fn new(model: &ModelConfig, data: &str, augment: Augment) -> Self {
        Self {
            data: data.to_owned(),
            held_out: None,
            class_prefix: None,
            exclude: Vec::new(),
            apply_exif: true,
            strict: false,
            synthetic_len: SYNTHETIC_LEN,
            augment,
            normalization: NormalizationChoice::usual(model.channels),
            held_out_images: EVERY_PICTURE,
            pictures: 0,
            threads: 0,
            tokens: None,
        }
    }
}

#[cfg(feature = "labels")]
impl Classify {
    /// The whole classifier, trained at one rate, with label smoothing, MixUp and CutMix as in Table 9.
    fn regularised(class_names: Vec<String>) -> Self {
        Self {
            pool: Pool::Mean,
            head: Head::Full,
            class_names,
            trainable: Trainable::All,
            learned_positions: true,
            drop_path: 0.0,
            layer_decay: 1.0,
            smoothing: 0.1,
            mix: Mix::paper(),
            weights: None,
            weights_key: None,
        }
    }

    /// A linear probe of no classes yet.
    pub fn probe(pool: Pool) -> Self {
        Self {
            pool,
            head: Head::Probe,
            class_names: Vec::new(),
            trainable: Trainable::None,
            learned_positions: false,
            drop_path: 0.0,
            layer_decay: 1.0,
            smoothing: 0.0,
            mix: Mix::off(),
            weights: None,
            weights_key: None,
        }
    }
}

#[cfg(feature = "labels")]
impl ProbeRecipe {
    /// A probe beside the pre-training of `recipe`, on the labelled pictures of `data`.
    pub fn new(recipe: &Recipe, data: &str, class_names: Vec<String>) -> Self {
        Self {
            data: data.to_owned(),
            class_prefix: None,
            class_names,
            every: 4,
            batch_size: recipe.batch_size,
            blr: 20.0,
            pool: Pool::usual(&recipe.model),
        }
    }
}

/// By the width of the encoder: of presets those of `tiny`, of `small`, and all others.
fn pretrain_blr(model: &ModelConfig) -> f64 {
    match model.encoder.dim {
        ..=192 => 4e-3,
        193..=384 => 1e-3,
        _ => 1.5e-4,
    }
}

/// The base learning rate of a linear probe on `images` pictures: the paper's 0.1 for ImageNet, such that the sum
/// of the learning rate over all steps stays the same. LARS moves weights by a share of themselves, and few steps
/// would not leave the beginning.
pub fn probe_blr(images: usize) -> f64 {
    (0.1 * IMAGENET_IMAGES as f64 / images as f64).clamp(0.1, 10.0)
}

/// Of the values for ViT-B, ViT-L and ViT-H, that for an encoder as deep as `model`'s.
#[cfg(feature = "labels")]
fn by_depth<T: Copy>(model: &ModelConfig, [base, large, huge]: [T; 3]) -> T {
    match model.encoder.depth {
        ..24 => base,
        24..32 => large,
        _ => huge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> ModelConfig {
        ModelConfig::preset(name).unwrap()
    }

    #[test]
    fn rates_go_by_width_and_by_pictures() {
        let blr = |name| Recipe::pretrain(preset(name), "pictures").blr;
        let rates = ["nano", "tiny", "small", "vit-b", "vit-l", "vit-h", "plain"].map(blr);
        assert_eq!(rates, [4e-3, 4e-3, 1e-3, 1.5e-4, 1.5e-4, 1.5e-4, 1.5e-4]);
        assert_eq!((probe_blr(IMAGENET_IMAGES), probe_blr(600)), (0.1, 10.0));
        assert_eq!(probe_blr(2 * IMAGENET_IMAGES), 0.1);
    }

    #[test]
    fn a_part_differs_from_the_whole_in_what_is_trained() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let whole = Recipe::finetune(preset("vit-b"), "pictures", classes.clone());
        let mut part = Recipe::partial(preset("vit-b"), "pictures", classes, Trainable::Blocks(2));
        let classify = part.classify.as_mut().unwrap();
        assert_eq!(classify.trainable, Trainable::Blocks(2));
        classify.trainable = Trainable::All;
        assert_eq!(part, whole);
    }

    /// Table 11 of the paper.
    #[test]
    fn training_from_scratch_is_the_papers() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        for (name, drop_path, epochs) in
            [("vit-b", 0.1, 300.0), ("vit-l", 0.2, 200.0), ("vit-h", 0.2, 200.0)]
        {
            let recipe = Recipe::train_from_scratch(preset(name), "pictures", classes.clone());
            let classify = recipe.classify.as_ref().unwrap();
            assert_eq!((classify.drop_path, classify.smoothing), (drop_path, 0.1), "{name}");
            assert_eq!((classify.mix.mixup, classify.mix.cutmix), (0.8, 1.0));
            assert_eq!(classify.layer_decay, 1.0);
            let augment = recipe.data.augment;
            let rand_augment = augment.rand_augment.unwrap();
            assert_eq!((rand_augment.magnitude, rand_augment.deviation), (9.0, 0.5));
            assert_eq!((augment.erasing, augment.jitter), (None, None));
            let Optimizer::AdamW(adamw) = recipe.optimizer else { panic!("AdamW") };
            assert_eq!((adamw.beta1, adamw.beta2, adamw.weight_decay), (0.9, 0.95, 0.3));
            assert_eq!(adamw.ema, Some(0.9999));
            assert_eq!((recipe.blr, recipe.min_lr), (1e-4, 0.0));
            let lengths = (Length::Epochs(epochs), Length::Epochs(20.0));
            assert_eq!((recipe.length, recipe.warmup), lengths, "{name}");
            let longer = |length| {
                let mut recipe = recipe.clone();
                recipe.set_length(length);
                recipe.warmup
            };
            assert_eq!(longer(Length::Epochs(epochs)), Length::Epochs(20.0), "{name}, as it is");
            assert_eq!(longer(Length::Epochs(50.0)), Length::Epochs(5.0), "{name}");
        }
    }

    #[test]
    fn training_from_scratch_trains_positions_unless_they_are_to_be_fixed() {
        let trained = |positions| {
            let model = ModelConfig { positions, ..preset("tiny") };
            let classes = vec!["a".to_owned(), "b".to_owned()];
            let recipe = Recipe::train_from_scratch(model.clone(), "pictures", classes);
            let params = recipe.classify.unwrap().config(&model).params();
            params.iter().find(|param| param.name == "pos_embed").unwrap().trainable
        };
        assert!(trained(None) && trained(Some(Positions::Learned)));
        assert!(!trained(Some(Positions::Sincos)));
    }

    #[test]
    fn only_drawn_pictures_have_a_recipe_of_their_own() {
        let length = |data| Recipe::pretrain(preset("tiny"), data).length;
        assert_eq!(["synthetic", "synthetic:500"].map(length), [Length::Steps(2200); 2]);
        assert_eq!(["synthetic-shapes", "pictures"].map(length), [Length::Epochs(100.0); 2]);
    }

    #[test]
    fn a_first_look_takes_small_batches_for_a_thousand_steps() {
        let look = Recipe::first_look(preset("tiny"), "pictures");
        assert_eq!((look.batch_size, look.peak_lr()), (16, 1.5e-3));
        assert_eq!((look.length, look.warmup), (Length::Steps(1000), Length::Steps(100)));
        assert_eq!(look.data.augment, Augment::pretrain());
        look.validate().unwrap();
    }
}
