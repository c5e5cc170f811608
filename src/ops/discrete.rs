//! Discrete values: the best of a row, the row of a number. Without gradients.

use super::groups_of_lanes;
use crate::kernels::{argmax, gather_labels, gather_rows};
use crate::program::{Recorder, Tensor};

/// The place of the largest value of each row of `x [.., D]`: `[rows]`, u32.
pub fn argmax(rec: &mut Recorder, x: Tensor) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let out = rec.transient("argmax", [rows]);
    let params = argmax::Params { rows: rows as u32, dim: dim as u32 };
    rec.launch(params, Default::default(), argmax::Bindings { x, out }, groups_of_lanes(rows));
    out
}

/// The rows `ids` of `table [R, D]`: `[ids, D]`.
pub fn gather_rows(rec: &mut Recorder, table: Tensor, ids: Tensor) -> Tensor {
    let (_, dim) = rec.rows_and_dim(table);
    let rows = rec.len(ids);
    let out = rec.transient("rows", [rows, dim]);
    let params = gather_rows::Params { dim: dim as u32, count: (rows * dim) as u32 };
    let bindings = gather_rows::Bindings { table, ids, out };
    rec.launch(params, Default::default(), bindings, groups_of_lanes(rows * dim));
    out
}

/// The label, of `labels [B, L]`, of the patch that each token of `target [B, T]` must predict; no class
/// where there is none. `[B, T]`, u32.
pub fn gather_labels(rec: &mut Recorder, target: Tensor, labels: Tensor) -> Tensor {
    let &[batch, tokens] = rec.shape(target) else { panic!("targets are [B, T]") };
    let out = rec.transient("labels", [batch, tokens]);
    let count = batch * tokens;
    let params = gather_labels::Params {
        tokens: tokens as u32,
        patches: (rec.len(labels) / batch) as u32,
        count: count as u32,
    };
    let bindings = gather_labels::Bindings { token_target: target, labels, out };
    rec.launch(params, Default::default(), bindings, groups_of_lanes(count));
    out
}
