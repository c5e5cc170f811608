//! What a real GPU's compiler makes of every kernel: registers, what does not fit into them, and workgroup memory.
//!
//! Mesa's driver for AMD's GPUs compiles for a GPU that is not there if `RADV_FORCE_FAMILY` names it. The table goes to
//! the standard output, see `scripts/registers.sh`.
#![cfg(target_os = "linux")]

#[path = "common/radv.rs"]
mod radv;
#[path = "common/variants.rs"]
mod variants;

use std::collections::BTreeMap;

use naga::ShaderStage;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use radv::{Compiler, Statistics};
use variants::variants;
use webmae::kernels::{KernelKey, Precision, Shader};

/// A GPU of 2020, whose family Mesa has known since; [`FAMILY`] names another one.
const USUAL_FAMILY: &str = "navi21";
const FAMILY: &str = "RADV_FORCE_FAMILY";
/// Set, a machine without Mesa's driver fails the test instead of skipping it.
const REQUIRED: &str = "WEBMAE_TEST_REGISTERS";

/// SPIR-V as the program has it made: without the checks that browsers insist on.
fn spirv(key: &KernelKey) -> Vec<u32> {
    let shader = Shader::named(key.shader);
    let module = naga::front::wgsl::parse_str(&shader.text(key)).expect("WGSL");
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&module).expect("valid WGSL");
    let overrides = shader.overrides(&key.constants);
    let values = overrides.map(|(name, value)| (name.to_owned(), f64::from(value))).collect();
    let stage = (ShaderStage::Compute, "main");
    let (module, info) =
        naga::back::pipeline_constants::process_overrides(&module, &info, Some(stage), &values)
            .expect("constants");
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: stage.0, entry_point: stage.1.to_owned() };
    spv::write_vec(&module, &info, &options, Some(&entry)).expect("SPIR-V")
}

/// The constants that are not 0, and the types if they are not f32.
fn describe(key: &KernelKey) -> String {
    let mut words: Vec<String> = Vec::new();
    if key.types.activations == Precision::F16 {
        words.push(format!("f16 to {:?}", key.types.output).to_lowercase());
    }
    let set = key.constants.iter().filter(|(_, value)| *value > 0);
    words.extend(set.map(|(name, value)| format!("{name} {value}")));
    words.join(", ")
}

#[test]
fn no_kernel_spills_registers() {
    let family = std::env::var(FAMILY).unwrap_or_else(|_| USUAL_FAMILY.to_owned());
    let Some(compiler) = Compiler::for_family(&family) else {
        assert!(std::env::var_os(REQUIRED).is_none(), "Mesa's RADV has no {family} here");
        println!("SKIPPED no_kernel_spills_registers: Mesa's RADV has no {family} here");
        return;
    };
    println!("| kernel | variant | {} |", Statistics::HEADINGS.join(" | "));
    println!("|---|---|{}", "---|".repeat(Statistics::HEADINGS.len()));
    let mut spilling = Vec::new();
    let mut skipped = BTreeMap::<&str, usize>::new();
    for key in keys() {
        let name = format!("{} ({})", key.shader, describe(&key));
        if !offers(&compiler, &key) {
            *skipped.entry(key.shader).or_default() += 1;
            continue;
        }
        let statistics = compiler.statistics(&spirv(&key));
        println!("| {} | {} | {statistics} |", key.shader, describe(&key));
        if statistics.spills() {
            spilling.push(name);
        }
    }
    for (shader, variants) in skipped {
        println!(
            "not compiled: {variants} variants of {shader}, for what this driver does not offer"
        );
    }
    assert!(spilling.is_empty(), "{} kernels spill: {}", spilling.len(), spilling.join("; "));
}

/// Whether the GPU has the fragments that a kernel multiplies, if it does.
fn offers(compiler: &Compiler, key: &KernelKey) -> bool {
    let extent = key.constants.iter().find(|(name, _)| *name == "EXTENT");
    let is_half = key.types.activations == Precision::F16;
    extent.is_none_or(|&(_, extent)| is_half && compiler.multiplies(extent))
}

/// Every variant that the models record.
fn keys() -> impl Iterator<Item = KernelKey> {
    variants().into_iter().flat_map(|(shader, variants)| {
        variants.into_iter().map(move |(types, reduction, constants)| KernelKey {
            shader,
            constants,
            types,
            reduction,
        })
    })
}
