//! The safetensors file format: any of its common element types in, f32 or f16 out.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};
use safetensors::tensor::Metadata as SafetensorsHeader;
use safetensors::{Dtype, View};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::listing::{Elements, Listed, Listing};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, TensorMap, by_name};

/// The tensors of a file with the text entries of its header.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// Tensors by name, as f32.
    pub tensors: TensorMap,
    /// The header's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// The text entries of a file for Python: the one that `transformers` looks for.
pub fn python_metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), "pt".to_owned())])
}

/// Element type of a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FloatType {
    /// 4 bytes a value, exact.
    #[default]
    F32,
    /// 2 bytes a value, rounded to nearest even; none may be beyond ±65,504.
    F16,
}

/// Reads a file's bytes. f64, f32, f16, bf16 and the integer types are converted to f32 (integers
/// beyond 2²⁴ are rounded).
///
/// # Errors
/// [`Error::BadWeights`] when the bytes are no safetensors file, are cut short, or hold a tensor
/// of another element type.
pub fn from_bytes(bytes: &[u8]) -> Result<Contents> {
    let header = Header::read(bytes, bytes.len() as u64)?;
    let mut contents = Contents { metadata: header.metadata, ..Contents::default() };
    for entry in header.entries {
        let data = entry.values(&bytes[entry.begin as usize..entry.end as usize])?;
        contents.tensors.insert(entry.name, HostTensor::new(entry.shape, data));
    }
    Ok(contents)
}

/// The longest header that the format allows, in bytes.
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// What a file's header says.
#[derive(Debug, Clone)]
pub struct Header {
    /// The file's tensors in the order of their bytes.
    pub entries: Vec<Entry>,
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor in a file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name in the file.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// First byte in the file.
    pub begin: u64,
    /// Byte after the last one.
    pub end: u64,
    dtype: Dtype,
}

impl Header {
    /// Reads the header at the beginning of `bytes` (eight bytes of length, then JSON; what follows is
    /// not looked at) of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// [`Error::BadWeights`] when it is no header, has a name twice or metadata that is no text, or the file is
    /// shorter or longer than it says.
    pub fn read(bytes: &[u8], file_bytes: u64) -> Result<Self> {
        let bad = |problem: String| Error::BadWeights {
            problem: format!(
                "not a whole safetensors file ({problem}; {file_bytes} bytes); copy or download it again"
            ),
        };
        let Some((&len, rest)) = bytes.split_first_chunk() else {
            return Err(bad("it has no header".to_owned()));
        };
        let len = u64::from_le_bytes(len);
        if len > MAX_HEADER {
            return Err(bad(format!("a header of {len} bytes is longer than the format allows")));
        }
        let Some(text) = rest.get(..len as usize) else {
            return Err(bad(format!("its header of {len} bytes is cut short")));
        };
        // All that is read in the browser is read from text: a reader of bytes would be a second one.
        let text = str::from_utf8(text).map_err(|e| bad(format!("its header is no text: {e}")))?;
        check_names(text)?;
        // Checks that the tensors' bytes follow one another and fit their shapes.
        let header: SafetensorsHeader =
            serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        let start = 8 + len;
        let mut entries: Vec<Entry> = header
            .tensors()
            .into_iter()
            .map(|(name, info)| Entry {
                name,
                shape: info.shape.clone(),
                begin: start + info.data_offsets.0 as u64,
                end: start + info.data_offsets.1 as u64,
                dtype: info.dtype,
            })
            .collect();
        entries.sort_unstable_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
        let end = entries.iter().map(|entry| entry.end).max().unwrap_or(start);
        if end != file_bytes {
            return Err(bad(format!("its header describes {end} bytes")));
        }
        let metadata = header.metadata().iter().flatten();
        let metadata = by_name(metadata.map(|(key, value)| (key.clone(), value.clone())));
        Ok(Self { entries, metadata })
    }

    /// What the tensors are.
    pub fn listing(&self) -> Listing {
        by_name(self.entries.iter().map(|entry| {
            let listed = Listed { shape: entry.shape.clone(), elements: entry.elements() };
            (entry.name.clone(), listed)
        }))
    }
}

/// Refuses what the parsed header no longer shows: a name that occurs twice, of which the last would win, and metadata
/// that is no text. What is no JSON is left to the parser.
fn check_names(text: &str) -> Result<()> {
    let mut names = Names::default();
    let read = names.deserialize(&mut serde_json::Deserializer::from_str(text));
    if names.metadata_is_other {
        let problem = "the header's __metadata__ holds a value that is no text; the format has text alone: write \
                       numbers and lists as text";
        return Err(Error::BadWeights { problem: problem.to_owned() });
    }
    drop(read);
    names.seen.sort_unstable();
    match names.seen.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let problem = format!("two tensors are named {:?}; remove one", pair[0]);
            Err(Error::BadWeights { problem })
        }
        None => Ok(()),
    }
}

