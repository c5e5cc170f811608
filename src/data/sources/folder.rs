//! Folders of picture files: flat without classes, or a tree with one subfolder per class.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::names::{differ_by_case, part};
use super::options::SourceOptions;
use super::source::{ImageSource, remarks};
use super::walk::{Entries, Walk, name_of};
use crate::data::decode::{DecodeOptions, EXTENSIONS, decode_file, little_range};
use crate::data::pixels::Decoded;
use crate::error::{Error, Result};

/// Pictures that are looked at for their range of levels.
const LOOKED_AT: usize = 4;

/// Picture files, sorted by path (within their class).
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: Vec<PathBuf>,
    /// Class of each file; none beside class folders.
    labels: Vec<Option<usize>>,
    class_names: Vec<String>,
    decode: DecodeOptions,
    notes: Vec<String>,
}

impl Folder {
    /// Opens the folder at `path`. Each subfolder is a class, searched at any depth: label 0 is the first by
    /// name, as in torchvision's `ImageFolder`; a class folder without pictures keeps its number. Pictures
    /// beside class folders have no class. All that is found is without classes if the pictures lie directly
    /// in the folder and in less than two of its subfolders, or if two subfolders are named as parts of a data set.
    /// Left out is what is no data: hidden files and folders, and those that systems make; and what
    /// [`SourceOptions::exclude`] matches.
    ///
    /// # Errors
    /// [`Error::BadFile`] if there is no picture, [`Error::Io`] if a folder cannot be read.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<Self> {
        let mut walk = Walk::new(path, &options.exclude)?;
        let Entries { pictures: mut loose, mut folders } = walk.entries(path)?;
        if let Some(prefix) = &options.class_prefix {
            loose.clear();
            folders.retain(|folder| name_of(folder).starts_with(prefix.as_str()));
        }
        let root = HashSet::from([path.canonicalize().map_err(Error::io(path))?]);
        let mut seen = root.clone();
        let mut below = Vec::new();
        for folder in &folders {
            // A link may put the same pictures into two classes, but not twice into one heap.
            if loose.is_empty() {
                seen.clone_from(&root);
            }
            below.push(walk.pictures(folder, &mut seen)?);
        }
        let names: Vec<String> = folders.iter().map(|folder| name_of(folder)).collect();
        let splits: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| part(name).is_some()).collect();
        let filled = below.iter().filter(|pictures| !pictures.is_empty()).count();
        let are_classes = splits.len() < 2 && (loose.is_empty() || filled > 1);

        let mut notes = Vec::new();
        notes.extend(walk.left_out());
        if splits.len() > 1 {
            notes.push(format!(
                "{}: {} are parts of a data set and no classes; give one of them",
                path.display(),
                splits.join(" and ")
            ));
        } else if let Some([a, b]) = differ_by_case(&names, &names) {
            notes.push(format!("the classes {a} and {b} differ by case only: are they one?"));
        }
        let mut labels = vec![None; loose.len()];
        let mut files = loose;
        for (class, pictures) in below.into_iter().enumerate() {
            labels.resize(labels.len() + pictures.len(), are_classes.then_some(class));
            files.extend(pictures);
        }
        if files.is_empty() {
            return Err(Error::bad_file(path, nothing_found(options) + &remarks(&notes)));
        }
        let decode = options.decode();
        let step = files.len().div_ceil(LOOKED_AT);
        notes.extend(files.iter().step_by(step).find_map(|file| little_range(file, &decode)));
        let class_names = if are_classes { names } else { Vec::new() };
        Ok(Self { root: path.to_path_buf(), files, labels, class_names, decode, notes })
    }

    /// The one picture at `path`.
    pub fn single(path: &Path, options: &SourceOptions) -> Self {
        let decode = options.decode();
        Self {
            root: path.to_path_buf(),
            files: vec![path.to_path_buf()],
            labels: vec![None],
            class_names: Vec::new(),
            notes: little_range(path, &decode).into_iter().collect(),
            decode,
        }
    }
}

impl ImageSource for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn channels(&self) -> usize {
        self.decode.channels
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).copied().flatten()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        self.files.get(index).map_or_else(String::new, |file| file.display().to_string())
    }

    fn identity(&self, index: usize) -> (String, Option<u64>) {
        let file = &self.files[index];
        let within = file.strip_prefix(&self.root).ok().filter(|path| *path != Path::new(""));
        let within = within.unwrap_or_else(|| file.file_name().map_or(file, Path::new));
        let parts: Vec<_> = within.iter().map(|part| part.to_string_lossy()).collect();
        (parts.join("/"), std::fs::metadata(file).ok().map(|metadata| metadata.len()))
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        decode_file(&self.files[index], &self.decode)
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn tree_below(&self) -> Option<PathBuf> {
        let mut walk = Walk::new(&self.root, &[]).ok()?;
        let mut folders = walk.entries(&self.root).ok()?.folders;
        folders.retain(|folder| {
            let inner = walk.entries(folder).map_or_else(|_| Vec::new(), |inner| inner.folders);
            inner.len() > 1
        });
        let [only] = &folders[..] else {
            // Of several parts of the data the one to train with.
            let parts = folders.into_iter().filter_map(|path| Some((part(&name_of(&path))?, path)));
            return parts.min().map(|(_, path)| path);
        };
        Some(only.clone())
    }

    fn describe(&self) -> String {
        let root = self.root.display();
        let loose = self.labels.iter().filter(|label| label.is_none()).count();
        match (self.files.len(), self.class_names.len()) {
            (1, 0) => format!("{root}: 1 picture"),
            (pictures, 0) => format!("{root}: folder of {pictures} pictures, no classes"),
            (pictures, classes) if loose == 0 => {
                format!("{root}: tree of {pictures} pictures in {classes} class folders")
            }
            (pictures, classes) => format!(
                "{root}: tree of {} pictures in {classes} class folders, and {loose} beside them",
                pictures - loose
            ),
        }
    }
}

fn nothing_found(options: &SourceOptions) -> String {
    let endings = EXTENSIONS.map(|ending| format!(".{ending}")).join(", ");
    let classes = match &options.class_prefix {
        Some(prefix) => format!(" in class folders named {prefix}…"),
        None => " in it or its subfolders".to_owned(),
    };
    format!(
        "no pictures{classes}: looked for {endings} (and data_batch_*.bin, test_batch.bin of \
         CIFAR-10)"
    )
}
