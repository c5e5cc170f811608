//! Long attacks on what reads files, run by hand: see README.md here.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use image::ImageFormat;
use webmae::data::decode::{DecodeOptions, decode_file};
use webmae::data::{SourceOptions, open as open_pictures};
use webmae::files::pth;
use webmae::philox::Rng;
use webmae::program::Device;
use webmae::tensor::TensorMap;
use webmae::train::checkpoints;
use webmae::train::recipe::{Length, Recipe};
use webmae::train::run::{Start, train};
use webmae::weights::{Overrides, open};
use webmae::{ModelConfig, StackConfig};

/// Longest that a file of a few kilobytes may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that is good, and what reads it.
struct Seed {
    name: &'static str,
    bytes: Vec<u8>,
    read: fn(&Path) -> bool,
}

fn reads_weights(path: &Path) -> bool {
    open(
        path,
        &Overrides { encoder_heads: Some(2), decoder_heads: Some(2), ..Overrides::default() },
    )
    .is_ok()
}

fn reads_torch(path: &Path) -> bool {
    pth::read(path).is_ok()
}

fn reads_checkpoint(path: &Path) -> bool {
    checkpoints::read(path).is_ok()
}

fn reads_picture(path: &Path) -> bool {
    let options = DecodeOptions { channels: 3, apply_exif: true, max_pixels: 1 << 26 };
    decode_file(path, &options).is_ok()
}

fn reads_cifar(path: &Path) -> bool {
    let model = ModelConfig::preset("tiny").expect("a preset");
    let options = SourceOptions::for_model(&model, None, &[]);
    let opened = open_pictures(path.to_str().expect("UTF-8"), &options);
    opened.is_ok_and(|source| source.decode(0).is_ok())
}

/// A checkpoint of a very small model after two steps.
fn checkpoint(folder: &Path) -> Vec<u8> {
    let mut model = ModelConfig::preset("tiny").expect("a preset");
    model.image_size = [8, 8];
    model.encoder = StackConfig::new(8, 1, 2);
    model.decoder = StackConfig::new(8, 1, 2);
    let mut recipe = Recipe::pretrain(model, "synthetic");
    recipe.data.synthetic_len = 8;
    recipe.batch_size = 2;
    recipe.length = Length::Steps(2);
    let device = Device::from(webmae::cpu::Cpu::default());
    let start = Start::New(folder.join("run"), TensorMap::new());
    let outcome = train(&device, &recipe, start, &AtomicBool::new(false), &mut |_| ());
    fs::read(outcome.expect("a run").checkpoint).expect("a checkpoint")
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixel = |x: u32, y: u32| image::Rgb([(7 * x) as u8, (11 * y) as u8, (x * y) as u8]);
    let picture = image::RgbImage::from_fn(24, 18, pixel);
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), format).expect("a picture");
    bytes
}

fn seeds(folder: &Path) -> Vec<Seed> {
    let saved = checkpoint(folder);
    let torch = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pth/torch.pth");
    let mut cifar = vec![3; 2 * 3073];
    cifar[3073] = 9;
    let mut seeds = vec![
        Seed { name: "weights.safetensors", bytes: saved.clone(), read: reads_weights },
        Seed { name: "checkpoint.safetensors", bytes: saved, read: reads_checkpoint },
        Seed { name: "torch.pth", bytes: fs::read(torch).expect("the fixture"), read: reads_torch },
        Seed { name: "data_batch_1.bin", bytes: cifar, read: reads_cifar },
    ];
    for (name, format) in [
        ("picture.png", ImageFormat::Png),
        ("picture.jpg", ImageFormat::Jpeg),
        ("picture.gif", ImageFormat::Gif),
        ("picture.webp", ImageFormat::WebP),
        ("picture.bmp", ImageFormat::Bmp),
    ] {
        seeds.push(Seed { name, bytes: picture(format), read: reads_picture });
    }
    seeds
}

/// Changes some bytes: single bits, whole numbers that are often wrong, parts that are missing or twice there.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        // The header is where the structure is.
        let reach = if rng.below(2) == 0 { bytes.len().min(600) } else { bytes.len() };
        let at = rng.below(reach as u32) as usize;
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next_u32() as u8,
            2 => {
                let number = [0, 1, 0x7f, 0xff, 0x8000_0000, u32::MAX][rng.below(6) as usize];
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            3 => bytes.truncate(at.max(1)),
            4 => {
                let end = bytes.len().min(at + 1 + rng.below(64) as usize);
                bytes.drain(at..end);
                bytes.push(0);
            }
            _ => {
                let end = bytes.len().min(at + 1 + rng.below(64) as usize);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

#[test]
#[ignore = "a campaign: it runs for FUZZ_SECONDS"]
fn changed_files_are_read_or_refused() {
    let seconds = std::env::var("FUZZ_SECONDS").map_or(60, |text| text.parse().expect("seconds"));
    let folder = tempfile::tempdir().expect("a folder");
    let seeds = seeds(folder.path());
    for seed in &seeds {
        let path = written(folder.path(), seed, &seed.bytes);
        assert!((seed.read)(&path), "{} is good as it is", seed.name);
    }
    std::panic::set_hook(Box::new(|_| ()));
    let (mut inputs, mut read) = (0_u64, 0_u64);
    let mut faults = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let mut rng = Rng::new(inputs, [0xF022, 0, 0]);
        let seed = &seeds[rng.below(seeds.len() as u32) as usize];
        let mut bytes = seed.bytes.clone();
        mutate(&mut bytes, &mut rng);
        let path = written(folder.path(), seed, &bytes);
        let since = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| (seed.read)(&path))) {
            Ok(good) => read += u64::from(good),
            Err(_) => faults.push(format!("{} number {inputs}: a panic", seed.name)),
        }
        if since.elapsed() > PATIENCE {
            faults.push(format!("{} number {inputs}: {:?}", seed.name, since.elapsed()));
        }
        inputs += 1;
    }
    let _ = std::panic::take_hook();
    println!("{inputs} changed files of {} kinds: {read} read, the rest refused", seeds.len());
    assert!(faults.is_empty(), "{faults:#?}");
}

fn written(folder: &Path, seed: &Seed, bytes: &[u8]) -> PathBuf {
    let path = folder.join(seed.name);
    fs::write(&path, bytes).expect("a file");
    path
}
