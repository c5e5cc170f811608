//! What a kernel's text says about its workgroups. No device is needed for that.

use wgpu::naga::back::pipeline_constants::process_overrides;
use wgpu::naga::front::wgsl;
use wgpu::naga::proc::Layouter;
use wgpu::naga::valid::{Capabilities, GlobalUse, ValidationFlags, Validator};
use wgpu::naga::{AddressSpace, ShaderStage};

use crate::kernels::{KernelKey, Shader};

/// A kernel's workgroups, and what becomes of its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anatomy {
    /// Invocations of a workgroup.
    pub threads: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
    /// Of each binding from 1 on: whether the text reads it. An `override` may leave that out.
    pub reads: Vec<bool>,
}

impl Anatomy {
    /// Of the kernel for `key`.
    ///
    /// # Panics
    /// If `key` names constants that the kernel does not have.
    pub fn of(key: &KernelKey) -> Self {
        let shader = Shader::named(key.shader);
        // What the build has parsed and validated before.
        let module = wgsl::parse_str(&shader.text(key)).expect("WGSL");
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info = validator.validate(&module).expect("valid WGSL");
        let overrides = shader.overrides(&key.constants);
        let values = overrides.map(|(name, value)| (name.to_owned(), f64::from(value))).collect();
        let main = (ShaderStage::Compute, "main");
        let (module, info) =
            process_overrides(&module, &info, Some(main), &values).expect("known constants");
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).expect("sized types");
        let uses = info.get_entry_point(0);
        let mut workgroup_bytes = 0;
        let mut reads = Vec::new();
        for (handle, variable) in module.global_variables.iter() {
            match variable.space {
                AddressSpace::WorkGroup if !uses[handle].is_empty() => {
                    workgroup_bytes += u64::from(layouter[variable.ty].size);
                }
                AddressSpace::Storage { .. } => {
                    let binding = variable.binding.as_ref().expect("a bound variable").binding;
                    reads.push((binding, uses[handle].contains(GlobalUse::READ)));
                }
                _ => {}
            }
        }
        reads.sort_unstable();
        Self {
            threads: module.entry_points[0].workgroup_size.iter().product(),
            workgroup_bytes,
            reads: reads.into_iter().map(|(_, reads)| reads).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Reduction, Types};

    fn anatomy(shader: &'static str, constants: &[(&'static str, u32)]) -> Anatomy {
        let (types, reduction) = (Types::default(), Reduction::Barriers);
        Anatomy::of(&KernelKey { shader, constants: constants.to_vec(), types, reduction })
    }

    #[test]
    fn constants_decide_threads_and_memory() {
        let row = anatomy("layer_norm", &[("WG", 64)]);
        // x, gamma and beta are read, y and the statistics only written.
        assert_eq!((row.threads, &row.reads[..]), (64, &[true, true, true, false, false][..]));
        // Two buffers of two vectors along K of 64 rows and 64 columns; then one.
        let gemm = anatomy("gemm", &[("DEPTH", 2), ("DOUBLE", 1)]);
        assert_eq!((gemm.threads, gemm.workgroup_bytes), (8 * 16, 2 * 2 * (64 + 64) * 16));
        let gemm = anatomy("gemm", &[("DEPTH", 2), ("DOUBLE", 0)]);
        assert_eq!((gemm.threads, gemm.workgroup_bytes), (8 * 16, 2 * (64 + 64) * 16));
        // Nothing is shared.
        let add = anatomy("add", &[]);
        assert_eq!(add, Anatomy { threads: 64, workgroup_bytes: 0, reads: vec![true, true] });
    }
}
