//! Folders of picture files: flat without classes, or a tree with one subfolder per class.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::options::SourceOptions;
use super::source::ImageSource;
use crate::data::decode::{DecodeOptions, EXTENSIONS, decode_file, has_picture_extension};
use crate::data::pixels::Pixels;
use crate::error::{Error, Result};

/// Picture files, sorted by path (within their class).
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: Vec<PathBuf>,
    /// Class of each file; empty without classes.
    labels: Vec<usize>,
    class_names: Vec<String>,
    decode: DecodeOptions,
}

impl Folder {
    /// Opens the folder at `path`. With pictures directly in it, they and all pictures below are
    /// the data, without classes. Otherwise each subfolder is a class, searched at any depth:
    /// label 0 is the first by name, as in torchvision's `ImageFolder`; a class folder without
    /// pictures keeps its number. Hidden files and folders (`.name`) are passed over.
    ///
    /// # Errors
    /// [`Error::BadFile`] if there is no picture, [`Error::Io`] if a folder cannot be read.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<Self> {
        let mut folder = Self {
            root: path.to_path_buf(),
            files: Vec::new(),
            labels: Vec::new(),
            class_names: Vec::new(),
            decode: options.decode(),
        };
        let top = entries(path)?;
        if top.files.iter().any(|file| has_picture_extension(file)) {
            collect(path, &mut HashSet::new(), &mut folder.files)?;
        } else {
            let wanted = |name: &str| match &options.class_prefix {
                Some(prefix) => name.starts_with(prefix.as_str()),
                None => true,
            };
            for class in top.folders {
                let name = name_of(&class);
                if wanted(&name) {
                    collect(&class, &mut HashSet::new(), &mut folder.files)?;
                    folder.labels.resize(folder.files.len(), folder.class_names.len());
                    folder.class_names.push(name);
                }
            }
        }
        if folder.files.is_empty() {
            return Err(Error::bad_file(path, nothing_found(options)));
        }
        Ok(folder)
    }

    /// The one picture at `path`.
    pub fn single(path: &Path, options: &SourceOptions) -> Self {
        Self {
            root: path.to_path_buf(),
            files: vec![path.to_path_buf()],
            labels: Vec::new(),
            class_names: Vec::new(),
            decode: options.decode(),
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
        self.labels.get(index).copied()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        self.files.get(index).map_or_else(String::new, |file| file.display().to_string())
    }

    fn decode(&self, index: usize) -> Result<Pixels> {
        decode_file(&self.files[index], &self.decode)
    }

    fn describe(&self) -> String {
        let root = self.root.display();
        match (self.files.len(), self.class_names.len()) {
            (1, 0) => format!("{root}: 1 picture"),
            (pictures, 0) => format!("{root}: folder of {pictures} pictures, no classes"),
            (pictures, classes) => {
                format!("{root}: tree of {pictures} pictures in {classes} class folders")
            }
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

/// What lies directly in a folder, sorted by name.
struct Entries {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn entries(folder: &Path) -> Result<Entries> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if !name_of(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    let (folders, files) = paths.into_iter().partition(|path| path.is_dir());
    Ok(Entries { files, folders })
}

/// Adds all pictures in `folder` and below to `files`. `seen` holds the folders entered, so that
/// links in a circle end.
fn collect(folder: &Path, seen: &mut HashSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    if !seen.insert(folder.canonicalize().map_err(Error::io(folder))?) {
        return Ok(());
    }
    let Entries { files: here, folders } = entries(folder)?;
    files.extend(here.into_iter().filter(|file| has_picture_extension(file)));
    folders.iter().try_for_each(|below| collect(below, seen, files))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
