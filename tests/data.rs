//! The data's way from files to batches, with files made here.
#![cfg(feature = "native")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;
use webmae::data::augment::color::ColorJitter;
use webmae::data::decode::{DecodeOptions, decode_file};
use webmae::data::{
    Augment, Batch, Cursor, Decoded, ImageSource, Loader, LoaderOptions, Normalization, Pixels,
    SourceOptions, fixed_batch, fixed_indices, open, open_split,
};
use webmae::philox::Rng;
use webmae::report::baseline;
use webmae::report::fidelity::HiddenError;
use webmae::setting::Setting;
use webmae::train::labels::labelled;
use webmae::{Error, Result};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A picture without two equal pixels, distinct for each `seed`.
fn drawn(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 5 + seed * 40) as u8, (y * 7) as u8, (x * y + seed) as u8])
    })
}

fn save(path: impl AsRef<Path>, picture: impl Into<DynamicImage>) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    picture.into().save(path).unwrap();
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn decode(path: &Path, channels: usize) -> Result<Pixels> {
    let picture = decode_file(path, &DecodeOptions { channels, ..DecodeOptions::default() })?;
    Ok(picture.eight().expect("8 bits"))
}

fn decode16(path: &Path, channels: usize) -> Pixels<u16> {
    let options = DecodeOptions { channels, ..DecodeOptions::default() };
    decode_file(path, &options).unwrap().sixteen().expect("16 bits")
}

fn open_at(path: &Path) -> Result<Arc<dyn ImageSource>> {
    open(path.to_str().unwrap(), &SourceOptions::default())
}

fn message<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

/// `count` pictures of various sizes without classes.
fn flat_folder(count: u32) -> TempDir {
    let dir = folder();
    for i in 0..count {
        save(dir.path().join(format!("{i:03}.png")), drawn(20 + i % 7, 30 - i % 5, i));
    }
    dir
}

fn loader(source: &Arc<dyn ImageSource>, options: &LoaderOptions, start: Cursor) -> Loader {
    let figures = Normalization { mean: vec![0.5; 3], std: vec![0.25; 3] };
    Loader::new(source.clone(), figures, options.clone(), start).unwrap()
}

fn batches(loader: &mut Loader, count: usize) -> Vec<Batch> {
    (0..count).map(|_| loader.next_batch().unwrap()).collect()
}

// Decoding.

#[test]
fn every_format_is_told_by_its_content() {
    let dir = folder();
    let picture = drawn(9, 6, 1);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Jpeg] {
        // The wrong ending on purpose.
        let path = dir.path().join(format!("{format:?}.gif"));
        DynamicImage::from(picture.clone()).save_with_format(&path, format).unwrap();
        let decoded = decode(&path, 3).unwrap();
        assert_eq!((decoded.width, decoded.height, decoded.channels), (9, 6, 3), "{format:?}");
        if format != ImageFormat::Jpeg {
            assert_eq!(decoded.data, *picture.as_raw(), "{format:?}");
        }
    }
}

#[test]
fn a_gif_gives_its_first_frame() {
    let dir = folder();
    let path = dir.path().join("two.gif");
    let frame = |value| image::Frame::new(image::RgbaImage::from_pixel(4, 3, image::Rgba(value)));
    let mut encoder = image::codecs::gif::GifEncoder::new(std::fs::File::create(&path).unwrap());
    encoder.encode_frames([frame([255, 0, 0, 255]), frame([0, 0, 255, 255])]).unwrap();
    drop(encoder);
    let decoded = decode(&path, 3).unwrap();
    assert_eq!(decoded.data, [255, 0, 0].repeat(12));
}

/// A GIF of one frame of 2 × 2 pixels at `place` on a screen of that size; colours are red, green and, if it is
/// transparent, blue.
fn gif(screen: [u16; 2], place: [u16; 2], transparent: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let palette = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9];
    let mut encoder = gif::Encoder::new(&mut bytes, screen[0], screen[1], &palette).unwrap();
    let frame = gif::Frame {
        left: place[0],
        top: place[1],
        width: 2,
        height: 2,
        transparent: transparent.then_some(2),
        buffer: vec![0, 1, 2, 0].into(),
        ..gif::Frame::default()
    };
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    bytes
}

/// As browsers show them: the canvas holds the whole first frame, and what it leaves open is a white page.
#[test]
fn gifs_are_shown_as_browsers_show_them() {
    let dir = folder();
    let path = dir.path().join("one.gif");
    let shown = |bytes: &[u8], channels| {
        write(&path, bytes);
        decode(&path, channels).unwrap()
    };
    let white = [255; 3];
    let open = shown(&gif([3, 2], [1, 0], true), 3);
    assert_eq!((open.width, open.height), (3, 2));
    assert_eq!(
        (open.at(0, 0), open.at(1, 0), open.at(1, 1)),
        (&white[..], &[255, 0, 0][..], &white[..])
    );
    let clear = shown(&gif([3, 2], [1, 0], true), 4);
    assert_eq!((clear.at(0, 1)[3], clear.at(1, 1)[3], clear.at(2, 1)[3]), (0, 0, 255));
    // Beyond the screen, and on a screen of no size.
    for screen in [[1, 1], [0, 0], [2, 4]] {
        let beyond = shown(&gif(screen, [1, 2], false), 3);
        assert_eq!((beyond.width, beyond.height), (3, 4), "{screen:?}");
        assert_eq!((beyond.at(1, 3), beyond.at(2, 3)), (&[0, 0, 255][..], &[255, 0, 0][..]));
        assert_eq!(beyond.at(0, 0), white);
    }
    // The canvas counts, not the screen.
    write(&path, &gif([1, 1], [9000, 9000], false));
    let strict = DecodeOptions { max_pixels: 1 << 20, ..DecodeOptions::default() };
    assert!(message(decode_file(&path, &strict)).contains("9002 × 9002"));
}

