//! torchvision's evaluation preprocessing: decode, resize, crop, normalise.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use webmae::data::augment::resize::{resize, shorter_side_to};
use webmae::data::augment::transform::center_crop;
use webmae::data::decode::{DecodeOptions, decode_file};
use webmae::data::{Normalization, Pixels};

/// Checks every picture of a case of kind `preprocessing` of the manifest in `dir`: the decoded
/// pixels, the resized ones, and the tensor, with the EXIF orientation ignored and applied.
/// Returns what is wrong.
pub fn run(dir: &Path, case: &Value) -> Vec<String> {
    let mut failures = Vec::new();
    if let Err(problem) = check_case(dir, case, &mut failures) {
        failures.push(format!("preprocessing: {problem}"));
    }
    failures
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Recipe {
    side: usize,
    crop: usize,
    normalization: Normalization,
}

fn check_case(dir: &Path, case: &Value, failures: &mut Vec<String>) -> Outcome<()> {
    let bytes = std::fs::read(dir.join(text(&case["file"])?))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let config = &case["config"];
    let figures = |key: &str| serde_json::from_value::<Vec<f32>>(config[key].clone());
    let recipe = Recipe {
        side: number(&config["resize_shorter_side"])?,
        crop: number(&config["center_crop"])?,
        normalization: Normalization::new(figures("mean")?, figures("std")?)?,
    };
    let images = case["images"].as_array().ok_or("no `images`")?;
    if images.is_empty() {
        return Err("no pictures to check".into());
    }
    for image in images {
        if let Err(problem) = check_image(dir, image, &tensors, &recipe, failures) {
            failures.push(format!("preprocessing {}: {problem}", image["name"]));
        }
    }
    Ok(())
}

fn check_image(
    dir: &Path,
    image: &Value,
    tensors: &SafeTensors,
    recipe: &Recipe,
    failures: &mut Vec<String>,
) -> Outcome<()> {
    let name = text(&image["name"])?;
    let path = dir.join(text(&image["file"])?);
    let coding = coding(&std::fs::read(&path)?);
    let decode = |apply_exif| {
        let options = DecodeOptions { apply_exif, ..DecodeOptions::default() };
        decode_file(&path, &options).map(|picture| picture.eight().expect("8 bits"))
    };
    let reference = picture(tensors, &format!("{name}.decoded_rgb"))?;
    let decoded = decode(false)?;
    failures.extend(compare_decoded(name, coding, &decoded, &reference));

    let mut views = vec![(name.to_owned(), reference, decoded)];
    let turned = format!("{name}.exif_applied");
    if tensors.names().iter().any(|key| key.starts_with(&turned)) {
        let orientation = number(&image["exif_orientation"])?;
        let (_, upright, _) = &views[0];
        let upright = turn(upright, orientation)?;
        let decoded = decode(true)?;
        failures.extend(compare_decoded(&turned, coding, &decoded, &upright));
        views.push((turned, upright, decoded));
    }
    for (view, reference, decoded) in views {
        let resized = picture(tensors, &format!("{view}.resized"))?;
        let tensor = tensors.tensor(&format!("{view}.tensor"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != [3, recipe.crop, recipe.crop] {
            return Err(
                format!("{view}.tensor is {:?} {:?}", tensor.dtype(), tensor.shape()).into()
            );
        }
        let values = tensor.data().as_chunks::<4>().0;
        let expected: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();

        // Each stage from the reference of the one before …
        let (width, height) = shorter_side_to(recipe.side, (reference.width, reference.height));
        let ours = resize(&reference, width, height);
        if (ours.width, ours.height) != (resized.width, resized.height) {
            let (w, h) = (resized.width, resized.height);
            failures.push(format!("{view}.resized: {width}×{height}, expected {w}×{h}"));
            continue;
        }
        let levels = differences(&ours.data, &resized.data).max().unwrap_or(0);
        // The manifest allows 1 level; a copy of PIL's fixed point has none.
        if levels > 0 {
            failures.push(format!("{view}.resized: {levels} levels off"));
        }
        let off = worst(&finish(&resized, recipe), &expected);
        // `f32::max` would lose a NaN.
        if !off.is_some_and(|off| off <= 1e-6) {
            failures.push(format!("{view}.tensor from resized: {off:?} off, at most 1e-6"));
        }
        // … and the whole way from the file, where decoding is exact.
        if coding == Coding::Lossless {
            let off = worst(&finish(&resize(&decoded, width, height), recipe), &expected);
            if !off.is_some_and(|off| off <= 0.0176) {
                failures.push(format!("{view}.tensor from file: {off:?} off, at most 0.0176"));
            }
        }
    }
    Ok(())
}

/// Crops and normalises.
fn finish(resized: &Pixels, recipe: &Recipe) -> Vec<f32> {
    let cropped = center_crop(resized, [recipe.crop; 2]);
    let mut values = vec![0.0; cropped.data.len()];
    recipe.normalization.normalise(&cropped, &mut values);
    values
}

/// What a file's coding does to its pixels.
#[derive(Clone, Copy, PartialEq)]
enum Coding {
    Lossless,
    /// JPEG with all components at full size.
    Jpeg,
    /// JPEG with smaller chroma, which decoders enlarge in different ways.
    JpegSubsampled,
}

/// The coding of a file with these `bytes`: JPEG's segments are walked to the frame header.
fn coding(bytes: &[u8]) -> Coding {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Coding::Lossless;
    }
    let mut rest = &bytes[2..];
    while let [0xFF, marker, high, low, ..] = *rest {
        // Frame headers are C0 to CF but for three other tables.
        if (0xC0..=0xCF).contains(&marker) && ![0xC4, 0xC8, 0xCC].contains(&marker) {
            let mut factors = rest.iter().skip(11).step_by(3).take(usize::from(rest[9]));
            let first = factors.next();
            let equal = factors.all(|factor| Some(factor) == first);
            return if equal { Coding::Jpeg } else { Coding::JpegSubsampled };
        }
        let segment = 2 + usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(segment..).unwrap_or_default();
    }
    Coding::Jpeg
}

/// PNG must be exact; JPEG's cosine transforms may round by 3 levels, and where chroma is
/// subsampled only the mean error is bounded.
fn compare_decoded(
    view: &str,
    coding: Coding,
    ours: &Pixels,
    reference: &Pixels,
) -> Option<String> {
    let size = |picture: &Pixels| (picture.width, picture.height, picture.channels);
    if size(ours) != size(reference) {
        return Some(format!("{view}.decoded: {:?}, expected {:?}", size(ours), size(reference)));
    }
    let levels = differences(&ours.data, &reference.data);
    let most = levels.clone().max().unwrap_or(0);
    let mean = levels.map(f64::from).sum::<f64>() / ours.data.len() as f64;
    let good = match coding {
        Coding::Lossless => most == 0,
        Coding::Jpeg => most <= 3,
        Coding::JpegSubsampled => mean < 1.0,
    };
    (!good).then(|| format!("{view}.decoded: {most} levels off, {mean:.3} in the mean"))
}

fn differences<'a>(a: &'a [u8], b: &'a [u8]) -> impl Iterator<Item = u8> + Clone + 'a {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b))
}

