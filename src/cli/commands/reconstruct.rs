//! `webmae reconstruct`: what a model makes of pictures.

use std::path::{Path, PathBuf};

use pollster::block_on;

use crate::cli::args::weights::OverrideArgs;
use crate::cli::open::open_device;
use crate::cli::output::check_file;
use crate::config::{MaskStrategy, ModelConfig};
use crate::data::decode::{DecodeOptions, decode_file, little_range};
use crate::data::{Augment, Normalization};
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::model::objective::MaskSource;
use crate::model::params::mae_params;
use crate::model::reconstruct::{Reconstructor, with_mask};
use crate::model::store::ParamStore;
use crate::ops::optimizer::Scalars;
use crate::program::DeviceOptions;
use crate::report::Picture;
use crate::report::grid::{RECONSTRUCTION_CAPTIONS, draw, reconstruction_row};
use crate::report::masked_picture::MaskedPicture;
use crate::report::views::View;
use crate::weights::FileKind;

/// Images that go through the network at a time.
const BATCH: usize = 8;

/// Options of `webmae reconstruct`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pictures are cropped in the centre to the model's size. Models trained with norm-pix targets predict
each patch up to its brightness and contrast; three views make pixels of that:
  visible  with statistics of the nearest visible patches: nothing hidden is used (default)
  true     with the hidden patch's own statistics: uses the answer
  raw      as predicted

Visible patches are shown as they are. Beside each reconstruction is what harmonic filling makes of the visible
pixels, which learns nothing; both are measured in dB (PSNR) on hidden pixels alone.

Examples:
  webmae reconstruct --weights runs/pretrain-1 cat.jpg dog.jpg --out grid.png
  webmae reconstruct --weights vit-mae-base/ cat.jpg --mask-ratio 0.9 --seed 3
  webmae reconstruct --weights runs/pretrain-1 cat.jpg --mask mask.txt --view all")]
pub(crate) struct Args {
    /// Pictures: JPEG, PNG, WebP, BMP, GIF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Run folder, checkpoint, weights file (.safetensors, .pth, .pt, .ckpt, .bin) or Hugging Face folder
    #[arg(long, value_name = "PATH")]
    weights: PathBuf,
    /// Picture to write: .png, .jpg, .webp or .bmp
    #[arg(long, value_name = "FILE", default_value = "reconstruction.png")]
    out: PathBuf,
    /// How norm-pix predictions become pixels
    #[arg(long, value_name = "VIEW")]
    view: Option<ViewArg>,
    /// Share of patches to hide, in [0, 1) [default: as trained]
    #[arg(long, value_name = "RATIO", help_heading = "Masks", allow_negative_numbers = true)]
    mask_ratio: Option<f64>,
    /// How hidden patches are chosen [default: as trained]
    #[arg(long, help_heading = "Masks")]
    mask_strategy: Option<MaskStrategy>,
    /// Seed of the masks
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Masks")]
    seed: u64,
    /// Your own mask for every picture: rows of 0 (visible) and 1 (hidden), one digit a patch, as
    /// a text file or as they are, e.g. 0011/0110/1100/1000
    #[arg(long, value_name = "FILE|ROWS", help_heading = "Masks")]
    #[arg(conflicts_with_all = ["mask_ratio", "mask_strategy", "seed"])]
    mask: Option<String>,
    #[command(flatten)]
    overrides: OverrideArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ViewArg {
    Visible,
    True,
    Raw,
    All,
}

impl ViewArg {
    fn views(self) -> &'static [View] {
        match self {
            Self::Visible => &[View::VisibleStatistics],
            Self::True => &[View::TrueStatistics],
            Self::Raw => &[View::Raw],
            Self::All => &View::ALL,
        }
    }
}

/// Draws the picture and prints of each image its loss and how close it is on hidden pixels.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    Picture::check_ending(&args.out)?;
    check_file(&args.out)?;
    let (weights, normalization, whose) =
        args.overrides.open_for(&args.weights, FileKind::Mae, false)?;
    let (config, noise) = args.masked(&weights.config)?;
    let views = args.views(&config)?;
    let images = load(&args.images, &config, &normalization)?;

    let device = open_device(options)?;
    let store = ParamStore::holding(&device, mae_params(&config), &weights.tensors)?;
    let batch = args.images.len().min(BATCH);
    let source = if noise.is_some() { MaskSource::Given } else { MaskSource::Generated };
    let reconstructor = Reconstructor::new(&device, &config, batch, &store, source)?;
    say!("{} on {}, pixels normalised with {whose}", weights.file.display(), device.summary().name);

    let mut rows = Vec::new();
    for (i, (paths, images)) in
        args.images.chunks(batch).zip(images.chunks(batch * config.image_len())).enumerate()
    {
        let first = (i * batch) as u32;
        let ids: Vec<u32> = (first..first + paths.len() as u32).collect();
        let noise = noise.as_ref().map_or(Vec::new(), |noise| noise.repeat(paths.len()));
        let results =
            block_on(reconstructor.run(images, Scalars::seeded(args.seed), &ids, &noise))?;
        let each = images.chunks_exact(config.image_len()).zip(&results);
        for (path, (image, result)) in paths.iter().zip(each) {
            result.require_meaningful().map_err(|e| e.in_file(&weights.file))?;
            let Normalization { mean, std } = &normalization;
            let geometry = Geometry::from(&config);
            let picture = MaskedPicture::new(geometry, image, &result.mask, mean, std)?;
            let shown = |&view: &View| picture.reconstruction(view, &result.predicted);
            let shown = views.iter().map(shown).collect::<Result<Vec<_>>>()?;
            say!(
                "{}: loss {:.4}, {} of {} patches hidden{}",
                path.display(),
                result.loss,
                config.num_masked(),
                config.num_patches(),
                fidelity(&picture, &names(&config, views), &shown)
            );
            rows.push(reconstruction_row(&picture, &shown)?);
        }
    }
    let [original, masked, harmonic, _] = RECONSTRUCTION_CAPTIONS;
    let captions = [&[original, masked, harmonic], &names(&config, views)[..]].concat();
    draw(&captions, &rows)?.write(&args.out)?;
    say!("picture: {}", args.out.display());
    Ok(())
}

