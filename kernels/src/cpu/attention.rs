//! Attention without an L×L matrix in memory, forward and backward, one head of one sample at a time.
//!
//! Queries are taken in tiles of a few rows; keys and values are packed once and pass in blocks. All products are those
//! of `tile`.

use std::ops::Range;

use super::Value;
use super::masks::Masks;
use super::math::exp;
use super::parallel::{self, Scratch, Shared};
use super::tile::{Left, Tile, add, multiply, pack_columns, pack_rows, store};
use super::vector::fold;
use crate::{Step, attention as forward, attention_backward};

/// Queries of a forward task: a task packs all keys and values.
const TASK_TOKENS: usize = 256;
/// Keys that pass together. Their scores against a tile stay in the nearest cache.
const BLOCK: usize = 256;
/// Probabilities that the backward pass keeps of a head, with as many gradients of scores: for the second cache.
const KEPT: usize = 48 * 1024;

/// `out = softmax(q·kᵀ·scale)·v` with a softmax streamed over blocks of keys (Dao et al. 2022), and its
/// log-sum-exp. With `dropout` some probabilities are dropped in front of v, after the softmax, whose sum has them all.
pub fn attention<A: Value>(
    params: &forward::Params,
    constants: &forward::Constants,
    slices: forward::Slices<'_, A>,
) {
    let shape = Shape::of(params, constants);
    let masks = masks(constants, params, slices.step, slices.sample_ids);
    let out = Shared::new(slices.out);
    let lse = Shared::new(slices.lse);
    let per_head = shape.tokens.div_ceil(TASK_TOKENS);
    parallel::each((params.count / params.tiles) as usize * per_head, |i| {
        let (head, task) = (i / per_head, i % per_head);
        let own = task * TASK_TOKENS..((task + 1) * TASK_TOKENS).min(shape.tokens);
        forward_head(shape, shape.head_of(head, masks), own, slices.qkv, &out, &lse);
    });
}

/// Gradients in one pass: with p = exp(s − lse), δ = Σ dO·O and ds = p·(dO·v − δ), dv = Σ p·dO, dk = scale · Σ ds·q
/// and dq = scale · Σ ds·k. Keeps Σ ds·k and δ of each query, as the shader does, where there is one. With `dropout` dO·v
/// and the p of dv have the factor of their probability; δ is what it is, because O has the factors.
pub fn attention_backward<A: Value>(
    params: &attention_backward::Params,
    constants: &attention_backward::Constants,
    slices: attention_backward::Slices<'_, A>,
) {
    let attention_backward::Slices { qkv, out, lse, d_out, .. } = slices;
    let shape = Shape::of(params, constants);
    let read = Operands { qkv, out, lse, d_out };
    let masks = masks(constants, params, slices.step, slices.sample_ids);
    let d_qkv = Shared::new(slices.d_qkv);
    let rows = Shared::new(slices.rows);
    parallel::each(params.count as usize, |i| {
        backward_head(shape, shape.head_of(i, masks), &read, &d_qkv, &rows);
    });
}

/// The masks of the probabilities, if some are dropped; all passes have the same ones.
#[cfg_attr(not(feature = "dropout"), expect(unused_variables, reason = "none are dropped"))]
fn masks<'a>(
    constants: &forward::Constants,
    params: &forward::Params,
    step: &'a Step,
    sample_ids: &'a [u32],
) -> Option<Masks<'a>> {
    #[cfg(feature = "dropout")]
    if constants.dropout {
        let &forward::Params { site, threshold, factor, .. } = params;
        return Some(Masks { step, sample_ids, site, threshold, factor });
    }
    None
}

#[derive(Clone, Copy)]
struct Shape {
    tokens: usize,
    heads: usize,
    /// Values per head.
    dim: usize,
    scale: f32,
}

/// One head of one sample.
#[derive(Clone, Copy)]
struct HeadOf<'a> {
    sample: usize,
    index: usize,
    /// Of its probabilities, if some are dropped.
    masks: Option<Masks<'a>>,
}

