//! Small data sets on disk.

use std::path::Path;

/// Two classes of drawn pictures, `count` of each in `train` and in `val`: bright and dark ones. Returns
/// the folder as text.
pub fn classes(folder: &Path, count: u8) -> String {
    for part in ["train", "val"] {
        for (class, base) in [("bright", 200), ("dark", 20)] {
            let dir = folder.join(part).join(class);
            std::fs::create_dir_all(&dir).unwrap();
            for i in 0..count {
                let level = base + 3 * i + u8::from(part == "val");
                let picture = image::RgbImage::from_fn(20, 16, |x, y| {
                    image::Rgb([level, level / 2 + (x % 7) as u8, level / 3 + (y % 5) as u8])
                });
                picture.save(dir.join(format!("{i}.png"))).unwrap();
            }
        }
    }
    folder.to_str().expect("UTF-8").to_owned()
}
