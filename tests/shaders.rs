//! Every shader, in every variant that the models record, against WebGPU's default limits.

#[path = "common/variants.rs"]
mod variants;

use std::collections::BTreeSet;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};
use variants::variants;
use webmae::kernels::{Blocking, KernelKey, Precision, SHADERS, Types};

const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_WORKGROUP_BYTES: u32 = 16 << 10;
/// Of fragments where an adapter has as much.
const MAX_WORKGROUP_BYTES_OF_FRAGMENTS: u32 = 64 << 10;
const MAX_INVOCATIONS: u32 = 256;

/// Validates for WebGPU, or for the adapters that offer what a variant is chosen for.
fn validate(module: &Module, text: &str, types: Types) -> Result<ModuleInfo, String> {
    let mut capabilities = Capabilities::empty();
    let has_subgroups = ["subgroup", "quadSwap"].iter().any(|word| text.contains(word));
    capabilities.set(Capabilities::SUBGROUP, has_subgroups);
    capabilities.set(Capabilities::SHADER_FLOAT16, types.activations == Precision::F16);
    if text.starts_with("enable wgpu_cooperative_matrix;") {
        capabilities |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
    }
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.validate(module).map_err(|e| format!("{:?}", e.into_inner()))
}

/// Limits of a module whose overrides have their values.
fn check_limits(module: &Module, failures: &mut Vec<String>, what: &str) {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("sized types");
    // A kernel may declare a binding twice, in two types.
    let (mut buffers, mut shared) = (BTreeSet::new(), 0);
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::Storage { .. } => {
                buffers.insert(variable.binding.as_ref().expect("a bound variable").binding);
            }
            AddressSpace::WorkGroup => shared += layouter[variable.ty].size,
            _ => {}
        }
    }
    let [x, y, z] = module.entry_points[0].workgroup_size;
    let mut limit = |holds: bool, text: String| {
        if !holds {
            failures.push(format!("{what}: {text}"));
        }
    };
    limit(buffers.len() <= MAX_STORAGE_BUFFERS, format!("{} storage buffers", buffers.len()));
    // What is offered where there is more memory says how much it takes.
    let is_known = what.starts_with("gemm ")
        && Blocking::ALL.iter().any(|blocking| blocking.workgroup_bytes() == shared);
    let most = if what.contains("_cooperative ") {
        MAX_WORKGROUP_BYTES_OF_FRAGMENTS
    } else {
        MAX_WORKGROUP_BYTES
    };
    limit(is_known || shared <= most, format!("{shared} bytes of workgroup memory"));
    limit(x * y * z <= MAX_INVOCATIONS, format!("{x}×{y}×{z} invocations"));
    limit(z <= 64 && x * y * z > 0, format!("{x}×{y}×{z} invocations"));
}

#[test]
fn every_variant_is_valid_and_within_the_default_limits() {
    let variants = variants();
    let mut failures = Vec::new();
    let mut checked = 0;
    for shader in SHADERS {
        let name = shader.name;
        let Some(variants) = variants.get(name) else {
            failures.push(format!("{name}: no op records it"));
            continue;
        };
        for (types, reduction, constants) in variants {
            let what = format!("{name} {types:?} {reduction:?} {constants:?}");
            let (types, reduction) = (*types, *reduction);
            let text = shader.text(&KernelKey {
                shader: name,
                constants: constants.clone(),
                types,
                reduction,
            });
            let module = match naga::front::wgsl::parse_str(&text) {
                Ok(module) => module,
                Err(error) => {
                    failures.push(error.emit_to_string_with_path(&text, name));
                    continue;
                }
            };
            let info = match validate(&module, &text, types) {
                Ok(info) => info,
                Err(error) => {
                    failures.push(format!("{what}: {error}"));
                    continue;
                }
            };
            assert_eq!(module.entry_points.len(), 1, "{name}: one kernel a file");
            let overrides = shader.overrides(constants);
            let values = overrides.map(|(n, value)| (n.to_owned(), f64::from(value))).collect();
            let processed = naga::back::pipeline_constants::process_overrides(
                &module,
                &info,
                Some((ShaderStage::Compute, "main")),
                &values,
            );
            match processed {
                Ok((module, _)) => {
                    if let Err(error) = validate(&module, &text, types) {
                        failures.push(format!("{what}: {error}"));
                    }
                    check_limits(&module, &mut failures, &what);
                }
                Err(error) => failures.push(format!("{what}: {error}")),
            }
            checked += 1;
        }
    }
    println!("{checked} variants of {} shaders", SHADERS.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > SHADERS.len(), "fewer variants than shaders");
}
