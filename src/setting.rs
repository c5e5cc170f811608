//! What a user can set, by one name for each: an error says which setting is at fault, and whoever shows the
//! error says it as its users know it, an option of the command line or of the package.

use std::fmt;

/// Declares [`Setting`] from one line a setting.
macro_rules! settings {
    ($($(#[$doc:meta])+ $setting:ident = $name:literal,)+) => {
        /// Something that a user can set and that an error may name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Setting {
            $($(#[$doc])+ $setting,)+
        }

        impl Setting {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$setting),+];

            /// The name of its field in this library; with a dot, a field of a field.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$setting => $name,)+
                }
            }
        }
    };
}

settings! {
    /// What runs: a GPU or the processor.
    Device = "device",
    /// The GPU, or the software driver, by its name.
    Adapter = "adapter",
    /// The sizes to begin with, see [`crate::ModelConfig::preset`].
    Preset = "preset",
    /// The published form, see [`crate::Variant`].
    Variant = "variant",
    /// Image height and width in pixels.
    ImageSize = "image_size",
    /// Patch height and width in pixels.
    PatchSize = "patch_size",
    /// Channels of the image.
    Channels = "channels",
    /// Width of the encoder's tokens.
    EncoderDim = "encoder.dim",
    /// The encoder's blocks.
    EncoderDepth = "encoder.depth",
    /// The encoder's attention heads.
    EncoderHeads = "encoder.heads",
    /// Width of one of its heads.
    EncoderDimHead = "encoder.dim_head",
    /// Hidden width of its MLPs.
    EncoderMlpDim = "encoder.mlp_dim",
    /// Width of the decoder's tokens.
    DecoderDim = "decoder.dim",
    /// The decoder's blocks.
    DecoderDepth = "decoder.depth",
    /// The decoder's attention heads.
    DecoderHeads = "decoder.heads",
    /// Width of one of its heads.
    DecoderDimHead = "decoder.dim_head",
    /// Hidden width of its MLPs.
    DecoderMlpDim = "decoder.mlp_dim",
    /// Share of patches that are hidden.
    MaskRatio = "mask_ratio",
    /// What is predicted for a hidden patch.
    Target = "target",
    /// Principal components to predict.
    TargetComponents = "target.components",
    /// Number of different tokens to predict.
    TargetVocabulary = "target.vocabulary",
    /// Whether pixels to predict are normalised by patch.
    NormPixLoss = "norm_pix_loss",
    /// Whether mask tokens go through the encoder as well.
    EncoderMaskTokens = "encoder_mask_tokens",
    /// The position embeddings of encoder and decoder.
    Positions = "positions",
    /// Share of values that are dropped in the encoder's blocks.
    Dropout = "dropout",
    /// Share of values that are dropped behind the position embedding.
    EmbDropout = "emb_dropout",
    /// The pictures.
    Data = "data",
    /// The held-out pictures.
    HeldOut = "held_out",
    /// Held-out pictures that are measured, at most.
    HeldOutImages = "held_out_images",
    /// The labelled pictures of a probe beside pre-training.
    ProbeData = "probe.data",
    /// Pictures per step of that probe.
    ProbeBatchSize = "probe.batch_size",
    /// Base learning rate of that probe.
    ProbeBlr = "probe.blr",
    /// Patterns of folders and files to leave out.
    Exclude = "exclude",
    /// The file of every picture's tokens.
    Tokens = "tokens",
    /// Whether an unreadable picture ends the run.
    Strict = "strict",
    /// Threads that prepare batches.
    Threads = "threads",
    /// Mean of each channel.
    Mean = "mean",
    /// Standard deviation of each channel.
    Std = "std",
    /// The part of a picture that is shown.
    Crop = "crop",
    /// Share of the area that random crops show.
    CropScale = "crop_scale",
    /// Whether pictures are mirrored at random.
    Flip = "flip",
    /// Whether, and how much, colours vary.
    Jitter = "jitter",
    /// RandAugment's numbers.
    RandAugment = "rand_augment",
    /// Random erasing's numbers.
    Erasing = "erasing",
    /// Beta parameter of MixUp.
    Mixup = "mixup",
    /// Beta parameter of CutMix.
    Cutmix = "cutmix",
    /// Share of each target that is spread over all classes.
    Smoothing = "smoothing",
    /// How tokens become one feature.
    Pool = "pool",
    /// The part of the encoder that is trained with labels.
    Trainable = "trainable",
    /// Share of samples for which the last block's branches are dropped.
    DropPath = "drop_path",
    /// Images per batch.
    BatchSize = "batch_size",
    /// Batches per optimiser step.
    GradAccum = "grad_accum",
    /// Length of the run.
    Length = "length",
    /// Length of the warm-up.
    Warmup = "warmup",
    /// Base learning rate.
    Blr = "blr",
    /// Learning rate.
    Lr = "lr",
    /// Learning rate in the end.
    MinLr = "min_lr",
    /// Factor on the learning rate from each block to the one before it.
    LayerDecay = "layer_decay",
    /// Decay of matrices.
    WeightDecay = "weight_decay",
    /// Decay of AdamW's first moment.
    Beta1 = "beta1",
    /// Decay of AdamW's second moment.
    Beta2 = "beta2",
    /// Largest norm of the gradient.
    ClipNorm = "clip_norm",
    /// Decay of the moving average of the weights, if one is kept.
    Ema = "ema",
    /// How weights and activations are kept in the computation.
    Precision = "precision",
    /// Whether the inside of blocks is computed again for the backward pass.
    Recompute = "recompute",
    /// Epochs between held-out losses.
    EvalEvery = "eval_every",
    /// Epochs between pictures.
    PicturesEvery = "pictures_every",
    /// Epochs between checkpoints.
    CheckpointEvery = "checkpoint_every",
    /// Newest checkpoints that are kept.
    KeepCheckpoints = "keep_checkpoints",
    /// The folder of a new run.
    Out = "out",
    /// The folder of a run to go on with.
    Resume = "resume",
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a kind of user knows the settings.
pub trait Wording {
    /// The name of a setting.
    fn name(&self, setting: Setting) -> String;

    /// A setting that is switched off.
    fn off(&self, setting: Setting) -> String {
        format!("no {}", self.name(setting))
    }
}

/// The names of this library's fields: how an error's `Display` says it.
#[derive(Debug, Clone, Copy)]
pub struct FieldNames;

impl Wording for FieldNames {
    fn name(&self, setting: Setting) -> String {
        setting.to_string()
    }
}

/// The settings of one transformer stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackSettings {
    pub dim: Setting,
    pub depth: Setting,
    pub heads: Setting,
    pub dim_head: Setting,
    pub mlp_dim: Setting,
}

impl StackSettings {
    pub const ENCODER: Self = Self {
        dim: Setting::EncoderDim,
        depth: Setting::EncoderDepth,
        heads: Setting::EncoderHeads,
        dim_head: Setting::EncoderDimHead,
        mlp_dim: Setting::EncoderMlpDim,
    };
    pub const DECODER: Self = Self {
        dim: Setting::DecoderDim,
        depth: Setting::DecoderDepth,
        heads: Setting::DecoderHeads,
        dim_head: Setting::DecoderDimHead,
        mlp_dim: Setting::DecoderMlpDim,
    };
}
