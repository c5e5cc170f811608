//! How large a picture may be.

/// Why a picture of that size is not decoded.
pub(super) fn check_size(
    width: u32,
    height: u32,
    max_pixels: u64,
) -> std::result::Result<(), String> {
    match u64::from(width) * u64::from(height) {
        0 => Err(format!("has no pixels ({width} × {height})")),
        pixels if pixels > max_pixels => Err(too_large(width, height, max_pixels)),
        _ => Ok(()),
    }
}

fn too_large(width: u32, height: u32, max_pixels: u64) -> String {
    let mega = |pixels: u64| pixels as f64 / 1e6;
    format!(
        "says it is {width} × {height} = {:.1} megapixels; at most {:.1} are decoded (a guard \
         against decompression bombs): shrink it, or raise the limit `max_pixels`",
        mega(u64::from(width) * u64::from(height)),
        mega(max_pixels),
    )
}
