//! PyTorch's `.pth` / `.pt` / `.ckpt` / `.bin` checkpoints (the zip form that `torch.save` writes since 1.6), read
//! without running any code of the file.

mod pickle;
mod sets;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use zip::ZipArchive;

use self::pickle::{TensorView, Unpickled, Value, unpickle};
use self::sets::{Set, choose};
use super::listing::{Elements, Listed, Listing};
use super::safetensors::each;
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, TensorMap};

/// How many times the file's own size its tensors may take as f32: bytes become four times as large, and a few
/// tensors share storages.
const MOST_TIMES_LARGER: u64 = 16;
/// The longest description of a checkpoint's tensors that is read, in bytes; those of the largest models take one
/// or two million.
const MAX_PICKLE: u64 = 32 << 20;

/// A checkpoint whose tensors are known, but not read.
pub struct Checkpoint {
    archive: Archive,
    contents: Unpickled,
    /// The state dict that was chosen, and the keys of the others.
    chosen: Set,
    others: Vec<String>,
}

impl Checkpoint {
    /// Opens a checkpoint and chooses its state dict: the one below `key` (`a.b` is `b` in `a`, or the names in `a` that
    /// begin with `b.`); else the first of [`KEYS`](super::set_keys::KEYS) that there is (FAIR's files have `model`), the
    /// outermost dictionary, or any other with tensors.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::BadFile`] when it is no such checkpoint, is
    /// cut short, has nothing below `key`, or holds a whole module instead of a state dict.
    pub fn open(path: impl AsRef<Path>, key: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        let mut archive = Archive::open(path)?;
        let bytes = archive.entry("data.pkl", MAX_PICKLE)?;
        let contents = unpickle(&bytes).map_err(|problem| archive.bad(problem))?;
        let (chosen, others) = choose(&contents, key).map_err(|problem| archive.bad(problem))?;
        Ok(Self { archive, contents, chosen, others })
    }

    /// Key of the state dict that was chosen (empty for the outermost dictionary), and those of the others.
    pub fn sets(&self) -> (&str, &[String]) {
        (&self.chosen.key, &self.others)
    }

    /// What the names of the tensors that are meant begin with, if the key says so.
    pub fn key_inside(&self) -> Option<&str> {
        self.chosen.below.as_deref()
    }

    /// The tensors, with what their elements are.
    ///
    /// # Errors
    /// [`Error::BadFile`] when two have one name, or one has no sizes.
    pub fn listing(&self) -> Result<Listing> {
        let mut listing = Listing::new();
        for &(name, at) in &self.chosen.tensors(&self.contents) {
            let listed = match self.contents.get(at) {
                Value::Tensor(view) => {
                    let view =
                        self.contents.view(*view).map_err(|problem| self.bad(name, problem))?;
                    let elements = element(view.class).map_or_else(
                        || Elements::Unreadable(view.class.to_owned()),
                        |(_, _, float)| if float { Elements::Float } else { Elements::Integer },
                    );
                    Listed { shape: view.shape, elements }
                }
                Value::Foreign(function) => {
                    let function = self.contents.text(*function).unwrap_or_default();
                    Listed {
                        shape: Vec::new(),
                        elements: Elements::Unreadable(function.to_owned()),
                    }
                }
                _ => continue,
            };
            if listing.insert(name.to_owned(), listed).is_some() {
                return Err(self.bad(name, "two tensors have this name; remove one".to_owned()));
            }
        }
        Ok(listing)
    }

    /// Reads the tensors that are `wanted`. f64, f32, f16, bf16 and integers become f32; strided views are
    /// gathered. A storage that several tensors share is read once.
    ///
    /// # Errors
    /// [`Error::BadFile`] when an entry is missing, cut short, or cannot be read, or the tensors would take many
    /// times the size of the file.
    pub fn read(&mut self, wanted: impl Fn(&str) -> bool) -> Result<TensorMap> {
        let mut storages: BTreeMap<&str, Vec<(&str, TensorView<'_>)>> = BTreeMap::new();
        let mut bytes = 0_u64;
        for (name, at) in self.chosen.tensors(&self.contents) {
            if !wanted(name) {
                continue;
            }
            let fail = |problem| self.archive.bad(format!("{name}: {problem}"));
            match self.contents.get(at) {
                Value::Tensor(view) => {
                    let view = self.contents.view(*view).map_err(fail)?;
                    let values = count(&view).map_err(fail)? as u64;
                    bytes = bytes.saturating_add(values.saturating_mul(4));
                    storages.entry(view.key).or_default().push((name, view));
                }
                _ => return Err(fail("it cannot be read: convert it first".to_owned())),
            }
        }
        if bytes > MOST_TIMES_LARGER.saturating_mul(self.archive.file_len) {
            let problem = format!(
                "its tensors would take {bytes} bytes, but the file has {}: they show the same few values again \
                 and again, as no model's do",
                self.archive.file_len
            );
            return Err(self.archive.bad(problem));
        }
        let mut tensors = TensorMap::new();
        for views in storages.into_values() {
            tensors.extend(self.archive.tensors(&views)?);
        }
        Ok(tensors)
    }

    fn bad(&self, name: &str, problem: String) -> Error {
        self.archive.bad(format!("{name}: {problem}"))
    }
}

/// Reads the whole state dict of a checkpoint, see [`Checkpoint::open`]. Optimiser state, arguments and counters are
/// skipped.
///
/// # Errors
/// As [`Checkpoint::open`] and [`Checkpoint::read`].
pub fn read(path: impl AsRef<Path>) -> Result<TensorMap> {
    let mut checkpoint = Checkpoint::open(path, None)?;
    checkpoint.listing()?;
    checkpoint.read(|_| true)
}

/// The zip file, and what its entries' names begin with.
struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    prefix: String,
    file_len: u64,
}

