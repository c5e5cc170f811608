//! CIFAR-10's binary layout: records of one label byte and 32 × 32 red, green and blue bytes.

use std::path::{Path, PathBuf};

use super::source::ImageSource;
use crate::data::pixels::{Decoded, Pixels};
use crate::error::{Error, Result};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;

/// The class names used where `batches.meta.txt` is missing.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-10 batches, held in memory (3,073 bytes per picture).
pub struct Cifar {
    files: Vec<PathBuf>,
    /// Records of each file.
    counts: Vec<usize>,
    records: Vec<u8>,
    class_names: Vec<String>,
    channels: usize,
}

impl Cifar {
    /// The batch files in `folder`: `data_batch_*.bin` by name, or else `test_batch.bin`, or
    /// none.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("data_batch_") && name.ends_with(".bin") {
                files.push(path);
            }
        }
        files.sort();
        files.extend(Self::test_file(folder).filter(|_| files.is_empty()));
        Ok(files)
    }

    /// `test_batch.bin` of `folder`, if it is there.
    pub fn test_file(folder: &Path) -> Option<PathBuf> {
        Some(folder.join("test_batch.bin")).filter(|path| path.is_file())
    }

    /// Reads `files`, one after another, as pictures of 1 (luma), 3 (RGB) or 4 (opaque RGBA)
    /// channels. The number of records is taken from the files' sizes.
    ///
    /// # Errors
    /// [`Error::BadFile`] if a size is no multiple of 3,073 or a label is out of range;
    /// [`Error::Io`] if a file cannot be read.
    pub fn open(files: &[PathBuf], channels: usize) -> Result<Self> {
        let class_names = match files.first().map(|file| file.with_file_name("batches.meta.txt")) {
            Some(meta) if meta.is_file() => {
                let text = std::fs::read_to_string(&meta).map_err(Error::io(&meta))?;
                text.lines().map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
            }
            _ => CLASSES.map(str::to_owned).to_vec(),
        };
        let mut cifar =
            Self { files: files.to_vec(), counts: vec![], records: vec![], class_names, channels };
        for file in files {
            cifar.append(file)?;
        }
        Ok(cifar)
    }

    fn append(&mut self, file: &Path) -> Result<()> {
        let bytes = std::fs::read(file).map_err(Error::io(file))?;
        if bytes.is_empty() || bytes.len() % RECORD != 0 {
            let problem = format!(
                "{} bytes are no whole number of CIFAR-10 records of {RECORD} bytes ({} and {} \
                 over): the file is cut off, or is not CIFAR-10's binary version",
                bytes.len(),
                bytes.len() / RECORD,
                bytes.len() % RECORD,
            );
            return Err(Error::bad_file(file, problem));
        }
        let classes = self.class_names.len();
        let labels = bytes.iter().step_by(RECORD).map(|&label| usize::from(label));
        if let Some((record, label)) = labels.enumerate().find(|&(_, label)| label >= classes) {
            let problem = format!(
                "record {record} has label {label}, but there are {classes} classes: not \
                 CIFAR-10's binary version, or batches.meta.txt is of another set"
            );
            return Err(Error::bad_file(file, problem));
        }
        self.counts.push(bytes.len() / RECORD);
        self.records.extend(bytes);
        Ok(())
    }

    /// The file of picture `index`, and its number there.
    fn place(&self, index: usize) -> Option<(&Path, usize)> {
        let mut record = index;
        for (file, &count) in self.files.iter().zip(&self.counts) {
            if record < count {
                return Some((file, record));
            }
            record -= count;
        }
        None
    }
}

impl ImageSource for Cifar {
    fn len(&self) -> usize {
        self.records.len() / RECORD
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.records.get(index * RECORD).map(|&label| usize::from(label))
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        match self.place(index) {
            Some((file, record)) => format!("{}#{record}", file.display()),
            None => format!("record {index}"),
        }
    }

    fn identity(&self, index: usize) -> (String, Option<u64>) {
        let place = self.place(index).and_then(|(file, record)| Some((file.file_name()?, record)));
        let name = place.map(|(file, record)| format!("{}#{record}", file.to_string_lossy()));
        (name.unwrap_or_else(|| self.name(index)), None)
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        let planes = &self.records[index * RECORD + 1..(index + 1) * RECORD];
        let rgb = (0..PLANE).flat_map(|i| [planes[i], planes[i + PLANE], planes[i + 2 * PLANE]]);
        Ok(Pixels::<u8>::new(SIDE, SIDE, 3, rgb.collect()).rgb_into(self.channels).into())
    }

    fn describe(&self) -> String {
        let root = match &self.files[..] {
            [one] => one.display(),
            files => files.first().and_then(|f| f.parent()).unwrap_or(Path::new("")).display(),
        };
        let (pictures, files) = (self.len(), self.files.len());
        let classes = self.class_names.len();
        format!(
            "{root}: CIFAR-10, {pictures} pictures of 32 × 32 in {files} files, {classes} classes"
        )
    }
}