/// The names in a header.
#[derive(Default)]
struct Names {
    seen: Vec<String>,
    metadata_is_other: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Names {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Names {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                let texts = map.next_value::<Option<HashMap<String, String>>>();
                self.metadata_is_other |= texts.is_err();
                texts?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            self.seen.push(name);
        }
        Ok(())
    }
}

impl Entry {
    /// The kind of the tensor's elements.
    pub fn elements(&self) -> Elements {
        match self.dtype {
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => Elements::Float,
            Dtype::I64 | Dtype::I32 | Dtype::U8 | Dtype::BOOL => Elements::Integer,
            other => Elements::Unreadable(format!("{other:?}")),
        }
    }

    /// The tensor's `bytes` as f32; see [`from_bytes`].
    ///
    /// # Errors
    /// [`Error::BadWeights`] for another element type, or another number of bytes.
    pub fn values(&self, bytes: &[u8]) -> Result<Vec<f32>> {
        if bytes.len() as u64 != self.end - self.begin {
            let expected = self.end - self.begin;
            let problem =
                format!("tensor {:?} has {expected} bytes, not {}", self.name, bytes.len());
            return Err(Error::BadWeights { problem });
        }
        to_f32(&self.name, self.dtype, bytes)
    }
}

/// Serialises `tensors` with `metadata` as the header's text entries.
///
/// # Errors
/// [`Error::BadWeights`] when the format cannot express them: a header beyond its size limit, or in f16 a value beyond
/// its range.
pub fn to_bytes(
    tensors: &TensorMap,
    metadata: &BTreeMap<String, String>,
    precision: FloatType,
) -> Result<Vec<u8>> {
    if precision == FloatType::F16 {
        tensors.iter().try_for_each(|(name, tensor)| fits_f16(name, &tensor.data))?;
    }
    let problem = |e: String| Error::BadWeights { problem: format!("cannot be stored: {e}") };
    let views = tensors.iter().map(|(name, tensor)| (name, Stored { tensor, precision }));
    if metadata.len() < 2 {
        let entries: HashMap<String, String> = metadata.clone().into_iter().collect();
        return safetensors::serialize(views, Some(entries)).map_err(|e| problem(e.to_string()));
    }
    let mut bytes = safetensors::serialize(views, None).map_err(|e| problem(e.to_string()))?;
    // The crate writes several text entries in an order that is another one each time. Checkpoints, which are large and
    // written often, have one: they are not moved for it.
    let mut entries = serde_json::to_string(metadata).map_err(|e| problem(e.to_string()))?;
    entries.insert_str(0, "{\"__metadata__\":");
    entries.push_str(if tensors.is_empty() { "" } else { "," });
    // Padded, as the crate pads what it writes itself: tensors begin at a multiple of eight bytes.
    entries.push_str(&" ".repeat((entries.len() - 1).next_multiple_of(8) + 1 - entries.len()));
    let (len, rest) = bytes.split_first_chunk().expect("a header");
    let len = u64::from_le_bytes(*len) + entries.len() as u64 - 1;
    debug_assert_eq!(rest[0], b'{');
    bytes.splice(8..9, entries.into_bytes());
    bytes[..8].copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

/// [`from_bytes`] of a file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::BadFile`] when its content is wrong.
#[cfg(feature = "native")]
pub fn read(path: impl AsRef<std::path::Path>) -> Result<Contents> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    from_bytes(&bytes).map_err(|e| e.in_file(path))
}

/// [`to_bytes`] into a file, atomically.
///
/// # Errors
/// [`Error::Io`] when it cannot be written; as [`to_bytes`].
#[cfg(feature = "native")]
pub fn write(
    path: impl AsRef<std::path::Path>,
    tensors: &TensorMap,
    metadata: &BTreeMap<String, String>,
    precision: FloatType,
) -> Result<()> {
    let bytes = to_bytes(tensors, metadata, precision)?;
    super::atomic::atomic_write(path, |w| w.write_all(&bytes))
}

fn fits_f16(name: &str, values: &[f32]) -> Result<()> {
    let beyond = values.iter().find(|value| !f16::from_f32(**value).is_finite());
    let Some(value) = beyond else { return Ok(()) };
    let problem = format!(
        "{name} holds {value:?}, and f16 ends at ±65504: keep four bytes a value, or train so that weights stay smaller"
    );
    Err(Error::BadWeights { problem })
}

