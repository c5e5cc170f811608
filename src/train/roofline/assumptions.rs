//! What a prediction takes for granted. None of it was measured with these kernels.

use serde::Serialize;

/// A number that is assumed, and why that one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumption {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The reason.
    pub why: &'static str,
}

pub(super) const BANDWIDTH: Assumption = Assumption {
    name: "bandwidth reached",
    value: 0.85,
    unit: "of the peak",
    why: "copies reach 0.85 to 0.93 on most cards; these kernels mix reads and writes",
};

pub(super) const STAGED: Assumption = Assumption {
    name: "busy with tiles",
    value: 0.75,
    unit: "of the time",
    why: "loading and multiplying tiles overlap imperfectly, within a workgroup and among them. With the instructions \
          around the multiply-adds this makes about 0.65 of f32's peak in a full tile",
};

pub(super) const WAITS: Assumption = Assumption {
    name: "waits for the cache",
    value: 1.0,
    unit: "for a tile that is loaded",
    why: "where the next tile is not loaded while this one is multiplied, other workgroups of the multiprocessor may \
          multiply meanwhile",
};

pub(super) const LAUNCH: Assumption = Assumption {
    name: "launch",
    value: 2e-6,
    unit: "s",
    why: "each launch waits until the one before it has drained; 1 to 3 µs on desktop cards",
};

pub(super) const REGISTERS_OF_PRODUCT: Assumption = Assumption {
    name: "registers of a product beside its sums",
    value: 64.0,
    unit: "an invocation",
    why: "operands, addresses, the next tile; compilers for NVIDIA and AMD give 104 to 108 with 64 sums",
};

pub(super) const REGISTERS_OF_ATTENTION: Assumption = Assumption {
    name: "registers of attention",
    value: 128.0,
    unit: "an invocation",
    why: "compilers give 80 to 144",
};

pub(super) const REGISTERS_ELSE: Assumption = Assumption {
    name: "registers of other kernels",
    value: 32.0,
    unit: "an invocation",
    why: "compilers give 8 to 24; 32 are the fewest that matter",
};

pub(super) const STAGING: Assumption = Assumption {
    name: "staging",
    value: 8.0,
    unit: "instructions for four values",
    why: "address, bounds, load, store",
};

pub(super) const FRAGMENT_STAGING: Assumption = Assumption {
    name: "staging for fragments",
    value: 5.0,
    unit: "instructions for four values",
    why: "ten for a word of eight f16 values: address, bounds, load, zeros at K's end, two stores. That fragments stay in \
          registers is taken for granted",
};

pub(super) const WIDE_READ: Assumption = Assumption {
    name: "16-byte read of workgroup memory",
    value: 1.5,
    unit: "clocks for a subgroup",
    why: "neighbours read the same or neighbouring vectors: between one line of 128 bytes and two",
};

pub(super) const SOFTMAX: Assumption = Assumption {
    name: "softmax",
    value: 24.0,
    unit: "instructions for a pair of tokens",
    why: "exp takes 12 (an eighth of the lanes have it); scaling, bounds, maximum, sum and store the others",
};

pub(super) const GELU: Assumption = Assumption {
    name: "GELU",
    value: 30.0,
    unit: "instructions for a value",
    why: "erf by a polynomial and an exp; its gradient has one exp more",
};

pub(super) const VALUE: Assumption = Assumption {
    name: "other kernels and epilogues",
    value: 8.0,
    unit: "instructions for a value",
    why: "index, load, conversion, arithmetic, store",
};

/// All of them.
pub const ASSUMPTIONS: [Assumption; 13] = [
    BANDWIDTH,
    STAGED,
    WAITS,
    LAUNCH,
    REGISTERS_OF_PRODUCT,
    REGISTERS_OF_ATTENTION,
    REGISTERS_ELSE,
    STAGING,
    FRAGMENT_STAGING,
    WIDE_READ,
    SOFTMAX,
    GELU,
    VALUE,
];
