//! What a kernel takes, as naga sees it.

use std::collections::BTreeMap;

use naga::front::wgsl;
use naga::proc::Layouter;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{
    AddressSpace, Expression, GlobalVariable, Literal, Module, Scalar, ScalarKind, StorageAccess,
    Type, TypeInner, VectorSize,
};

use crate::compose::{Folder, Text};
use crate::unroll;

/// The choices of element types, ordered like `crate::Types::ALL`, with what they need.
pub const ELEMENTS: [(&str, Capabilities); 3] = [
    ("f32", Capabilities::empty()),
    ("f16", Capabilities::SHADER_FLOAT16),
    ("f16_to_f32", Capabilities::SHADER_FLOAT16),
];
/// The ways of reducing over a workgroup, ordered like `crate::Reduction`.
pub const REDUCTIONS: [&str; 2] = ["barriers", "subgroups"];
/// The uniform's structure.
const PARAMS: &str = "Params";
/// The count that says that operands are no whole vectors.
const SCALAR: &str = "SCALAR";

pub struct Kernel {
    pub text: Text,
    pub counts: Vec<String>,
    pub params: Struct,
    /// Structures of its bindings.
    pub structs: Vec<Struct>,
    pub constants: Vec<Constant>,
    /// From binding 1 on.
    pub bindings: Vec<Binding>,
}

#[derive(PartialEq)]
pub struct Struct {
    pub name: String,
    /// Name, Rust type, comment.
    pub fields: Vec<(String, &'static str, String)>,
    pub bytes: u32,
}

#[derive(PartialEq)]
pub struct Constant {
    pub name: String,
    pub default: u32,
    pub is_bool: bool,
    pub comment: String,
}

pub struct Binding {
    pub name: String,
    pub writes: bool,
    pub holds: Holds,
    /// Of the smallest range that can be bound: by vectors (or as there is no choice) and by single values, for each
    /// choice of element types.
    pub bytes: [[u32; 3]; 2],
    pub comment: String,
}

impl Binding {
    /// Whether launches bind the same to both.
    pub fn takes_the_same_as(&self, other: &Self) -> bool {
        (&self.name, self.writes, &self.holds) == (&other.name, other.writes, &other.holds)
    }
}

#[derive(PartialEq)]
pub enum Holds {
    /// Values of a kind.
    Values(Element),
    /// One structure, or (`true`) an array of them.
    Structs(String, bool),
}

/// Named like `crate::Element`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Element {
    Activation,
    Output,
    F32,
    Word,
}

impl Kernel {
    pub fn of(folder: &Folder, text: Text) -> Self {
        let source = &text.source;
        let counts = unroll::counts(source);
        let has_access = counts.iter().any(|(name, _)| *name == SCALAR);
        let by_vectors = modules(folder, &text, 0);
        let by_values = has_access.then(|| modules(folder, &text, 1));
        let by_values = by_values.as_ref().unwrap_or(&by_vectors);
        let (params, structs) = structures(&text.name, &by_vectors[0], source);
        Self {
            constants: constants(&by_vectors[0], &counts, source),
            counts: counts.iter().map(|(name, _)| (*name).to_owned()).collect(),
            params,
            structs,
            bindings: bindings(&text.name, [&by_vectors, by_values], source),
            text,
        }
    }
}

/// A kernel in each choice of element types; the ways of reducing are validated, too, and bind the same.
fn modules(folder: &Folder, text: &Text, scalar: u32) -> [Module; 3] {
    let source = unroll::unroll(&text.source, &[(SCALAR, scalar)]);
    let ways = REDUCTIONS.map(|way| folder.text(&format!("prelude/reduction/{way}")));
    let ways = if text.reduces { &ways[..] } else { &[""] };
    ELEMENTS.map(|(elements, needs)| {
        let prelude = folder.text(&format!("prelude/element/{elements}"));
        let path = format!("{} in {elements}", text.name);
        let module = |way: &&str| {
            validated(&path, &format!("{}{prelude}{way}{source}", text.enables), needs)
        };
        // The last one, after the others are validated.
        ways.iter().map(module).reduce(|_, module| module).expect("a way")
    })
}

