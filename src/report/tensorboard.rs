//! TensorBoard event files: scalars and pictures.
//!
//! The format is TFRecord framing (length, masked CRC-32C of the length, data, masked CRC-32C of
//! the data) around `Event` messages of TensorFlow's `event.proto` and `summary.proto`, of which
//! only the fields in use are declared here.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::error::{Error, Result};

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Payload", tags = "2, 4")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    #[prost(message, tag = "4")]
    Image(ImageSummary),
}

#[derive(Clone, PartialEq, Message)]
struct ImageSummary {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Begins a new event file in `folder`, which is made if it does not exist. After a resume,
    /// `resumed_step` makes TensorBoard drop what earlier files say of that step and later ones.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be made.
    pub fn create(folder: impl AsRef<Path>, resumed_step: Option<u64>) -> Result<Self> {
        const SESSION_START: i32 = 1;
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let (path, file) = new_file(folder)?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.write(0, What::FileVersion("brain.Event:2".into()))?;
        if let Some(step) = resumed_step {
            writer.write(step, What::SessionLog(SessionLog { status: SESSION_START }))?;
        }
        writer.sync()?;
        Ok(writer)
    }

    /// Records a value of the series `tag`, e.g. `loss/train`.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.summary(tag, step, Payload::SimpleValue(value as f32))
    }

    /// Records a picture of `size` (height and width in pixels), given as the bytes of an RGB PNG
    /// file.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn image(&mut self, tag: &str, step: u64, size: [u32; 2], png: Vec<u8>) -> Result<()> {
        const RGB: i32 = 3;
        let image = ImageSummary {
            height: size[0].cast_signed(),
            width: size[1].cast_signed(),
            colorspace: RGB,
            encoded_image_string: png,
        };
        self.summary(tag, step, Payload::Image(image))
    }

    /// Has everything recorded so far on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn sync(&mut self) -> Result<()> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        flushed.map_err(Error::io(&self.path))
    }

    fn summary(&mut self, tag: &str, step: u64, payload: Payload) -> Result<()> {
        let value = SummaryValue { tag: tag.to_owned(), payload: Some(payload) };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event {
            wall_time: since_epoch().as_secs_f64(),
            step: step.cast_signed(),
            what: Some(what),
        };
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let (length_crc, data_crc) = (masked_crc(&length), masked_crc(&data));
        let frame = [&length[..], &length_crc, &data, &data_crc];
        frame.iter().try_for_each(|part| self.file.write_all(part)).map_err(Error::io(&self.path))
    }
}

/// A file whose name no other run in the folder has; TensorBoard reads them in the names' order.
fn new_file(folder: &Path) -> Result<(PathBuf, File)> {
    let seconds = since_epoch().as_secs();
    let mut n = 0_u64;
    loop {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.webmae.{n}"));
        match File::create_new(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
            result => return result.map(|file| (path.clone(), file)).map_err(Error::io(&path)),
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The checksum of a TFRecord, which is rotated and shifted lest a checksum of data that holds
/// checksums goes wrong.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a file into its records, checking every checksum.
    fn events(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_at(8);
            let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(tail[..4], masked_crc(length));
            let (data, tail) = tail[4..].split_at(size);
            assert_eq!(tail[..4], masked_crc(data));
            events.push(Event::decode(data).unwrap());
            rest = &tail[4..];
        }
        events
    }

    #[test]
    fn records_are_framed_and_files_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = EventWriter::create(folder.path(), None).unwrap();
        first.scalar("loss/train", 3, 0.5).unwrap();
        first.sync().unwrap();
        let second = EventWriter::create(folder.path(), Some(3)).unwrap();
        assert_ne!(first.path, second.path);
        let events = events(&first.path);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
        assert_eq!(events[1].step, 3);
    }
}
