//! Files of Keras and Flax.

use std::io::{Cursor, Read};

use burn::tensor::Device;
use kd_models::{Error, Network, NetworkConfig};
use zip::ZipArchive;

use super::{Seed, Target};
use crate::Scratch;
use crate::zip::zip;

/// A file that Keras or Flax wrote, of those that `kd-models` is tested with.
fn content(name: &str) -> Vec<u8> {
    let archive = include_bytes!("../../../kd-models/tests/data/keras/keras.zip");
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("an archive");
    let mut bytes = Vec::new();
    let mut entry = archive.by_name(name).expect("a file of it");
    entry.read_to_end(&mut bytes).expect("a file of it");
    bytes
}

fn load(scratch: &Scratch, name: &str, bytes: &[u8]) -> Result<(), String> {
    scratch.once(&format!("{name}.names.json"), || content("names.json"));
    let path = scratch.file(name, bytes);
    let config = NetworkConfig::new("resnet8", 10, 3);
    match Network::from_file(&config, &path, &Device::flex()) {
        // It was read, and is another network's.
        Ok(_) | Err(Error::Mismatch(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn flax() -> Target {
    Target {
        name: "flax",
        run: |scratch, bytes| load(scratch, "model.msgpack", bytes),
        seeds: vec![
            Seed::plain(content("model.msgpack")),
            Seed::plain(
                b"\x81\xa4stem\x81\xa4bias\xc7\x11\x01\x93\x91\x01\xa7float32\xc4\x041234"
                    .as_slice(),
            ),
        ],
        words: &[
            b"float32",
            b"bfloat16",
            b"params",
            b"batch_stats",
            b"kernel",
            b"\xc7\x11\x01",
            b"\xc9\0\0\0\x11\x01",
            b"\xde\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\x81\xa1a",
            b"\xce\xff\xff\xff\xff",
        ],
        allowance: 8 << 20,
        // A value that is one byte there is a hundred here.
        multiple: 2048,
    }
}

/// The words of HDF5.
const WORDS: &[&[u8]] = &[
    b"\x89HDF\r\n\x1a\n",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"GCOL",
    b"OHDR",
    b"OCHK",
    b"FRHP",
    b"vars",
    b"layers",
    b"model_config",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x80",
];

pub(super) fn hdf5() -> Target {
    Target {
        name: "hdf5",
        run: |scratch, bytes| load(scratch, "model.h5", bytes),
        seeds: vec![
            Seed::plain(content("model.weights.h5")),
            Seed::plain(content("model.h5")),
        ],
        words: WORDS,
        allowance: 64 << 20,
        multiple: 2048,
    }
}

/// HDF5 in an archive, with a description that is mutated.
pub(super) fn keras() -> Target {
    fn archive(config: Vec<u8>) -> Vec<u8> {
        zip(&[
            ("config.json", &config),
            ("model.weights.h5", &content("model.weights.h5")),
        ])
    }
    let whole = content("model.keras");
    let mut whole = ZipArchive::new(Cursor::new(whole)).expect("an archive");
    let mut config = Vec::new();
    let mut entry = whole.by_name("config.json").expect("a description");
    entry.read_to_end(&mut config).expect("a description");
    Target {
        name: "keras",
        run: |scratch, bytes| load(scratch, "model.keras", bytes),
        seeds: vec![
            Seed::inside(config.clone(), archive),
            Seed::plain(archive(config)),
        ],
        words: &[
            b"\"epsilon\": 1e300",
            b"\"padding\": \"same\"",
            b"\"strides\": [2, 2]",
            b"\"layers\": []",
            b"null",
            b"PK\x03\x04",
        ],
        allowance: 64 << 20,
        multiple: 2048,
    }
}
