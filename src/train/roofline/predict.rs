//! The time of one launch: the least that the card's peak rates allow, and the one that is predicted.

use serde::Serialize;

use super::assumptions::{BANDWIDTH, LAUNCH, REGISTERS, REGISTERS_ELSE, STAGED};
use super::card::Card;
use super::instructions::Instructions;
use super::tile::{Product, Tiled, Units, tiled};
use super::traffic::Traffic;
use crate::gpu::Anatomy;
use crate::kernels::Precision;
use crate::program::LaunchCounts;

/// Invocations that keep the vector units of a multiprocessor busy.
const LANES: f64 = 128.0;

/// What a launch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Instructions on vector units.
    Vector,
    /// Fragments of matrices.
    Fragments,
    /// Memory.
    Memory,
    /// The cache in front of memory.
    Cache,
}

/// What keeps a launch from its floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Vector units multiply where the card has fragments.
    NoFragments,
    /// Fragments reach a share of their rate only.
    FragmentShare,
    /// Fragments wait for workgroup memory.
    FragmentLoads,
    /// Products are computed again, or of padding.
    ExtraProducts,
    /// Instructions around the multiply-adds.
    Instructions,
    /// Multiply-adds wait for workgroup memory.
    WorkgroupMemory,
    /// Barriers between loading and multiplying.
    Barriers,
    /// GELU, bias, residual and store behind the product.
    Epilogue,
    /// The last wave of workgroups leaves multiprocessors idle.
    Wave,
    /// Too few invocations on a multiprocessor.
    FewInvocations,
    /// Too few bytes are asked for at a time.
    FewBytes,
    /// Bytes are read from memory again.
    ReadAgain,
    /// Tiles are read from the cache again and again.
    CacheReads,
    /// Bandwidth that is never reached.
    Bandwidth,
}

impl Cause {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NoFragments => "vector units where there are fragments",
            Self::FragmentShare => "fragments below their peak",
            Self::FragmentLoads => "fragments wait for workgroup memory",
            Self::ExtraProducts => "padding and scores computed again",
            Self::Instructions => "instructions around the multiply-adds",
            Self::WorkgroupMemory => "workgroup memory",
            Self::Barriers => "barriers",
            Self::Epilogue => "epilogue",
            Self::Wave => "last wave",
            Self::FewInvocations => "few invocations a multiprocessor",
            Self::FewBytes => "few bytes in flight",
            Self::ReadAgain => "read again from memory",
            Self::CacheReads => "tiles read from the cache",
            Self::Bandwidth => "bandwidth reached",
        }
    }
}

/// A launch's time, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// With the card's peak rates.
    pub floor: f64,
    /// With what keeps it from them.
    pub predicted: f64,
    /// What it waits for.
    pub bound: Bound,
    /// What keeps it from its floor, with the factor of each, the largest first.
    pub causes: Vec<(Cause, f64)>,
    /// Bytes that it must move, each once.
    pub bytes: u64,
    /// Bytes from and to memory, what is read again included.
    pub memory_bytes: u64,
    /// Bytes from and to the cache.
    pub cache_bytes: u64,
}

/// How a launch's workgroups spread over the card.
#[derive(Debug, Clone, Copy)]
struct Spread {
    /// Workgroups at a time.
    resident: f64,
    /// The share of multiprocessors that work, in the mean over the launch.
    wave: f64,
    /// The share of instructions that a multiprocessor can start with what it has at a time.
    filled: f64,
}

impl Spread {
    fn of(card: &Card, groups: u32, anatomy: &Anatomy, is_tiled: bool) -> Self {
        let registers = if is_tiled { REGISTERS } else { REGISTERS_ELSE }.value;
        let (threads, processors) = (f64::from(anatomy.threads), f64::from(card.processors));
        let fit = [
            f64::from(card.groups),
            f64::from(card.threads) / threads,
            f64::from(card.registers) / (threads * registers),
            card.workgroup_memory as f64 / anatomy.workgroup_bytes.max(1) as f64,
        ];
        let fit = fit.into_iter().fold(f64::INFINITY, f64::min).floor().max(1.0);
        let each = f64::from(groups) / processors;
        let most = each.ceil();
        Self {
            resident: f64::from(groups).min(fit * processors),
            wave: each / most,
            filled: (fit.min(most) * threads / LANES).min(1.0),
        }
    }
}

