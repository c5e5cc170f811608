//! Discrete values: the best of a row, the row of a number. Without gradients.

use super::groups_of_lanes;
use crate::program::{Recorder, Tensor};

/// The place of the largest value of each row of `x [.., D]`: `[rows]`, u32.
pub fn argmax(rec: &mut Recorder, x: Tensor) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let out = rec.transient("argmax", [rows]);
    let uniform = [rows, dim].map(|n| n as u32);
    rec.dispatch("argmax", &[], &uniform, &[x, out], groups_of_lanes(rows));
    out
}

/// The rows `ids` of `table [R, D]`: `[ids, D]`.
pub fn gather_rows(rec: &mut Recorder, table: Tensor, ids: Tensor) -> Tensor {
    let (_, dim) = rec.rows_and_dim(table);
    let rows = rec.len(ids);
    let out = rec.transient("rows", [rows, dim]);
    let uniform = [dim, rows * dim].map(|n| n as u32);
    rec.dispatch("gather_rows", &[], &uniform, &[table, ids, out], groups_of_lanes(rows * dim));
    out
}

/// The label, of `labels [B, L]`, of the patch that each token of `target [B, T]` must predict; no class
/// where there is none. `[B, T]`, u32.
pub fn gather_labels(rec: &mut Recorder, target: Tensor, labels: Tensor) -> Tensor {
    let &[batch, tokens] = rec.shape(target) else { panic!("targets are [B, T]") };
    let out = rec.transient("labels", [batch, tokens]);
    let count = batch * tokens;
    let uniform = [tokens, rec.len(labels) / batch, count].map(|n| n as u32);
    let bindings = [target, labels, out];
    rec.dispatch("gather_labels", &[], &uniform, &bindings, groups_of_lanes(count));
    out
}
