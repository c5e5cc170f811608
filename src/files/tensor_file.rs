//! A file of tensors of any kind: first what is in it, then the values that are asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::listing::Listing;
use super::pth::Checkpoint;
use super::safetensors::{Header, MAX_HEADER};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, TensorMap};

/// A file whose values are not read yet.
pub struct TensorFile {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Safetensors { file: File, header: Header },
    Torch(Box<Checkpoint>),
}

impl TensorFile {
    /// Opens a `.safetensors` file or a `.pth`, `.pt`, `.ckpt` or `.bin` checkpoint of PyTorch, which may be a
    /// safetensors file under another name. Of a checkpoint `key` says where the state dict is, see [`Checkpoint::open`].
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::BadFile`] when it is broken or of another kind.
    pub fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        let is_safetensors = match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => true,
            Some("pth" | "pt" | "ckpt" | "bin") => begins_as_safetensors(path)?,
            _ => {
                let problem = "weights end in .safetensors, .pth, .pt, .ckpt or .bin, or are a Hugging Face folder";
                return Err(Error::bad_file(path, problem));
            }
        };
        let kind = if is_safetensors {
            let (file, header) = safetensors_header(path)?;
            Kind::Safetensors { file, header }
        } else {
            Kind::Torch(Box::new(Checkpoint::open(path, key)?))
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    /// The tensors.
    ///
    /// # Errors
    /// [`Error::BadFile`] when two have one name, or one has no sizes.
    pub fn listing(&self) -> Result<Listing> {
        match &self.kind {
            Kind::Safetensors { header, .. } => Ok(header.listing()),
            Kind::Torch(checkpoint) => checkpoint.listing(),
        }
    }

    /// Text entries of the header; none in a checkpoint of PyTorch.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        match &self.kind {
            Kind::Safetensors { header, .. } => header.metadata.clone(),
            Kind::Torch(_) => BTreeMap::new(),
        }
    }

    /// Of a checkpoint of PyTorch the key of the state dict that was chosen (empty for the outermost), and those of
    /// others in the file; nothing of another file.
    pub fn sets(&self) -> (&str, &[String]) {
        match &self.kind {
            Kind::Safetensors { .. } => ("", &[]),
            Kind::Torch(checkpoint) => checkpoint.sets(),
        }
    }

    /// What the `key` that the file was opened with leaves to say of the tensors' names: the beginning of those that are
    /// meant.
    pub fn key_inside<'a>(&'a self, key: Option<&'a str>) -> Option<&'a str> {
        match &self.kind {
            Kind::Safetensors { .. } => key,
            Kind::Torch(checkpoint) => checkpoint.key_inside(),
        }
    }

    /// Reads the tensors that are `wanted`.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::BadFile`] when a wanted tensor is damaged or of a type
    /// that is not read.
    pub fn read(&mut self, wanted: impl Fn(&str) -> bool) -> Result<TensorMap> {
        let Self { path, kind } = self;
        let (file, header) = match kind {
            Kind::Torch(checkpoint) => return checkpoint.read(wanted),
            Kind::Safetensors { file, header } => (file, header),
        };
        let mut tensors = TensorMap::new();
        for entry in header.entries.iter().filter(|entry| wanted(&entry.name)) {
            // The header's sum is the file's length, so that no entry is larger than the file.
            let mut bytes = vec![0; (entry.end - entry.begin) as usize];
            file.seek(SeekFrom::Start(entry.begin)).map_err(Error::io(&*path))?;
            file.read_exact(&mut bytes).map_err(Error::io(&*path))?;
            let values = entry.values(&bytes).map_err(|e| e.in_file(&*path))?;
            tensors.insert(entry.name.clone(), HostTensor::new(entry.shape.clone(), values));
        }
        Ok(tensors)
    }
}

/// Whether a file begins with the length of a header and its brace, as no zip file and no pickle does.
fn begins_as_safetensors(path: &Path) -> Result<bool> {
    let mut beginning = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(9).read_to_end(&mut beginning).map_err(Error::io(path))?;
    let len = beginning.first_chunk().map(|len| u64::from_le_bytes(*len));
    Ok(beginning.get(8) == Some(&b'{') && len.is_some_and(|len| len <= MAX_HEADER))
}

fn safetensors_header(path: &Path) -> Result<(File, Header)> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let file_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut beginning = Vec::new();
    file.by_ref().take(8).read_to_end(&mut beginning).map_err(Error::io(path))?;
    if let Ok(len) = beginning.as_slice().try_into().map(u64::from_le_bytes) {
        file.by_ref()
            .take(len.min(MAX_HEADER))
            .read_to_end(&mut beginning)
            .map_err(Error::io(path))?;
    }
    let header = Header::read(&beginning, file_bytes).map_err(|e| e.in_file(path))?;
    Ok((file, header))
}
