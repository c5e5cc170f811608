//! The text of a kernel: its file behind what it includes, operands written out.
//!
//! First lines of a kernel's file say what else it is made of:
//! - `//! include FOLDER/NAME`: another text, in front of its own;
//! - `//! enable NAME`: a language extension, which browsers do not have;
//! - `//! twin NAME`: it means the same as that kernel, with the same parameters and bindings;
//! - `//! needs FEATURE`: only that feature of the crate records it, and without it is left out.
//!
//! A line `#operand 1 read x: act // [rows, D]` (or `write`) binds a tensor that is read and written by fours with
//! `load_x(i, rest)` and `store_x(i, rest, v)`: from value `i` on, of which `rest` belong to the row. The kernel has
//! a constant SCALAR then: false for rows of whole vectors, true for any.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// All files of `shaders/`, by their path without the ending.
pub struct Folder(BTreeMap<String, String>);

/// A kernel's text.
pub struct Text {
    pub name: String,
    /// The operation that it belongs to.
    pub folder: String,
    /// The kernel whose parameters and bindings it has, often its own.
    pub twin: String,
    /// The lines that enable its extensions.
    pub enables: String,
    /// The features of the crate without which nothing records it.
    pub needs: Vec<String>,
    /// Whether it reduces over a workgroup, in one of the ways of `prelude/reduction`.
    pub reduces: bool,
    /// The first lines of its comment.
    pub comment: String,
    /// All of it but the element types, the way of reducing and what it enables.
    pub source: String,
}

const COMMON: &str = "prelude/common";
const REDUCE: &str = "prelude/reduce";
const INCLUDE: &str = "//! include ";
const ENABLE: &str = "//! enable ";
const TWIN: &str = "//! twin ";
const NEEDS: &str = "//! needs ";
const OPERAND: &str = "#operand ";

impl Folder {
    pub fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        add_files(root, root, &mut files);
        Self(files)
    }

    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no shaders/{name}.wgsl"))
    }

    /// Every file with an entry point, ordered by name.
    pub fn kernels(&self) -> impl Iterator<Item = Text> {
        let mut kernels: Vec<Text> = self
            .0
            .iter()
            .filter(|(_, text)| text.contains("@compute"))
            .map(|(path, text)| self.kernel(path, text))
            .collect();
        kernels.sort_by(|a, b| a.name.cmp(&b.name));
        kernels.into_iter()
    }

    fn kernel(&self, path: &str, own: &str) -> Text {
        let (folder, name) = path.rsplit_once('/').expect("a kernel in its operation's folder");
        let name = name.to_owned();
        let includes = named(own, INCLUDE);
        let mut raw = self.text(COMMON).to_owned();
        for include in &includes {
            raw.push_str(self.text(include));
        }
        raw.push_str(own);
        let body = own.lines().skip_while(|line| line.starts_with("//!"));
        let comment = body.map_while(|line| line.strip_prefix("// "));
        Text {
            twin: named(own, TWIN).pop().unwrap_or_else(|| name.clone()),
            enables: named(own, ENABLE).iter().map(|name| format!("enable {name};\n")).collect(),
            needs: named(own, NEEDS),
            reduces: includes.iter().any(|include| include == REDUCE),
            comment: comment.collect::<Vec<_>>().join("\n"),
            source: with_operands(&raw),
            folder: folder.to_owned(),
            name,
        }
    }
}

/// WGSL without comments, indentation and empty lines: what browsers download.
pub fn bare(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

fn add_files(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry of shaders/").path();
        if path.is_dir() {
            add_files(root, &path, files);
        } else if path.extension().is_some_and(|ending| ending == "wgsl") {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let name = path.with_extension("");
            let name = name.strip_prefix(root).expect("a path in shaders/");
            files.insert(name.to_string_lossy().replace('\\', "/"), text);
        }
    }
}

/// What a kernel's first lines say behind `word`.
fn named(kernel: &str, word: &str) -> Vec<String> {
    let lines = kernel.lines().take_while(|line| line.starts_with("//! "));
    lines.filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
}

fn with_operands(text: &str) -> String {
    let mut out = String::new();
    let mut any = false;
    for line in text.lines() {
        match line.strip_prefix(OPERAND) {
            Some(declaration) => {
                any = true;
                write_operand(declaration, &mut out);
            }
            None => writeln!(out, "{line}").expect("a string grows"),
        }
    }
    if any { format!("#count SCALAR = 0\n{out}") } else { out }
}

/// Writes out `NUMBER read|write NAME: ELEMENT // comment`.
fn write_operand(declaration: &str, out: &mut String) {
    let malformed = || panic!("{OPERAND}{declaration}");
    let (declared, comment) = declaration.split_once("//").unwrap_or((declaration, ""));
    let words: Vec<&str> = declared.split_whitespace().collect();
    let &[binding, access, name, element] = words.as_slice() else { malformed() };
    let name = name.trim_end_matches(':');
    let (access, writes) = match access {
        "read" => ("read", false),
        "write" => ("read_write", true),
        _ => malformed(),
    };
    let (vector, to_scalar, to_vector) = match element {
        "act" => ("act4", "to_act", "to_act4"),
        "output" => ("output4", "to_output", "to_output4"),
        "f32" => ("vec4<f32>", "f32", "vec4<f32>"),
        _ => malformed(),
    };
    let head = format!("@group(0) @binding({binding}) var<storage, {access}> {name}");
    let each = |line: &dyn Fn(&str, u32) -> String| -> String {
        let rest = ["y", "z", "w"].into_iter().zip(1..);
        rest.map(|(c, n)| format!("if (rest > {n}u) {{ {} }}\n", line(c, n))).collect()
    };
    let load = format!("fn load_{name}(i: u32, rest: u32) -> vec4<f32>");
    let loads = each(&|c, n| format!("v.{c} = f32({name}[i + {n}u]);"));
    let store = format!("fn store_{name}(i: u32, rest: u32, v: vec4<f32>)");
    let stores = each(&|c, n| format!("{name}[i + {n}u] = {to_scalar}(v.{c});"));
    let mut lines = format!(
        "#if SCALAR\n{head}: array<{element}>; //{comment}\n\
         {load} {{\nvar v = vec4<f32>(f32({name}[i]), 0.0, 0.0, 0.0);\n{loads}return v;\n}}\n"
    );
    if writes {
        lines += &format!("{store} {{\n{name}[i] = {to_scalar}(v.x);\n{stores}}}\n");
    }
    lines += &format!(
        "#else\n{head}: array<{vector}>; //{comment}\n\
         {load} {{ return vec4<f32>({name}[i / 4u]); }}\n"
    );
    if writes {
        lines += &format!("{store} {{ {name}[i / 4u] = {to_vector}(v); }}\n");
    }
    out.push_str(&lines);
    out.push_str("#end\n");
}
