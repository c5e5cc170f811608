//! From rows of tokens to a stack's input sequence, and back.

use super::parallel::{self, Scratch, Shared};
use super::{CLS_TOKEN, MASK_TOKEN, NONE, Value};
use crate::{
    assemble_tokens as assemble, gather_labels as labels, gather_rows as rows,
    gather_tokens as gather, position_grad as positions, token_maps as maps,
};

/// How a sequence is laid out; numbered like the shader's constants.
const SHUFFLED: u32 = 0; // cls, visible patches in shuffled order
const PATCH_ORDER: u32 = 1; // cls, all patches in order, mask tokens where hidden
const CONCATENATED: u32 = 3; // mask tokens, then the given visible tokens without position

/// Index maps between a stack's input sequence and what it is assembled from. Per sample and token: its source
/// (row of the given tokens, or a mark), its row in the position table, and the patch it must predict. The
/// inverses let every gradient be gathered.
pub fn token_maps(params: &maps::Params, constants: &maps::Constants, slices: maps::Slices<'_>) {
    let [tokens, sources, rows, patches] =
        [params.tokens, params.sources, params.rows, params.patches].map(|size| size as usize);
    for b in 0..(params.count / params.extent) as usize {
        let sample = Sample {
            params,
            constants,
            shuffle: &slices.ids_shuffle[b * patches..(b + 1) * patches],
            restore: &slices.ids_restore[b * patches..(b + 1) * patches],
        };
        for k in 0..tokens {
            let [source, row, target] = sample.token(k as u32);
            slices.token_source[b * tokens + k] = source;
            slices.token_row[b * tokens + k] = row;
            slices.token_target[b * tokens + k] = target;
        }
        for k in 0..sources {
            slices.source_token[b * sources + k] = sample.source(k as u32);
        }
        for k in 0..rows {
            slices.row_token[b * rows + k] = sample.row(k as u32);
        }
    }
}

/// What the maps of a sample are made from.
struct Sample<'a> {
    params: &'a maps::Params,
    constants: &'a maps::Constants,
    shuffle: &'a [u32],
    restore: &'a [u32],
}

impl Sample<'_> {
    /// Rows of the given tokens that precede the patches.
    fn leading(&self) -> u32 {
        if self.constants.cls_given { self.params.cls } else { 0 }
    }

    fn num_masked(&self) -> u32 {
        self.params.patches - self.params.len_keep
    }

    fn is_visible(&self, rank: u32) -> bool {
        rank.checked_sub(self.params.first_visible).is_some_and(|i| i < self.params.len_keep)
    }

    /// The patch at a place among the visible ones.
    fn visible_patch(&self, i: u32) -> u32 {
        self.shuffle[(self.params.first_visible + i) as usize]
    }

    /// Source, row of the position table, and patch to predict, of token `k`.
    fn token(&self, k: u32) -> [u32; 3] {
        let params = self.params;
        if self.constants.layout == CONCATENATED {
            return match k.checked_sub(self.num_masked()) {
                None => {
                    let patch = self.shuffle[k as usize];
                    [MASK_TOKEN, params.row_offset + patch, patch]
                }
                Some(source) => [source, NONE, NONE],
            };
        }
        let Some(i) = k.checked_sub(params.cls) else {
            return [if self.constants.cls_given { 0 } else { CLS_TOKEN }, 0, NONE];
        };
        if self.constants.layout == SHUFFLED {
            return [self.leading() + i, params.row_offset + self.visible_patch(i), NONE];
        }
        let rank = self.restore[i as usize];
        let visible = self.is_visible(rank);
        let source = match self.constants.layout {
            PATCH_ORDER if visible => self.leading() + rank - params.first_visible,
            PATCH_ORDER => MASK_TOKEN,
            _ => self.leading() + i,
        };
        [source, params.row_offset + i, if visible { NONE } else { i }]
    }

    /// Token of given row `k`.
    fn source(&self, k: u32) -> u32 {
        let (params, leading) = (self.params, self.leading());
        match self.constants.layout {
            PATCH_ORDER if k >= leading => params.cls + self.visible_patch(k - leading),
            CONCATENATED => self.num_masked() + k,
            _ => k + params.cls - leading,
        }
    }

    /// Token of row `k` of the position table.
    fn row(&self, k: u32) -> u32 {
        let params = self.params;
        let Some(patch) = k.checked_sub(params.row_offset) else {
            return if k < params.cls { k } else { NONE };
        };
        let Some(&rank) = self.restore.get(patch as usize) else { return NONE };
        match self.constants.layout {
            SHUFFLED if self.is_visible(rank) => params.cls + rank - params.first_visible,
            CONCATENATED if rank < self.num_masked() => rank,
            SHUFFLED | CONCATENATED => NONE,
            _ => params.cls + patch,
        }
    }
}

