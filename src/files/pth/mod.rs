//! PyTorch's `.pth` / `.pt` checkpoints (the zip form that `torch.save` writes since 1.6), read
//! without running any code of the file.

mod pickle;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use half::{bf16, f16};
use zip::ZipArchive;

use self::pickle::{Ref, Storage, TensorView, Unpickled, Value, unpickle};
use super::safetensors::each;
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, TensorMap};

/// Keys below which training scripts put the state dict, the first that fits wins.
const STATE_DICT_KEYS: [&str; 5] = ["model", "state_dict", "model_state_dict", "module", "net"];

/// Reads the state dict of a checkpoint: the outermost dictionary, or the one below `model`,
/// `state_dict`, `model_state_dict`, `module` or `net` (FAIR's files have `model`). f64, f32, f16,
/// bf16 and integers become f32; strided views are gathered. Optimiser state, arguments and
/// counters are skipped.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::BadFile`] when it is no such checkpoint, is
/// cut short, or holds a whole module instead of a state dict.
pub fn read(path: impl AsRef<Path>) -> Result<TensorMap> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    let bytes = archive.entry("data.pkl", archive.file_len)?;
    let contents = unpickle(&bytes).map_err(|problem| archive.bad(problem))?;
    let state = state_dict(&contents).map_err(|problem| archive.bad(problem))?;
    let mut tensors = TensorMap::new();
    for (name, view) in state {
        tensors.insert(name.to_owned(), archive.tensor(name, view)?);
    }
    Ok(tensors)
}

/// The named tensors of the checkpoint's state dict.
fn state_dict(contents: &Unpickled) -> Result<Vec<(&str, &TensorView)>, String> {
    let root = named(contents, contents.root);
    let nested = STATE_DICT_KEYS.iter().find_map(|key| {
        let (_, value) = root.iter().find(|(name, _)| name == key)?;
        Some(tensors(contents, *value)).filter(|found| !found.is_empty())
    });
    let found = nested.unwrap_or_else(|| tensors(contents, contents.root));
    if found.is_empty() {
        let keys: Vec<&str> = root.iter().take(8).map(|(name, _)| *name).collect();
        return Err(format!(
            "no state dict found (looked at the outermost dictionary, which has the keys \
             {keys:?}, and below {STATE_DICT_KEYS:?}); save model.state_dict(), not the module"
        ));
    }
    Ok(found)
}

/// Entries of a dictionary with text keys; none for another value.
fn named(contents: &Unpickled, at: Ref) -> Vec<(&str, Ref)> {
    let Value::Dict(entries) = contents.get(at) else { return Vec::new() };
    let text = |(key, value): &(Ref, Ref)| match contents.get(*key) {
        Value::Text(name) => Some((name.as_str(), *value)),
        _ => None,
    };
    entries.iter().filter_map(text).collect()
}

fn tensors(contents: &Unpickled, at: Ref) -> Vec<(&str, &TensorView)> {
    let view = |(name, value)| match contents.get(value) {
        Value::Tensor(view) => Some((name, view)),
        _ => None,
    };
    named(contents, at).into_iter().filter_map(view).collect()
}

/// The zip file, and what its entries' names begin with.
struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    prefix: String,
    file_len: u64,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let file_len = file.metadata().map_err(Error::io(path))?.len();
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start).map_err(Error::io(path))?;
        if start == [0x80, 0x02] {
            let problem = "PyTorch's format from before 1.6: load it there and torch.save it again";
            return Err(Error::bad_file(path, problem));
        }
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| {
            let problem = format!(
                "not a whole PyTorch checkpoint ({e}; {file_len} bytes); copy or download it again"
            );
            Error::bad_file(path, problem)
        })?;
        let names = zip.file_names().filter_map(|name| name.ok());
        let prefix = names
            .filter_map(|name| name.strip_suffix("data.pkl").map(str::to_owned))
            .min_by_key(String::len);
        let prefix = prefix.ok_or_else(|| {
            Error::bad_file(path, "a zip file without data.pkl, so no checkpoint of torch.save")
        })?;
        let mut archive = Self { path, zip, prefix, file_len };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// Old files have no such entry and are little-endian.
    fn check_byte_order(&mut self) -> Result<()> {
        let name = format!("{}byteorder", self.prefix);
        if self.zip.index_for_name(&name).is_some() && self.entry("byteorder", 16)? != b"little" {
            return Err(self.bad("saved on a big-endian machine, which is not supported"));
        }
        Ok(())
    }

    fn bad(&self, problem: impl Into<String>) -> Error {
        Error::bad_file(self.path, problem)
    }

    /// The content of an entry of at most `limit` bytes. PyTorch stores without compression, so
    /// none can be larger than the file: a small file cannot ask for much memory.
    fn entry(&mut self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let limit = limit.min(self.file_len);
        let full = format!("{}{name}", self.prefix);
        let mut bytes = Vec::new();
        let read = match self.zip.by_name(&full) {
            Ok(entry) => entry.take(limit + 1).read_to_end(&mut bytes).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        read.map_err(|e| self.bad(format!("entry {full:?}: {e}; copy or download it again")))?;
        if bytes.len() as u64 > limit {
            return Err(self.bad(format!("entry {full:?} has more than {limit} bytes")));
        }
        Ok(bytes)
    }

    fn tensor(&mut self, name: &str, view: &TensorView) -> Result<HostTensor> {
        let fail = |problem: String| Error::bad_file(self.path, format!("{name}: {problem}"));
        let indices = indices(view).map_err(fail)?;
        let (size, convert) = element(&view.storage).map_err(fail)?;
        let expected = (view.storage.len as u64).saturating_mul(size);
        let bytes = self.entry(&format!("data/{}", view.storage.key), expected)?;
        if bytes.len() as u64 != expected {
            let problem = format!("{name}: {} bytes where {expected} belong", bytes.len());
            return Err(self.bad(problem));
        }
        let values = convert(&bytes);
        let data = indices.map(|i| values[i]).collect();
        Ok(HostTensor::new(view.shape.clone(), data))
    }
}

