//! What a classifier says.

use crate::argmax::{Constants, Params, Slices};

/// Place of the largest value of each row, the first of equals.
pub fn argmax(params: &Params, _: &Constants, slices: Slices<'_>) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    for (x, out) in slices.x.chunks_exact(dim).zip(&mut slices.out[..rows]) {
        let mut best = 0;
        for (d, value) in x.iter().enumerate() {
            if *value > x[best] {
                best = d;
            }
        }
        *out = best as u32;
    }
}
