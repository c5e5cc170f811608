//! Attention without an L×L matrix in memory, forward and backward, one head of one sample at a time.
//!
//! The side whose tokens a task owns is taken in tiles of a few rows; the other side is packed once and passes
//! in blocks. All products are those of `tile`.

use std::ops::Range;

use super::Value;
use super::masks::Masks;
use super::math::exp;
use super::parallel::{self, Scratch, Shared};
use super::tile::{Left, Tile, add, multiply, pack_columns, pack_rows, store};
use super::vector::fold;
use crate::{Step, attention as forward, attention_backward_kv, attention_backward_q};

/// Own tokens of a task: a task packs the whole other side.
const TASK_TOKENS: usize = 256;
/// Tokens of the other side that pass together. Their scores against a tile stay in the nearest cache.
const BLOCK: usize = 256;

/// `out = softmax(q·kᵀ·scale)·v` with a softmax streamed over blocks of keys (Dao et al. 2022), and its
/// log-sum-exp. With `dropout` some probabilities are dropped in front of v, after the softmax, whose sum has them all.
pub fn attention<A: Value>(
    params: &forward::Params,
    constants: &forward::Constants,
    slices: forward::Slices<'_, A>,
) {
    let shape = Shape {
        tokens: params.tokens as usize,
        heads: params.heads as usize,
        dim: constants.dim_head as usize,
        scale: params.scale,
    };
    let masks = masks(constants, params, slices.step, slices.sample_ids);
    let out = Shared::new(slices.out);
    let lse = Shared::new(slices.lse);
    shape.each_task(params.count / params.tiles, masks, |head, own| {
        forward_head(shape, head, own, slices.qkv, &out, &lse);
    });
}

/// Query gradient: with p = exp(s − lse), δ = Σ dO·O and ds = p·(dO·v − δ), dq = scale · Σ ds·k. Keeps lse and
/// δ together for the keys' gradient. With `dropout` dO·v has the factor of its probability; δ is what it is, because O
/// has the factors.
pub fn attention_backward_q<A: Value>(
    params: &attention_backward_q::Params,
    constants: &attention_backward_q::Constants,
    slices: attention_backward_q::Slices<'_, A>,
) {
    let shape = Shape {
        tokens: params.tokens as usize,
        heads: params.heads as usize,
        dim: constants.dim_head as usize,
        scale: params.scale,
    };
    let read =
        QueryOperands { qkv: slices.qkv, out: slices.out, lse: slices.lse, d_out: slices.d_out };
    let masks = masks(constants, params, slices.step, slices.sample_ids);
    let d_qkv = Shared::new(slices.d_qkv);
    let row_stats = Shared::new(slices.row_stats);
    shape.each_task(params.count / params.tiles, masks, |head, own| {
        backward_q_head(shape, head, own, &read, &d_qkv, &row_stats);
    });
}