impl Archive {
    fn open(path: &Path) -> Result<Self> {
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
        let mut archive = Self { path: path.to_owned(), zip, prefix, file_len };
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
        Error::bad_file(&self.path, problem)
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

    /// The tensors that `views` show, all of one storage.
    fn tensors(&mut self, views: &[(&str, TensorView<'_>)]) -> Result<TensorMap> {
        let (name, first) = &views[0];
        let Some((size, convert, _)) = element(first.class) else {
            let class = first.class;
            let problem =
                format!("{name}: elements of type {class} cannot be read: convert it first");
            return Err(self.bad(problem));
        };
        let expected = (first.storage_len as u64).saturating_mul(size);
        let bytes = self.entry(&format!("data/{}", first.key), expected)?;
        if bytes.len() as u64 != expected {
            let problem = format!("{name}: {} bytes where {expected} belong", bytes.len());
            return Err(self.bad(problem));
        }
        let values = convert(&bytes);
        drop(bytes);
        let mut tensors = TensorMap::new();
        for (name, view) in views {
            if (view.class, view.storage_len) != (first.class, first.storage_len) {
                let problem = format!("{name}: one storage is described in two ways");
                return Err(self.bad(problem));
            }
            let data = gather(view, &values).map_err(|e| self.bad(format!("{name}: {e}")))?;
            tensors.insert((*name).to_owned(), HostTensor::new(view.shape.clone(), data));
        }
        Ok(tensors)
    }
}

/// Turns a storage's bytes into f32.
type Convert = fn(&[u8]) -> Vec<f32>;

/// Of a storage's class: bytes of a value, the conversion of all of them, and whether they are floats; none for a class
/// that is not read.
fn element(class: &str) -> Option<(u64, Convert, bool)> {
    Some(match class {
        "FloatStorage" => (4, |b| each(b, f32::from_le_bytes), true),
        "DoubleStorage" => (8, |b| each(b, |v| f64::from_le_bytes(v) as f32), true),
        "HalfStorage" => (2, |b| each(b, |v| f16::from_le_bytes(v).to_f32()), true),
        "BFloat16Storage" => (2, |b| each(b, |v| bf16::from_le_bytes(v).to_f32()), true),
        "LongStorage" => (8, |b| each(b, |v| i64::from_le_bytes(v) as f32), false),
        "IntStorage" => (4, |b| each(b, |v| i32::from_le_bytes(v) as f32), false),
        "ByteStorage" | "BoolStorage" => (1, |b| each(b, |[v]: [u8; 1]| f32::from(v)), false),
        _ => return None,
    })
}

/// Number of values that a view shows, all of which exist; more than the storage has where strides are 0
/// (`torch.Tensor.expand`) or overlap.
fn count(view: &TensorView<'_>) -> Result<usize, String> {
    let TensorView { storage_len, offset, shape, strides, .. } = view;
    let outside = || {
        format!(
            "a view of shape {shape:?}, strides {strides:?} and offset {offset} reaches beyond \
             its storage of {storage_len} values"
        )
    };
    let count = shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
    let count = count.ok_or_else(outside)?;
    let last = shape.iter().zip(strides).try_fold(*offset, |at, (size, stride)| {
        at.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
    });
    let fits = count == 0 || last.is_some_and(|last| last < *storage_len);
    if shape.len() != strides.len() || !fits {
        return Err(outside());
    }
    Ok(count)
}

/// A view's values in row-major order, out of its storage's.
fn gather(view: &TensorView<'_>, values: &[f32]) -> Result<Vec<f32>, String> {
    let count = count(view)?;
    let TensorView { offset, shape, strides, .. } = view;
    let mut step = 1;
    let contiguous = shape.iter().zip(strides).rev().all(|(size, stride)| {
        let expected = step;
        step *= size;
        *size == 1 || *stride == expected
    });
    if count == 0 || contiguous {
        let first = if count == 0 { 0 } else { *offset };
        return Ok(values[first..first + count].to_vec());
    }
    let position = |flat: usize| {
        let mut rest = flat;
        shape.iter().zip(strides).rev().fold(*offset, |at, (size, stride)| {
            let index = rest % size;
            rest /= size;
            at + index * stride
        })
    };
    Ok((0..count).map(|flat| values[position(flat)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> TensorView<'static> {
        TensorView {
            class: "FloatStorage",
            key: "0",
            storage_len: 6,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        }
    }

    #[test]
    fn views_are_gathered_within_their_storage() {
        let storage = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let values = |view| gather(&view, &storage).unwrap();
        assert_eq!(values(view(0, &[3, 2], &[1, 3])), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(values(view(2, &[2, 2], &[2, 1])), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(values(view(1, &[3], &[0])), [1.0, 1.0, 1.0]);
        // More values than the storage has: `torch.ones(1).expand(n)`.
        assert_eq!(values(view(5, &[2, 4], &[0, 0])), [5.0; 8]);
        assert_eq!(values(view(5, &[], &[])), [5.0]);
        assert!(values(view(9, &[0], &[1])).is_empty());
        for bad in [
            view(1, &[3, 2], &[2, 1]),
            view(0, &[2, 3], &[3]),
            view(0, &[usize::MAX, 2], &[1, 1]),
            view(0, &[2, 2], &[usize::MAX, 1]),
            view(6, &[7], &[0]),
        ] {
            assert!(gather(&bad, &storage).is_err(), "{bad:?}");
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
