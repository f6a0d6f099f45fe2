//! Data sets.

use std::path::PathBuf;

use image::ImageFormat;
use kd_data::{DataConfig, Normalize, load_test};

use super::{Seed, Target, text};
use crate::{Scratch, files};

/// Deflate makes at most 1,032 bytes of one, and a growing buffer is twice as large as what it holds and is copied.
const DEFLATE: u64 = 4 * 1032;
const ROOM: u64 = 512 << 10;

fn read(name: &str, dir: PathBuf) -> Result<(), String> {
    let config = DataConfig {
        name: name.into(),
        dir: Some(dir),
        download: false,
        size: (name == "folder").then_some(8),
        normalize: match name {
            "folder" => Normalize::Imagenet,
            _ => Normalize::Dataset,
        },
        ..DataConfig::default()
    };
    load_test(&config, &mut |_| {}).map(drop).map_err(text)
}

pub(super) fn archive() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.file("archive/cifar-10-binary.tar.gz", bytes);
        read("cifar10", scratch.folder("archive"))
    }
    let name = "cifar-10-batches-bin/test_batch.bin";
    let tar = files::tar(name, &files::cifar_records());
    Target {
        name: "archive",
        run,
        seeds: vec![
            Seed::inside(tar.clone(), files::tar_and_gzip),
            Seed::plain(files::gzip(tar)),
        ],
        words: &[
            b"ustar\0",
            b"ustar  \0",
            b"\x1f\x8b\x08",
            b"././@LongLink",
            b"test_batch.bin",
        ],
        allowance: ROOM,
        multiple: DEFLATE,
    }
}

pub(super) fn cifar_binary() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.file("binary/test_batch.bin", bytes);
        read("cifar10", scratch.folder("binary"))
    }
    Target {
        name: "cifar_binary",
        run,
        seeds: vec![Seed::plain(files::cifar_records())],
        words: &[],
        allowance: ROOM,
        multiple: 8,
    }
}

pub(super) fn cifar_pickle() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.file("pickle/test_batch", bytes);
        scratch.file("pickle/batches.meta", bytes);
        read("cifar10", scratch.folder("pickle"))
    }
    Target {
        name: "cifar_pickle",
        run,
        seeds: vec![
            Seed::inside(files::cifar_pickle(), files::cifar_pixels),
            Seed::plain(include_bytes!(
                "../../../kd-data/tests/fixtures/protocol2.pickle"
            )),
            Seed::plain(include_bytes!(
                "../../../kd-data/tests/fixtures/protocol4.pickle"
            )),
        ],
        words: &[
            b"\x80\x04\x95",
            b"q\0",
            b"h\0",
            b"\x94",
            b"(",
            b"t",
            b"\x85",
            b"\x86",
            b"\x87",
            b"R",
            b"b",
            b"u",
            b"e",
            b"cnumpy\ndtype\n",
            b"labels",
            b"data",
            b"\x8a\x08",
            b"2",
            b"0",
            b".",
        ],
        allowance: ROOM,
        // A node of the parser for every byte, which is an opcode.
        multiple: 64,
    }
}

pub(super) fn idx() -> Target {
    fn images() -> Vec<u8> {
        files::idx(&[10, 2, 3], &[7; 60])
    }
    fn labels() -> Vec<u8> {
        files::idx(&[10], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.file("idx-images/t10k-images-idx3-ubyte", bytes);
        scratch.once("idx-images/t10k-labels-idx1-ubyte", labels);
        scratch.once("idx-labels/t10k-images-idx3-ubyte", images);
        scratch.file("idx-labels/t10k-labels-idx1-ubyte", bytes);
        let as_images = read("mnist", scratch.folder("idx-images"));
        let as_labels = read("mnist", scratch.folder("idx-labels"));
        as_images.or(as_labels)
    }
    Target {
        name: "idx",
        run,
        seeds: vec![
            Seed::plain(images()),
            Seed::plain(labels()),
            Seed::inside(images(), files::gzip),
        ],
        words: &[b"\0\0\x08\x03", b"\0\0\x08\x01", b"\x1f\x8b\x08"],
        allowance: ROOM,
        multiple: DEFLATE,
    }
}

pub(super) fn image() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.file("images/test/a/image.png", bytes);
        read("folder", scratch.folder("images"))
    }
    Target {
        name: "image",
        run,
        seeds: vec![
            Seed::inside(files::picture(ImageFormat::Png), files::png_checksums),
            Seed::inside(files::picture(ImageFormat::Jpeg), files::jpeg_end),
            Seed::inside(files::turned_jpeg(), files::jpeg_end),
            Seed::plain(files::picture(ImageFormat::Jpeg)),
        ],
        words: &[
            b"\x89PNG\r\n\x1a\n",
            b"IHDR",
            b"PLTE",
            b"IDAT",
            b"IEND",
            b"tRNS",
            b"eXIf",
            b"iCCP",
            b"zTXt",
            b"\xff\xd8\xff",
            b"\xff\xc0",
            b"\xff\xc2",
            b"\xff\xc4",
            b"\xff\xda",
            b"\xff\xdb",
            b"\xff\xdd",
            b"\xff\xe1",
            b"\xff\xd9",
            b"\xff\xd0",
            b"Exif\0\0",
            b"RIFF",
            b"GIF8",
            b"ftypavif",
        ],
        allowance: 8 << 20,
        // A byte of a PNG is up to 8,256 pixels, which are decoded and then made RGB.
        multiple: 8256 * 12,
    }
}
