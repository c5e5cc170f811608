//! Parses and validates every shader with naga and writes the table that `gpu::shaders` includes:
//! name, source, and how each binding is accessed. A faulty shader fails the build.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess};

const DIR: &str = "shaders";
/// Texts that kernels are composed of.
const INCLUDES: &str = "shaders/include";
/// The one that stands in front of every kernel.
const PRELUDE: &str = "common";
/// First lines of a kernel name further texts like this.
const INCLUDE: &str = "//! include ";

fn main() {
    println!("cargo::rerun-if-changed={DIR}");
    let mut names: Vec<String> = fs::read_dir(DIR)
        .expect("the shaders folder")
        .map(|entry| entry.expect("a shader file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();

    let mut table =
        String::from("/// Every kernel, ordered by name.\npub static SHADERS: &[Shader] = &[\n");
    for name in &names {
        let source = complete_source(name);
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(&source, name)));
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(&source, name)));
        let bindings = bindings(name, &module).join(", ");
        let source = bare(&source);
        writeln!(
            table,
            "Shader {{ name: {name:?}, source: {source:?}, bindings: &[{bindings}] }},"
        )
        .expect("a string grows");
    }
    table.push_str("];\n");
    let out = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join("shaders.rs"), table).expect("a writable output folder");
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

/// The kernel behind the texts that it includes.
fn complete_source(name: &str) -> String {
    let own = read(DIR, name);
    let mut source = read(INCLUDES, PRELUDE);
    for line in own.lines().take_while(|line| line.starts_with(INCLUDE)) {
        source.push_str(&read(INCLUDES, &line[INCLUDE.len()..]));
    }
    source.push_str(&own);
    source
}

/// How each binding from 1 on is accessed, as Rust source. Binding 0 is the uniform.
fn bindings(name: &str, module: &naga::Module) -> Vec<&'static str> {
    let mut found: Vec<(u32, &str)> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let access = match variable.space {
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                    "Access::Write"
                }
                AddressSpace::Storage { .. } => "Access::Read",
                AddressSpace::Handle => "Access::Texture",
                _ => return None,
            };
            Some((variable.binding.as_ref().expect("a bound variable").binding, access))
        })
        .collect();
    found.sort_unstable();
    for (i, (binding, _)) in found.iter().enumerate() {
        assert_eq!(*binding as usize, i + 1, "{name}: bindings must count up from 1");
    }
    found.into_iter().map(|(_, access)| access).collect()
}
