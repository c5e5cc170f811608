//! Rust out of what the kernels are.

use std::fmt::Write as _;

use crate::compose::{Folder, bare};
use crate::reflect::{Binding, ELEMENTS, Element, Holds, Kernel, REDUCTIONS, Struct, doc};

/// The structures of every kernel.
pub fn kernels(kernels: &[Kernel]) -> String {
    let mut out = String::new();
    let mut shared: Vec<&Struct> = Vec::new();
    for structure in kernels.iter().flat_map(|kernel| &kernel.structs) {
        match shared.iter().find(|known| known.name == structure.name) {
            Some(known) => assert!(*known == structure, "two structures {}", structure.name),
            None => shared.push(structure),
        }
    }
    for structure in shared {
        write_struct(structure, "A structure of `shaders/`.", &mut out);
    }
    for kernel in kernels {
        write_kernel(kernel, kernels, &mut out);
    }
    out
}

fn write_kernel(kernel: &Kernel, kernels: &[Kernel], out: &mut String) {
    let name = &kernel.text.name;
    let comment = doc(&kernel.text.comment);
    add(
        out,
        format!(
            "#[doc = {comment:?}]\n#[allow(missing_docs, clippy::all, reason = \"generated\")]\npub mod {name} {{\nuse super::*;\n"
        ),
    );
    let twin = &kernel.text.twin;
    if twin == name {
        // Kernels of an operation that take the same share it.
        let earlier = kernels.iter().take_while(|other| other.text.name != *name);
        let mut family = earlier.filter(|other| other.text.folder == kernel.text.folder);
        match family.clone().find(|other| other.params == kernel.params) {
            Some(other) => add(out, format!("pub use super::{}::Params;\n", other.text.name)),
            None => write_struct(&kernel.params, "Sizes and numbers of one launch.", out),
        }
        match family
            .find(|other| other.constants == kernel.constants && !other.constants.is_empty())
        {
            Some(other) => add(out, format!("pub use super::{}::Constants;\n", other.text.name)),
            None => write_constants(kernel, out),
        }
        write_bindings(&kernel.bindings, out);
        write_slices(&kernel.bindings, out);
        add(
            out,
            format!(
                "impl<T> Launch<T> for Bindings<T> {{\nconst KERNEL: &'static str = {name:?};\n\
                 type Params = Params;\ntype Constants = Constants;\n}}\n"
            ),
        );
    } else {
        let other = kernels.iter().find(|other| other.text.name == *twin);
        let other = other.unwrap_or_else(|| panic!("{name}: no kernel {twin}"));
        let mut bindings = other.bindings.iter().zip(&kernel.bindings);
        let same = other.params == kernel.params
            && other.bindings.len() == kernel.bindings.len()
            && bindings.all(|(a, b)| a.takes_the_same_as(b));
        assert!(same, "{name} and {twin} take different things");
        add(out, format!("pub use super::{twin}::{{Bindings, Params}};\n"));
        write_constants(kernel, out);
    }
    add(out, "}\n");
}

fn write_struct(Struct { name, fields, .. }: &Struct, doc: &str, out: &mut String) {
    add(
        out,
        format!(
            "#[doc = {doc:?}]\n#[repr(C)]\n\
             #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]\n\
             pub struct {name} {{\n"
        ),
    );
    for (field, rust, comment) in fields {
        add(out, format!("#[doc = {comment:?}]\npub {field}: {rust},\n"));
    }
    add(out, "}\n");
}

fn write_bindings(bindings: &[Binding], out: &mut String) {
    add(out, "/// What a launch binds.\n#[derive(Debug, Clone, Copy)]\npub struct Bindings<T> {\n");
    for Binding { name, comment, .. } in bindings {
        add(out, format!("#[doc = {comment:?}]\npub {name}: T,\n"));
    }
    add(out, "}\nimpl<T> From<Bindings<T>> for Vec<T> {\nfn from(b: Bindings<T>) -> Self {\nvec![");
    for Binding { name, .. } in bindings {
        add(out, format!("b.{name}, "));
    }
    add(out, "]\n}\n}\n");
}

