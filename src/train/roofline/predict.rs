//! The time of one launch: the least that the card's peak rates allow, and the one that is predicted.

use serde::Serialize;

use super::assumptions::{
    BANDWIDTH, LAUNCH, REGISTERS_ELSE, REGISTERS_OF_ATTENTION, REGISTERS_OF_PRODUCT, STAGED, WAITS,
};
use super::card::Card;
use super::instructions::Instructions;
use super::tile::{Tiled, tiled};
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
    /// Loading and multiplying tiles overlap imperfectly.
    Overlap,
    /// Too few workgroups on a multiprocessor to multiply while others wait for a tile.
    Waiting,
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
            Self::Overlap => "imperfect overlap",
            Self::Waiting => "few workgroups to wait with",
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
    /// What keeps it from its floor, with the factor of each on the time beside that of launching, the largest first.
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
    /// Of these, on the multiprocessor that has most.
    together: f64,
    /// The share of multiprocessors that work, in the mean over the launch.
    wave: f64,
    /// The share of instructions that a multiprocessor can start with what it has at a time.
    filled: f64,
}

impl Spread {
    fn of(card: &Card, groups: u32, anatomy: &Anatomy, tiled: Option<&Tiled>) -> Self {
        let (threads, processors) = (f64::from(anatomy.threads), f64::from(card.processors));
        let registers = match tiled {
            Some(Tiled::Product(product)) => {
                let sums = product.tile.iter().product::<usize>() as f64 / threads;
                sums + REGISTERS_OF_PRODUCT.value
            }
            Some(Tiled::Attention(_)) => REGISTERS_OF_ATTENTION.value,
            None => REGISTERS_ELSE.value,
        };
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
            together: fit.min(most),
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
        let spread = Spread::of(card, launch.groups, anatomy, tiled);
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
    let work = Instructions::of(launch, tiled);
    let values = work.values / card.instructions();
    let mut causes =
        vec![(Cause::Wave, 1.0 / spread.wave), (Cause::FewInvocations, 1.0 / spread.filled)];
    let (mut seconds, mut bound) = (0.0, Bound::Vector);
    if let Some(tiled) = tiled {
        let tiles = Tiles::new(card, &work, tiled, launch.kernel.types.activations);
        let waiting = tiles.waiting(card, &work, launch.groups, spread);
        let executed = work.fragment_flops + 2.0 * work.multiply_adds;
        seconds = tiles.seconds * waiting / STAGED.value;
        bound = tiles.bound;
        causes.extend(tiles.causes);
        causes.extend([
            (Cause::ExtraProducts, executed / launch.flops as f64),
            (Cause::Overlap, 1.0 / STAGED.value),
            (Cause::Waiting, waiting),
            (Cause::Epilogue, 1.0 + values / seconds),
        ]);
    }
    Time { seconds: (seconds + values) / (spread.wave * spread.filled), bound, causes }
}

/// The time of all tiles with every multiprocessor busy.
struct Tiles {
    /// Of the units that take longest.
    seconds: f64,
    /// Of one workgroup after the other, none of which waits.
    in_turns: f64,
    bound: Bound,
    causes: [(Cause, f64); 2],
}

impl Tiles {
    fn new(card: &Card, work: &Instructions, tiled: &Tiled, operands: Precision) -> Self {
        let rate = card.instructions();
        let vector = (work.multiply_adds + work.around) / rate;
        let longest = |a: (Cause, f64), b: (Cause, f64)| if a.1 >= b.1 { a } else { b };
        if tiled.has_fragments() {
            let peak = card.fragment_flops(operands).expect("fragments of these operands");
            let fragments = work.fragment_flops / (card.fragment_share * peak);
            // Workgroup memory gives as many bytes a clock as vector units multiply and add.
            let loads = work.fragment_bytes / rate;
            let (cause, other) =
                longest((Cause::FragmentLoads, loads), (Cause::Instructions, vector));
            return Self {
                seconds: fragments.max(other),
                in_turns: fragments + vector,
                bound: Bound::Fragments,
                causes: [
                    (Cause::FragmentShare, 1.0 / card.fragment_share),
                    (cause, other / fragments),
                ],
            };
        }
        let (cause, seconds) =
            longest((Cause::Instructions, vector), (Cause::WorkgroupMemory, work.lines / rate));
        Self {
            seconds,
            in_turns: seconds,
            bound: Bound::Vector,
            causes: [
                (Cause::NoFragments, card.peak(operands) / card.f32_flops),
                (cause, seconds * rate / work.multiply_adds),
            ],
        }
    }

    /// How much longer they take because workgroups wait for what they load. While one waits, the others of its
    /// multiprocessor compute.
    fn waiting(&self, card: &Card, work: &Instructions, groups: u32, spread: Spread) -> f64 {
        let each = f64::from(groups) / f64::from(card.processors);
        let waits = work.waits * WAITS.value * card.cache_latency;
        let computing = self.in_turns / each;
        let alone = if work.is_ahead { computing.max(waits) } else { computing + waits };
        (alone / spread.together / (self.seconds / each)).max(1.0)
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