/// A scan of 12 bits, 0 to 4095 in 16, has all its levels in a batch.
#[test]
fn deep_pictures_keep_their_levels_through_the_loader() {
    let dir = folder();
    let scan = image::ImageBuffer::from_fn(64, 64, |x, y| image::Luma([(x + 64 * y) as u16]));
    save(dir.path().join("scan.png"), scan);
    let options = SourceOptions { channels: 1, ..SourceOptions::default() };
    let source = open(dir.path().to_str().unwrap(), &options).unwrap();
    let figures = Normalization::measure(source.as_ref(), 10, 0).unwrap();
    let (batch, _) = fixed_batch(&source, &figures, [64, 64], &[0]).unwrap();
    let mut levels: Vec<u32> = batch.images.iter().map(|value| value.to_bits()).collect();
    levels.sort_unstable();
    levels.dedup();
    assert_eq!(levels.len(), 4096);
    let mean = batch.images.iter().sum::<f32>() / 4096.0;
    assert!(mean.abs() < 1e-3, "{mean}");
    let [note] = source.notes() else { panic!("{:?}", source.notes()) };
    assert!(note.contains("scan.png uses levels 0 to 4095 of 0 to 65535"), "{note}");
    // Smaller and coloured, it is still deep.
    let augment = Augment { jitter: Some(ColorJitter::paper()), ..Augment::pretrain() };
    let options = LoaderOptions { augment, ..LoaderOptions::train(1, [48, 48], 0) };
    let mut loader = Loader::new(source, figures, options, Cursor::default()).unwrap();
    let mut levels: Vec<u32> =
        loader.next_batch().unwrap().images.iter().map(|value| value.to_bits()).collect();
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() > 500, "{}", levels.len());
    // All of the range: nothing to say.
    let wide = image::ImageBuffer::from_fn(64, 64, |x, y| image::Luma([(x * 1000 + y) as u16]));
    save(dir.path().join("scan.png"), wide);
    assert!(open_at(dir.path()).unwrap().notes().is_empty());
}

#[test]
fn depths_and_alpha_become_the_channels_asked_for() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let grey16 = image::ImageBuffer::from_pixel(2, 1, image::Luma([0x12F0_u16]));
    save(at("grey16.png"), grey16);
    assert_eq!(decode16(&at("grey16.png"), 3).data, [0x12F0; 6]);
    assert_eq!(decode16(&at("grey16.png"), 1).data, [0x12F0; 2]);
    assert_eq!(decode16(&at("grey16.png"), 4).data, [0x12F0, 0x12F0, 0x12F0, 0xFFFF].repeat(2));
    let rgb16 = image::ImageBuffer::from_pixel(1, 1, Rgb([0xFFFF_u16, 0x8000, 0x00FF]));
    save(at("rgb16.png"), rgb16);
    assert_eq!(decode16(&at("rgb16.png"), 3).data, [0xFFFF, 0x8000, 0x00FF]);
    let rgba16 = image::ImageBuffer::from_pixel(1, 1, image::Rgba([1_u16, 2, 3, 400]));
    save(at("rgba16.png"), rgba16);
    assert_eq!(decode16(&at("rgba16.png"), 4).data, [1, 2, 3, 400]);
    assert_eq!(decode16(&at("rgba16.png"), 3).data, [1, 2, 3]);
    let rgba = image::RgbaImage::from_pixel(1, 1, image::Rgba([10, 20, 30, 0]));
    save(at("rgba.png"), rgba);
    assert_eq!(decode(&at("rgba.png"), 3).unwrap().data, [10, 20, 30]);
    assert_eq!(decode(&at("rgba.png"), 4).unwrap().data, [10, 20, 30, 0]);
    assert_eq!(decode(&at("rgba.png"), 1).unwrap().data, [18]);
    save(at("grey_alpha.png"), image::GrayAlphaImage::from_pixel(1, 1, image::LumaA([9, 7])));
    assert_eq!(decode(&at("grey_alpha.png"), 3).unwrap().data, [9; 3]);
    assert_eq!(decode(&at("grey_alpha.png"), 4).unwrap().data, [9, 9, 9, 7]);
    save(at("grey.png"), image::GrayImage::from_pixel(1, 1, image::Luma([200])));
    assert_eq!(decode(&at("grey.png"), 4).unwrap().data, [200, 200, 200, 255]);
    assert!(message(decode(&at("grey.png"), 5)).contains("synthetic"));
}

/// A JPEG of `picture` with an EXIF orientation.
fn jpeg_with_orientation(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    DynamicImage::from(picture.clone()).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let len = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &len, &exif, &jpeg[2..]].concat()
}

#[test]
fn exif_turns_pictures_unless_ignored() {
    let dir = folder();
    let path = dir.path().join("turned.jpg");
    let picture = RgbImage::from_fn(24, 16, |x, y| Rgb([x as u8 * 9, y as u8 * 15, 90]));
    for orientation in 1..=8 {
        write(&path, &jpeg_with_orientation(&picture, orientation));
        let stored = DecodeOptions { apply_exif: false, ..DecodeOptions::default() };
        let stored = decode_file(&path, &stored).unwrap().eight().unwrap();
        let upright = decode(&path, 3).unwrap();
        assert_eq!((stored.width, stored.height), (24, 16));
        // Where the stored top left corner lies when upright.
        let (x, y, width) = match orientation {
            1 => (0, 0, 24),
            2 => (23, 0, 24),
            3 => (23, 15, 24),
            4 => (0, 15, 24),
            5 => (0, 0, 16),
            6 => (15, 0, 16),
            7 => (15, 23, 16),
            _ => (0, 23, 16),
        };
        assert_eq!(upright.width, width, "orientation {orientation}");
        assert_eq!(upright.at(x, y), stored.at(0, 0), "orientation {orientation}");
    }
}

