//! Position tables for another number of patches.

use crate::config::{ModelConfig, Variant};
use crate::tensor::{HostTensor, TensorMap};

/// `table` `[1, R, D]` with the grid of positions in it resized: rows `lead .. lead + h·w`, a
/// row-major grid of `from` `[h, w]`, become those of a grid of `to` `[h', w']`; the others (`cls`
/// and registers, before or after) stay. The result is `[1, R − h·w + h'·w', D]`.
///
/// Bicubic as PyTorch's `F.interpolate(mode="bicubic", align_corners=False)`, which
/// `facebookresearch/mae` (`util/pos_embed.py`) applies: no antialiasing when the grid shrinks.
/// Summed in f64, so within f32 rounding of PyTorch's f32 result. The same size changes nothing.
///
/// # Panics
/// If `table` is not `[1, R, D]`, has fewer than `lead + h·w` rows, or a side of `from` is 0.
pub fn resize_positions(
    table: &HostTensor,
    lead: usize,
    from: [usize; 2],
    to: [usize; 2],
) -> HostTensor {
    let &[1, rows, dim] = table.shape.as_slice() else {
        panic!("a position table is [1, R, D], not {:?}", table.shape)
    };
    let [height, width] = from;
    let end = lead + height * width;
    assert!(height * width > 0, "no position in a grid of {height} × {width}");
    assert!(rows >= end, "{rows} rows hold no {height} × {width} positions after {lead} others");
    if from == to {
        return table.clone();
    }
    let grid = &table.data[lead * dim..end * dim];
    let across = taps(width, to[1]);
    let mut data = table.data[..lead * dim].to_vec();
    for down in taps(height, to[0]) {
        for across in &across {
            let mut position = vec![0.0; dim];
            for (y, weight_y) in down {
                for (x, weight_x) in across {
                    let (weight, known) = (weight_y * weight_x, &grid[(y * width + x) * dim..]);
                    let pairs = position.iter_mut().zip(known);
                    pairs.for_each(|(sum, &value)| *sum += weight * f64::from(value));
                }
            }
            data.extend(position.iter().map(|&value| value as f32));
        }
    }
    data.extend_from_slice(&table.data[end * dim..]);
    HostTensor::new([1, rows - height * width + to[0] * to[1], dim], data)
}

/// For each of `to` samples along an axis of `from`, the four samples it is made of and their
/// weights. Beyond the ends the last sample is repeated.
fn taps(from: usize, to: usize) -> Vec<[(usize, f64); 4]> {
    let scale = from as f64 / to as f64;
    let last = from as isize - 1;
    let taps = |index: usize| {
        let center = (index as f64 + 0.5) * scale - 0.5;
        let first = center.floor() as isize - 1;
        std::array::from_fn(|tap| {
            let at = first + tap as isize;
            (at.clamp(0, last) as usize, cubic(center - at as f64))
        })
    };
    (0..to).map(taps).collect()
}

/// Keys' kernel with a = −0.75, PyTorch's choice.
fn cubic(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.25 * x - 2.25) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.75,
        _ => 0.0,
    }
}

/// Resizes the position tables of encoder and decoder, where `tensors` has them, from the grid of `from`'s
/// patches to that of `to`'s.
pub fn resize_model(tensors: &mut TensorMap, from: &ModelConfig, to: &ModelConfig) {
    // The plain variants' decoder has its row without a patch at the end.
    let decoder_lead = usize::from(from.variant == Variant::Paper);
    for (name, lead) in [("pos_embed", 1), ("decoder_pos_embed", decoder_lead)] {
        if let Some(table) = tensors.get_mut(name) {
            *table = resize_positions(table, lead, from.grid(), to.grid());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[1, lead + h·w + trail, 2]`: the others are 7, value i of the grid is sin(1.7 i).
    fn table(lead: usize, [h, w]: [usize; 2], trail: usize) -> HostTensor {
        let grid = (0..h * w * 2).map(|i| (1.7 * i as f64).sin() as f32);
        let others = |count: usize| std::iter::repeat_n(7.0, 2 * count);
        let data = others(lead).chain(grid).chain(others(trail)).collect();
        HostTensor::new([1, lead + h * w + trail, 2], data)
    }

    #[test]
    fn values_of_torch() {
        let wider = [
            0.1167195, 1.3752168, -0.1730836, 0.1560812, -0.3731074, -1.0653029, 0.219402,
            -0.0238323, 0.7456145, 1.0869345, -0.1735005, 0.7472433, -0.1102511, 0.0536149,
            -0.0029912, -0.6261733, 0.1106224, 0.0241196, 0.1804139, 0.6999819, -0.6515098,
            -0.2870659, -0.0067622, -0.1151531, 0.6066119, 0.0970992, -0.0685438, 0.1030991,
            -0.7505048, 0.0626482, -0.9417297, -0.9150393, 0.0560703, -0.2176194, 0.9767281,
            0.5362288, -0.1773233, 0.1510509, -1.3157055, -0.3243044,
        ];
        let smaller = [
            -0.2203736, -0.0577053, 0.037883, 0.2269812, -0.0424292, 0.251626, 0.2350909,
            -0.1198139, 0.2367005, -0.0391212, -0.1283468, -0.1808764,
        ];
        // torch 2.15 in float64, on the same f32 values.
        let cases: [([usize; 2], [usize; 2], &[f32]); 2] =
            [([2, 3], [4, 5], &wider), ([5, 4], [3, 2], &smaller)];
        for (from, to, expected) in cases {
            let resized = resize_positions(&table(0, from, 0), 0, from, to);
            assert_eq!(resized.shape, [1, to[0] * to[1], 2]);
            let worst = resized.data.iter().zip(expected).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst < 1e-6, "{from:?} to {to:?}: {worst}");
        }
    }

    #[test]
    fn other_rows_stay() {
        let (from, to) = ([2, 3], [4, 5]);
        let resized = resize_positions(&table(2, from, 1), 2, from, to);
        assert_eq!(resized.shape, [1, 2 + 20 + 1, 2]);
        let grid = resize_positions(&table(0, from, 0), 0, from, to).data;
        assert_eq!(resized.data, [&[7.0; 4][..], &grid, &[7.0; 2]].concat());
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let table = table(1, [3, 4], 2);
        assert_eq!(resize_positions(&table, 1, [3, 4], [3, 4]), table);
        let taller = resize_positions(&table, 1, [3, 4], [9, 4]).data;
        // Every third row of three times as many lies where an old one was.
        for y in 0..3 {
            let (old, new) = (2 + y * 8, 2 + (3 * y + 1) * 8);
            assert_eq!(taller[new..new + 8], table.data[old..old + 8]);
        }
    }

    #[test]
    #[should_panic(expected = "7 rows hold no 2 × 3 positions after 2 others")]
    fn too_few_rows() {
        resize_positions(&table(1, [2, 3], 0), 2, [2, 3], [4, 5]);
    }
}
