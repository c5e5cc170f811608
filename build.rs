//! Parses and validates every shader with naga, for each choice of element types, and writes the table
//! that `gpu::shaders` includes: name, source, how each binding is accessed and what it holds. A faulty
//! shader fails the build.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{
    AddressSpace, GlobalVariable, ImageClass, Module, Scalar, ScalarKind, StorageAccess,
    StorageFormat, TypeInner,
};

#[path = "src/gpu/unroll.rs"]
mod unroll;

const DIR: &str = "shaders";
/// Texts that kernels are composed of.
const INCLUDES: &str = "shaders/include";
/// The one that stands in front of every kernel.
const PRELUDE: &str = "common";
/// Element types, of which one stands in front of that.
const PRECISIONS: &str = "shaders/precision";
/// The choices, ordered like `gpu::Types::ALL`, with what they need.
const VARIANTS: [(&str, Capabilities); 3] = [
    ("f32", Capabilities::empty()),
    ("f16", Capabilities::SHADER_FLOAT16),
    ("f16_to_f32", Capabilities::SHADER_FLOAT16),
];
/// Ways of reducing over a workgroup, of which one stands in front of the kernels that include [`REDUCE`].
const REDUCTIONS: &str = "shaders/reduction";
/// The choices, ordered like `gpu::shaders::Reduction`.
const WAYS: [&str; 2] = ["barriers", "subgroups"];
const REDUCE: &str = "reduce";
/// Stands for a text that several kernels have in their midst.
const INCLUDE_HERE: &str = "#include ";
/// First lines of a kernel name further texts like this.
const INCLUDE: &str = "//! include ";
/// Or say that an invocation writes no more than what it has read.
const IN_PLACE: &str = "//! in place";
/// Or language extensions, which browsers do not have.
const ENABLE: &str = "//! enable ";

fn main() {
    println!("cargo::rerun-if-changed={DIR}");
    println!("cargo::rerun-if-changed=src/gpu/unroll.rs");
    let mut names: Vec<String> = fs::read_dir(DIR)
        .expect("the shaders folder")
        .map(|entry| entry.expect("a shader file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    let ways = WAYS.map(|way| read(REDUCTIONS, way));
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        // What browsers do not get from wgpu they need not download.
        names.retain(|name| enables(name).is_empty());
    }

    let mut table =
        String::from("/// Every kernel, ordered by name.\npub static SHADERS: &[Shader] = &[\n");
    let preludes = VARIANTS.map(|(precision, _)| read(PRECISIONS, precision));
    for name in &names {
        let (enables, source) = (enables(name), complete_source(name));
        let reduces = named(&read(DIR, name), INCLUDE).iter().any(|include| include == REDUCE);
        let in_place = !named(&read(DIR, name), IN_PLACE).is_empty();
        let no_way = [String::new()];
        let ways = if reduces { &ways[..] } else { &no_way };
        let mut modules = Vec::new();
        for (prelude, (precision, needs)) in preludes.iter().zip(VARIANTS) {
            for way in ways {
                let path = format!("{name} in {precision}");
                let text = format!("{enables}{prelude}{way}{}", unroll::unroll(&source, &[]));
                modules.push(validated(&path, &text, needs));
            }
        }
        // Ways of reducing bind the same: one module for each choice of element types is enough.
        let modules: Vec<Module> = modules.into_iter().step_by(ways.len()).collect();
        let bindings = bindings(name, &modules[0]).join(", ");
        let elements = elements(&modules).join(", ");
        let source = bare(&source);
        let subgroups = source.contains("subgroup");
        let counts: Vec<&str> = unroll::counts(&source).into_iter().map(|(name, _)| name).collect();
        writeln!(
            table,
            "Shader {{ name: {name:?}, enables: {enables:?}, reduces: {reduces}, in_place: {in_place}, \
             source: {source:?}, subgroups: {subgroups}, counts: &{counts:?}, \
             bindings: &[{bindings}], elements: &[{elements}] }},"
        )
        .expect("a string grows");
    }
    table.push_str("];\n");
    let preludes = preludes.map(|prelude| bare(&prelude));
    writeln!(table, "/// Element types.\nstatic PRELUDES: [&str; 3] = {preludes:?};")
        .expect("a string grows");
    let ways = ways.map(|way| bare(&way));
    writeln!(table, "/// Ways of reducing.\nstatic REDUCTIONS: &[&str] = &{ways:?};")
        .expect("a string grows");
    let out = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join("shaders.rs"), table).expect("a writable output folder");
}

