//! What graphics cards can do, from their makers' data sheets.

use std::borrow::Cow;
use std::str::FromStr;

use serde::Serialize;

use crate::kernels::{CooperativeMatrices, KernelTarget, Precision, Processor};

/// A graphics card. Rates are a second's, at the clock of the data sheet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Its name.
    pub name: Cow<'static, str>,
    /// FLOPs in f32 of the vector units, two for a multiply-add.
    pub f32_flops: f64,
    /// FLOPs of cooperative matrices of f16 with sums in f32, dense; none where there are no such units.
    pub f16_flops: Option<f64>,
    /// The share of these that cooperative matrices reach at best.
    pub fragment_share: f64,
    /// Bytes from and to memory.
    pub bandwidth: f64,
    /// Seconds until a value from memory is there, with the memory busy.
    pub latency: f64,
    /// Bytes of the last cache in front of memory.
    pub cache: u64,
    /// Bytes from and to that cache.
    pub cache_bandwidth: f64,
    /// Seconds until a value from the cache is there, with the cache busy.
    pub cache_latency: f64,
    /// Multiprocessors: what a workgroup runs on.
    pub processors: u32,
    /// Invocations that a multiprocessor has at a time.
    pub threads: u32,
    /// Workgroups that it has at a time.
    pub groups: u32,
    /// Its registers, of 32 bits.
    pub registers: u32,
    /// Bytes of its workgroup memory.
    pub workgroup_memory: u64,
    /// Bytes of these that one workgroup may have.
    pub memory_of_group: u32,
    /// Fragments and subgroups.
    pub cooperative: CooperativeMatrices,
    /// Where the figures are from.
    pub source: Cow<'static, str>,
}

/// Fragments of NVIDIA's tensor cores by way of Vulkan.
const TENSOR_CORES: CooperativeMatrices = CooperativeMatrices {
    f32: None,
    f16: Some(16),
    subgroup_sizes: [32, 32],
    scalar_pointers: false,
};

/// The cards that are known, by the names that [`Card::from_str`] takes.
fn known() -> [(&'static str, Card); 3] {
    [("h100", h100()), ("rtx4060", rtx4060()), ("m2", m2())]
}

fn h100() -> Card {
    Card {
        name: "NVIDIA H100 SXM".into(),
        f32_flops: 67e12,
        f16_flops: Some(989e12),
        fragment_share: 0.63,
        bandwidth: 3.35e12,
        latency: 600e-9,
        cache: 50 << 20,
        cache_bandwidth: 5.5e12,
        cache_latency: 250e-9,
        processors: 132,
        threads: 2048,
        groups: 32,
        registers: 64 << 10,
        workgroup_memory: 228 << 10,
        memory_of_group: 48 << 10,
        cooperative: TENSOR_CORES,
        source: "rates, memory and L2: NVIDIA's H100 data sheet (989 TFLOP/s is half of what it \
                 states with sparsity); multiprocessors and what they hold: NVIDIA's H100 white \
                 paper; share of the tensor cores without wgmma: Luo et al. 2024, \
                 arXiv:2402.13499; L2 bandwidth: as measured on the PCIe card by Chips and \
                 Cheese, 2023; latencies under load: estimates"
            .into(),
    }
}

fn rtx4060() -> Card {
    Card {
        name: "NVIDIA GeForce RTX 4060".into(),
        f32_flops: 15.1e12,
        f16_flops: Some(30.2e12),
        fragment_share: 0.95,
        bandwidth: 272e9,
        latency: 500e-9,
        cache: 24 << 20,
        cache_bandwidth: 0.9e12,
        cache_latency: 200e-9,
        processors: 24,
        threads: 1536,
        groups: 24,
        registers: 64 << 10,
        workgroup_memory: 100 << 10,
        memory_of_group: 48 << 10,
        cooperative: TENSOR_CORES,
        source: "f32, memory and L2: NVIDIA's product page; f16 with sums in f32 is twice f32 on \
                 every GeForce of this generation: NVIDIA's Ada white paper; multiprocessors and \
                 what they hold: the same and NVIDIA's CUDA guide, compute capability 8.9; L2 \
                 bandwidth, latencies and share of the tensor cores: estimates"
            .into(),
    }
}

fn m2() -> Card {
    Card {
        name: "Apple M2, 10 cores".into(),
        f32_flops: 3.6e12,
        f16_flops: Some(3.6e12),
        fragment_share: 0.9,
        bandwidth: 100e9,
        latency: 400e-9,
        cache: 8 << 20,
        cache_bandwidth: 0.3e12,
        cache_latency: 300e-9,
        processors: 10,
        threads: 3072,
        groups: 32,
        registers: 52 << 10,
        workgroup_memory: 60 << 10,
        memory_of_group: 32 << 10,
        cooperative: CooperativeMatrices {
            f32: Some(8),
            f16: Some(8),
            subgroup_sizes: [32, 32],
            scalar_pointers: true,
        },
        source: "f32 and memory: Apple's announcement of the M2, 2022; simdgroup matrices run on \
                 the vector units, f16 at their f32 rate, and what a core holds: \
                 philipturner/metal-benchmarks; system cache, its bandwidth, latencies and share of \
                 the rate: estimates"
            .into(),
    }
}

impl Card {
    /// What its programs are recorded for; products divided as by default.
    pub fn target(&self) -> KernelTarget {
        KernelTarget {
            cooperative: self.cooperative,
            subgroups: true,
            workgroup_memory: self.memory_of_group,
            ..Processor::Gpu.into()
        }
    }

    /// FLOPs a second of fragments whose operands are kept in `precision`, if there are such.
    pub(super) fn fragment_flops(&self, precision: Precision) -> Option<f64> {
        self.cooperative.extent(precision)?;
        match precision {
            // Units that multiply f32 are the vector units.
            Precision::F32 => Some(self.f32_flops),
            Precision::F16 => self.f16_flops,
        }
    }

    /// The most FLOPs a second of products whose operands are kept in `precision`.
    pub(super) fn peak(&self, precision: Precision) -> f64 {
        self.fragment_flops(precision).unwrap_or(0.0).max(self.f32_flops)
    }

    /// Instructions a second of all lanes of the vector units.
    pub(super) fn instructions(&self) -> f64 {
        self.f32_flops / 2.0
    }

    /// From `f32=67T,bandwidth=3.35T` and what else is known; the rest is as in common proportions.
    fn custom(text: &str) -> Result<Self, String> {
        let mut given: [Option<f64>; RATES.len()] = Default::default();
        for pair in text.split(',') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let index = RATES.iter().position(|rate| *rate == name.trim());
            let index = index.ok_or_else(|| {
                format!("{name:?} is no rate of a card; there are {}", RATES.join(", "))
            })?;
            given[index] = Some(positive(value).ok_or_else(|| {
                format!("{name}={value:?} is no rate; write e.g. {name}=3.35T, or G or M")
            })?);
        }
        let [f32_flops, bandwidth, f16_flops, processors, cache] = given;
        let needed = |value: Option<f64>, name| value.ok_or_else(|| format!("{name}= is missing"));
        let f32_flops = needed(f32_flops, RATES[0])?;
        let fragments = f16_flops.map(|_| TENSOR_CORES);
        // The cards above have 0.4 to 0.6 TFLOP/s a multiprocessor, and a cache with 0.06 to 0.08 bytes for a FLOP.
        let processors = processors.unwrap_or(f32_flops / 0.5e12).round();
        Ok(Self {
            name: text.to_owned().into(),
            f32_flops,
            f16_flops,
            fragment_share: 1.0,
            bandwidth: needed(bandwidth, RATES[1])?,
            latency: 500e-9,
            cache: cache.unwrap_or(16e6) as u64,
            cache_bandwidth: 0.08 * f32_flops,
            cache_latency: 250e-9,
            processors: processors.max(1.0) as u32,
            threads: 1536,
            groups: 24,
            registers: 64 << 10,
            workgroup_memory: 64 << 10,
            memory_of_group: 32 << 10,
            cooperative: fragments
                .unwrap_or(CooperativeMatrices { subgroup_sizes: [32, 32], ..Default::default() }),
            source: "rates as given; what was not given is estimated from f32".into(),
        })
    }
}

