//! A name table and the two ways through it.

/// What a foreign name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The whole internal tensor of this name.
    Whole(String),
    /// One third of the rows of the internal tensor: 0 query, 1 key, 2 value.
    Third(String, usize),
    /// A second name of the internal tensor.
    Alias(String),
    /// A tensor that no part of the model uses.
    Unused,
}

/// One line of a table: `foreign` is `internal`, or that third of it. A name that ends with a dot
/// stands for its `weight` and its `bias`.
pub(super) struct Row {
    pub foreign: &'static str,
    pub internal: &'static str,
    pub third: Option<usize>,
}

/// The line for a whole tensor.
pub(super) const fn row(foreign: &'static str, internal: &'static str) -> Row {
    Row { foreign, internal, third: None }
}

/// The line for a third of the fused qkv projection.
pub(super) const fn third(foreign: &'static str, third: usize) -> Row {
    Row { foreign, internal: "attn.qkv.", third: Some(third) }
}

/// How one code base names the model's tensors. Where several foreign names mean one tensor, the
/// first is the one that is written.
pub(super) struct Table {
    /// Prefix of the encoder's names that encoder-only files leave out.
    pub encoder_prefix: &'static str,
    /// Stacks of blocks: what comes before the block's number, as `(foreign, internal)`.
    pub stacks: &'static [(&'static str, &'static str)],
    /// Names within a block, after its number.
    pub block: &'static [Row],
    /// Names outside of blocks.
    pub top: &'static [Row],
    /// Second names, by the internal name of the same tensor.
    pub aliases: &'static [Row],
    /// Names (or beginnings of names) that nothing uses.
    pub unused: &'static [&'static str],
}

impl Table {
    /// The meaning of a foreign name, or `None` if the code base has no such tensor.
    pub fn meaning(&self, name: &str) -> Option<Meaning> {
        self.exact_meaning(name)
            .or_else(|| self.exact_meaning(&format!("{}{name}", self.encoder_prefix)))
    }

    fn exact_meaning(&self, name: &str) -> Option<Meaning> {
        for &(foreign, internal) in self.stacks {
            let Some((index, tail)) = name.strip_prefix(foreign).and_then(split_index) else {
                continue;
            };
            let in_block = |name: String| format!("{internal}{index}.{name}");
            return find(self.block, tail).map(|(row, suffix)| {
                let name = in_block(format!("{}{suffix}", row.internal));
                row.third.map_or(Meaning::Whole(name.clone()), |n| Meaning::Third(name, n))
            });
        }
        if let Some((row, suffix)) = find(self.top, name) {
            return Some(Meaning::Whole(format!("{}{suffix}", row.internal)));
        }
        if let Some((row, suffix)) = find(self.aliases, name) {
            return Some(Meaning::Alias(format!("{}{suffix}", row.internal)));
        }
        self.unused.iter().any(|unused| name.starts_with(unused)).then_some(Meaning::Unused)
    }

    /// Second names of an internal tensor.
    pub fn second_names(&self, internal: &str) -> Vec<String> {
        let name = |row: &Row| Some(format!("{}{}", row.foreign, matches(row.internal, internal)?));
        self.aliases.iter().filter_map(name).collect()
    }

    /// The foreign names of an internal tensor: one, or three (query, key, value); empty if the
    /// code base has no such tensor.
    pub fn foreign_names(&self, internal: &str) -> Vec<String> {
        let (stack, rows, rest) = self
            .stacks
            .iter()
            .find_map(|(foreign, stack)| {
                let (index, tail) = internal.strip_prefix(stack).and_then(split_index)?;
                Some((format!("{foreign}{index}."), self.block, tail))
            })
            .unwrap_or((String::new(), self.top, internal));
        let mut names = Vec::new();
        for row in rows {
            let Some(suffix) = matches(row.internal, rest) else { continue };
            let part = row.third.unwrap_or(0);
            if part == names.len() {
                names.push(format!("{stack}{}{suffix}", row.foreign));
            }
        }
        names
    }
}

/// Splits `"11.mlp.fc1.weight"` into the number and what follows its dot.
fn split_index(rest: &str) -> Option<(&str, &str)> {
    let (index, tail) = rest.split_once('.')?;
    (!index.is_empty() && index.bytes().all(|b| b.is_ascii_digit())).then_some((index, tail))
}

/// The first row whose foreign name is `name`, and what `name` has beyond it.
fn find<'t, 'n>(rows: &'t [Row], name: &'n str) -> Option<(&'t Row, &'n str)> {
    rows.iter().find_map(|row| Some((row, matches(row.foreign, name)?)))
}

/// What `name` has beyond `pattern`: nothing, or `weight` / `bias` where `pattern` ends in a dot.
fn matches<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let rest = name.strip_prefix(pattern)?;
    let allowed: &[&str] = if pattern.ends_with('.') { &["weight", "bias"] } else { &[""] };
    allowed.contains(&rest).then_some(rest)
}
