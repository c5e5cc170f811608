//! Assembling a stack's input: visible tokens, cls and mask tokens in their places, positions added.

use super::groups_of_lanes;
use super::mask::MaskIds;
use super::reduce::add_column_sums;
use crate::config::ModelConfig;
use crate::kernels::{assemble_tokens, gather_tokens, position_grad, token_maps};
use crate::program::{Recorder, Tensor};

/// How a sequence is laid out; the numbers are the shader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Cls, then the visible patches in shuffled order (encoder).
    Shuffled = 0,
    /// Cls, then all patches in order, with mask tokens where hidden (decoder; or an encoder that
    /// sees mask tokens).
    PatchOrder = 1,
    /// The given tokens as they are (decoder behind an encoder that saw mask tokens).
    AllTokens = 2,
    /// Mask tokens with positions, then the given visible tokens without (plain decoder).
    Concatenated = 3,
}

/// Index maps of a sequence, see `shaders/tokens/token_maps.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct TokenMaps {
    /// `[B, T]`: row of the given tokens, or a mark for cls or mask token.
    source: Tensor,
    /// `[B, T]`: row of the position table or none.
    row: Tensor,
    /// `[B, S]`: token of each given row.
    source_token: Tensor,
    /// `[B, R]`: token of each position row or none.
    row_token: Tensor,
    /// `[B, T]`: patch that the token must predict, or none.
    pub target: Tensor,
}

/// Marks in a token map, as in `shaders/prelude/common.wgsl`.
const CLS_TOKEN: u32 = 0xffff_fffe;
const MASK_TOKEN: u32 = 0xffff_fffd;

/// Maps for a sequence of `tokens` made from `sources` given ones; what it has beyond its patches is a
/// cls token. `cls_given`: that is the given ones' first row. `row_offset`: position row of patch 0.
pub fn token_maps(
    rec: &mut Recorder,
    config: &ModelConfig,
    ids: MaskIds,
    layout: Layout,
    [tokens, sources]: [usize; 2],
    cls_given: bool,
    row_offset: usize,
) -> TokenMaps {
    let batch = rec.shape(ids.shuffle)[0];
    let rows = config.position_rows();
    let [source, row, source_token, row_token, target] = [
        ("token_source", tokens),
        ("token_row", tokens),
        ("source_token", sources),
        ("row_token", rows),
        ("token_target", tokens),
    ]
    .map(|(name, extent)| rec.transient(name, [batch, extent]));
    let extent = tokens.max(sources).max(rows);
    let patches = if layout == Layout::Shuffled { config.len_keep() } else { config.num_patches() };
    let params = token_maps::Params {
        count: (batch * extent) as u32,
        extent: extent as u32,
        tokens: tokens as u32,
        sources: sources as u32,
        rows: rows as u32,
        patches: config.num_patches() as u32,
        cls: (tokens - patches) as u32,
        len_keep: config.len_keep() as u32,
        first_visible: config.first_visible() as u32,
        row_offset: row_offset as u32,
    };
    let constants = token_maps::Constants { layout: layout as u32, cls_given };
    let bindings = token_maps::Bindings {
        ids_shuffle: ids.shuffle,
        ids_restore: ids.restore,
        token_source: source,
        token_row: row,
        source_token,
        row_token,
        token_target: target,
    };
    rec.launch(params, constants, bindings, groups_of_lanes(batch * extent));
    TokenMaps { source, row, source_token, row_token, target }
}

/// `given [B, S, D] → [B, T, D]` by the maps. `cls` and `mask` are `D` values each, `positions` is
/// `[.., R, D]`.
pub fn assemble_tokens(
    rec: &mut Recorder,
    maps: TokenMaps,
    given: Tensor,
    cls: Option<Tensor>,
    mask: Option<Tensor>,
    positions: Tensor,
) -> Tensor {
    let &[batch, tokens] = rec.shape(maps.source) else { panic!("a map is [B, T]") };
    let &[_, sources] = rec.shape(maps.source_token) else { panic!("a map is [B, S]") };
    let dim = rec.rows_and_dim(given).1;
    let out = rec.transient_like(given, "tokens", [batch, tokens, dim]);
    let count = rec.len(out);
    let unused = rec.unused();
    let bindings = assemble_tokens::Bindings {
        given,
        token_source: maps.source,
        token_row: maps.row,
        cls_token: cls.unwrap_or(unused),
        mask_token: mask.unwrap_or(unused),
        positions,
        out,
    };
    let params = move |count: usize| assemble_tokens::Params {
        tokens: tokens as u32,
        sources: sources as u32,
        dim: dim as u32,
        count: count as u32,
    };
    rec.launch(params(count), Default::default(), bindings, groups_of_lanes(count));
    let inputs: Vec<Tensor> =
        [Some(given), cls, mask, Some(positions)].into_iter().flatten().collect();
    rec.on_backward(out, &inputs, move |rec, dy| {
        for (token, mark) in [(cls, CLS_TOKEN), (mask, MASK_TOKEN)] {
            if let Some(grad) = token.and_then(|token| rec.param_grad(token)) {
                add_column_sums(rec, dy, grad, Some((maps.source, mark)));
            }
        }
        if let Some(grad) = rec.param_grad(positions) {
            let rows = rec.shape(maps.row_token)[1];
            let count = rows * dim;
            let params = position_grad::Params {
                batch: batch as u32,
                tokens: tokens as u32,
                rows: rows as u32,
                dim: dim as u32,
                count: count as u32,
            };
            let bindings =
                position_grad::Bindings { dy, row_token: maps.row_token, d_positions: grad };
            rec.launch(params, Default::default(), bindings, groups_of_lanes(count));
        }
        if rec.needs_grad(given) {
            let (d_given, accumulate) = rec.grad_target(given);
            assert!(!accumulate, "tokens are assembled into one sequence");
            let count = rec.len(given);
            let bindings = gather_tokens::Bindings { dy, source_token: maps.source_token, d_given };
            rec.launch(params(count), Default::default(), bindings, groups_of_lanes(count));
        }
    });
    out
}
