//! Turns `shaders/` into Rust: composes every kernel's text, has naga parse and validate it for each choice of
//! element types, and writes what the crate includes: the texts, and for each kernel its
//! `Params`, `Constants` and bindings as structures. A faulty shader fails the build; so does an op or a twin that
//! does not agree with its shader.

#[path = "build/compose.rs"]
mod compose;
#[path = "build/generate.rs"]
mod generate;
#[path = "build/reflect.rs"]
mod reflect;
#[path = "src/unroll.rs"]
mod unroll;

use std::path::Path;
use std::{env, fs};

use compose::Folder;
use reflect::Kernel;

fn main() {
    println!("cargo::rerun-if-changed=shaders");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/unroll.rs");
    let folder = Folder::read(Path::new("shaders"));
    let is_wasm = env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm");
    let kernels: Vec<Kernel> = folder.kernels().map(|text| Kernel::of(&folder, text)).collect();
    let has =
        |feature: &String| env::var(format!("CARGO_FEATURE_{}", feature.to_uppercase())).is_ok();
    // What browsers do not get from wgpu they need not download.
    let offered = |kernel: &&Kernel| {
        (!is_wasm || kernel.text.enables.is_empty()) && kernel.text.needs.iter().all(has)
    };
    let out = env::var("OUT_DIR").expect("set by cargo");
    let write = |name: &str, text: String| {
        fs::write(Path::new(&out).join(name), text).expect("a writable output folder");
    };
    write("kernels.rs", generate::kernels(&kernels));
    let offered: Vec<&Kernel> = kernels.iter().filter(offered).collect();
    write("shaders.rs", generate::shaders(&folder, &offered));
    write("twins.rs", generate::twins(&offered));
}