impl Shape {
    fn of(params: &forward::Params, constants: &forward::Constants) -> Self {
        Self {
            tokens: params.tokens as usize,
            heads: params.heads as usize,
            dim: constants.dim_head as usize,
            scale: params.scale,
        }
    }

    fn head_of(self, number: usize, masks: Option<Masks<'_>>) -> HeadOf<'_> {
        HeadOf { sample: number / self.heads, index: number % self.heads, masks }
    }

    /// First value of a head in `qkv [B, L, 3, H, d]`; part 0 is the query, 1 the key, 2 the value.
    fn qkv_index(self, head: HeadOf<'_>, token: usize, part: usize) -> usize {
        (((head.sample * self.tokens + token) * 3 + part) * self.heads + head.index) * self.dim
    }

    /// First value of a head in `[B, L, H, d]`.
    fn head_index(self, head: HeadOf<'_>, token: usize) -> usize {
        ((head.sample * self.tokens + token) * self.heads + head.index) * self.dim
    }

    /// Row of a query in `[B, H, L]`.
    fn row(self, head: HeadOf<'_>, token: usize) -> usize {
        (head.sample * self.heads + head.index) * self.tokens + token
    }

    /// Number of the four probabilities of a query and the keys from `key` on, a multiple of four, in its sample.
    fn quad(self, head: HeadOf<'_>, query: usize, key: usize) -> u32 {
        ((head.index * self.tokens + query) * self.tokens.div_ceil(4) + key / 4) as u32
    }

    fn qkv<'m, A>(self, head: HeadOf<'_>, qkv: &'m [A], part: usize) -> Matrix<'m, A> {
        let values = &qkv[self.qkv_index(head, 0, part)..];
        Matrix { values, stride: 3 * self.heads * self.dim, rows: self.tokens, columns: self.dim }
    }

    fn head<'m, A>(self, head: HeadOf<'_>, values: &'m [A]) -> Matrix<'m, A> {
        let values = &values[self.head_index(head, 0)..];
        Matrix { values, stride: self.heads * self.dim, rows: self.tokens, columns: self.dim }
    }
}

/// The tokens of one head, `[L, d]`, as they lie.
#[derive(Clone, Copy)]
struct Matrix<'a, A> {
    values: &'a [A],
    stride: usize,
    rows: usize,
    columns: usize,
}

impl<'a, A: Value> Matrix<'a, A> {
    #[inline(always)]
    fn row(self, row: usize) -> &'a [A] {
        &self.values[row * self.stride..][..self.columns]
    }

    /// Some rows times `factor`, without gaps.
    #[inline(always)]
    fn copy<'s>(self, rows: Range<usize>, factor: f32, scratch: &mut &'s mut [f32]) -> &'s [f32] {
        let to = take(scratch, rows.len() * self.columns);
        for (row, to) in rows.zip(to.chunks_exact_mut(self.columns)) {
            for (to, from) in to.iter_mut().zip(self.row(row)) {
                *to = from.get() * factor;
            }
        }
        to
    }

    /// Panels of `NR` tokens, each `[d, NR]`.
    #[inline(always)]
    fn across_tokens<'s, const NR: usize>(self, scratch: &mut &'s mut [f32]) -> &'s [[f32; NR]] {
        let panels = self.rows.div_ceil(NR);
        let to = take(scratch, panels * NR * self.columns).as_chunks_mut::<NR>().0;
        for (i, panel) in to.chunks_exact_mut(self.columns).enumerate() {
            pack_rows(self.values, self.stride, i * NR, self.rows, panel);
        }
        to
    }

    /// Panels of `NR` values, each `[L, NR]`.
    #[inline(always)]
    fn along_tokens<'s, const NR: usize>(self, scratch: &mut &'s mut [f32]) -> &'s [[f32; NR]] {
        let panels = self.columns.div_ceil(NR);
        let to = take(scratch, panels * NR * self.rows).as_chunks_mut::<NR>().0;
        pack_columns(self.values, self.stride, 0..self.columns, self.rows, to);
        to
    }
}