/// The bit-by-bit checksum of PNG.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xEDB8_8320 & (c & 1).wrapping_neg()))
    })
}

#[test]
fn broken_files_are_refused_in_words() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write(at("empty.png"), b"");
    assert!(message(decode(&at("empty.png"), 3)).contains("empty"));
    write(at("text.png"), b"this is no picture, only called so");
    assert!(message(decode(&at("text.png"), 3)).contains("no JPEG, PNG, WebP, BMP or GIF"));
    assert!(matches!(decode(&at("missing.png"), 3), Err(Error::Io { .. })));

    save(at("whole.png"), drawn(40, 40, 0));
    let whole = std::fs::read(at("whole.png")).unwrap();
    write(at("cut.png"), &whole[..whole.len() / 2]);
    let problem = message(decode(&at("cut.png"), 3));
    assert!(problem.contains("cut.png") && problem.contains("cannot be decoded"), "{problem}");
    save(at("whole.jpg"), drawn(90, 90, 0));
    let whole = std::fs::read(at("whole.jpg")).unwrap();
    write(at("cut.jpg"), &whole[..whole.len() * 3 / 4]);
    assert!(message(decode(&at("cut.jpg"), 3)).contains("cut off"));
    write(at("video.jpg"), &[&whole[..], b"\xFF\xDA\0\x08 what a phone appends"].concat());
    assert_eq!(decode(&at("video.jpg"), 3).unwrap(), decode(&at("whole.jpg"), 3).unwrap());
    // Any damage is an error or a picture, never a panic.
    for format in ["jpg", "png", "gif", "webp", "bmp"] {
        let path = at(&format!("whole.{format}"));
        save(&path, drawn(40, 40, 0));
        let whole = std::fs::read(&path).unwrap();
        for damage in 0..60 {
            let mut bytes = whole.clone();
            let place = damage * bytes.len() / 60;
            bytes[place] ^= 0x55;
            write(&path, &bytes);
            let _ = decode(&path, 3);
            write(&path, &whole[..place]);
            let _ = decode(&path, 3);
        }
    }
}

