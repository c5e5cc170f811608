//! The house stays in order: no module uses one above it, no two files use each other in a circle, and each
//! user is told of settings in words that are theirs.
//!
//! The source is read as text: `use` declarations and paths written out in the code, down to the file that
//! declares what they name. A folder's `mod.rs` may pass on what its files declare (`pub use`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the crates' sources are: the library, and the kernels that it stands on.
const LIBRARY: &str = "src";
const KERNELS: &str = "kernels/src";

/// The library's modules from the ground up; each may use those of the rows before its own.
const ROWS: &[&[&str]] = &[
    &["absent", "order", "setting", "tensor"],
    &["remedy"],
    &["error"],
    &["config"],
    &["geometry"],
    &["files"],
    &["data", "report"],
    &["gpu"],
    &["program"],
    &["ops"],
    &["model", "tune"],
    &["weights"],
    &["train"],
    &["verify"],
    &["measure"],
    &["cli", "wasm"],
];

/// A module: its path from the crate's root, e.g. `["data", "open"]`, and no name for the root itself.
type Module = Vec<String>;

/// A file's declarations and what it refers to.
struct Source {
    /// What `pub use` passes on: the name here, and its path.
    passed_on: BTreeMap<String, Vec<String>>,
    /// Paths from the crate's root that the file uses for itself.
    used: BTreeSet<Vec<String>>,
}

#[test]
fn every_module_has_its_row() {
    let known: BTreeSet<&str> = ROWS.iter().flat_map(|row| row.iter().copied()).collect();
    let sources = sources(LIBRARY);
    let found: BTreeSet<&str> = sources.keys().filter_map(|m| Some(m.first()?.as_str())).collect();
    assert_eq!(found, known, "the modules of src/ and those of ROWS");
}

#[test]
fn no_module_uses_one_above_it() {
    let row = |name: &str| ROWS.iter().position(|row| row.contains(&name));
    let mut upward = Vec::new();
    for (from, to) in edges(&sources(LIBRARY)) {
        let (Some(a), Some(b)) = (from.first(), to.first()) else { continue };
        if a != b && row(b) >= row(a) {
            upward.push(format!("{} uses {}", from.join("::"), to.join("::")));
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let circles: Vec<String> = [LIBRARY, KERNELS].into_iter().flat_map(circles).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// The uses that lead back to the file that they begin in.
fn circles(root: &str) -> Vec<String> {
    let edges = edges(&sources(root));
    let mut uses: BTreeMap<&Module, Vec<&Module>> = BTreeMap::new();
    for (from, to) in &edges {
        uses.entry(from).or_default().push(to);
    }
    let leads_back = |(from, to): &&(Module, Module)| {
        let mut reached = BTreeSet::from([to]);
        let mut waiting = vec![to];
        while let Some(at) = waiting.pop() {
            let next = uses.get(at).into_iter().flatten();
            waiting.extend(next.filter(|&&used| reached.insert(used)));
        }
        reached.contains(from)
    };
    let circle =
        |(from, to): &(Module, Module)| format!("{} uses {}", from.join("::"), to.join("::"));
    edges.iter().filter(leads_back).map(circle).collect()
}

#[test]
fn only_the_command_line_knows_its_options() {
    let mut named = Vec::new();
    let texts = [LIBRARY, KERNELS].into_iter().flat_map(texts);
    for (file, text) in texts.filter(|(file, _)| !file.starts_with("cli")) {
        let found = text.lines().enumerate().filter(|(_, line)| names_an_option(line));
        named.extend(found.map(|(i, line)| format!("{}:{}: {line}", file.display(), i + 1)));
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}

/// The package's errors name what its types declare.
#[test]
fn options_in_errors_of_the_package_exist() {
    let texts = texts(LIBRARY);
    let wording = &texts[Path::new("wasm/wording.rs")];
    let types = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/package/types.ts");
    let types = fs::read_to_string(types).unwrap();
    let options =
        wording.lines().filter_map(|line| line.trim().split_once("=> \"")?.1.split_once('"'));
    let options: Vec<&str> = options.map(|(option, _)| option).collect();
    assert!(options.contains(&"batchSize"), "{options:?}");
    for option in options {
        assert!(types.contains(&format!("  {option}?: ")), "{option}");
    }
}

/// Whether a line has two dashes and a letter, in a text or a comment. Variables of a style sheet, which begin
/// so too, are set as `--name:value` and used as `var(--name)`.
fn names_an_option(line: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase();
    line.match_indices("--").any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + 2..]);
        let end = after.find(|c| !is_letter(c) && c != '-').unwrap_or(after.len());
        let is_set = after[end..].starts_with(":#");
        after.starts_with(is_letter) && !before.ends_with("var(") && !is_set
    })
}

/// Pairs of a file and another that it uses.
fn edges(sources: &BTreeMap<Module, Source>) -> BTreeSet<(Module, Module)> {
    let mut edges = BTreeSet::new();
    for (from, source) in sources {
        for path in &source.used {
            let to = declaring(sources, path);
            // The root only lists modules, and a file's own tests are within it.
            if !from.is_empty() && !to.is_empty() && to != *from {
                edges.insert((from.clone(), to));
            }
        }
    }
    edges
}

/// The file that declares what `path` names, through whatever passes it on.
fn declaring(sources: &BTreeMap<Module, Source>, path: &[String]) -> Module {
    let mut path = path.to_vec();
    // Chains of `pub use` are short.
    for _ in 0..8 {
        let deepest = (0..=path.len()).rev().find(|&n| sources.contains_key(&path[..n]));
        let (module, rest) = path.split_at(deepest.expect("the root is a module"));
        let passed_on = rest.first().and_then(|name| sources[module].passed_on.get(name));
        match passed_on {
            Some(further) => path = further.iter().chain(&rest[1..]).cloned().collect(),
            None => return module.to_vec(),
        }
    }
    panic!("{} is passed on in a circle", path.join("::"));
}