/// The first `len` values of `scratch`, which keeps the rest.
fn take<'s>(scratch: &mut &'s mut [f32], len: usize) -> &'s mut [f32] {
    let (first, rest) = std::mem::take(scratch).split_at_mut(len);
    *scratch = rest;
    first
}

/// Rows of a tile out of rows of `width` values without gaps; those past the end repeat the last one.
#[inline(always)]
fn rows_of<const MR: usize>(rows: &[f32], width: usize, first: usize) -> [&[f32]; MR] {
    let last = rows.len() / width - 1;
    std::array::from_fn(|i| &rows[(first + i).min(last) * width..][..width])
}

/// Products of a tile's rows with all tokens of a block, `[MR, panels]` vectors.
#[inline(always)]
fn products<const MR: usize, const NR: usize, const FUSED: bool>(
    rows: [&[f32]; MR],
    panels: &[[f32; NR]],
    to: &mut [[f32; NR]],
) {
    let dim = rows[0].len();
    let count = panels.len() / dim;
    for (p, panel) in panels.chunks_exact(dim).enumerate() {
        let tile = multiply::<MR, NR, FUSED>(Left::Rows(rows), panel);
        for (i, values) in tile.into_iter().enumerate() {
            to[i * count + p] = values;
        }
    }
}

/// Adds to each panel's tile the `weights` of a block times rows of the block; the first block replaces what was in the
/// tiles.
#[inline(always)]
fn accumulate<const MR: usize, const NR: usize, const FUSED: bool>(
    sums: &mut [Tile<MR, NR>],
    weights: Left<'_, MR>,
    panels: &[[f32; NR]],
    block: Range<usize>,
) {
    let tokens = panels.len() / sums.len();
    for (sum, panel) in sums.iter_mut().zip(panels.chunks_exact(tokens)) {
        let tile = multiply::<MR, NR, FUSED>(weights, &panel[block.clone()]);
        if block.start == 0 {
            *sum = tile;
        } else {
            add(sum, &tile);
        }
    }
}

/// Blocks of `len` of some `tokens`.
fn blocks(tokens: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tokens).step_by(len).map(move |first| first..(first + len).min(tokens))
}

/// Sets what lies behind the `tokens` first values of a row.
#[inline(always)]
fn fill_past<const NR: usize>(row: &mut [[f32; NR]], tokens: usize, value: f32) {
    row.as_flattened_mut()[tokens..].fill(value);
}

/// Stores rows of tiles as the values of one head of one token.
#[inline(always)]
fn store_row<const MR: usize, const NR: usize, A: Value>(
    tiles: &[Tile<MR, NR>],
    i: usize,
    factor: f32,
    to: &mut [A],
) {
    for (tile, to) in tiles.iter().zip(to.chunks_mut(NR)) {
        let mut values = tile[i];
        for value in &mut values {
            *value *= factor;
        }
        store(&values, to);
    }
}

vectorised! {
    fn forward_head<A: Value>(
        shape: Shape,
        head: HeadOf<'_>,
        own: Range<usize>,
        qkv: &[A],
        out: &Shared<'_, A>,
        lse: &Shared<'_, f32>,
    ) {
        in_tiles!(forward_tiles::<A>(shape, head, own, qkv, out, lse))
    }
}