#[test]
fn a_huge_header_takes_no_memory() {
    let dir = folder();
    let mut header = b"IHDR".to_vec();
    header.extend([12_000_u32.to_be_bytes(), 12_000_u32.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\r".to_vec();
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    png.extend(crc32(b"IDAT").to_be_bytes());
    let path = dir.path().join("huge.png");
    write(&path, &png);
    let problem = message(decode(&path, 3));
    assert!(problem.contains("12000 × 12000") && problem.contains("max_pixels"), "{problem}");
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend([12_000_u32.to_le_bytes(), 12_000_u32.to_le_bytes()].concat());
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(54, 0);
    write(&path, &bmp);
    let problem = message(decode(&path, 3));
    assert!(problem.contains("12000 × 12000"), "{problem}");
    // The limit is the caller's to set.
    save(&path, drawn(20, 20, 0));
    let strict = DecodeOptions { max_pixels: 399, ..DecodeOptions::default() };
    assert!(message(decode_file(&path, &strict)).contains("megapixels"));
    let enough = DecodeOptions { max_pixels: 400, ..DecodeOptions::default() };
    assert!(decode_file(&path, &enough).is_ok());
}

// Sources.

#[test]
fn a_flat_folder_has_no_classes() {
    let dir = flat_folder(3);
    save(dir.path().join("below/deeper/x.JPG"), drawn(8, 8, 0));
    save(dir.path().join(".hidden/y.png"), drawn(8, 8, 0));
    write(dir.path().join("notes.txt"), b"not a picture");
    let source = open_at(dir.path()).unwrap();
    assert_eq!((source.len(), source.label(0), source.class_names().len()), (4, None, 0));
    assert!(source.name(3).ends_with("x.JPG") && source.describe().contains("4 pictures"));
    let one = open_at(&dir.path().join("001.png")).unwrap();
    assert_eq!((one.len(), one.decode(0).unwrap().size()[0]), (1, 21));
}

#[test]
fn a_tree_has_a_class_per_folder() {
    let dir = folder();
    for path in ["zebra/1.png", "ape/b.png", "ape/a.png", "ape/more/c.png", "ant/1.png"] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let source = open_at(dir.path()).unwrap();
    assert_eq!(source.class_names(), ["ant", "ape", "empty", "zebra"]);
    let labels: Vec<_> = (0..5).map(|i| source.label(i).unwrap()).collect();
    assert_eq!(labels, [0, 1, 1, 1, 3]);
    assert!(source.name(1).ends_with("a.png"));
    assert!(source.describe().contains("4 class folders"));
    let some = SourceOptions { class_prefix: Some("a".into()), ..SourceOptions::default() };
    let some = open(dir.path().to_str().unwrap(), &some).unwrap();
    assert_eq!((some.class_names(), some.len()), (&["ant".into(), "ape".into()][..], 4));
}

/// What archives, network drives and notebooks leave behind.
#[test]
fn what_systems_leave_behind_is_no_data() {
    let dir = folder();
    for path in [
        "cat/1.png",
        "dog/1.png",
        "dog/._1.png",
        "__MACOSX/dog/._1.png",
        "cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.png",
        "$RECYCLE.BIN/1.png",
        "#recycle/1.png",
        "lost+found/1.png",
        "dog/.ipynb_checkpoints/1-checkpoint.png",
        ".cache/1.png",
    ] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    write(dir.path().join(".DS_Store"), b"no picture either");
    let source = open_at(dir.path()).unwrap();
    assert_eq!((source.class_names(), source.len()), (&["cat".into(), "dog".into()][..], 2));
    let [note] = source.notes() else { panic!("{:?}", source.notes()) };
    assert!(note.contains("#recycle and 7 more (as no data)"), "{note}");
    // The same in a flat folder.
    let flat = open_at(&dir.path().join("dog")).unwrap();
    assert_eq!((flat.len(), flat.class_names().len()), (1, 0));
    assert!(flat.notes()[0].contains("._1.png and 1 more"), "{:?}", flat.notes());
}

#[test]
fn patterns_exclude_names_and_paths() {
    let dir = folder();
    for path in ["cat/1.png", "cat/1.gif", "cat/old/2.png", "dog/1.png", "old/1.png", "ox/1.png"] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    let opened = |patterns: &[&str]| {
        let exclude = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        open(dir.path().to_str().unwrap(), &SourceOptions { exclude, ..SourceOptions::default() })
    };
    let seen = |patterns: &[&str]| {
        let source = opened(patterns).unwrap();
        (source.class_names().len(), source.len())
    };
    assert_eq!(seen(&[]), (4, 6));
    assert_eq!(seen(&["*.gif"]), (4, 5));
    assert_eq!(seen(&["old"]), (3, 4));
    assert_eq!(seen(&["cat/old"]), (4, 5));
    assert_eq!(seen(&["./cat/old/"]), (4, 5));
    assert_eq!(seen(&["cat/*.png", "o?"]), (3, 4));
    assert_eq!(seen(&["**/old/**", "{dog,ox}"]), (2, 2));
    let source = opened(&["old"]).unwrap();
    assert!(source.notes()[0].contains("old and 1 more (as excluded)"), "{:?}", source.notes());
    assert!(message(opened(&["*.png", "*.gif"])).contains("as excluded"));
    for wrong in ["[a", ""] {
        let said = message(opened(&[wrong]));
        assert!(said.starts_with("exclude: "), "{said}");
    }
}

#[test]
fn splits_have_any_case_and_are_no_classes() {
    for names in [["Train", "Val"], ["training", "testing"], ["TRAIN", "valid"], ["train", "Test"]]
    {
        let dir = folder();
        for path in
            names.iter().flat_map(|name| [format!("{name}/a/1.png"), format!("{name}/b/1.png")])
        {
            save(dir.path().join(path), drawn(8, 8, 0));
        }
        let [whole, part] = [dir.path().to_owned(), dir.path().join(names[0])].map(|path| {
            open_split(path.to_str().unwrap(), None, &SourceOptions::default()).unwrap()
        });
        for split in [whole, part] {
            assert_eq!(split.train.class_names(), ["a", "b"], "{names:?}");
            assert_eq!((split.train.len(), split.held_out.len()), (2, 2), "{names:?}");
            assert!(split.how.contains(names[1]), "{}", split.how);
        }
    }
    // Without training data beside them they are no classes either.
    let dir = folder();
    for path in ["Val/a/1.png", "Val/b/1.png", "test/a/1.png", "test/b/1.png"] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    let source = open_at(dir.path()).unwrap();
    assert_eq!((source.len(), source.class_names().len()), (4, 0));
    assert!(source.notes()[0].contains("Val and test are parts"), "{:?}", source.notes());
    assert_eq!(source.tree_below(), Some(dir.path().join("Val")));
}

#[test]
fn a_folder_within_the_folder_is_suggested() {
    let dir = folder();
    for path in ["train/a/1.png", "train/b/1.png"] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    let split =
        || open_split(dir.path().to_str().unwrap(), None, &SourceOptions::default()).unwrap();
    assert_eq!(split().train.class_names(), ["train"]);
    let problem = message(labelled(split(), Setting::Data));
    let mend = format!("try data {}", dir.path().join("train").display());
    assert!(problem.contains("has 1 classes") && problem.contains(&mend), "{problem}");
    assert_eq!(open_at(&dir.path().join("train")).unwrap().tree_below(), None);
}

#[test]
fn pictures_beside_class_folders_have_no_class() {
    let dir = folder();
    for i in 0..30 {
        save(dir.path().join(format!("cat/{i}.png")), drawn(8, 8, i));
        save(dir.path().join(format!("dog/{i}.png")), drawn(8, 8, i));
    }
    save(dir.path().join("folder.jpg"), drawn(8, 8, 0));
    let source = open_at(dir.path()).unwrap();
    assert_eq!((source.len(), source.class_names().len()), (61, 2));
    assert_eq!([0, 1, 31].map(|i| source.label(i)), [None, Some(0), Some(1)]);
    assert!(source.describe().contains("60 pictures in 2 class folders, and 1 beside"));
    let split = open_split(dir.path().to_str().unwrap(), None, &SourceOptions::default()).unwrap();
    let found = labelled(split, Setting::Data).unwrap();
    let kept = [&found.split.train, &found.split.held_out];
    assert_eq!(kept.map(|source| source.len()).iter().sum::<usize>(), 60);
    assert!(kept.iter().all(|source| (0..source.len()).all(|i| source.label(i).is_some())));
    assert!(found.notes.iter().any(|note| note.contains("folder.jpg")), "{:?}", found.notes);
}

#[test]
fn class_names_that_differ_by_case_are_hinted_at() {
    let dir = folder();
    for path in ["train/Cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png"] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    let found = |dir: &Path| {
        let split = open_split(dir.to_str().unwrap(), None, &SourceOptions::default()).unwrap();
        labelled(split, Setting::Data).unwrap().notes
    };
    let notes = found(dir.path());
    assert!(notes[0].contains("class cat is not known, but Cat is"), "{notes:?}");
    save(dir.path().join("train/cat/2.png"), drawn(8, 8, 0));
    let notes = found(dir.path());
    assert!(notes[0].contains("Cat and cat differ by case"), "{notes:?}");
}

/// Ten classes of very different sizes each give their share.
#[test]
fn what_is_set_aside_is_stratified() {
    let dir = folder();
    for class in 0..10_u32 {
        for i in 0..(class + 1) * 4 {
            save(dir.path().join(format!("{class}/{i:02}.png")), drawn(4, 4, i));
        }
    }
    for seed in 0..3 {
        let options = SourceOptions { seed, ..SourceOptions::default() };
        let split = open_split(dir.path().to_str().unwrap(), None, &options).unwrap();
        let mut counts = [0; 10];
        (0..split.held_out.len()).for_each(|i| counts[split.held_out.label(i).unwrap()] += 1);
        // A twentieth is 0.2, 0.4, … 2.0; eleven are set aside, one of each at least.
        assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2], "seed {seed}");
        assert_eq!(split.train.len(), 220 - 11);
    }
}