/// Type parameters of a kernel's slices.
fn generics(bindings: &[Binding]) -> Vec<&'static str> {
    let has = |wanted| bindings.iter().any(|b| b.holds == Holds::Values(wanted));
    let mut generics = Vec::new();
    if has(Element::Activation) {
        generics.push("A");
    }
    if has(Element::Output) {
        generics.push("O");
    }
    generics
}

fn write_slices(bindings: &[Binding], out: &mut String) {
    let generics = generics(bindings);
    let names: String = generics.iter().map(|name| format!(", {name}")).collect();
    let bounds: String = generics.iter().map(|name| format!(", {name}: bytemuck::Pod")).collect();
    add(out, format!("/// What its twin reads and writes.\npub struct Slices<'a{names}> {{\n"));
    for Binding { name, writes, holds, comment, .. } in bindings {
        let mutable = if *writes { "mut " } else { "" };
        let ty = match holds {
            Holds::Values(Element::Activation) => "[A]".to_owned(),
            Holds::Values(Element::Output) => "[O]".to_owned(),
            Holds::Values(Element::F32) => "[f32]".to_owned(),
            Holds::Values(Element::Word) => "[u32]".to_owned(),
            Holds::Structs(name, true) => format!("[{name}]"),
            Holds::Structs(name, false) => name.clone(),
        };
        add(out, format!("#[doc = {comment:?}]\npub {name}: &'a {mutable}{ty},\n"));
    }
    add(
        out,
        format!(
            "}}\nimpl<'a{bounds}> Slices<'a{names}> {{\n\
             /// # Safety\n/// See [`Span`]: nobody else may write what is read, or touch what is written.\n\
             pub unsafe fn of(spans: &[Span]) -> Self {{\nunsafe {{ Self {{\n"
        ),
    );
    for (i, Binding { name, writes, holds, .. }) in bindings.iter().enumerate() {
        let method = match (holds, writes) {
            (Holds::Structs(_, false), false) => "one",
            (Holds::Structs(_, false), true) => "one_mut",
            (_, false) => "slice",
            (_, true) => "slice_mut",
        };
        add(out, format!("{name}: spans[{i}].{method}(),\n"));
    }
    add(out, "} }\n}\n}\n");
}

fn write_constants(kernel: &Kernel, out: &mut String) {
    let constants = &kernel.constants;
    add(
        out,
        "/// What is fixed when the kernel is compiled.\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]\n\
         pub struct Constants {\n",
    );
    for constant in constants {
        let ty = if constant.is_bool { "bool" } else { "u32" };
        let (doc, field) = (&constant.comment, constant.name.to_lowercase());
        add(out, format!("#[doc = {doc:?}]\npub {field}: {ty},\n"));
    }
    add(out, "}\nimpl Default for Constants {\nfn default() -> Self {\nSelf {\n");
    for constant in constants {
        let field = constant.name.to_lowercase();
        let default = if constant.is_bool {
            (constant.default != 0).to_string()
        } else {
            constant.default.to_string()
        };
        add(out, format!("{field}: {default},\n"));
    }
    add(
        out,
        "}\n}\n}\nimpl ConstantList for Constants {\nfn list(&self) -> Vec<(&'static str, u32)> {\nvec![",
    );
    for constant in constants {
        let (name, field) = (&constant.name, constant.name.to_lowercase());
        add(out, format!("({name:?}, u32::from(self.{field})),\n"));
    }
    add(
        out,
        "]\n}\nfn of(list: &[(&'static str, u32)]) -> Self {\n\
         #[allow(unused_mut)]\nlet mut constants = Self::default();\n\
         for &(name, _value) in list {\nmatch name {\n",
    );
    for constant in constants {
        let (name, field) = (&constant.name, constant.name.to_lowercase());
        let value = if constant.is_bool { "_value != 0" } else { "_value" };
        add(out, format!("{name:?} => constants.{field} = {value},\n"));
    }
    add(out, "_ => {}\n}\n}\nconstants\n}\n}\n");
}