#[inline(always)]
fn forward_tiles<const MR: usize, const NR: usize, const FUSED: bool, A: Value>(
    shape: Shape,
    head: HeadOf<'_>,
    own: Range<usize>,
    qkv: &[A],
    out: &Shared<'_, A>,
    lse: &Shared<'_, f32>,
) {
    let (dim, tokens) = (shape.dim, shape.tokens);
    let (padded_dim, padded_tokens) = (dim.next_multiple_of(NR), tokens.next_multiple_of(NR));
    let block_tokens = padded_tokens.min(BLOCK);
    let len = own.len() * dim
        + padded_tokens * dim
        + tokens * padded_dim
        + MR * (block_tokens + padded_dim);
    let mut scratch = Scratch::new(len);
    let scratch = &mut &mut *scratch;
    let queries = shape.qkv(head, qkv, 0).copy(own.clone(), shape.scale, scratch);
    let keys = shape.qkv(head, qkv, 1).across_tokens::<NR>(scratch);
    let values = shape.qkv(head, qkv, 2).along_tokens::<NR>(scratch);
    let scores = take(scratch, MR * block_tokens).as_chunks_mut::<NR>().0;
    let sums = take(scratch, MR * padded_dim).as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0;
    for first in (0..own.len()).step_by(MR) {
        let rows = rows_of::<MR>(queries, dim, first);
        let mut maximum = [-3.0e38_f32; MR];
        let mut total = [0.0; MR];
        for block in blocks(tokens, BLOCK) {
            const { assert!(BLOCK.is_multiple_of(NR)) };
            let panels = block.start / NR..block.end.div_ceil(NR);
            let scores = &mut scores[..MR * panels.len()];
            let keys = &keys[panels.start * dim..panels.end * dim];
            products::<MR, NR, FUSED>(rows, keys, scores);
            for (i, row) in scores.chunks_exact_mut(panels.len()).enumerate() {
                fill_past(row, block.len(), f32::NEG_INFINITY);
                let mut highest = [maximum[i]; NR];
                for scores in &*row {
                    for (highest, &score) in highest.iter_mut().zip(scores) {
                        *highest = larger(*highest, score);
                    }
                }
                let highest = fold(highest, larger);
                let mut weights = [0.0; NR];
                for scores in &mut *row {
                    for (score, weights) in scores.iter_mut().zip(&mut weights) {
                        *score = exp::<FUSED>(*score - highest);
                        *weights += *score;
                    }
                }
                let weights = fold(weights, |a, b| a + b);
                if block.start == 0 {
                    total[i] = weights;
                } else {
                    let shrink = exp::<FUSED>(maximum[i] - highest);
                    total[i] = total[i] * shrink + weights;
                    for sum in sums.iter_mut() {
                        for value in &mut sum[i] {
                            *value *= shrink;
                        }
                    }
                }
                maximum[i] = highest;
                if let Some(masks) = head.masks {
                    let quad = shape.quad(head, own.start + first + i, block.start);
                    masks.drop_some(head.sample, quad, row.as_flattened_mut());
                }
            }
            let width = panels.len() * NR;
            let scores = scores.as_flattened();
            let weights = Left::Rows(std::array::from_fn(|i| &scores[i * width..][..width]));
            accumulate::<MR, NR, FUSED>(sums, weights, values, block);
        }
        for i in 0..MR.min(own.len() - first) {
            let token = own.start + first + i;
            // SAFETY: a token of a head belongs to one task.
            unsafe {
                let out = out.part(shape.head_index(head, token), dim);
                store_row(sums, i, 1.0 / total[i], out);
                lse.part(shape.row(head, token), 1)[0] = maximum[i] + total[i].ln();
            }
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// p = exp(s − lse), at most 1: where scores are huge, rounding must not make it e^(rounding).
#[inline(always)]
fn probability<const FUSED: bool>(score: f32, lse: f32) -> f32 {
    let exponent = score - lse;
    exp::<FUSED>(if exponent > 0.0 { 0.0 } else { exponent })
}

/// What the gradients are made of.
struct Operands<'a, A> {
    qkv: &'a [A],
    out: &'a [A],
    lse: &'a [f32],
    d_out: &'a [A],
}

vectorised! {
    fn backward_head<A: Value>(
        shape: Shape,
        head: HeadOf<'_>,
        read: &Operands<'_, A>,
        d_qkv: &Shared<'_, A>,
        rows: &Shared<'_, f32>,
    ) {
        in_tiles!(backward_tiles::<A>(shape, head, read, d_qkv, rows))
    }
}

#[inline(always)]
fn backward_tiles<const MR: usize, const NR: usize, const FUSED: bool, A: Value>(
    shape: Shape,
    head: HeadOf<'_>,
    read: &Operands<'_, A>,
    d_qkv: &Shared<'_, A>,
    rows: &Shared<'_, f32>,
) {
    let (dim, tokens) = (shape.dim, shape.tokens);
    let (padded_dim, width) = (dim.next_multiple_of(NR), tokens.next_multiple_of(NR));
    let tiles = tokens.div_ceil(MR);
    // Queries whose probabilities are kept until the keys' and values' gradients have them.
    let kept = (KEPT / width).max(4 * MR).next_multiple_of(MR).min(tiles * MR);
    // The last tile of keys reads beyond the last row.
    let weights = kept * width + MR.next_multiple_of(NR);
    let len = 2 * tokens * dim
        + 2 * width * dim
        + 3 * tokens * padded_dim
        + 2 * weights
        + (1 + 2 * tiles) * MR * padded_dim;
    let mut scratch = Scratch::new(len);
    let scratch = &mut &mut *scratch;
    let queries = shape.qkv(head, read.qkv, 0);
    let query_rows = queries.copy(0..tokens, shape.scale, scratch);
    let queries_along = queries.along_tokens::<NR>(scratch);
    let keys = shape.qkv(head, read.qkv, 1);
    let (keys, keys_along) = (keys.across_tokens::<NR>(scratch), keys.along_tokens::<NR>(scratch));
    let values = shape.qkv(head, read.qkv, 2).across_tokens::<NR>(scratch);
    let out = shape.head(head, read.out);
    let d_out = shape.head(head, read.d_out);
    let (d_out_rows, d_out_along) =
        (d_out.copy(0..tokens, 1.0, scratch), d_out.along_tokens::<NR>(scratch));
    let p = take(scratch, weights).as_chunks_mut::<NR>().0;
    let d_s = take(scratch, weights).as_chunks_mut::<NR>().0;
    let mut sums = |tiles: usize| {
        take(scratch, tiles * MR * padded_dim).as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0
    };
    let (d_q, d_k, d_v) = (sums(1), sums(tiles), sums(tiles));
    for block in blocks(tokens, kept) {
        for first in block.clone().step_by(MR) {
            let at = (first - block.start) * width / NR;
            let row_weights = at..at + MR * width / NR;
            let (p, d_s) = (&mut p[row_weights.clone()], &mut d_s[row_weights]);
            let d_out_rows = rows_of::<MR>(d_out_rows, dim, first);
            products::<MR, NR, FUSED>(rows_of(query_rows, dim, first), keys, p);
            products::<MR, NR, FUSED>(d_out_rows, values, d_s);
            let count = MR.min(tokens - first);
            let mut deltas = [0.0; MR];
            let each = p.chunks_exact_mut(width / NR).zip(d_s.chunks_exact_mut(width / NR));
            for (i, (p, d_s)) in each.enumerate().take(count) {
                let query = first + i;
                fill_past(p, tokens, f32::NEG_INFINITY);
                let drop_some = |weights: &mut [[f32; NR]]| {
                    if let Some(masks) = head.masks {
                        let quad = shape.quad(head, query, 0);
                        masks.drop_some(head.sample, quad, weights.as_flattened_mut());
                    }
                };
                drop_some(d_s);
                let lse = read.lse[shape.row(head, query)];
                let delta = super::vector::sum2(d_out_rows[i], out.row(query), |a, b| a * b);
                for (p, d_s) in p.iter_mut().zip(d_s) {
                    for (p, d_s) in p.iter_mut().zip(d_s) {
                        *p = probability::<FUSED>(*p, lse);
                        *d_s = *p * (*d_s - delta);
                    }
                }
                drop_some(p);
                deltas[i] = delta;
            }
            let d_s = d_s.as_flattened();
            for keys in blocks(tokens, BLOCK) {
                let left = Left::Rows(std::array::from_fn(|i| &d_s[i * width..][keys.clone()]));
                accumulate::<MR, NR, FUSED>(d_q, left, keys_along, keys);
            }
            for (i, delta) in deltas.into_iter().enumerate().take(count) {
                let query = first + i;
                // SAFETY: a head belongs to one task.
                let d_q_row = unsafe { d_qkv.part(shape.qkv_index(head, query, 0), dim) };
                store_row(d_q, i, shape.scale, d_q_row);
                // Only who compares with the shader reads them.
                if cfg!(feature = "gpu") {
                    let row_len = dim.next_multiple_of(4) + 4;
                    // SAFETY: as above.
                    let kept = unsafe { rows.part(shape.row(head, query) * row_len, row_len) };
                    store_row(d_q, i, 1.0, &mut kept[..dim]);
                    kept[dim..].fill(0.0);
                    kept[row_len - 4] = delta;
                }
            }
        }
        for (tile, (d_k, d_v)) in each_tile(d_k, tiles).zip(each_tile(d_v, tiles)).enumerate() {
            let [p, d_s] = [&*p, &*d_s].map(|weights| Left::Columns {
                values: &weights.as_flattened()[tile * MR..],
                stride: width,
            });
            accumulate::<MR, NR, FUSED>(d_v, p, d_out_along, block.clone());
            accumulate::<MR, NR, FUSED>(d_k, d_s, queries_along, block.clone());
        }
    }
    for (tile, (d_k, d_v)) in each_tile(d_k, tiles).zip(each_tile(d_v, tiles)).enumerate() {
        for i in 0..MR.min(tokens - tile * MR) {
            let at = |part| shape.qkv_index(head, tile * MR + i, part);
            // SAFETY: as above.
            unsafe {
                store_row(d_k, i, shape.scale, d_qkv.part(at(1), dim));
                store_row(d_v, i, 1.0, d_qkv.part(at(2), dim));
            }
        }
    }
}

/// The sums of each of `tiles` tiles of rows, by panels.
fn each_tile<const MR: usize, const NR: usize>(
    sums: &mut [Tile<MR, NR>],
    tiles: usize,
) -> impl Iterator<Item = &mut [Tile<MR, NR>]> {
    let panels = sums.len() / tiles;
    sums.chunks_exact_mut(panels)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::cpu::oracle::{self, Rng};

    /// What attention and its backward pass give.
    #[derive(Debug, PartialEq)]
    struct Results<T> {
        out: Vec<T>,
        lse: Vec<f32>,
        d_qkv: Vec<T>,
    }

    fn run<A: Value>(
        [batch, tokens, heads, dim]: [usize; 4],
        scale: f32,
        qkv: &[A],
        d_out: &[A],
        dropout: bool,
    ) -> Results<A> {
        let tiles = 3;
        let batch_heads = (batch * heads) as u32;
        let count = batch_heads * tiles;
        let rows = batch * heads * tokens;
        let mut out = vec![A::of(0.0); d_out.len()];
        let mut lse = vec![0.0; rows];
        let mut row_gradients = vec![0.0; rows * (dim.next_multiple_of(4) + 4)];
        let mut d_qkv = vec![A::of(0.0); qkv.len()];
        let (tokens, heads, dim_head) = (tokens as u32, heads as u32, dim as u32);
        let (site, threshold, factor) = (1, 1 << 30, 4.0 / 3.0);
        let params =
            forward::Params { tokens, heads, tiles, count, scale, site, threshold, factor };
        let step = Step { seed: [1, 2], epoch: 3, step: 4, lr: 0.0, padding: 0 };
        let (step, sample_ids) = (&step, &*(0..batch as u32).collect::<Vec<_>>());
        attention(
            &params,
            &forward::Constants { dim_head, dropout, ..Default::default() },
            forward::Slices { step, sample_ids, qkv, out: &mut out, lse: &mut lse },
        );
        attention_backward(
            &attention_backward::Params { tiles: 1, count: batch_heads, ..params },
            &attention_backward::Constants { dim_head, dropout, ..Default::default() },
            attention_backward::Slices {
                step,
                sample_ids,
                qkv,
                out: &out,
                lse: &lse,
                d_out,
                d_qkv: &mut d_qkv,
                rows: &mut row_gradients,
            },
        );
        Results { out, lse, d_qkv }
    }

    fn expected<A: Value>(
        [batch, tokens, heads, dim]: [usize; 4],
        scale: f32,
        qkv: &[A],
        d_out: &[A],
    ) -> [Vec<f64>; 3] {
        let mut out = vec![0.0; d_out.len()];
        let mut lse = Vec::new();
        let mut d_qkv = vec![0.0; qkv.len()];
        let scale = f64::from(scale);
        for (b, h) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
            let at = |t: usize, part: usize, i: usize| {
                (((b * tokens + t) * 3 + part) * heads + h) * dim + i
            };
            let at_out = |t: usize, i: usize| ((b * tokens + t) * heads + h) * dim + i;
            let q = |t: usize, i: usize| f64::from(qkv[at(t, 0, i)].get());
            let k = |t: usize, i: usize| f64::from(qkv[at(t, 1, i)].get());
            let v = |t: usize, i: usize| f64::from(qkv[at(t, 2, i)].get());
            let d_o = |t: usize, i: usize| f64::from(d_out[at_out(t, i)].get());
            for t in 0..tokens {
                let scores: Vec<f64> = (0..tokens)
                    .map(|s| scale * (0..dim).map(|i| q(t, i) * k(s, i)).sum::<f64>())
                    .collect();
                let highest = scores.iter().fold(f64::MIN, |a, &b| a.max(b));
                let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
                let p: Vec<f64> = scores.iter().map(|s| (s - highest).exp() / total).collect();
                lse.push(highest + total.ln());
                let d_p: Vec<f64> =
                    (0..tokens).map(|s| (0..dim).map(|i| d_o(t, i) * v(s, i)).sum()).collect();
                let delta: f64 = p.iter().zip(&d_p).map(|(p, d_p)| p * d_p).sum();
                for s in 0..tokens {
                    let d_s = p[s] * (d_p[s] - delta);
                    for i in 0..dim {
                        out[at_out(t, i)] += p[s] * v(s, i);
                        d_qkv[at(t, 0, i)] += scale * d_s * k(s, i);
                        d_qkv[at(s, 1, i)] += scale * d_s * q(t, i);
                        d_qkv[at(s, 2, i)] += p[s] * d_o(t, i);
                    }
                }
            }
        }
        [out, lse, d_qkv]
    }

    #[test]
    fn attention_and_its_gradients_are_those_of_f64() {
        let shapes = [
            [1, 1, 1, 1],
            [2, 17, 3, 16],
            [1, 65, 2, 32],
            [1, 63, 1, 7],
            [1, 197, 1, 80],
            [1, 257, 1, 33],
            [1, 600, 2, 4],
        ];
        for shape @ [batch, tokens, heads, dim] in shapes {
            check::<f32>(shape, 1.5, 3e-6);
            check::<f16>([batch, tokens.min(70), heads, dim], 1.5, 2e-3);
        }
        // Scores up to some hundreds.
        check::<f32>([1, 70, 1, 24], 100.0, 1e-4);
    }

    fn check<A: Value>(shape: [usize; 4], scale: f32, tolerance: f64) {
        let [batch, tokens, heads, dim] = shape;
        let mut rng = Rng(3);
        let qkv = rng.values::<A>(batch * tokens * 3 * heads * dim);
        let d_out = rng.values::<A>(batch * tokens * heads * dim);
        let results = run(shape, scale, &qkv, &d_out, false);
        let [out, lse, d_qkv] = expected(shape, scale, &qkv, &d_out);
        let name = format!("{shape:?}");
        oracle::assert_close(&results.out, &out, tolerance, &name);
        oracle::assert_close(&results.lse, &lse, tolerance, &name);
        oracle::assert_close(&results.d_qkv, &d_qkv, tolerance, &name);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let shape = [2, 300, 3, 20];
        let mut rng = Rng(4);
        let (qkv, d_out) = (rng.values::<f32>(2 * 300 * 3 * 60), rng.values::<f32>(2 * 300 * 60));
        for dropout in [false, true] {
            oracle::assert_same_on_any_threads(|| run(shape, 0.3, &qkv, &d_out, dropout));
        }
    }
}
