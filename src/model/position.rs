//! The fixed 2-D sin-cos position table.

/// The table of a grid of `[h, w]` patches, row-major, after `lead` rows of zeros: `[lead + h·w, dim]`.
///
/// As in `facebookresearch/mae` (`util/pos_embed.py`) and Hugging Face: computed in float64, the
/// first half of a row encodes the **column** and the second half the row, each half as sines then
/// cosines of `position / 10000^(i / (dim / 4))`. The cls token's row is one of zeros. `dim` must
/// be divisible by 4, as [`crate::ModelConfig::validate`] ensures.
pub fn sin_cos_2d(dim: usize, [h, w]: [usize; 2], lead: usize) -> Vec<f32> {
    let quarter = dim / 4;
    let omega: Vec<f64> =
        (0..quarter).map(|i| 1.0 / 10_000_f64.powf(i as f64 / quarter as f64)).collect();
    let mut table = vec![0.0; lead * dim];
    for y in 0..h {
        for x in 0..w {
            for position in [x, y] {
                table.extend(omega.iter().map(|o| (position as f64 * o).sin() as f32));
                table.extend(omega.iter().map(|o| (position as f64 * o).cos() as f32));
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_comes_first_and_the_lead_is_zero() {
        let table = sin_cos_2d(4, [2, 3], 1);
        assert_eq!(table.len(), 7 * 4);
        assert_eq!(table[..4], [0.0; 4]);
        // Patch 2 lies in column 2 of row 0.
        assert_eq!(table[12..16], [2_f64.sin() as f32, 2_f64.cos() as f32, 0.0, 1.0]);
    }
}