/// Of each class those that are held out, one for each that can spare one as long as that is a small part.
#[test]
fn small_classes_are_measured_and_learned() {
    let many_small = [3; 40];
    let nearly_single = [&[1; 97][..], &[3]].concat();
    for (sizes, expected) in [
        (&[19, 19][..], &[1, 1][..]),
        (&[100, 10], &[4, 1]),
        (&[1, 3], &[0, 1]),
        // One of each would be a third.
        (&many_small, &[&[1; 6][..], &[0; 34]].concat()),
        (&nearly_single, &[&[0; 97][..], &[2]].concat()),
        (&[1, 1], &[1, 0]),
    ] {
        let dir = folder();
        for (class, &size) in sizes.iter().enumerate() {
            for i in 0..size {
                save(dir.path().join(format!("{class:02}/{i:03}.png")), drawn(4, 4, i));
            }
        }
        let data = dir.path().to_str().unwrap();
        let split = open_split(data, None, &SourceOptions::default()).unwrap();
        let mut counts = vec![0; sizes.len()];
        (0..split.held_out.len()).for_each(|i| counts[split.held_out.label(i).unwrap()] += 1);
        assert_eq!(counts, expected, "{sizes:?}");
    }
}

#[test]
fn what_cannot_be_opened_is_told_what_can() {
    let dir = folder();
    let problem = message(open_at(dir.path()));
    assert!(problem.contains(".jpeg") && problem.contains(".webp"), "{problem}");
    assert!(message(open_at(&dir.path().join("nowhere"))).contains("does not exist"));
    write(dir.path().join("notes.txt"), b"text");
    assert!(message(open_at(&dir.path().join("notes.txt"))).contains("cannot be used"));
    save(dir.path().join("a/1.png"), drawn(8, 8, 0));
    let none = SourceOptions { class_prefix: Some("b".into()), ..SourceOptions::default() };
    assert!(message(open(dir.path().to_str().unwrap(), &none)).contains("b…"));
    let bands = SourceOptions { channels: 7, ..SourceOptions::default() };
    assert!(message(open(dir.path().to_str().unwrap(), &bands)).contains("not 7"));
    assert!(message(open("synthetic:many", &bands)).contains("many"));
    assert_eq!(open("synthetic:12", &bands).unwrap().decode(11).unwrap().channels(), 7);
}

/// CIFAR records with `labels`, whose red is the label, green 100 and blue ramps.
fn records(labels: &[u8]) -> Vec<u8> {
    let blue = || (0..1024).map(|i| (i % 256) as u8);
    let record =
        |&label: &u8| [label].into_iter().chain([label; 1024]).chain([100; 1024]).chain(blue());
    labels.iter().flat_map(record).collect()
}

#[test]
fn cifar_batches_are_read_by_size() {
    let dir = folder();
    write(dir.path().join("data_batch_1.bin"), &records(&[3, 1]));
    write(dir.path().join("data_batch_2.bin"), &records(&[9, 0, 2]));
    write(dir.path().join("test_batch.bin"), &records(&[5]));
    let source = open_at(dir.path()).unwrap();
    let labels: Vec<_> = (0..5).map(|i| source.label(i).unwrap()).collect();
    assert_eq!((source.len(), labels), (5, vec![3, 1, 9, 0, 2]));
    assert_eq!((source.class_names()[9].as_str(), source.label(5)), ("truck", None));
    let picture = source.decode(2).unwrap().eight().unwrap();
    assert_eq!((picture.at(0, 0), picture.at(5, 1)), (&[9, 100, 0][..], &[9, 100, 37][..]));
    assert!(source.name(4).ends_with("data_batch_2.bin#2"), "{}", source.name(4));
    assert!(source.describe().contains("CIFAR-10, 5 pictures"));
    // Names from the folder, one file alone, other channels.
    write(dir.path().join("batches.meta.txt"), b"a\nb\nc\nd\ne\nf\n\n");
    assert!(message(open_at(dir.path())).contains("label 9"));
    let grey = SourceOptions { channels: 1, ..SourceOptions::default() };
    let file = dir.path().join("test_batch.bin");
    let one = open(file.to_str().unwrap(), &grey).unwrap();
    assert_eq!((one.len(), one.class_names()[5].as_str()), (1, "f"));
    assert_eq!(one.decode(0).unwrap().eight().unwrap().data.len(), 1024);
}

