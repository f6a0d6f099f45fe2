//! One event file: records of length, its checksum, data, their checksum (TFRecord).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::proto::Event;
use crate::error::{Error, io};

/// A file that is written.
pub struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// Makes it, with its first record.
    pub fn create(path: &Path, wall_time: f64) -> Result<Self, Error> {
        let file = File::create(path).map_err(io("create", path))?;
        let mut file = Self {
            path: path.into(),
            file: BufWriter::new(file),
        };
        file.write(&Event {
            wall_time,
            file_version: Some("brain.Event:2".into()),
            ..Event::default()
        })?;
        Ok(file)
    }

    pub fn write(&mut self, event: &Event) -> Result<(), Error> {
        self.file
            .write_all(&record(&event.encode_to_vec()))
            .map_err(io("write", &self.path))
    }

    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(io("write", &self.path))
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked(data).to_le_bytes());
    record
}

/// CRC-32C, turned by 15 bits and shifted by a constant, so that checksums of checksums do not collapse.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_checksums_of_the_format() {
        // The check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let expected = 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        let record = record(b"123456789");
        assert_eq!(record.len(), 9 + 16);
        assert_eq!(record[..8], 9_u64.to_le_bytes());
        assert_eq!(record[21..], expected.to_le_bytes());
    }
}