/// The table of texts.
pub fn shaders(folder: &Folder, kernels: &[&Kernel]) -> String {
    let mut out =
        String::from("/// Every kernel, ordered by name.\npub static SHADERS: &[Shader] = &[\n");
    for kernel in kernels {
        let source = bare(&kernel.text.source);
        let subgroups = ["subgroup", "quadSwap"].iter().any(|word| source.contains(word));
        let bindings: String = kernel.bindings.iter().map(binding).collect();
        add(
            &mut out,
            format!(
                "Shader {{ name: {:?}, twin: {:?}, reduces: {}, uniform_bytes: {}, bindings: &[{bindings}], \
                 #[cfg(feature = \"gpu\")] text: Text {{ enables: {:?}, source: {source:?}, \
                 subgroups: {subgroups}, counts: &{:?} }} }},\n",
                kernel.text.name,
                kernel.text.twin,
                kernel.text.reduces,
                kernel.params.bytes,
                kernel.text.enables,
                kernel.counts,
            ),
        );
    }
    out.push_str("];\n");
    let texts = |paths: Vec<String>| paths.iter().map(|path| bare(folder.text(path))).collect();
    let elements: Vec<String> =
        texts(ELEMENTS.iter().map(|(name, _)| format!("prelude/element/{name}")).collect());
    let reductions: Vec<String> =
        texts(REDUCTIONS.iter().map(|name| format!("prelude/reduction/{name}")).collect());
    add(
        &mut out,
        format!(
            "/// Element types.\n#[cfg(feature = \"gpu\")]\nstatic ELEMENTS: [&str; 3] = {elements:?};\n"
        ),
    );
    add(
        &mut out,
        format!(
            "/// Ways of reducing.\n#[cfg(feature = \"gpu\")]\nstatic REDUCTIONS: [&str; 2] = {reductions:?};\n"
        ),
    );
    out
}

fn binding(Binding { name, writes, holds, bytes, .. }: &Binding) -> String {
    let element = match holds {
        Holds::Values(element) => *element,
        Holds::Structs(..) => Element::Word,
    };
    format!(
        "Binding {{ name: {name:?}, writes: {writes}, element: Element::{element:?}, bytes: {bytes:?} }}, "
    )
}

/// The function that finds a launch's twin.
pub fn twins(kernels: &[&Kernel]) -> String {
    let mut out = String::from(
        "/// The twin of a launch, to be run any number of times.\n///\n\
         /// # Safety\n/// While the twin runs, nobody else may write what it reads, or touch what it writes.\n\
         unsafe fn twin(key: &KernelKey, params: &[u32], spans: Vec<Span>) -> Twin {\n\
         match Shader::named(key.shader).twin {\n",
    );
    for kernel in kernels.iter().filter(|kernel| kernel.text.twin == kernel.text.name) {
        let name = &kernel.text.name;
        let generics = generics(&kernel.bindings);
        add(
            &mut out,
            format!(
                "{name:?} => {{\nlet params: crate::{name}::Params = *bytemuck::from_bytes(bytemuck::cast_slice(params));\n\
                 let constants = crate::{name}::Constants::of(&key.constants);\n"
            ),
        );
        let call = |types: &str| {
            format!(
                "Box::new(move || super::{name}(&params, &constants, unsafe {{ crate::{name}::Slices{types}::of(&spans) }}))"
            )
        };
        match generics.as_slice() {
            [] => add(&mut out, call("")),
            [_] => add(
                &mut out,
                format!(
                    "match key.types.activations {{\nPrecision::F32 => {},\n\
                     #[cfg(feature = \"native\")]\nPrecision::F16 => {},\n\
                     #[cfg(not(feature = \"native\"))]\n_ => unreachable!(\"f16 is for native targets\"),\n}}",
                    call("::<f32>"),
                    call("::<f16>")
                ),
            ),
            _ => add(
                &mut out,
                format!(
                    "match (key.types.activations, key.types.output) {{\n(Precision::F32, _) => {},\n\
                     #[cfg(feature = \"native\")]\n(Precision::F16, Precision::F16) => {},\n\
                     #[cfg(feature = \"native\")]\n(Precision::F16, Precision::F32) => {},\n\
                     #[cfg(not(feature = \"native\"))]\n_ => unreachable!(\"f16 is for native targets\"),\n}}",
                    call("::<f32, f32>"),
                    call("::<f16, f16>"),
                    call("::<f16, f32>")
                ),
            ),
        }
        add(&mut out, "\n}\n");
    }
    add(&mut out, "other => panic!(\"{other} has no twin\"),\n}\n}\n");
    out
}

fn add(out: &mut String, text: impl AsRef<str>) {
    out.write_str(text.as_ref()).expect("a string grows");
}
