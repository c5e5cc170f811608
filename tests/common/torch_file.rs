//! Checkpoints as `torch.save` writes them, without PyTorch.

use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A value in a checkpoint.
pub enum Saved {
    /// A dictionary with text keys.
    Dict(Vec<(String, Saved)>),
    /// A tensor of PyTorch's storage class, with its bytes.
    Tensor(&'static str, Vec<usize>, Vec<u8>),
    /// A pickle's opcodes.
    Opcodes(Vec<u8>),
}

impl Saved {
    /// A dictionary.
    pub fn dict(entries: impl IntoIterator<Item = (impl Into<String>, Saved)>) -> Self {
        Self::Dict(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// A tensor of f32.
    pub fn floats(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::Tensor("FloatStorage", shape.to_vec(), bytes)
    }
}

/// Writes the file.
pub fn save(path: &Path, root: &Saved) {
    let mut file = TorchFile { pickle: vec![0x80, 2], storages: Vec::new() };
    file.value(root);
    file.pickle.push(b'.');
    let mut zip = ZipWriter::new(std::fs::File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let storages = file.storages.iter().enumerate();
    let storages = storages.map(|(i, bytes)| (format!("archive/data/{i}"), bytes));
    for (name, bytes) in [("archive/data.pkl".to_owned(), &file.pickle)].into_iter().chain(storages)
    {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// Opcodes of a text, of a number, and of a tuple of numbers.
pub fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub fn number(value: usize) -> Vec<u8> {
    [&b"J"[..], &(value as u32).to_le_bytes()].concat()
}

pub fn tuple(values: &[usize]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|value| number(*value)).collect();
    [&b"("[..], &items, b"t"].concat()
}

/// Opcodes of storage `key` with `len` values of `class`.
pub fn storage(class: &str, key: usize, len: usize) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n").into_bytes();
    let (key, cpu) = (text(&key.to_string()), text("cpu"));
    [&b"("[..], &text("storage"), &class, &key, &cpu, &number(len), b"tQ"].concat()
}

/// Opcodes of a tensor, of the opcodes of its parts.
pub fn tensor(storage: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n";
    [&function[..], b"(", storage, &number(0), shape, strides, b"\x89NtR"].concat()
}

struct TorchFile {
    pickle: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl TorchFile {
    fn value(&mut self, value: &Saved) {
        match value {
            Saved::Opcodes(opcodes) => self.pickle.extend(opcodes),
            Saved::Dict(entries) => {
                self.pickle.push(b'}');
                for (name, value) in entries {
                    self.pickle.extend(text(name));
                    self.value(value);
                    self.pickle.push(b's');
                }
            }
            Saved::Tensor(class, shape, bytes) => {
                let mut strides = vec![1; shape.len()];
                for i in (1..shape.len()).rev() {
                    strides[i - 1] = strides[i] * shape[i];
                }
                let storage = storage(class, self.storages.len(), shape.iter().product());
                self.pickle.extend(tensor(&storage, &tuple(shape), &tuple(&strides)));
                self.storages.push(bytes.clone());
            }
        }
    }
}