/// Largest difference; none if the numbers of values differ or one is not a number.
fn worst(ours: &[f32], expected: &[f32]) -> Option<f32> {
    let differences = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let fit = ours.len() == expected.len() && differences.clone().all(f32::is_finite);
    fit.then(|| differences.fold(0.0, f32::max))
}

/// `picture` upright, as the EXIF `orientation` says.
fn turn(picture: &Pixels, orientation: usize) -> Outcome<Pixels> {
    if !(1..=8).contains(&orientation) {
        return Err(format!("EXIF orientation {orientation}").into());
    }
    let (w, h) = (picture.width, picture.height);
    let (width, height) = if orientation > 4 { (h, w) } else { (w, h) };
    let source = |x: usize, y: usize| match orientation {
        1 => (x, y),
        2 => (w - 1 - x, y),
        3 => (w - 1 - x, h - 1 - y),
        4 => (x, h - 1 - y),
        5 => (y, x),
        6 => (y, h - 1 - x),
        7 => (w - 1 - y, h - 1 - x),
        _ => (w - 1 - y, x),
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| source(x, y)));
    let data = places.flat_map(|(x, y)| picture.at(x, y)).copied().collect();
    Ok(Pixels::new(width, height, picture.channels, data))
}

/// The u8 tensor `key` of shape [H, W, 3].
fn picture(tensors: &SafeTensors, key: &str) -> Outcome<Pixels> {
    let tensor = tensors.tensor(key)?;
    match *tensor.shape() {
        [height, width, 3] if tensor.dtype() == Dtype::U8 => {
            Ok(Pixels::new(width, height, 3, tensor.data().to_vec()))
        }
        ref shape => Err(format!("{key} is {:?} {shape:?}", tensor.dtype()).into()),
    }
}

fn text(value: &Value) -> Outcome<&str> {
    value.as_str().ok_or_else(|| format!("expected a string, got {value}").into())
}

fn number(value: &Value) -> Outcome<usize> {
    let number = value.as_u64().ok_or_else(|| format!("expected a number, got {value}"))?;
    Ok(number as usize)
}
