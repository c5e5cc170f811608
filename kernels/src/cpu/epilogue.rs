//! What becomes of a product of matrices: the epilogue, tile by tile; and the end of one whose sum was shared.

use super::Value;
use super::math::{gelu, gelu_grad};
#[cfg(feature = "gpu")]
use super::parallel;
use super::parallel::Shared;
#[cfg(feature = "gpu")]
use super::tile::add;
use super::tile::{Tile, load, store};
use crate::gemm::Constants;
#[cfg(feature = "gpu")]
use crate::{ConstantList, gemm_sum};

/// The result of a product, and what is done to it.
pub struct End<'a, A, O> {
    pub m: usize,
    pub n: usize,
    pub constants: Constants,
    pub bias: &'a [f32],
    pub extra: &'a [A],
    pub out: Shared<'a, O>,
    pub pre: Shared<'a, A>,
}

/// Where a tile is in the result, and how much of it.
#[derive(Clone, Copy)]
struct TileBounds {
    /// Index of its first value.
    at: usize,
    stride: usize,
    rows: usize,
    columns: usize,
}

impl<A: Value, O: Value> End<'_, A, O> {
    /// Stores a tile, or what the epilogue makes of it, in the order of the shader; what is outside the result is
    /// dropped.
    #[inline(always)]
    pub fn finish<const MR: usize, const NR: usize, const FUSED: bool>(
        &self,
        part: usize,
        row: usize,
        column: usize,
        tile: &mut Tile<MR, NR>,
    ) {
        let constants = &self.constants;
        let bounds = TileBounds {
            at: row * self.n + column,
            stride: self.n,
            rows: MR.min(self.m - row),
            columns: NR.min(self.n - column),
        };
        if constants.split {
            store_tile(
                tile,
                TileBounds { at: part * self.m * self.n + bounds.at, ..bounds },
                &self.out,
            );
            return;
        }
        if constants.bias {
            let bias = load::<NR, _>(&self.bias[column..][..bounds.columns]);
            for values in &mut *tile {
                for (value, bias) in values.iter_mut().zip(&bias) {
                    *value += bias;
                }
            }
        }
        if constants.gelu {
            if constants.pre {
                store_tile(tile, bounds, &self.pre);
            }
            for values in &mut *tile {
                for value in values {
                    *value = gelu::<FUSED>(*value);
                }
            }
        }
        // SAFETY: tiles do not overlap: nobody writes what this task reads.
        let out_row = |i| unsafe { self.out.part(bounds.at + i * bounds.stride, bounds.columns) };
        if constants.gelu_grad {
            for (i, values) in tile.iter_mut().take(bounds.rows).enumerate() {
                let pre = load::<NR, _>(out_row(i));
                for (value, x) in values.iter_mut().zip(&pre) {
                    *value *= gelu_grad::<FUSED>(*x);
                }
            }
        }
        if constants.residual {
            for (i, values) in tile.iter_mut().take(bounds.rows).enumerate() {
                let extra =
                    load::<NR, _>(&self.extra[bounds.at + i * bounds.stride..][..bounds.columns]);
                for (value, extra) in values.iter_mut().zip(&extra) {
                    *value += extra;
                }
            }
        }
        if constants.accumulate {
            for (i, values) in tile.iter_mut().take(bounds.rows).enumerate() {
                let before = load::<NR, _>(out_row(i));
                for (value, before) in values.iter_mut().zip(&before) {
                    *value += before;
                }
            }
        }
        store_tile(tile, bounds, &self.out);
    }
}

#[inline(always)]
fn store_tile<const MR: usize, const NR: usize, A: Value>(
    tile: &Tile<MR, NR>,
    bounds: TileBounds,
    to: &Shared<'_, A>,
) {
    for (i, values) in tile.iter().take(bounds.rows).enumerate() {
        // SAFETY: tiles do not overlap.
        store(values, unsafe { to.part(bounds.at + i * bounds.stride, bounds.columns) });
    }
}

/// The end of a product whose sum over K was shared: adds up its parts, then the epilogue.
#[cfg(feature = "gpu")]
pub fn gemm_sum<A: Value, O: Value>(
    params: &gemm_sum::Params,
    constants: &gemm_sum::Constants,
    slices: gemm_sum::Slices<'_, A, O>,
) {
    let [m, n] = [params.m, params.n].map(|size| size as usize);
    let end = End {
        m,
        n,
        constants: Constants::of(&constants.list()),
        bias: slices.bias,
        extra: slices.extra,
        out: Shared::new(slices.out),
        pre: Shared::new(slices.pre),
    };
    let parts = slices.parts;
    parallel::ranges(m, parallel::rows_per_task(n), |rows| {
        for row in rows {
            add_parts(&end, parts, row);
        }
    });
}

#[cfg(feature = "gpu")]
vectorised! {
    fn add_parts<A: Value, O: Value>(end: &End<'_, A, O>, parts: &[f32], row: usize) {
        in_tiles!(add_parts_of_row::<A, O>(end, parts, row))
    }
}

#[cfg(feature = "gpu")]
#[inline(always)]
fn add_parts_of_row<const MR: usize, const NR: usize, const FUSED: bool, A: Value, O: Value>(
    end: &End<'_, A, O>,
    parts: &[f32],
    row: usize,
) {
    for column in (0..end.n).step_by(NR) {
        let columns = NR.min(end.n - column);
        let mut sum = [[0.0; NR]];
        for part in parts.chunks_exact(end.m * end.n) {
            let values = load::<NR, _>(&part[row * end.n + column..][..columns]);
            add(&mut sum, &[values]);
        }
        end.finish::<1, NR, FUSED>(0, row, column, &mut sum);
    }
}