/// What [`Card::custom`] takes; the first two are needed.
const RATES: [&str; 5] = ["f32", "bandwidth", "f16", "processors", "cache"];

/// A number above 0 with a decimal unit.
fn positive(text: &str) -> Option<f64> {
    let text = text.trim();
    let units = [('T', 1e12), ('G', 1e9), ('M', 1e6), ('k', 1e3)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let (number, factor) = match unit {
        Some((unit, factor)) => (text.trim_end_matches(*unit), *factor),
        None => (text, 1.0),
    };
    let value = number.parse::<f64>().ok()? * factor;
    (value > 0.0 && value.is_finite()).then_some(value)
}

impl FromStr for Card {
    type Err = String;

    /// A known card by its name, or another one by its rates.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = known();
        let named = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        if let Some((_, card)) = named {
            return Ok(card.clone());
        }
        if text.contains('=') {
            return Self::custom(text);
        }
        let names = known.map(|(name, _)| name);
        Err(format!(
            "there are {}; others by their rates, e.g. f32=67T,bandwidth=3.35T,f16=800T",
            names.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Card>().unwrap_err()
    }

    #[test]
    fn cards_are_known_by_name() {
        for (name, card) in known() {
            assert_eq!(name.parse::<Card>().as_ref(), Ok(&card));
            assert_eq!(name.to_uppercase().parse::<Card>(), Ok(card));
        }
        let said = refused("h1000");
        assert!(known().iter().all(|(name, _)| said.contains(name)), "{said}");
        assert!(said.contains("f32=67T,bandwidth=3.35T"), "{said}");
    }

    #[test]
    fn other_cards_are_given_by_their_rates() {
        let card: Card = "f32=10T, bandwidth=500G,cache=4M".parse().unwrap();
        assert_eq!((card.f32_flops, card.bandwidth, card.cache), (10e12, 500e9, 4_000_000));
        assert_eq!((card.processors, card.cooperative.any()), (20, false));
        assert_eq!(card.peak(Precision::F16), 10e12);
        let card: Card = "f32=10T,bandwidth=500G,f16=40T,processors=8".parse().unwrap();
        assert_eq!((card.processors, card.cooperative.f16), (8, Some(16)));
        assert_eq!((card.peak(Precision::F16), card.peak(Precision::F32)), (40e12, 10e12));
    }

    #[test]
    fn rates_that_are_none_are_named() {
        for (text, word) in [
            ("f32=10T", "bandwidth= is missing"),
            ("bandwidth=1T", "f32= is missing"),
            ("f32=fast,bandwidth=1T", "f32=\"fast\""),
            ("f32=-1,bandwidth=1T", "f32=\"-1\""),
            ("f32=1T,bandwidth=0", "bandwidth=\"0\""),
            ("f32=1T,width=3", "f32, bandwidth, f16, processors, cache"),
        ] {
            let said = refused(text);
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}