/// A stack's input: given tokens, cls and mask tokens put where [`token_maps`] says, positions added.
pub fn assemble_tokens<A: Value>(
    params: &assemble::Params,
    _: &assemble::Constants,
    slices: assemble::Slices<'_, A>,
) {
    let [tokens, sources, dim, count] =
        [params.tokens, params.sources, params.dim, params.count].map(|size| size as usize);
    let out = Shared::new(slices.out);
    parallel::ranges(count / dim, parallel::rows_per_task(dim), |range| {
        for token in range {
            let row = slices.token_row[token];
            let position = (row != NONE).then(|| &slices.positions[row as usize * dim..][..dim]);
            // SAFETY: a token belongs to one task.
            let out = unsafe { out.part(token * dim, dim) };
            match slices.token_source[token] {
                CLS_TOKEN => put(&slices.cls_token[..dim], position, out),
                MASK_TOKEN => put(&slices.mask_token[..dim], position, out),
                source => {
                    let row = token / tokens * sources + source as usize;
                    put(&slices.given[row * dim..(row + 1) * dim], position, out);
                }
            }
        }
    });
}

/// `out = x` plus its position, if it has one.
fn put<X: Value, A: Value>(x: &[X], position: Option<&[f32]>, out: &mut [A]) {
    match position {
        Some(position) => {
            for ((out, x), position) in out.iter_mut().zip(x).zip(position) {
                *out = A::of(x.get() + position);
            }
        }
        None => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = A::of(x.get());
            }
        }
    }
}

/// Rows picked by an index map; the gradient of [`assemble_tokens`] for its given tokens.
pub fn gather_tokens<A: Value>(
    params: &gather::Params,
    _: &gather::Constants,
    slices: gather::Slices<'_, A>,
) {
    let [tokens, sources, dim, count] =
        [params.tokens, params.sources, params.dim, params.count].map(|size| size as usize);
    let d_given = Shared::new(slices.d_given);
    parallel::ranges(count / dim, parallel::rows_per_task(dim), |range| {
        for source in range {
            let token = source / sources * tokens + slices.source_token[source] as usize;
            // SAFETY: a row belongs to one task.
            let to = unsafe { d_given.part(source * dim, dim) };
            to.copy_from_slice(&slices.dy[token * dim..(token + 1) * dim]);
        }
    });
}

/// Adds the gradient of a learned position table: each row sums over the samples in which a token used it.
pub fn position_grad<A: Value>(
    params: &positions::Params,
    _: &positions::Constants,
    slices: positions::Slices<'_, A>,
) {
    let [batch, tokens, rows, dim, count] =
        [params.batch, params.tokens, params.rows, params.dim, params.count]
            .map(|size| size as usize);
    let d_positions = Shared::new(slices.d_positions);
    parallel::each(count / dim, |row| {
        let mut sums = Scratch::new(dim);
        sums.fill(0.0);
        for b in 0..batch {
            let token = slices.row_token[b * rows + row];
            if token != NONE {
                let dy = &slices.dy[(b * tokens + token as usize) * dim..][..dim];
                for (sum, dy) in sums.iter_mut().zip(dy) {
                    *sum += dy.get();
                }
            }
        }
        // SAFETY: a row has one task.
        let to = unsafe { d_positions.part(row * dim, dim) };
        for (to, sum) in to.iter_mut().zip(&*sums) {
            *to += sum;
        }
    });
}

/// `out[i] = table[ids[i]]`.
pub fn gather_rows(params: &rows::Params, _: &rows::Constants, slices: rows::Slices<'_>) {
    let (dim, count) = (params.dim as usize, params.count as usize);
    for (out, &id) in slices.out[..count].chunks_exact_mut(dim).zip(slices.ids) {
        out.copy_from_slice(&slices.table[id as usize * dim..][..dim]);
    }
}

/// The label of the patch that each token must predict, or none.
pub fn gather_labels(params: &labels::Params, _: &labels::Constants, slices: labels::Slices<'_>) {
    let [tokens, patches, count] =
        [params.tokens, params.patches, params.count].map(|size| size as usize);
    for (i, (out, &patch)) in slices.out[..count].iter_mut().zip(slices.token_target).enumerate() {
        *out =
            if patch == NONE { NONE } else { slices.labels[i / tokens * patches + patch as usize] };
    }
}