/// Turns a storage's bytes into f32.
type Convert = fn(&[u8]) -> Vec<f32>;

/// Bytes of one value of a storage, and the conversion of all of them.
fn element(storage: &Storage) -> Result<(u64, Convert), String> {
    Ok(match storage.class.as_str() {
        "FloatStorage" => (4, |b| each(b, f32::from_le_bytes)),
        "DoubleStorage" => (8, |b| each(b, |v| f64::from_le_bytes(v) as f32)),
        "HalfStorage" => (2, |b| each(b, |v| f16::from_le_bytes(v).to_f32())),
        "BFloat16Storage" => (2, |b| each(b, |v| bf16::from_le_bytes(v).to_f32())),
        "LongStorage" => (8, |b| each(b, |v| i64::from_le_bytes(v) as f32)),
        "IntStorage" => (4, |b| each(b, |v| i32::from_le_bytes(v) as f32)),
        "ByteStorage" | "BoolStorage" => (1, |b| each(b, |[v]: [u8; 1]| f32::from(v))),
        other => return Err(format!("elements of type {other} cannot be read: convert it first")),
    })
}

/// Positions in the storage of a view's values, in row-major order; all of them exist.
fn indices(view: &TensorView) -> Result<impl Iterator<Item = usize> + use<>, String> {
    let TensorView { storage, offset, shape, strides } = view.clone();
    let outside = || {
        format!(
            "a view of shape {shape:?}, strides {strides:?} and offset {offset} reaches beyond \
             its storage of {} values",
            storage.len
        )
    };
    let count = shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
    let count = count.filter(|n| *n <= storage.len).ok_or_else(outside)?;
    let last = shape.iter().zip(&strides).try_fold(offset, |at, (size, stride)| {
        at.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
    });
    let fits = count == 0 || last.is_some_and(|last| last < storage.len);
    if shape.len() != strides.len() || !fits {
        return Err(outside());
    }
    Ok((0..count).map(move |flat| {
        let mut rest = flat;
        shape.iter().zip(&strides).rev().fold(offset, |at, (size, stride)| {
            let index = rest % size;
            rest /= size;
            at + index * stride
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> TensorView {
        let storage = Storage { class: "FloatStorage".into(), key: "0".into(), len: 6 };
        TensorView { storage, offset, shape: shape.to_vec(), strides: strides.to_vec() }
    }

    #[test]
    fn views_are_gathered_within_their_storage() {
        let transposed: Vec<usize> = indices(&view(0, &[3, 2], &[1, 3])).unwrap().collect();
        assert_eq!(transposed, [0, 3, 1, 4, 2, 5]);
        assert_eq!(indices(&view(5, &[], &[])).unwrap().collect::<Vec<_>>(), [5]);
        assert_eq!(indices(&view(9, &[0], &[1])).unwrap().count(), 0);
        for bad in [
            view(1, &[3, 2], &[2, 1]),
            view(0, &[2, 3], &[3]),
            view(0, &[usize::MAX, 2], &[1, 1]),
            view(0, &[2, 2], &[usize::MAX, 1]),
            view(0, &[7], &[0]),
        ] {
            assert!(indices(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn broken_pickles_are_errors() {
        for bytes in [&b""[..], b"\x80\x02", b"\x80\x02}q", b"t.", b"u.", b"R.", b"h\x07.", b"Q."] {
            assert!(unpickle(bytes).is_err(), "{bytes:?}");
        }
        assert!(unpickle(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").is_ok_and(|u| {
            // Nothing was called.
            *u.get(u.root) == Value::Opaque
        }));
    }
}