/// Parses `text`, which may use what `capabilities` say, what it enables, and subgroups.
fn validated(path: &str, text: &str, mut capabilities: Capabilities) -> Module {
    capabilities |= Capabilities::SUBGROUP;
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, text.starts_with("enable wgpu_coop"));
    let module = wgsl::parse_str(text)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(text, path)));
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(text, path)));
    module
}

/// A comment as Rust's documentation has it: shapes in brackets are no links.
pub fn doc(comment: &str) -> String {
    comment.replace('[', "\\[").replace(']', "\\]")
}

/// The comment behind the declaration of `name`, or on the lines above it.
fn comment_of(source: &str, declaration: &str) -> String {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(declaration)) else {
        return String::new();
    };
    if let Some((_, comment)) = lines[at].split_once("//") {
        return doc(comment.trim());
    }
    let above = lines[..at].iter().rev().map_while(|line| line.strip_prefix("///"));
    let mut above: Vec<&str> = above.map(str::trim).collect();
    above.reverse();
    doc(&above.join(" "))
}

/// The uniform's structure, and those in storage.
fn structures(kernel: &str, module: &Module, source: &str) -> (Struct, Vec<Struct>) {
    let mut params = None;
    let mut others = BTreeMap::new();
    for (_, variable) in module.global_variables.iter() {
        let mut ty = variable.ty;
        if let TypeInner::Array { base, .. } = module.types[ty].inner {
            ty = base;
        }
        let is_bound = variable.binding.is_some();
        let TypeInner::Struct { ref members, span } = module.types[ty].inner else { continue };
        if !is_bound {
            continue;
        }
        let name = module.types[ty].name.clone().expect("a named structure");
        let mut end = 0;
        let mut fields = Vec::new();
        for member in members {
            assert_eq!(member.offset, end, "{kernel}: {name} has a gap; fill it with a field");
            let (rust, bytes) = rust_type(&module.types[member.ty]);
            end += bytes;
            let field = member.name.clone().expect("a named field");
            let comment = comment_of(body_of(source, &name), &format!("{field}:"));
            fields.push((field, rust, comment));
        }
        assert_eq!(end, span, "{kernel}: {name} ends in a gap; fill it with a field");
        let structure = Struct { name: name.clone(), fields, bytes: span };
        match variable.space {
            AddressSpace::Uniform => {
                assert_eq!(name, PARAMS, "{kernel}: the uniform is called {PARAMS}");
                params = Some(structure);
            }
            _ => drop(others.insert(name, structure)),
        }
    }
    (params.unwrap_or_else(|| panic!("{kernel} has no {PARAMS}")), others.into_values().collect())
}

/// The text from the structure `name` on.
fn body_of<'a>(source: &'a str, name: &str) -> &'a str {
    let at = source.find(&format!("struct {name} {{")).expect("a declaration");
    &source[at..]
}

fn rust_type(ty: &Type) -> (&'static str, u32) {
    match ty.inner {
        TypeInner::Scalar(Scalar { kind: ScalarKind::Uint, width: 4 }) => ("u32", 4),
        TypeInner::Scalar(Scalar { kind: ScalarKind::Float, width: 4 }) => ("f32", 4),
        TypeInner::Vector {
            size: VectorSize::Bi,
            scalar: Scalar { kind: ScalarKind::Uint, width: 4 },
        } => ("[u32; 2]", 8),
        ref other => panic!("no Rust type for {other:?} in a structure"),
    }
}

/// Overrides with a default, and counts.
fn constants(module: &Module, counts: &[(&str, u32)], source: &str) -> Vec<Constant> {
    let mut constants = Vec::new();
    for (_, constant) in module.overrides.iter() {
        let Some(init) = constant.init else { panic!("{:?} has no default", constant.name) };
        // Others follow from these.
        let Expression::Literal(literal) = module.global_expressions[init] else { continue };
        let name = constant.name.clone().expect("a named override");
        let (default, is_bool) = match literal {
            Literal::Bool(value) => (u32::from(value), true),
            Literal::U32(value) => (value, false),
            other => panic!("{name} is {other:?}"),
        };
        let comment = comment_of(source, &format!("override {name}:"));
        constants.push(Constant { name, default, is_bool, comment });
    }
    for (name, default) in counts {
        let comment = comment_of(source, &format!("#count {name} ="));
        let is_bool = source.contains(&format!("#if {name}\n"));
        constants.push(Constant { name: (*name).to_owned(), default: *default, is_bool, comment });
    }
    constants
}

