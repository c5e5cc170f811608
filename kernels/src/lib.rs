//! The kernels, as `build.rs` finds them in `shaders/`: for each one a module with its `Params`, `Constants` and
//! `Bindings`, which ops fill, and `Slices`, which its CPU twin takes; their texts, and what a device needs to
//! know to choose among their variants. Nothing here touches a device.

mod attention_form;
mod blocking;
mod cooperative;
#[cfg(feature = "gpu")]
pub mod cooperative_attention;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod philox;
mod precision;
mod product_shape;
mod products;
#[cfg(feature = "gpu")]
mod program_shapes;
mod shader;
mod span;
mod state;
mod target;
#[cfg(feature = "gpu")]
mod unroll;

pub use attention_form::{AttentionForm, AttentionShape};
pub use blocking::Blocking;
pub use cooperative::{CooperativeMatrices, CooperativeTile};
pub use precision::{Precision, Types};
pub use product_shape::{ProductLayout, ProductShape};
pub use products::{Division, Products, Tiling};
#[cfg(feature = "gpu")]
pub use program_shapes::ProgramShapes;
pub use shader::{Binding, Element, KernelKey, Reduction, SHADERS, Shader};
pub use span::Span;
pub use state::INITIAL_LOSS_SCALE;
pub use target::{KernelTarget, Processor, SMALLEST_SUBGROUP};

/// Most workgroups in one dimension of a launch, on every adapter (WebGPU's default limit).
pub const MAX_GROUPS_PER_DIMENSION: u32 = 65_535;
/// WebGPU's default for the largest storage binding, in bytes.
pub const DEFAULT_MAX_BINDING: u64 = 128 << 20;
/// WebGPU's default for the workgroup memory of a kernel, in bytes.
pub const DEFAULT_WORKGROUP_MEMORY: u32 = 16 << 10;
/// Alignment of a binding's offset in bytes, on every adapter (WebGPU's default limit).
pub const BINDING_ALIGNMENT: u64 = 256;

/// What a kernel binds, by which the rest of its launch is known.
pub trait Launch<T>: Into<Vec<T>> {
    /// Name of the kernel.
    const KERNEL: &'static str;
    /// The uniform.
    type Params: bytemuck::Pod;
    /// What is fixed when the kernel is compiled.
    type Constants: ConstantList;
}

/// Buffers of a ring of staging memory: a step copies from one, one waits for its step, one is being filled.
pub const STAGING_BUFFERS: usize = 3;

/// A kernel's constants under their names in WGSL.
pub trait ConstantList: Default {
    /// Names and values; `bool`s are 0 or 1.
    fn list(&self) -> Vec<(&'static str, u32)>;

    /// The constants that `list` names, others as by default; names of other kernels are passed over.
    fn of(list: &[(&'static str, u32)]) -> Self;
}

// A module for each kernel, and the structures that several share: `Step`, `State`, `Metrics`.
include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
