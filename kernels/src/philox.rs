//! The counter-based generator Philox 4×32-10 (Salmon et al. 2011, "Parallel random numbers: as
//! easy as 1, 2, 3"). A value depends on its key and counter alone, so every platform, thread
//! count and order of evaluation draws the same numbers.

/// Philox 4×32-10: ten rounds over `counter` with `key`; four independent uniform words.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox4x32_lanes(counter.map(|word| [word]), key).map(|[word]| word)
}

/// [`philox4x32`] of several counters at once: a word of each in every row.
#[inline(always)]
pub fn philox4x32_lanes<const N: usize>(counters: [[u32; N]; 4], key: [u32; 2]) -> [[u32; N]; 4] {
    let mut c = counters;
    let mut k = key;
    for _ in 0..10 {
        #[expect(clippy::needless_range_loop, reason = "a column of all rows")]
        for i in 0..N {
            let a = u64::from(c[0][i]) * 0xD251_1F53;
            let b = u64::from(c[2][i]) * 0xCD9E_8D57;
            c[0][i] = (b >> 32) as u32 ^ c[1][i] ^ k[0];
            c[1][i] = b as u32;
            c[2][i] = (a >> 32) as u32 ^ c[3][i] ^ k[1];
            c[3][i] = a as u32;
        }
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// A sequence of random numbers out of [`philox4x32`], named by a seed and three words.
#[derive(Debug, Clone)]
pub struct Rng {
    key: [u32; 2],
    stream: [u32; 3],
    block: u32,
    words: [u32; 4],
    used: usize,
    spare_normal: Option<f32>,
}

impl Rng {
    /// The generator of `seed` for one `stream`, e.g. (purpose, epoch, sample). Different streams
    /// are independent; each holds 2³⁴ words.
    pub fn new(seed: u64, stream: [u32; 3]) -> Self {
        let key = [seed as u32, (seed >> 32) as u32];
        Self { key, stream, block: 0, words: [0; 4], used: 4, spare_normal: None }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let [a, b, c] = self.stream;
            self.words = philox4x32([self.block, a, b, c], self.key);
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1): the upper 24 bits of a word, `(word >> 8) · 2⁻²⁴`.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform between `low` and `high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal (Marsaglia's polar method, computed in f64).
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let u = 2.0 * f64::from(self.uniform()) - 1.0;
            let v = 2.0 * f64::from(self.uniform()) - 1.0;
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                let scale = (-2.0 * s.ln() / s).sqrt();
                self.spare_normal = Some((v * scale) as f32);
                return (u * scale) as f32;
            }
        }
    }

    /// Uniform in 0..n without bias (Lemire's multiplication with rejection); 0 if `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let reject_below = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= reject_below {
                return (product >> 32) as u32;
            }
        }
    }

    /// Puts `items` into a uniformly random order (Fisher–Yates). At most 2³² items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        let ones = u32::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
            ([ones; 4], [ones; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
            (
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                [0xA409_3822, 0x299F_31D0],
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            (0..9).map(|_| rng.next_u32()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, [2, 3, 4]), draw(1, [2, 3, 4]));
        assert_ne!(draw(1, [2, 3, 4]), draw(1, [2, 3, 5]));
        assert_ne!(draw(1, [2, 3, 4]), draw(1 << 32 | 1, [2, 3, 4]));
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Rng::new(7, [0; 3]);
        let n = 40_000;
        let moments = |values: Vec<f32>| {
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
            let square = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
            (mean, square / values.len() as f64)
        };
        let uniform: Vec<f32> = (0..n).map(|_| rng.uniform()).collect();
        assert!(uniform.iter().all(|x| (0.0..1.0).contains(x)));
        let (mean, variance) = moments(uniform);
        assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.002);
        let (mean, variance) = moments((0..n).map(|_| rng.normal()).collect());
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let mut counts = [0; 7];
        (0..7000).for_each(|_| counts[rng.below(7) as usize] += 1);
        assert!(counts.iter().all(|&c| (850..1150).contains(&c)), "{counts:?}");
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(3, [1, 0, 0]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