fn bindings(kernel: &str, accesses: [&[Module; 3]; 2], source: &str) -> Vec<Binding> {
    let [by_vectors, by_values] = accesses.map(|modules| modules.each_ref().map(bound));
    let count = by_vectors[0].len();
    let described = (0..count).map(|i| {
        let [vectors, values] = [&by_vectors, &by_values].map(|all| all.each_ref().map(|b| b[i]));
        let (module, variable) = vectors[0];
        assert_eq!(number(variable) as usize, i + 1, "{kernel}: bindings must count up from 1");
        let AddressSpace::Storage { access } = variable.space else {
            panic!("{kernel}: binding {} is no storage buffer", i + 1)
        };
        let holds = holds(module, variable);
        Binding {
            name: variable.name.clone().expect("a named binding"),
            comment: comment_of(source, &format!("@group(0) @binding({})", i + 1)),
            writes: access.contains(StorageAccess::STORE),
            holds: holds.unwrap_or_else(|| Holds::Values(element(vectors.map(scalar)))),
            bytes: [vectors, values].map(|bound| bound.map(smallest)),
        }
    });
    described.collect()
}

/// The variables bound from 1 on, in order. Where a kernel declares a binding again in words of several vectors, or in
/// single values, the one that it declared first.
fn bound(module: &Module) -> Vec<(&Module, &GlobalVariable)> {
    let variables = module.global_variables.iter().map(|(_, variable)| variable);
    let mut bound: Vec<&GlobalVariable> =
        variables.filter(|v| matches!(v.space, AddressSpace::Storage { .. })).collect();
    let is_of_words = |variable: &GlobalVariable| match module.types[variable.ty].inner {
        TypeInner::Array { base, .. } => {
            matches!(module.types[base].inner, TypeInner::Array { .. })
        }
        _ => false,
    };
    // naga puts what functions further up use in front.
    bound.sort_by_key(|variable| (number(variable), is_of_words(variable)));
    bound.dedup_by_key(|variable| number(variable));
    bound.into_iter().map(|variable| (module, variable)).collect()
}

fn number(variable: &GlobalVariable) -> u32 {
    variable.binding.as_ref().expect("a bound variable").binding
}

/// Bytes of the smallest range that can be bound: a structure, or one element of an array, in the largest type with
/// which the binding is declared.
fn smallest((module, variable): (&Module, &GlobalVariable)) -> u32 {
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).expect("sized types");
    let bytes = |ty| match module.types[ty].inner {
        TypeInner::Array { base, .. } => layouter[base].size,
        _ => layouter[ty].size,
    };
    let variables = module.global_variables.iter().map(|(_, variable)| variable);
    let same = variables.filter(|other| other.binding == variable.binding);
    same.map(|variable| bytes(variable.ty)).max().expect("the variable itself")
}

fn holds(module: &Module, variable: &GlobalVariable) -> Option<Holds> {
    let (ty, is_array) = match module.types[variable.ty].inner {
        TypeInner::Array { base, .. } => (base, true),
        _ => (variable.ty, false),
    };
    let is_struct = matches!(module.types[ty].inner, TypeInner::Struct { .. });
    is_struct.then(|| Holds::Structs(module.types[ty].name.clone().expect("a name"), is_array))
}

fn scalar((module, variable): (&Module, &GlobalVariable)) -> Scalar {
    let TypeInner::Array { base, .. } = module.types[variable.ty].inner else {
        panic!("{:?} is no array", variable.name)
    };
    module.types[base].inner.scalar().expect("an array of numbers")
}

/// Told by what changes between the choices of element types.
fn element([single, half, half_to_single]: [Scalar; 3]) -> Element {
    match single {
        _ if half != half_to_single => Element::Output,
        _ if single != half => Element::Activation,
        Scalar { kind: ScalarKind::Float, .. } => Element::F32,
        _ => Element::Word,
    }
}
