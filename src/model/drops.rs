//! What training drops at random, and nothing else does.

#[cfg(feature = "dropout")]
use crate::ops::optimizer::STEP_WORDS;
use crate::ops::{DropPath, Dropout, drop_path, dropout, residual};
use crate::program::{Recorder, Tensor};

/// Sites of dropout in a block, in this order.
#[derive(Clone, Copy)]
pub(super) enum Site {
    /// The softmax's probabilities.
    Probabilities,
    /// The output of the attention's projection.
    Projection,
    /// What GELU yields.
    Activations,
    /// The MLP's output.
    Output,
}

/// Sites of a block.
const SITES: usize = 4;

/// What an encoder drops; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drops {
    /// Factors of residual branches, see [`DropPath::scales`].
    pub(super) paths: Option<Tensor>,
    /// Values of its input.
    pub(super) embedding: Option<Dropout>,
    /// Values in its blocks, from the first block's first site on.
    pub(super) values: Option<Dropout>,
}

impl Drops {
    /// Drops a share `rate` of the values at every site of the blocks. Reads the external buffers `step` and
    /// `sample_ids` `[batch]`.
    pub(super) fn with_values(self, rec: &mut Recorder, rate: f64, batch: usize) -> Self {
        Self { values: self::values(rec, rate, batch).map(|first| first.further(1)), ..self }
    }

    /// The same of the values of the input.
    pub(super) fn with_embedding(self, rec: &mut Recorder, rate: f64, batch: usize) -> Self {
        Self { embedding: self::values(rec, rate, batch), ..self }
    }

    /// What block `number` drops.
    pub(super) fn of_block(self, number: usize) -> BlockDrops {
        BlockDrops {
            path: self.paths.map(|scales| DropPath { scales, connection: 2 * number }),
            values: self.values.map(|first| first.further(SITES * number)),
        }
    }
}

/// Dropout at the first site.
#[cfg(feature = "dropout")]
fn values(rec: &mut Recorder, rate: f64, batch: usize) -> Option<Dropout> {
    (rate > 0.0).then(|| Dropout {
        rate,
        step: rec.external("step", [STEP_WORDS]),
        sample_ids: rec.external("sample_ids", [batch]),
        site: 0,
    })
}

#[cfg(not(feature = "dropout"))]
fn values(_: &mut Recorder, _: f64, _: usize) -> Option<Dropout> {
    None
}

/// What a block drops.
#[derive(Clone, Copy, Default)]
pub(super) struct BlockDrops {
    /// Its branches for some samples: the connection is the attention's, the MLP's is the next.
    path: Option<DropPath>,
    /// Values, from its first site on.
    values: Option<Dropout>,
}

impl BlockDrops {
    /// Whether there is nothing to do between a branch and its shortcut.
    pub fn is_empty(self) -> bool {
        self.path.is_none() && self.values.is_none()
    }

    /// Dropout at a site.
    pub fn at(self, site: Site) -> Option<Dropout> {
        self.values.map(|first| first.further(site as usize))
    }

    /// `x`, of which some values are dropped.
    pub fn drop_some(self, rec: &mut Recorder, x: Tensor, site: Site) -> Tensor {
        self.at(site).map_or(x, |values| dropout(rec, x, values))
    }

    /// The sum of a shortcut and a branch: the attention's, or the one behind it.
    pub fn connect(
        self,
        rec: &mut Recorder,
        shortcut: Tensor,
        branch: Tensor,
        behind: usize,
    ) -> Tensor {
        match self.path {
            Some(DropPath { scales, connection }) => {
                let path = DropPath { scales, connection: connection + behind };
                drop_path(rec, shortcut, branch, path)
            }
            None => residual(rec, shortcut, branch),
        }
    }
}