#[test]
fn a_cifar_file_of_odd_size_is_refused() {
    let dir = folder();
    let mut bytes = records(&[1, 2]);
    bytes.pop();
    let path = dir.path().join("data_batch_1.bin");
    write(&path, &bytes);
    let problem = message(open_at(dir.path()));
    assert!(problem.contains("6145 bytes") && problem.contains("3073"), "{problem}");
    write(&path, b"");
    assert!(message(open_at(&path)).contains("0 bytes"));
}

#[test]
fn held_out_data_follows_the_layout() {
    let options = SourceOptions::default();
    let split = |path: &Path| open_split(path.to_str().unwrap(), None, &options).unwrap();
    // train/ and val/ below, or train/ with its sibling.
    let dir = folder();
    for path in ["train/a/1.png", "train/b/1.png", "train/b/2.png", "val/b/1.png", "val/c/1.png"] {
        save(dir.path().join(path), drawn(8, 8, 0));
    }
    for path in [dir.path().to_path_buf(), dir.path().join("train")] {
        let both = split(&path);
        assert_eq!((both.train.len(), both.held_out.len()), (3, 2), "{}", both.how);
        // Labels count in the training data's classes.
        assert_eq!(both.held_out.class_names(), ["a", "b"]);
        assert_eq!((both.held_out.label(0), both.held_out.label(1)), (Some(1), None));
        assert!(both.how.contains("val"));
    }
    let train = dir.path().join("train");
    let given = open_split(train.to_str().unwrap(), Some("synthetic:4"), &options).unwrap();
    assert_eq!(given.held_out.len(), 4);
    // CIFAR.
    let cifar = folder();
    write(cifar.path().join("data_batch_1.bin"), &records(&[3, 1]));
    write(cifar.path().join("test_batch.bin"), &records(&[5, 5, 5]));
    let both = split(cifar.path());
    assert_eq!((both.train.len(), both.held_out.len()), (2, 3));
    // A part set aside: disjoint, complete, the same each time.
    let both = open_split("synthetic:100", None, &options).unwrap();
    assert_eq!((both.train.len(), both.held_out.len()), (95, 5));
    let names = |source: &Arc<dyn ImageSource>| -> Vec<String> {
        (0..source.len()).map(|i| source.name(i)).collect()
    };
    let mut all = [names(&both.train), names(&both.held_out)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 100);
    let again = open_split("synthetic:100", None, &options).unwrap();
    assert_eq!(names(&again.held_out), names(&both.held_out));
    let large = open_split("synthetic:50000", None, &options).unwrap();
    assert_eq!(large.held_out.len(), 512);
    let single = open_split("synthetic:1", None, &options).unwrap();
    assert_eq!((single.train.len(), single.held_out.len()), (1, 1));
}

#[test]
fn mean_and_std_are_measured() {
    let dir = folder();
    write(dir.path().join("data_batch_1.bin"), &records(&[0, 2, 4, 6]));
    let source = open_at(dir.path()).unwrap();
    let figures = Normalization::measure(source.as_ref(), 100, 0).unwrap();
    let expected = |mean: f64, std: f64| ((mean / 255.0) as f32, (std / 255.0) as f32);
    let (red_mean, red_std) = expected(3.0, 5.0_f64.sqrt());
    assert!((figures.mean[0] - red_mean).abs() < 1e-7 && (figures.std[0] - red_std).abs() < 1e-7);
    let (blue_mean, blue_std) = expected(127.5, ((256.0 * 256.0 - 1.0) / 12.0_f64).sqrt());
    assert!((figures.mean[2] - blue_mean).abs() < 1e-7 && (figures.std[2] - blue_std).abs() < 1e-7);
    // Green never changes.
    assert_eq!(figures.std[1], 1.0);
    // A subset is drawn from the seed.
    let measure = |seed| Normalization::measure(source.as_ref(), 2, seed).unwrap();
    assert_eq!(measure(1), measure(1));
    assert!((0..20).any(|seed| measure(seed) != measure(1)));
}

// The loader.

#[test]
fn batches_depend_on_neither_threads_nor_prefetch() {
    let dir = flat_folder(23);
    let source = open_at(dir.path()).unwrap();
    let mut options = LoaderOptions::train(5, [16, 12], 42);
    options.augment.jitter = Some(ColorJitter::paper());
    options.threads = 1;
    let expected = batches(&mut loader(&source, &options, Cursor::default()), 9);
    assert_eq!(expected[0].images.len(), 5 * 3 * 16 * 12);
    for (threads, prefetch) in [(2, 1), (5, 3), (3, 12)] {
        let options = LoaderOptions { threads, prefetch, ..options.clone() };
        let mut loader = loader(&source, &options, Cursor::default());
        assert_eq!(batches(&mut loader, 9), expected, "{threads} threads, {prefetch} ahead");
    }
    // Each epoch shows other crops in another order.
    assert_eq!((expected[3].epoch, expected[4].epoch), (0, 1));
    assert_ne!(expected[0].sample_ids, expected[4].sample_ids);
    let other = LoaderOptions { seed: 43, ..options };
    assert_ne!(batches(&mut loader(&source, &other, Cursor::default()), 1)[0], expected[0]);
}

