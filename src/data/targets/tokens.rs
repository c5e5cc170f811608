//! Pictures with discrete tokens that another model made of them, read from a file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::pixels::Decoded;
use crate::data::sources::source::ImageSource;
use crate::error::{Error, Result};
use crate::files::safetensors;

/// Entry of the file's header with the pictures' names, a JSON list.
const NAMES: &str = "names";

/// The tokens of pictures by name: the tensor `tokens` `[N, L]` of a `.safetensors` file, whose header has
/// the pictures' `names` as a JSON list.
pub struct TokenFile {
    path: PathBuf,
    /// Row of each name.
    rows: HashMap<String, usize>,
    /// `[N, L]`.
    tokens: Vec<u32>,
    per_picture: usize,
}

impl TokenFile {
    /// Reads a file of `per_picture` tokens below `vocabulary` for each picture.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] says what the file lacks.
    pub fn open(path: &Path, per_picture: usize, vocabulary: usize) -> Result<Self> {
        let bad = |problem: String| Error::bad_file(path, problem);
        let file = safetensors::read(path)?;
        let tensor = file.tensors.get("tokens").ok_or_else(|| {
            bad("has no tensor `tokens` [pictures, patches] with a number for each patch"
                .to_owned())
        })?;
        let names = file.metadata.get(NAMES).ok_or_else(|| {
            bad("its header has no entry `names`, the pictures' names as a JSON list".to_owned())
        })?;
        let names: Vec<String> =
            serde_json::from_str(names).map_err(|e| bad(format!("its entry `names`: {e}")))?;
        if tensor.shape != [names.len(), per_picture] {
            let problem = format!(
                "`tokens` is {:?}, but there are {} names, and a picture has {per_picture} patches",
                tensor.shape,
                names.len()
            );
            return Err(bad(problem));
        }
        let is_token = |&x: &f32| x >= 0.0 && x < vocabulary as f32 && x.fract() == 0.0;
        if let Some(wrong) = tensor.data.iter().find(|x| !is_token(x)) {
            let problem = format!("{wrong} is no token from 0 to {}", vocabulary - 1);
            return Err(bad(problem));
        }
        let mut rows = HashMap::new();
        for (row, name) in names.into_iter().enumerate() {
            if let Some(first) = rows.insert(name.clone(), row) {
                return Err(bad(format!("rows {first} and {row} are both named {name:?}")));
            }
        }
        let tokens = tensor.data.iter().map(|&x| x as u32).collect();
        Ok(Self { path: path.to_owned(), rows, tokens, per_picture })
    }

    /// `source` with the tokens of every picture. A picture is found under its whole path or under any
    /// end of it (`class/picture.jpg`, `picture.jpg`), the longest first.
    ///
    /// # Errors
    /// [`Error::BadFile`] names the first picture that has none.
    pub fn attach(self: &Arc<Self>, source: Arc<dyn ImageSource>) -> Result<Arc<dyn ImageSource>> {
        let found = (0..source.len()).map(|index| {
            let name = source.name(index);
            self.row(&name).ok_or_else(|| {
                Error::bad_file(&self.path, format!("has no tokens of the picture {name}"))
            })
        });
        let rows = found.collect::<Result<Vec<usize>>>()?;
        Ok(Arc::new(Tokenized { source, file: Arc::clone(self), rows }))
    }

    fn row(&self, name: &str) -> Option<usize> {
        let ends = name.match_indices(['/', '\\']).map(|(at, _)| &name[at + 1..]);
        std::iter::once(name).chain(ends).find_map(|end| self.rows.get(end)).copied()
    }
}

struct Tokenized {
    source: Arc<dyn ImageSource>,
    file: Arc<TokenFile>,
    /// Each picture's row in the file.
    rows: Vec<usize>,
}

impl ImageSource for Tokenized {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.source.label(index)
    }

    fn class_names(&self) -> &[String] {
        self.source.class_names()
    }

    fn tokens(&self, index: usize) -> Option<&[u32]> {
        let per_picture = self.file.per_picture;
        Some(&self.file.tokens[self.rows[index] * per_picture..][..per_picture])
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn identity(&self, index: usize) -> (String, Option<u64>) {
        self.source.identity(index)
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        self.source.decode(index)
    }

    fn notes(&self) -> &[String] {
        self.source.notes()
    }

    fn describe(&self) -> String {
        format!("{}, with tokens of {}", self.source.describe(), self.file.path.display())
    }
}