/// Parses `text`, which may use what `capabilities` say, what it enables, and subgroups.
fn validated(path: &str, text: &str, mut capabilities: Capabilities) -> Module {
    capabilities |= Capabilities::SUBGROUP;
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, text.starts_with("enable wgpu_coop"));
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(text, path)));
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(text, path)));
    module
}

/// WGSL without comments, indentation and empty lines: what browsers download.
fn bare(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

fn read(dir: &str, name: &str) -> String {
    let path = Path::new(dir).join(name).with_extension("wgsl");
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What a kernel's first lines say behind `word`.
fn named(kernel: &str, word: &str) -> Vec<String> {
    let lines = kernel.lines().take_while(|line| line.starts_with("//! "));
    lines.filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
}

/// The language extensions of a kernel, which stand in front of all its text.
fn enables(name: &str) -> String {
    let extensions = named(&read(DIR, name), ENABLE);
    extensions.iter().map(|extension| format!("enable {extension};\n")).collect()
}

/// The kernel behind the texts that it includes.
fn complete_source(name: &str) -> String {
    let own = read(DIR, name);
    let mut source = read(INCLUDES, PRELUDE);
    for include in named(&own, INCLUDE) {
        source.push_str(&read(INCLUDES, &include));
    }
    source.push_str(&own);
    let lines = source.lines().map(|line| match line.strip_prefix(INCLUDE_HERE) {
        Some(include) => read(INCLUDES, include),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// The variables bound from 1 on, in order. Binding 0 is the uniform.
fn bound(module: &Module) -> Vec<&GlobalVariable> {
    let variables = module.global_variables.iter().map(|(_, variable)| variable);
    let is_bound = |variable: &&GlobalVariable| {
        matches!(variable.space, AddressSpace::Storage { .. } | AddressSpace::Handle)
    };
    let mut bound: Vec<&GlobalVariable> = variables.filter(is_bound).collect();
    bound.sort_by_key(|variable| number(variable));
    bound
}

fn number(variable: &GlobalVariable) -> u32 {
    variable.binding.as_ref().expect("a bound variable").binding
}

/// How each binding is accessed, as Rust source.
fn bindings(name: &str, module: &Module) -> Vec<&'static str> {
    let bound = bound(module);
    for (i, variable) in bound.iter().enumerate() {
        assert_eq!(number(variable) as usize, i + 1, "{name}: bindings must count up from 1");
    }
    let access = |variable: &GlobalVariable| match variable.space {
        AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
            "Access::Write"
        }
        AddressSpace::Storage { .. } => "Access::Read",
        _ => "Access::Texture",
    };
    bound.into_iter().map(access).collect()
}

/// What each binding holds, as Rust source: told by what changes between the variants.
fn elements(variants: &[Module]) -> Vec<&'static str> {
    let scalars: Vec<Vec<Option<Scalar>>> = variants
        .iter()
        .map(|module| bound(module).iter().map(|variable| scalar(module, variable)).collect())
        .collect();
    let element = |i: usize| {
        let [single, half, half_to_single] = [0, 1, 2].map(|variant| scalars[variant][i]);
        match single {
            _ if half != half_to_single => "Element::Output",
            _ if single != half => "Element::Activation",
            Some(Scalar { kind: ScalarKind::Float, .. }) => "Element::F32",
            _ => "Element::Word",
        }
    };
    (0..scalars[0].len()).map(element).collect()
}

/// The scalars in an array or texture; none for structures.
fn scalar(module: &Module, variable: &GlobalVariable) -> Option<Scalar> {
    match module.types[variable.ty].inner {
        TypeInner::Array { base, .. } => module.types[base].inner.scalar(),
        TypeInner::Image { class: ImageClass::Storage { format, .. }, .. } => match format {
            StorageFormat::Rgba16Float => Some(Scalar { kind: ScalarKind::Float, width: 2 }),
            _ => Some(Scalar::F32),
        },
        _ => None,
    }
}