/// A tensor on its way into a file.
struct Stored<'a> {
    tensor: &'a HostTensor,
    precision: FloatType,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.precision {
            FloatType::F32 => Dtype::F32,
            FloatType::F16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.tensor.data.iter();
        match self.precision {
            FloatType::F32 if cfg!(target_endian = "little") => {
                bytemuck::cast_slice(&self.tensor.data).into()
            }
            FloatType::F32 => values.flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>().into(),
            FloatType::F16 => {
                values.flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<_>>().into()
            }
        }
    }

    fn data_len(&self) -> usize {
        self.tensor.data.len() * self.dtype().bitsize() / 8
    }
}

fn to_f32(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    Ok(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Dtype::U8 | Dtype::BOOL => each(bytes, |[b]: [u8; 1]| f32::from(b)),
        other => {
            let problem = format!(
                "tensor {name:?} holds {other:?} values; f64, f32, f16, bf16, i64, i32 and u8 can \
                 be read: convert it first"
            );
            return Err(Error::BadWeights { problem });
        }
    })
}

/// Converts `bytes`, `N` at a time, little-endian whatever the machine.
pub(super) fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TensorMap {
        TensorMap::from([
            ("a".to_owned(), HostTensor::new([2, 2], vec![1.0, -0.5, 3.25, f32::MIN_POSITIVE])),
            ("scalar".to_owned(), HostTensor::new([], vec![7.0])),
            ("empty".to_owned(), HostTensor::new([0, 3], vec![])),
        ])
    }

    #[test]
    fn f32_is_bit_exact_and_f16_rounds() {
        let metadata = BTreeMap::from([("epoch".to_owned(), "3".to_owned())]);
        let bytes = to_bytes(&sample(), &metadata, FloatType::F32).unwrap();
        let back = from_bytes(&bytes).unwrap();
        assert_eq!(back.tensors, sample());
        assert_eq!(back.metadata, metadata);
        let half = to_bytes(&sample(), &metadata, FloatType::F16).unwrap();
        assert_eq!(from_bytes(&half).unwrap().tensors["a"].data, [1.0, -0.5, 3.25, 0.0]);
    }

    #[test]
    fn what_f16_cannot_hold_is_refused() {
        let with =
            |value| TensorMap::from([("w".to_owned(), HostTensor::new([2], vec![1.0, value]))]);
        for value in [65_519.9, -65_504.0, 1e-9] {
            to_bytes(&with(value), &BTreeMap::new(), FloatType::F16).unwrap();
        }
        for value in [65_520.0, -1e5, f32::INFINITY, f32::NAN] {
            let error = to_bytes(&with(value), &BTreeMap::new(), FloatType::F16).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("w holds") && error.contains(&format!("{value:?}")), "{error}");
            to_bytes(&with(value), &BTreeMap::new(), FloatType::F32).unwrap();
        }
    }

    /// A file of one f32 with this header.
    fn with_header(header: &str) -> Result<Contents> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 4]);
        from_bytes(&bytes)
    }

    #[test]
    fn names_that_occur_twice_and_metadata_that_is_no_text_have_sentences() {
        let x = r#""x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let error = |header: &str| with_header(header).unwrap_err().to_string();
        assert!(error(&format!("{{{x},{x}}}")).contains("two tensors are named \"x\""));
        let twice = error(&format!(
            "{{{x},\"\\u0078\":{{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}}}"
        ));
        assert!(twice.contains("two tensors are named \"x\""), "{twice}");
        for value in ["1", "[\"a\"]", "{\"a\":\"b\"}", "null"] {
            let error = error(&format!("{{\"__metadata__\":{{\"epoch\":{value}}},{x}}}"));
            assert!(error.contains("__metadata__ holds a value that is no text"), "{error}");
        }
        with_header(&format!("{{\"__metadata__\":{{\"epoch\":\"1\"}},{x}}}")).unwrap();
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = to_bytes(&sample(), &BTreeMap::new(), FloatType::F32).unwrap();
        for end in 0..bytes.len() {
            let error = from_bytes(&bytes[..end]).unwrap_err().to_string();
            assert!(error.contains("not a whole safetensors file"), "{error}");
        }
    }

    #[test]
    fn a_header_that_promises_too_much_is_an_error() {
        let header =
            br#"{"x":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,4]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(&[0; 4]);
        assert!(from_bytes(&bytes).is_err());
    }
}