/// Key and value gradients: dv = Σ p·dO, dk = scale · Σ ds·q over the queries, with p and ds as in
/// [`attention_backward_q()`].
pub fn attention_backward_kv<A: Value>(
    params: &attention_backward_kv::Params,
    constants: &attention_backward_kv::Constants,
    slices: attention_backward_kv::Slices<'_, A>,
) {
    let shape = Shape {
        tokens: params.tokens as usize,
        heads: params.heads as usize,
        dim: constants.dim_head as usize,
        scale: params.scale,
    };
    let masks = masks(constants, params, slices.step, slices.sample_ids);
    let (qkv, row_stats, d_out) = (slices.qkv, slices.row_stats, slices.d_out);
    let d_qkv = Shared::new(slices.d_qkv);
    shape.each_task(params.count / params.tiles, masks, |head, own| {
        backward_kv_head(shape, head, own, qkv, row_stats, d_out, &d_qkv);
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
    /// Calls `work` for every head of every sample with ranges of its tokens.
    fn each_task<'a>(
        self,
        heads: u32,
        masks: Option<Masks<'a>>,
        work: impl Fn(HeadOf<'a>, Range<usize>) + Sync + Send,
    ) {
        let per_head = self.tokens.div_ceil(TASK_TOKENS);
        parallel::each(heads as usize * per_head, |i| {
            let (head, task) = (i / per_head, i % per_head);
            let own = task * TASK_TOKENS..((task + 1) * TASK_TOKENS).min(self.tokens);
            work(HeadOf { sample: head / self.heads, index: head % self.heads, masks }, own);
        });
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

/// Adds to each panel's tile the weights of a block, `[MR, panels]` vectors, times rows of the block; the first block
/// replaces what was in the tiles.
#[inline(always)]
fn accumulate<const MR: usize, const NR: usize, const FUSED: bool>(
    sums: &mut [Tile<MR, NR>],
    weights: &[[f32; NR]],
    panels: &[[f32; NR]],
    block: Range<usize>,
) {
    let width = weights.len() / MR * NR;
    let weights = weights.as_flattened();
    let rows: [&[f32]; MR] = std::array::from_fn(|i| &weights[i * width..][..width]);
    let tokens = panels.len() / sums.len();
    for (sum, panel) in sums.iter_mut().zip(panels.chunks_exact(tokens)) {
        let tile = multiply::<MR, NR, FUSED>(Left::Rows(rows), &panel[block.clone()]);
        if block.start == 0 {
            *sum = tile;
        } else {
            add(sum, &tile);
        }
    }
}

/// Blocks of the other side's `tokens`: their range, and that of their panels.
fn blocks<const NR: usize>(tokens: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    const { assert!(BLOCK.is_multiple_of(NR)) };
    (0..tokens).step_by(BLOCK).map(move |first| {
        let end = (first + BLOCK).min(tokens);
        (first..end, first / NR..end.div_ceil(NR))
    })
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
        for (block, panels) in blocks::<NR>(tokens) {
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
            accumulate::<MR, NR, FUSED>(sums, scores, values, block);
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

/// What the query gradient reads.
struct QueryOperands<'a, A> {
    qkv: &'a [A],
    out: &'a [A],
    lse: &'a [f32],
    d_out: &'a [A],
}

vectorised! {
    fn backward_q_head<A: Value>(
        shape: Shape,
        head: HeadOf<'_>,
        own: Range<usize>,
        read: &QueryOperands<'_, A>,
        d_qkv: &Shared<'_, A>,
        row_stats: &Shared<'_, f32>,
    ) {
        in_tiles!(backward_q_tiles::<A>(shape, head, own, read, d_qkv, row_stats))
    }
}

#[inline(always)]
fn backward_q_tiles<const MR: usize, const NR: usize, const FUSED: bool, A: Value>(
    shape: Shape,
    head: HeadOf<'_>,
    own: Range<usize>,
    read: &QueryOperands<'_, A>,
    d_qkv: &Shared<'_, A>,
    row_stats: &Shared<'_, f32>,
) {
    let (dim, tokens) = (shape.dim, shape.tokens);
    let (padded_dim, padded_tokens) = (dim.next_multiple_of(NR), tokens.next_multiple_of(NR));
    let block_tokens = padded_tokens.min(BLOCK);
    let len = 2 * own.len() * dim
        + 2 * padded_tokens * dim
        + tokens * padded_dim
        + MR * (2 * block_tokens + padded_dim);
    let mut scratch = Scratch::new(len);
    let scratch = &mut &mut *scratch;
    let queries = shape.qkv(head, read.qkv, 0).copy(own.clone(), shape.scale, scratch);
    let d_out = shape.head(head, read.d_out).copy(own.clone(), 1.0, scratch);
    let out = shape.head(head, read.out);
    let keys = shape.qkv(head, read.qkv, 1);
    let (keys, keys_along) = (keys.across_tokens::<NR>(scratch), keys.along_tokens::<NR>(scratch));
    let values = shape.qkv(head, read.qkv, 2).across_tokens::<NR>(scratch);
    let scores = take(scratch, MR * block_tokens).as_chunks_mut::<NR>().0;
    let d_p = take(scratch, MR * block_tokens).as_chunks_mut::<NR>().0;
    let sums = take(scratch, MR * padded_dim).as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0;
    for first in (0..own.len()).step_by(MR) {
        let rows = rows_of::<MR>(queries, dim, first);
        let d_out_rows = rows_of::<MR>(d_out, dim, first);
        let count = MR.min(own.len() - first);
        let mut lse = [0.0; MR];
        let mut delta = [0.0; MR];
        for i in 0..count {
            let token = own.start + first + i;
            let row = shape.row(head, token);
            lse[i] = read.lse[row];
            delta[i] = super::vector::sum2(d_out_rows[i], out.row(token), |a, b| a * b);
            // SAFETY: a token of a head belongs to one task.
            unsafe { row_stats.part(2 * row, 2) }.copy_from_slice(&[lse[i], delta[i]]);
        }
        for (block, panels) in blocks::<NR>(tokens) {
            let scores = &mut scores[..MR * panels.len()];
            let d_p = &mut d_p[..MR * panels.len()];
            products::<MR, NR, FUSED>(rows, &keys[panels.start * dim..panels.end * dim], scores);
            products::<MR, NR, FUSED>(
                d_out_rows,
                &values[panels.start * dim..panels.end * dim],
                d_p,
            );
            let rows =
                scores.chunks_exact_mut(panels.len()).zip(d_p.chunks_exact_mut(panels.len()));
            for (i, (scores, d_p)) in rows.enumerate() {
                if let Some(masks) = head.masks {
                    let quad = shape.quad(head, own.start + first + i, block.start);
                    masks.drop_some(head.sample, quad, d_p.as_flattened_mut());
                }
                for (scores, d_p) in scores.iter_mut().zip(&*d_p) {
                    for (score, d_p) in scores.iter_mut().zip(d_p) {
                        *score = probability::<FUSED>(*score, lse[i]) * (d_p - delta[i]);
                    }
                }
            }
            accumulate::<MR, NR, FUSED>(sums, scores, keys_along, block);
        }
        for i in 0..count {
            let at = shape.qkv_index(head, own.start + first + i, 0);
            // SAFETY: as above.
            store_row(sums, i, shape.scale, unsafe { d_qkv.part(at, dim) });
        }
    }
}

vectorised! {
    fn backward_kv_head<A: Value>(
        shape: Shape,
        head: HeadOf<'_>,
        own: Range<usize>,
        qkv: &[A],
        row_stats: &[f32],
        d_out: &[A],
        d_qkv: &Shared<'_, A>,
    ) {
        in_tiles!(backward_kv_tiles::<A>(shape, head, own, qkv, row_stats, d_out, d_qkv))
    }
}

#[inline(always)]
fn backward_kv_tiles<const MR: usize, const NR: usize, const FUSED: bool, A: Value>(
    shape: Shape,
    head: HeadOf<'_>,
    own: Range<usize>,
    qkv: &[A],
    row_stats: &[f32],
    d_out: &[A],
    d_qkv: &Shared<'_, A>,
) {
    let (dim, tokens) = (shape.dim, shape.tokens);
    let (padded_dim, padded_tokens) = (dim.next_multiple_of(NR), tokens.next_multiple_of(NR));
    let block_tokens = padded_tokens.min(BLOCK);
    let len = 2 * own.len() * dim
        + 2 * padded_tokens * dim
        + 2 * tokens * padded_dim
        + 2 * padded_tokens
        + 2 * MR * (block_tokens + padded_dim)
        + if head.masks.is_some() { MR * block_tokens } else { 0 };
    let mut scratch = Scratch::new(len);
    let scratch = &mut &mut *scratch;
    let keys = shape.qkv(head, qkv, 1).copy(own.clone(), shape.scale, scratch);
    let values = shape.qkv(head, qkv, 2).copy(own.clone(), 1.0, scratch);
    let queries = shape.qkv(head, qkv, 0);
    let (queries, queries_along) =
        (queries.across_tokens::<NR>(scratch), queries.along_tokens::<NR>(scratch));
    let d_out = shape.head(head, d_out);
    let (d_out, d_out_along) =
        (d_out.across_tokens::<NR>(scratch), d_out.along_tokens::<NR>(scratch));
    // Beyond the last query probabilities are zero.
    let lse = take(scratch, padded_tokens);
    let delta = take(scratch, padded_tokens);
    lse.fill(f32::INFINITY);
    delta.fill(0.0);
    let stats = &row_stats[2 * shape.row(head, 0)..][..2 * tokens];
    for ((lse, delta), stats) in lse.iter_mut().zip(&mut *delta).zip(stats.as_chunks::<2>().0) {
        [*lse, *delta] = *stats;
    }
    let (lse, delta) = (lse.as_chunks::<NR>().0, delta.as_chunks::<NR>().0);
    let p = take(scratch, MR * block_tokens).as_chunks_mut::<NR>().0;
    let d_s = take(scratch, MR * block_tokens).as_chunks_mut::<NR>().0;
    let d_k = take(scratch, MR * padded_dim).as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0;
    let d_v = take(scratch, MR * padded_dim).as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0;
    let factors = scratch.as_chunks_mut::<NR>().0;
    for first in (0..own.len()).step_by(MR) {
        let key_rows = rows_of::<MR>(keys, dim, first);
        let value_rows = rows_of::<MR>(values, dim, first);
        for (block, panels) in blocks::<NR>(tokens) {
            let p = &mut p[..MR * panels.len()];
            let d_s = &mut d_s[..MR * panels.len()];
            let (lse, delta) = (&lse[panels.clone()], &delta[panels.clone()]);
            let range = panels.start * dim..panels.end * dim;
            products::<MR, NR, FUSED>(key_rows, &queries[range.clone()], p);
            products::<MR, NR, FUSED>(value_rows, &d_out[range], d_s);
            if let Some(masks) = head.masks {
                let factors = &mut factors[..p.len()];
                let key = own.start + first;
                key_factors::<MR, NR>(shape, head, masks, key, panels.clone(), factors);
                scale_all(d_s, factors);
            }
            let rows = p.chunks_exact_mut(panels.len()).zip(d_s.chunks_exact_mut(panels.len()));
            for (p, d_s) in rows {
                for ((p, d_s), (lse, delta)) in p.iter_mut().zip(d_s).zip(lse.iter().zip(delta)) {
                    for j in 0..NR {
                        p[j] = probability::<FUSED>(p[j], lse[j]);
                        d_s[j] = p[j] * (d_s[j] - delta[j]);
                    }
                }
            }
            if head.masks.is_some() {
                scale_all(p, factors);
            }
            accumulate::<MR, NR, FUSED>(d_v, p, d_out_along, block.clone());
            accumulate::<MR, NR, FUSED>(d_k, d_s, queries_along, block);
        }
        for i in 0..MR.min(own.len() - first) {
            let token = own.start + first + i;
            // SAFETY: a token of a head belongs to one task.
            unsafe {
                let d_k_row = d_qkv.part(shape.qkv_index(head, token, 1), dim);
                store_row(d_k, i, shape.scale, d_k_row);
                let d_v_row = d_qkv.part(shape.qkv_index(head, token, 2), dim);
                store_row(d_v, i, 1.0, d_v_row);
            }
        }
    }
}

/// Factors of the probabilities of the keys from `key` on, `MR` of them, and the queries in `panels`:
/// `[MR, panels]` vectors.
#[inline(always)]
fn key_factors<const MR: usize, const NR: usize>(
    shape: Shape,
    head: HeadOf<'_>,
    masks: Masks<'_>,
    key: usize,
    panels: Range<usize>,
    to: &mut [[f32; NR]],
) {
    let count = panels.len();
    for (p, panel) in panels.enumerate() {
        let mut factors = [[0.0; NR]; 4];
        for i in 0..MR {
            let key = key + i;
            if i == 0 || key.is_multiple_of(4) {
                let quads = std::array::from_fn(|j| shape.quad(head, panel * NR + j, key));
                factors = masks.factors(head.sample, quads);
            }
            to[i * count + p] = factors[key % 4];
        }
    }
}

/// Multiplies vectors by those of `factors`, value by value.
#[inline(always)]
fn scale_all<const NR: usize>(vectors: &mut [[f32; NR]], factors: &[[f32; NR]]) {
    for (vector, factors) in vectors.iter_mut().zip(factors) {
        for (value, factor) in vector.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
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
        let count = (batch * heads) as u32 * tiles;
        let rows = batch * heads * tokens;
        let mut out = vec![A::of(0.0); d_out.len()];
        let mut lse = vec![0.0; rows];
        let mut row_stats = vec![0.0; 2 * rows];
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
        attention_backward_q(
            &params,
            &attention_backward_q::Constants { dim_head, dropout, ..Default::default() },
            attention_backward_q::Slices {
                step,
                sample_ids,
                qkv,
                out: &out,
                lse: &lse,
                d_out,
                d_qkv: &mut d_qkv,
                row_stats: &mut row_stats,
            },
        );
        attention_backward_kv(
            &params,
            &attention_backward_kv::Constants { dim_head, dropout, ..Default::default() },
            attention_backward_kv::Slices {
                step,
                sample_ids,
                qkv,
                row_stats: &row_stats,
                d_out,
                d_qkv: &mut d_qkv,
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