impl Args {
    /// The model with the masks that are asked for, and the noise of a given mask.
    fn masked(&self, trained: &ModelConfig) -> Result<(ModelConfig, Option<Vec<f32>>)> {
        if let Some(mask) = &self.mask {
            let (config, noise) = with_mask(trained, &read_mask(mask, trained)?)?;
            return Ok((config, Some(noise)));
        }
        let mut config = trained.clone();
        config.mask_ratio = self.mask_ratio.unwrap_or(config.mask_ratio);
        config.mask_strategy = self.mask_strategy.unwrap_or(config.mask_strategy);
        config.validate()?;
        Ok((config, None))
    }

    fn views(&self, config: &ModelConfig) -> Result<&'static [View]> {
        match (self.view, config.norm_pix_loss) {
            (None | Some(ViewArg::Raw), false) => Ok(&[View::Raw]),
            (Some(ViewArg::All), false) => {
                say!("--view all: this model predicts pixels themselves, so raw is all there is");
                Ok(&[View::Raw])
            }
            (Some(ViewArg::Visible | ViewArg::True), false) => {
                let problem = "this model predicts pixels, which need no statistics; leave it out \
                               (or give --norm-pix-loss if it was trained so)";
                Err(Error::argument("--view", problem))
            }
            (view, true) => Ok(view.unwrap_or(ViewArg::Visible).views()),
        }
    }
}

/// Parses a mask, from a file if there is one of that name.
fn read_mask(given: &str, config: &ModelConfig) -> Result<Vec<bool>> {
    let path = Path::new(given);
    let text = if path.is_file() {
        std::fs::read_to_string(path).map_err(Error::io(path))?
    } else {
        given.to_owned()
    };
    let [rows, columns] = config.grid();
    let expected = format!("{rows} rows of {columns} digits, 0 visible and 1 hidden");
    let is_separator = |c: char| c.is_whitespace() || ",;/|".contains(c);
    let mut mask = Vec::new();
    for c in text.chars().filter(|&c| !is_separator(c)) {
        match c {
            '0' => mask.push(false),
            '1' => mask.push(true),
            other => {
                let problem = format!(
                    "{given:?} is no file, and {other:?} no digit of a mask; {expected} are needed"
                );
                return Err(Error::argument("--mask", problem));
            }
        }
    }
    if mask.len() != rows * columns {
        let problem = format!("has {} digits; {expected} are needed", mask.len());
        return Err(Error::argument("--mask", problem));
    }
    Ok(mask)
}

/// Pictures as normalised pixels, one after the other.
fn load(
    paths: &[PathBuf],
    config: &ModelConfig,
    normalization: &Normalization,
) -> Result<Vec<f32>> {
    let options = DecodeOptions { channels: config.channels, ..DecodeOptions::default() };
    let mut images = Vec::with_capacity(paths.len() * config.image_len());
    for path in paths {
        let picture = decode_file(path, &options)?;
        little_range(path, &options).iter().for_each(|line| say!("{line}"));
        images.extend(normalization.still(&picture, &Augment::center(), config.image_size)?);
    }
    Ok(images)
}

/// Names of reconstructions; where there is a choice of views, each says which one it is.
fn names(config: &ModelConfig, views: &[View]) -> Vec<&'static str> {
    let [.., reconstruction] = RECONSTRUCTION_CAPTIONS;
    let name = |view: &View| if config.norm_pix_loss { view.name() } else { reconstruction };
    views.iter().map(name).collect()
}

/// How close each reconstruction is to the hidden pixels, and what needs no model; nothing if none are hidden.
fn fidelity(picture: &MaskedPicture<'_>, names: &[&str], shown: &[Vec<f32>]) -> String {
    let mean_color = picture.mean_color();
    let models = names.iter().copied().zip(shown.iter().map(Vec::as_slice));
    let baselines = [("harmonic filling", picture.harmonic()), ("mean colour", &mean_color)];
    let decibels = |(name, image): (&str, &[f32])| {
        picture.error(image).psnr().map(|psnr| format!("{name} {psnr:.2} dB"))
    };
    let all: Option<Vec<String>> = models.chain(baselines).map(decibels).collect();
    all.map_or(String::new(), |all| format!("; {}", all.join(", ")))
}