/// All files below `root` by module.
fn sources(root: &str) -> BTreeMap<Module, Source> {
    let module = |(file, text): (PathBuf, String)| {
        let path = file.with_extension("");
        let mut module: Module =
            path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        module.pop_if(|name| ["mod", "lib"].contains(&name.as_str()));
        (module, text)
    };
    let modules: BTreeMap<Module, String> = texts(root).into_iter().map(module).collect();
    let read = |(module, text): (&Module, &String)| (module.clone(), read(module, text));
    modules.iter().map(read).collect()
}

/// The text of each file below `root`, by its path there; the binary is none.
fn texts(root: &str) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.retain(|file| !file.ends_with("main.rs"));
    let text = |file: &PathBuf| {
        (file.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(file).unwrap())
    };
    files.iter().map(text).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// What the file of `module` passes on and uses.
fn read(module: &Module, text: &str) -> Source {
    let mut source = Source { passed_on: BTreeMap::new(), used: BTreeSet::new() };
    // Modules written in the file, with the depth of braces at which each ends; tests as a rule.
    let mut inner: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    // A file's own submodules, which its paths may begin with.
    let mut children = BTreeSet::new();
    let words = words(text);
    let mut at = 0;
    while at < words.len() {
        let word = words[at].as_str();
        match word {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inner.pop_if(|&mut (_, end)| end == depth);
            }
            "mod" if words.get(at + 2).is_some_and(|next| next == "{") => {
                inner.push((words[at + 1].clone(), depth));
            }
            "mod" => {
                children.insert(words[at + 1].clone());
            }
            // `impl Trait + use<>` declares nothing.
            "use" if words[at + 1] != "<" => {
                let end = at + words[at..].iter().position(|word| word == ";").unwrap();
                let mut leaves = Vec::new();
                leaves_of(&words[at + 1..end], &mut 0, &[], &mut leaves);
                let public = at > 0 && (words[at - 1] == "pub" || words[at - 1] == ")");
                for (name, path) in leaves {
                    let Some(path) = absolute(module, &inner, &children, &path) else { continue };
                    if public && inner.is_empty() {
                        source.passed_on.insert(name, path);
                    } else {
                        source.used.insert(path);
                    }
                }
                at = end;
            }
            _ if words.get(at + 1).is_some_and(|next| next == "::") => {
                let mut path = vec![word.to_owned()];
                while words.get(at + 1).is_some_and(|next| next == "::")
                    && words.get(at + 2).is_some_and(|next| is_name(next))
                {
                    path.push(words[at + 2].clone());
                    at += 2;
                }
                source.used.extend(absolute(module, &inner, &children, &path));
            }
            _ => {}
        }
        at += 1;
    }
    source
}

/// The leaves of a `use` tree: the name that each gets, and its path.
fn leaves_of(
    words: &[String],
    at: &mut usize,
    prefix: &[String],
    leaves: &mut Vec<(String, Vec<String>)>,
) {
    let mut path = prefix.to_vec();
    while let Some(word) = words.get(*at) {
        *at += 1;
        match word.as_str() {
            "::" => {}
            "{" => {
                leaves_of(words, at, &path, leaves);
                path.clear();
            }
            "," | "}" => {
                leaves.extend(path.last().map(|name| (name.clone(), path.clone())));
                if word == "}" {
                    return;
                }
                path = prefix.to_vec();
                continue;
            }
            "as" => {
                leaves.push((words[*at].clone(), path.clone()));
                path.clear();
                *at += 1;
            }
            // `*` brings in what the module declares, `self` the module.
            "*" => leaves.push(("*".to_owned(), std::mem::take(&mut path))),
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
    }
    leaves.extend(path.last().map(|name| (name.clone(), path.clone())));
}

/// `path` from the crate's root; none if it leads out of the crate, or to something local.
fn absolute(
    module: &Module,
    inner: &[(String, usize)],
    children: &BTreeSet<String>,
    path: &[String],
) -> Option<Vec<String>> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => module.clone(),
        "super" => {
            let mut base = module.clone();
            let mut inside = inner.len();
            let mut up = || match inside {
                0 => drop(base.pop()),
                _ => inside -= 1,
            };
            up();
            while rest.first().is_some_and(|word| word == "super") {
                up();
                rest = &rest[1..];
            }
            base
        }
        child if children.contains(child) => {
            rest = path;
            module.clone()
        }
        _ => return None,
    };
    base.extend_from_slice(rest);
    Some(base)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The text's names and signs, without comments, texts and characters.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(len) = literal(rest) {
            len
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(len);
        if !word.starts_with("//") && !word.contains('"') && !word.trim().is_empty() {
            words.push(word.to_owned());
        }
        rest = after;
    }
    words
}

/// The length of the text or character that `rest` begins with.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'r']);
    let start = rest.len() - body.len();
    let hashes = body.len() - body.trim_start_matches('#').len();
    let is_raw = rest[..start].contains('r');
    if is_raw && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let from = start + hashes + 1;
        return Some(from + rest[from..].find(&end)? + end.len());
    }
    let quote = body.chars().next().filter(|c| ['"', '\''].contains(c))?;
    if start > 1 || is_raw {
        return None;
    }
    let mut chars = body.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return Some(start + at + 1),
            // A lifetime is no character.
            _ if quote == '\'' && !body[1..].starts_with('\\') => {
                let is_char = body[1 + c.len_utf8()..].starts_with('\'');
                return is_char.then(|| start + 2 + c.len_utf8());
            }
            _ => {}
        }
    }
    None
}
