//! Instructions that a launch takes, estimated from its tiles; an instruction of each lane counts as one.

use super::assumptions::{FRAGMENT_STAGING, GELU, SOFTMAX, STAGING, VALUE, WIDE_READ};
use super::tile::{Attention, AttentionUnits, Product, SIDE, Tiled, Units};
use crate::program::LaunchCounts;

/// Instructions that a multiprocessor starts in the clock in which its workgroup memory gives a subgroup one line.
const PER_LINE: f64 = 4.0;

/// Work of a launch on the units of a multiprocessor.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Instructions {
    /// Multiply-adds on vector units, those on padding included.
    pub multiply_adds: f64,
    /// What surrounds them inside a tile: reads of workgroup memory, staging, softmax.
    pub around: f64,
    /// Lines of workgroup memory that lanes read, in instructions that could start meanwhile.
    pub lines: f64,
    /// What follows a tile, or all that a kernel without tiles does.
    pub values: f64,
    /// FLOPs of fragments, those on padding included.
    pub fragment_flops: f64,
    /// Bytes of workgroup memory that fragments are loaded from.
    pub fragment_bytes: f64,
    /// How often a workgroup waits for a tile.
    pub waits: f64,
    /// Whether it multiplies meanwhile.
    pub is_ahead: bool,
}

impl Instructions {
    /// Of `launch`.
    pub fn of(launch: &LaunchCounts, tiled: Option<&Tiled>) -> Self {
        match tiled {
            Some(Tiled::Product(product)) => Self::product(product),
            Some(Tiled::Attention(attention)) => match attention.units {
                AttentionUnits::Vector { queries, keys, own } => {
                    Self::attention(attention, [queries, keys, own], launch.groups)
                }
                AttentionUnits::Fragments { extent, bytes } => {
                    Self::attention_of_fragments(attention, extent, bytes, launch.groups)
                }
            },
            None => {
                let values: u64 = launch.operands.iter().map(|operand| operand.values).sum();
                Self { values: VALUE.value * values as f64, ..Self::default() }
            }
        }
    }

    fn product(product: &Product) -> Self {
        let [m, n, k] = product.sizes;
        let steps = k.div_ceil(product.k_step);
        let tiles: usize = product.tiles().iter().product();
        let [rows, cols] = product.tile;
        let padded = (tiles * rows * cols * steps * product.k_step) as f64;
        let staged = (tiles * steps * product.k_step * (rows + cols)) as f64 / 4.0;
        let value = VALUE.value + if product.gelu { GELU.value } else { 0.0 };
        let values = value * (m * n * product.parts) as f64;
        let waits = (steps as f64 / product.parts as f64).ceil();
        match product.units {
            Units::Vector([own_rows, own_cols]) => {
                // A lane's K step reads a vector for every four of its rows and columns.
                let area = (own_rows * own_cols) as f64;
                let reads = padded / area * (own_rows + own_cols) as f64 / 4.0;
                let around = match product.is_staged {
                    true => reads + staged * STAGING.value,
                    false => reads * STAGING.value,
                };
                Self {
                    multiply_adds: padded,
                    around,
                    is_ahead: product.is_staged,
                    lines: reads * WIDE_READ.value * PER_LINE,
                    values,
                    waits,
                    ..Self::default()
                }
            }
            Units::Fragments { extent, fragments: [down, along] } => {
                // A subgroup loads a fragment of A for each row of its fragments, one of B for each column.
                let bytes = product.operands.bytes() as f64;
                let loaded = (down + along) as f64 / (down * along * extent) as f64;
                Self {
                    around: if product.is_staged { staged * FRAGMENT_STAGING.value } else { 0.0 },
                    is_ahead: product.is_staged,
                    values,
                    fragment_flops: 2.0 * padded,
                    fragment_bytes: padded * loaded * bytes,
                    waits,
                    ..Self::default()
                }
            }
        }
    }

    fn attention(attention: &Attention, [queries, keys, own]: [usize; 3], groups: u32) -> Self {
        let Attention { backward, vectors, tile: [query_tile, key_tile], .. } = *attention;
        let [query_tiles, key_tiles] = attention.tiles();
        let lanes = (SIDE * SIDE) as f64;
        // Of an invocation, for a pair of tiles.
        let scores = 4 * vectors * queries * keys;
        let score_reads = vectors * (queries + keys);
        let softmax = SOFTMAX.value * (queries * keys) as f64;
        let (adds, wide, narrow, staged, pairs) = if backward {
            // Scores, their gradients; dV, dK; dQ.
            let adds = 2 * scores + 4 * own * (2 * query_tile * keys + key_tile * queries);
            let wide = 2 * score_reads + 2 * query_tile * own + key_tile * own;
            let narrow = 2 * query_tile * keys + key_tile * queries;
            // Queries, then dO; the sums of dQ.
            let staged = (2 * vectors * query_tile) as f64 / lanes + (2 * queries * own) as f64;
            (adds, wide, narrow, staged, query_tiles * key_tiles)
        } else {
            // A workgroup has one tile of queries.
            let adds = scores + 4 * own * key_tile * queries;
            let wide = score_reads + key_tile * (1 + own);
            (adds, wide, 0, (2 * vectors * key_tile) as f64 / lanes, key_tiles)
        };
        let all = f64::from(groups) * lanes * pairs as f64;
        let [adds, wide, narrow] = [adds, wide, narrow].map(|count| all * count as f64);
        Self {
            multiply_adds: adds,
            around: wide + narrow + all * (softmax + staged * STAGING.value),
            lines: (wide * WIDE_READ.value + narrow) * PER_LINE,
            // Keys and values; or queries and dO.
            waits: 2.0 * pairs as f64,
            ..Self::default()
        }
    }

    fn attention_of_fragments(
        attention: &Attention,
        extent: usize,
        bytes: usize,
        groups: u32,
    ) -> Self {
        let Attention { backward, vectors, tile, .. } = *attention;
        let [query_tiles, key_tiles] = attention.tiles();
        let [queries, keys] = tile;
        let width = 4 * vectors;
        let (scores, of_queries, of_keys) = (queries * keys, queries * width, keys * width);
        // For a pair of tiles: products, values that fragments load, sums that they store and lanes read, and weights
        // that lanes store. What all four subgroups have of an operand each of them loads.
        let (products, loaded, sums, weights, staged, pairs) = if backward {
            let loaded = of_keys
                + 16 * of_queries
                + 2 * scores
                + scores * width / extent
                + of_keys * queries / extent;
            (
                5,
                loaded,
                2 * scores + of_queries,
                2 * scores,
                2 * of_queries,
                query_tiles * key_tiles,
            )
        } else {
            (2, 8 * of_keys + scores, scores + of_queries, scores, 2 * of_keys, key_tiles)
        };
        let all = f64::from(groups) * pairs as f64;
        let lanes = SOFTMAX.value * scores as f64
            + (sums + weights) as f64 / 4.0
            + FRAGMENT_STAGING.value * staged as f64 / 4.0
            // Rescaled and added up; or read from memory, added to and stored.
            + of_queries as f64 * if backward { 1.0 + 2.0 * STAGING.value / 4.0 } else { 1.0 };
        Self {
            around: all * lanes,
            fragment_flops: all * (products * 2 * scores * width) as f64,
            fragment_bytes: all * (loaded * bytes + 4 * sums) as f64,
            waits: pairs as f64,
            ..Self::default()
        }
    }
}