impl Prediction {
    /// Of `launch` on `card`; `anatomy` is its kernel's.
    pub(super) fn new(card: &Card, launch: &LaunchCounts, anatomy: &Anatomy) -> Self {
        let tiled = tiled(launch);
        let tiled = tiled.as_ref();
        let spread = Spread::of(card, launch.groups, anatomy, tiled.is_some());
        let traffic = Traffic::of(card, launch, anatomy, tiled, spread.resident);
        let times = [
            compute(card, launch, tiled, spread),
            memory(card, &traffic, spread, anatomy),
            cache(card, &traffic),
        ];
        let slowest = times.into_iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Time { seconds, bound, mut causes } = slowest.expect("three times");
        causes.retain(|&(_, factor)| factor > 1.0);
        causes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let peak = card.peak(launch.kernel.types.activations);
        let floor = (launch.flops as f64 / peak).max(traffic.least() / card.bandwidth);
        Self {
            floor: floor + LAUNCH.value,
            predicted: seconds + LAUNCH.value,
            bound,
            causes,
            bytes: traffic.least() as u64,
            memory_bytes: (traffic.least() + traffic.again) as u64,
            cache_bytes: traffic.cache as u64,
        }
    }

    /// How many times its floor it takes.
    pub fn factor(&self) -> f64 {
        self.predicted / self.floor
    }
}

/// A time, and what makes it longer than peak rates would.
struct Time {
    seconds: f64,
    bound: Bound,
    causes: Vec<(Cause, f64)>,
}

/// On the multiprocessors.
fn compute(card: &Card, launch: &LaunchCounts, tiled: Option<&Tiled>, spread: Spread) -> Time {
    let Instructions { multiply_adds, around, lines, values, fragment_flops, fragment_bytes } =
        Instructions::of(launch, tiled);
    let rate = card.instructions();
    let precision = launch.kernel.types.activations;
    let busy = spread.wave * spread.filled;
    let fragments = fragment_rate(card, tiled, precision).map_or(0.0, |rate| fragment_flops / rate);
    // As many bytes a clock as multiply-adds.
    let loads = fragment_bytes / rate;
    let vector = (multiply_adds + around) / rate;
    let tile = [fragments, loads, vector, lines / rate].into_iter().fold(0.0, f64::max);
    let seconds = (tile / STAGED.value + values / rate) / busy;
    let mut causes = vec![
        (Cause::Wave, 1.0 / spread.wave),
        (Cause::FewInvocations, 1.0 / spread.filled),
    ];
    if tile > 0.0 {
        causes.push((Cause::Barriers, 1.0 / STAGED.value));
        causes.push((Cause::Epilogue, 1.0 + values / rate / (tile / STAGED.value)));
    }
    let executed = fragment_flops + 2.0 * multiply_adds;
    if launch.flops > 0 {
        causes.push((Cause::ExtraProducts, executed / launch.flops as f64));
    }
    let bound = if fragment_flops > 0.0 {
        causes.push((Cause::FragmentShare, 1.0 / card.fragment_share));
        let (cause, most) = if loads > vector {
            (Cause::FragmentLoads, loads)
        } else {
            (Cause::Instructions, vector)
        };
        causes.push((cause, most / fragments));
        Bound::Fragments
    } else {
        if multiply_adds > 0.0 {
            causes.push((Cause::NoFragments, card.peak(precision) / card.f32_flops));
            let cause = if lines > multiply_adds + around {
                Cause::WorkgroupMemory
            } else {
                Cause::Instructions
            };
            causes.push((cause, tile * rate / multiply_adds));
        }
        Bound::Vector
    };
    Time { seconds, bound, causes }
}

/// FLOPs a second that fragments reach, if the launch has some.
fn fragment_rate(card: &Card, tiled: Option<&Tiled>, precision: Precision) -> Option<f64> {
    match tiled {
        Some(Tiled::Product(Product { units: Units::Fragments { .. }, .. })) => {
            Some(card.fragment_share * card.fragment_flops(precision)?)
        }
        _ => None,
    }
}

/// Between memory and the multiprocessors. Only reads are waited for.
fn memory(card: &Card, traffic: &Traffic, spread: Spread, anatomy: &Anatomy) -> Time {
    let read = traffic.read + traffic.again;
    let in_flight = spread.resident * f64::from(anatomy.threads) * traffic.ahead;
    let waiting =
        if read > 0.0 { (card.bandwidth * card.latency / in_flight).max(1.0) } else { 1.0 };
    Time {
        seconds: (read * waiting + traffic.written) / (card.bandwidth * BANDWIDTH.value),
        bound: Bound::Memory,
        causes: vec![
            (Cause::Bandwidth, 1.0 / BANDWIDTH.value),
            (Cause::FewBytes, waiting),
            (Cause::ReadAgain, (traffic.least() + traffic.again) / traffic.least().max(1.0)),
        ],
    }
}

/// Between the cache and the multiprocessors.
fn cache(card: &Card, traffic: &Traffic) -> Time {
    let seconds = traffic.cache / card.cache_bandwidth;
    let least = traffic.least() / card.bandwidth;
    Time {
        seconds,
        bound: Bound::Cache,
        causes: vec![(Cause::CacheReads, seconds / least.max(f64::MIN_POSITIVE))],
    }
}