#[test]
fn a_cursor_resumes_with_the_same_batches() {
    let dir = flat_folder(11);
    let source = open_at(dir.path()).unwrap();
    let options = LoaderOptions::train(3, [8, 8], 7);
    let mut whole = loader(&source, &options, Cursor::default());
    assert_eq!(whole.batches_per_epoch(), 3);
    let mut cursors = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..8 {
        cursors.push(whole.cursor());
        let batch = whole.next_batch().unwrap();
        expected.push(batch.clone());
        whole.recycle(batch.images);
    }
    assert_eq!(cursors[4], Cursor { epoch: 1, batch: 1 });
    for start in 0..8 {
        let saved = serde_json::to_string(&cursors[start]).unwrap();
        let cursor = serde_json::from_str(&saved).unwrap();
        let mut resumed = loader(&source, &options, cursor);
        assert_eq!(batches(&mut resumed, 8 - start), expected[start..]);
    }
    let beyond = Cursor { epoch: 0, batch: 3 };
    let figures = Normalization::imagenet();
    let problem = message(Loader::new(source, figures, options, beyond));
    assert!(problem.contains("batch 3 of an epoch of 3"), "{problem}");
}

#[test]
fn an_epoch_shows_every_picture_once() {
    let source = open("synthetic:22", &SourceOptions::default()).unwrap();
    let mut train = loader(&source, &LoaderOptions::train(5, [8, 8], 1), Cursor::default());
    let mut seen: Vec<u32> =
        batches(&mut train, 4).iter().flat_map(|batch| batch.sample_ids.clone()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 20);
    let mut eval = loader(&source, &LoaderOptions::eval(5, [8, 8]), Cursor::default());
    let all = batches(&mut eval, 5);
    let ids: Vec<u32> = all.iter().flat_map(|batch| batch.sample_ids.clone()).collect();
    assert_eq!(ids, (0..22).collect::<Vec<_>>());
    assert_eq!((all[4].len(), all[4].images.len()), (2, 2 * 192));
    let label = source.label(21).unwrap() as u32;
    assert_eq!(all[4].labels.as_ref().unwrap()[1], label);
}

#[test]
fn small_data_fill_a_batch_by_repeating_afresh() {
    let dir = flat_folder(3);
    let source = open_at(dir.path()).unwrap();
    let mut train = loader(&source, &LoaderOptions::train(8, [8, 8], 1), Cursor::default());
    assert_eq!(train.batches_per_epoch(), 1);
    let batch = train.next_batch().unwrap();
    let count = |id| batch.sample_ids.iter().filter(|&&i| i == id).count();
    assert!(batch.len() == 8 && (0..3).all(|id| (2..=3).contains(&count(id))));
    let mut draws = batch.draw_ids.clone();
    draws.sort_unstable();
    draws.dedup();
    assert_eq!(draws.len(), 8);
    let samples: Vec<&[f32]> = batch.images.chunks_exact(192).collect();
    let differ = |a: usize, b: usize| samples[a] != samples[b];
    assert!((0..8).all(|a| (0..a).all(|b| differ(a, b))), "fresh augmentation each time");
    assert_eq!(batch.labels, None);
    let mut eval = loader(&source, &LoaderOptions::eval(8, [8, 8]), Cursor::default());
    assert_eq!(eval.next_batch().unwrap().sample_ids, [0, 1, 2]);
}

#[test]
fn unreadable_pictures_are_named_and_replaced_by_the_next() {
    let dir = flat_folder(6);
    write(dir.path().join("002.png"), b"");
    write(dir.path().join("003.png"), b"text");
    write(dir.path().join("005.png"), b"\x89PNG\r\n\x1a\nrubbish");
    let source = open_at(dir.path()).unwrap();
    let options = LoaderOptions::eval(6, [8, 8]);
    let mut tolerant = loader(&source, &options, Cursor::default());
    assert_eq!(tolerant.next_batch().unwrap().sample_ids, [0, 1, 4, 4, 4, 0]);
    let skipped = tolerant.skipped();
    assert_eq!(skipped.iter().map(|s| s.index).collect::<Vec<_>>(), [2, 3, 5]);
    assert!(skipped[0].name.ends_with("002.png") && skipped[0].problem.contains("empty"));
    assert_eq!((tolerant.newly_skipped(), tolerant.newly_skipped()), (3, 0));
    let strict = LoaderOptions { strict: true, ..options.clone() };
    assert!(message(loader(&source, &strict, Cursor::default()).next_batch()).contains("002.png"));
    for i in 0..6 {
        write(dir.path().join(format!("{i:03}.png")), b"");
    }
    let mut hopeless = loader(&source, &options, Cursor::default());
    let problem = message(hopeless.next_batch());
    assert!(problem.contains("none of 6 pictures") && problem.contains("empty"), "{problem}");
}

#[test]
fn a_fixed_batch_is_the_same_for_everyone() {
    let source = open("synthetic:50", &SourceOptions::default()).unwrap();
    let chosen = fixed_indices(50, 7, 3);
    assert_eq!((chosen.len(), chosen.is_sorted()), (7, true));
    assert_eq!(fixed_indices(5, 7, 3), [0, 1, 2, 3, 4]);
    let figures = Normalization::imagenet();
    let (batch, skipped) = fixed_batch(&source, &figures, [16, 16], &chosen).unwrap();
    assert_eq!((batch.sample_ids.as_slice(), skipped.len()), (&chosen[..], 0));
    // The same as an evaluation loader's.
    let mut eval = Loader::new(
        source.clone(),
        figures.clone(),
        LoaderOptions::eval(50, [16, 16]),
        Cursor::default(),
    )
    .unwrap();
    let all = eval.next_batch().unwrap();
    let expected = chosen.iter().flat_map(|&i| &all.images[i as usize * 768..][..768]);
    assert!(batch.images.iter().eq(expected));
    assert!(message(fixed_batch(&source, &figures, [16, 16], &[50])).contains("50"));
    assert!(fixed_batch(&source, &figures, [16, 16], &[]).is_err());
    let dir = flat_folder(3);
    write(dir.path().join("001.png"), b"");
    let broken = open_at(dir.path()).unwrap();
    let (batch, skipped) = fixed_batch(&broken, &figures, [8, 8], &[0, 1]).unwrap();
    assert_eq!((batch.sample_ids, skipped[0].index), (vec![0, 2], 1));
}

