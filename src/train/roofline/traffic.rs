//! Bytes that a launch moves.

use super::card::Card;
use super::tile::{Attention, Product, Tiled};
use crate::gpu::Anatomy;
use crate::program::{LaunchCounts, Operand};

/// Constants without which a kernel does not read what it writes.
const READING_BACK: [&str; 2] = ["ACCUMULATE", "GELU_GRAD"];
/// Kernels that read no more of what they pick from than they write.
const PICKING: [&str; 3] = ["patchify", "gather_tokens", "gather_rows"];
/// Values that an invocation of a plain kernel asks for before it needs the first.
const AHEAD: f64 = 4.0;

/// Bytes of one launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    /// Bytes that it must read, each once.
    pub read: f64,
    /// Bytes that it must write, each once.
    pub written: f64,
    /// Bytes that are read from memory again, as the cache does not keep them.
    pub again: f64,
    /// Bytes that pass the cache.
    pub cache: f64,
    /// Bytes that an invocation has asked for and waits for.
    pub ahead: f64,
}

impl Traffic {
    /// What must pass memory at least.
    pub fn least(&self) -> f64 {
        self.read + self.written
    }

    /// Of `launch`, of which up to `resident` workgroups run at a time.
    pub fn of(
        card: &Card,
        launch: &LaunchCounts,
        anatomy: &Anatomy,
        tiled: Option<&Tiled>,
        resident: f64,
    ) -> Self {
        let [read, written] = least(launch, anatomy);
        let threads = f64::from(launch.groups) * f64::from(anatomy.threads);
        let values: u64 = launch.operands.iter().filter(|o| !o.writes).map(|o| o.values).sum();
        let width = read / values.max(1) as f64;
        let plain = Self {
            read,
            written,
            again: 0.0,
            cache: read + written,
            ahead: (read / threads).min(AHEAD * width),
        };
        let threads = f64::from(anatomy.threads);
        match tiled {
            Some(Tiled::Product(product)) => plain.product(card, launch, product, resident),
            Some(Tiled::Attention(attention)) => plain.attention(card, launch, attention, resident),
            None => return plain,
        }
        .staged(launch, tiled, threads)
    }

    /// Tiles of A are read for each column of tiles, those of B for each row of them. Workgroups go down the columns: B
    /// stays in the cache for its column, A is there again for the next columns if it fits.
    fn product(self, card: &Card, launch: &LaunchCounts, product: &Product, resident: f64) -> Self {
        let [a, b] = ["a", "b"].map(|name| bytes_of(launch, name));
        let [down, along] = product.tiles().map(|tiles| tiles as f64);
        let at_once = (resident / down).floor().max(1.0);
        let passes = (along / at_once).ceil();
        let missed = missed(card, a / product.parts as f64);
        Self {
            again: (passes - 1.0) * a * missed,
            cache: self.cache + a * (along - 1.0) + b * (down - 1.0),
            ..self
        }
    }

    /// Forward every tile of queries reads all keys and values; its neighbours do so at the same time. Backward every
    /// tile of keys reads all queries and gradients, and reads and writes the sums of the queries' gradients.
    fn attention(
        self,
        card: &Card,
        launch: &LaunchCounts,
        attention: &Attention,
        resident: f64,
    ) -> Self {
        let qkv = bytes_of(launch, "qkv");
        let [query_tiles, key_tiles] = attention.tiles().map(|tiles| tiles as f64);
        if !attention.backward {
            return Self { cache: self.cache + (query_tiles - 1.0) * qkv * 2.0 / 3.0, ..self };
        }
        // Queries come twice: for the scores and for the keys' gradients.
        let (q, rows) = (qkv / 3.0, 2.0 * bytes_of(launch, "rows"));
        let again = q + bytes_of(launch, "d_out") + rows;
        let share = (resident / f64::from(launch.groups)).min(1.0);
        Self {
            again: (key_tiles - 1.0) * again * missed(card, share * again),
            cache: self.cache + q + (key_tiles - 1.0) * (q + again),
            ..self
        }
    }

    /// Invocations of a tiled kernel ask for their share of the next tiles at once.
    fn staged(self, launch: &LaunchCounts, tiled: Option<&Tiled>, threads: f64) -> Self {
        let width = launch.kernel.types.activations.bytes() as f64;
        let values = match tiled {
            Some(Tiled::Product(product)) => product.k_step * product.tile.iter().sum::<usize>(),
            Some(Tiled::Attention(attention)) => 4 * attention.vectors * attention.tile[1],
            None => return self,
        };
        Self { ahead: width * values as f64 / threads, ..self }
    }
}

/// Bytes read and written, each once.
fn least(launch: &LaunchCounts, anatomy: &Anatomy) -> [f64; 2] {
    let constants = &launch.kernel.constants;
    let mut choosing =
        constants.iter().filter(|(name, _)| READING_BACK.contains(name)).map(|&(_, on)| on == 1);
    // Without such a constant the kernel always does what its text says.
    let reads_back = choosing.clone().next().is_none() || choosing.any(|on| on);
    let written: u64 = launch.operands.iter().filter(|o| o.writes).map(|o| o.bytes).sum();
    let read: u64 = launch
        .operands
        .iter()
        .zip(&anatomy.reads)
        .map(|(operand, &reads)| {
            let Operand { bytes, values, writes, is_words, .. } = *operand;
            match writes {
                true if reads && reads_back => bytes,
                true => 0,
                false if PICKING.contains(&launch.kernel.shader) && !is_words => {
                    let picked =
                        launch.operands.iter().filter(|o| o.writes).map(|o| o.values).sum();
                    bytes / values.max(1) * values.min(picked)
                }
                false => bytes,
            }
        })
        .sum();
    [read, written].map(|bytes| bytes as f64)
}

fn bytes_of(launch: &LaunchCounts, name: &str) -> f64 {
    launch.operands.iter().find(|operand| operand.name == name).map_or(0.0, |o| o.bytes as f64)
}

/// The share of `bytes` that is not in the cache when they are read again.
fn missed(card: &Card, bytes: f64) -> f64 {
    (1.0 - card.cache as f64 / bytes.max(1.0)).max(0.0)
}
