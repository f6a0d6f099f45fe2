//! The file: a header of 7 bytes, then records of LevelDB's log format in blocks of 32 KiB.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::proto::Record;
use crate::error::{Error, io};

const BLOCK: usize = 1 << 15;
/// Of a part: checksum, length, type.
const HEADER: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// A file that is written.
pub struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    /// Bytes in the last block.
    block: usize,
    records: i64,
}

impl Log {
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(io("create", path))?;
        let mut file = BufWriter::new(file);
        // Its mark, a magic number, the version.
        file.write_all(b":W&B\xe1\xbe\x00")
            .map_err(io("write", path))?;
        Ok(Self {
            path: path.into(),
            file,
            block: HEADER,
            records: 0,
        })
    }

    pub fn write(&mut self, mut record: Record) -> Result<(), Error> {
        self.records += 1;
        record.num = self.records;
        let bytes = parts(&record.encode_to_vec(), &mut self.block);
        self.file.write_all(&bytes).map_err(io("write", &self.path))
    }

    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(io("write", &self.path))
    }
}

fn parts(mut data: &[u8], block: &mut usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + HEADER);
    let mut first = true;
    loop {
        let left = BLOCK - *block;
        if left < HEADER {
            bytes.resize(bytes.len() + left, 0);
            *block = 0;
            continue;
        }
        let (part, rest) = data.split_at(data.len().min(left - HEADER));
        let kind = match (first, rest.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind]);
        crc.update(part);
        bytes.extend(crc.finalize().to_le_bytes());
        bytes.extend((part.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(part);
        *block = (*block + HEADER + part.len()) % BLOCK;
        if rest.is_empty() {
            return bytes;
        }
        (data, first) = (rest, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads parts back as LevelDB's format says.
    fn read(file: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        // A first part may be empty, where a block has room for its header alone.
        let mut open: Option<Vec<u8>> = None;
        let mut at = HEADER;
        while at < file.len() {
            let left = BLOCK - at % BLOCK;
            if left < HEADER {
                assert!(file[at..at + left].iter().all(|b| *b == 0));
                at += left;
                continue;
            }
            let length = usize::from(u16::from_le_bytes([file[at + 4], file[at + 5]]));
            assert!(HEADER + length <= left, "a part ends with its block");
            let checked = &file[at + 6..at + HEADER + length];
            assert_eq!(file[at..at + 4], crc32fast::hash(checked).to_le_bytes());
            assert_eq!(open.is_none(), matches!(checked[0], FULL | FIRST));
            open.get_or_insert_default().extend(&checked[1..]);
            if matches!(checked[0], FULL | LAST) {
                records.extend(open.take());
            }
            at += HEADER + length;
        }
        records
    }

    #[test]
    fn records_of_every_length_cross_blocks() {
        let lengths = [1, 40, 32_700, 5, 40_000, 100_000, BLOCK - 7, BLOCK - 14, 3];
        let given: Vec<Vec<u8>> = (1..).zip(lengths).map(|(i, n)| vec![i; n]).collect();
        let (mut file, mut block) = (vec![0; HEADER], HEADER);
        for record in &given {
            file.extend(parts(record, &mut block));
        }
        assert_eq!(read(&file), given);
    }

    #[test]
    fn a_few_bytes_at_the_end_of_a_block_are_padding() {
        for left in 0..=HEADER + 1 {
            let (mut file, mut block) = (vec![0; HEADER], HEADER);
            let first = vec![1; BLOCK - 2 * HEADER - left];
            file.extend(parts(&first, &mut block));
            file.extend(parts(&[2; 9], &mut block));
            assert_eq!(read(&file), [first, vec![2; 9]], "{left} bytes left");
        }
    }
}