/// Pictures that take their time, or a panic.
struct Slow {
    pause: Duration,
    panics: bool,
}

impl ImageSource for Slow {
    fn len(&self) -> usize {
        1000
    }
    fn channels(&self) -> usize {
        3
    }
    fn label(&self, _: usize) -> Option<usize> {
        None
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn name(&self, index: usize) -> String {
        index.to_string()
    }
    fn decode(&self, _: usize) -> Result<Decoded> {
        assert!(!self.panics, "a panic on purpose");
        std::thread::sleep(self.pause);
        Ok(Pixels::<u8>::zeros(8, 8, 3).into())
    }
    fn describe(&self) -> String {
        "slow".into()
    }
}

#[test]
fn waiting_is_measured_and_dropping_is_prompt() {
    let slow: Arc<dyn ImageSource> =
        Arc::new(Slow { pause: Duration::from_millis(20), panics: false });
    // One batch would take 10 s.
    let options = LoaderOptions { threads: 2, ..LoaderOptions::train(1000, [8, 8], 0) };
    let since = Instant::now();
    drop(loader(&slow, &options, Cursor::default()));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    let options = LoaderOptions { threads: 2, ..LoaderOptions::train(4, [8, 8], 0) };
    let mut patient = loader(&slow, &options, Cursor::default());
    batches(&mut patient, 3);
    assert!(patient.waited() > Duration::from_millis(40), "{:?}", patient.waited());
}

#[test]
fn a_panicking_source_is_an_error() {
    let source: Arc<dyn ImageSource> = Arc::new(Slow { pause: Duration::ZERO, panics: true });
    let mut loader = loader(&source, &LoaderOptions::train(2, [8, 8], 0), Cursor::default());
    assert!(message(loader.next_batch()).contains("thread"));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let source = open("synthetic:9", &SourceOptions::default()).unwrap();
    let good = LoaderOptions::train(2, [8, 8], 0);
    let refuse = |options: LoaderOptions, figures: Normalization| {
        message(Loader::new(source.clone(), figures, options, Cursor::default()))
    };
    let imagenet = Normalization::imagenet;
    assert!(refuse(LoaderOptions { batch_size: 0, ..good.clone() }, imagenet()).contains("batch"));
    assert!(refuse(LoaderOptions { image_size: [0, 8], ..good.clone() }, imagenet()).contains("0"));
    for (threads, prefetch) in [(1 << 20, 1), (1, 1 << 20)] {
        let many = LoaderOptions { threads, prefetch, ..good.clone() };
        assert!(refuse(many, imagenet()).contains("at most"));
    }
    let huge = LoaderOptions { batch_size: usize::MAX, ..good.clone() };
    assert!(refuse(huge, imagenet()).contains("batch_size"));
    let grey = Normalization { mean: vec![0.5], std: vec![0.5] };
    assert!(refuse(good.clone(), grey).contains("3 channels"));
    let mut augment = Augment::pretrain();
    augment.jitter = Some(ColorJitter { hue: 0.9, ..ColorJitter::paper() });
    assert!(refuse(LoaderOptions { augment, ..good }, imagenet()).contains("hue"));
}

#[test]
fn links_in_a_circle_end() {
    let dir = folder();
    save(dir.path().join("a/1.png"), drawn(8, 8, 0));
    let link: PathBuf = dir.path().join("a/around");
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    assert!(!open_at(dir.path()).unwrap().is_empty(), "{}", link.display());
}

/// The drawn pictures are worth learning from: smooth continuation beats the mean colour, but who knows that they
/// are mirrored sees much more of them.
#[test]
fn drawn_pictures_hold_more_than_smoothness() {
    let source = open("synthetic:200", &SourceOptions::default()).unwrap();
    let decibels = |fill: fn(&[f32], &[bool]) -> Vec<f32>, mirrored: bool| {
        let mut rng = Rng::new(0, [0; 3]);
        let error = |index: usize| {
            let picture = source.decode(index).unwrap().eight().unwrap();
            let image: Vec<f32> = (0..3 * 1024)
                .map(|i| f32::from(picture.data[i % 1024 * 3 + i / 1024]) / 255.0)
                .collect();
            let mut mask: Vec<bool> = (0..64).map(|patch| patch >= 16).collect();
            rng.shuffle(&mut mask);
            let hides = |x: usize, y: usize| mask[y / 4 * 8 + x / 4];
            let hidden: Vec<bool> = (0..1024).map(|i| hides(i % 32, i / 32)).collect();
            let unseen = |i: usize| {
                let (x, y) = (i % 32, i / 32);
                hides(x, y) && hides(31 - x, y) && hides(x, 31 - y) && hides(31 - x, 31 - y)
            };
            let unknown = if mirrored { (0..1024).map(unseen).collect() } else { hidden.clone() };
            HiddenError::of(&fill(&image, &unknown), &image, &hidden)
        };
        (0..200).map(error).sum::<HiddenError>().psnr().unwrap()
    };
    let harmonic = |image: &[f32], hidden: &[bool]| baseline::harmonic(image, 32, hidden);
    let [mean_color, blind, knowing] = [
        decibels(baseline::mean_color, false),
        decibels(harmonic, false),
        decibels(harmonic, true),
    ];
    assert!((15.0..18.0).contains(&mean_color), "{mean_color}");
    assert!((1.0..3.0).contains(&(blind - mean_color)), "{blind}, {mean_color}");
    assert!((4.0..7.0).contains(&(knowing - blind)), "{knowing}, {blind}");
}
