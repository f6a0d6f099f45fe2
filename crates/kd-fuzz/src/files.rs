//! Small files that parsers accept.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ImageFormat, Rgb, RgbImage};

use crate::zip::{crc32, zip};

/// One image of each of CIFAR-10's classes, as the binary version has them.
pub(crate) fn cifar_records() -> Vec<u8> {
    let record = |class: u8| {
        let mut record = vec![class];
        record.resize(1 + 3 * 32 * 32, class);
        record
    };
    (0..10).flat_map(record).collect()
}

/// Before the pixels of ten images in a pickle: a string of 30,720 bytes.
const PIXELS: &[u8] = b"T\0\x78\0\0";

/// Images and names of CIFAR-10 as Python 2 pickled them, an image a class, without the pixels.
pub(crate) fn cifar_pickle() -> Vec<u8> {
    let mut bytes = b"\x80\x02}q\0(".to_vec();
    bytes.extend(b"U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n");
    bytes.extend(b"K\0\x85U\x01b\x87R(K\x01K\x0aM\0\x0c\x86cnumpy\ndtype\nU\x02u1K\0K\x01\x87R");
    bytes.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89");
    bytes.extend(PIXELS);
    bytes.extend(b"tbU\x06labels](");
    (0..10).for_each(|class| bytes.extend([b'K', class]));
    bytes.extend(b"eU\x0blabel_names](");
    (b'a'..=b'j').for_each(|name| bytes.extend([b'U', 1, name]));
    bytes.extend(b"eu.");
    bytes
}

/// Puts the pixels in.
pub(crate) fn cifar_pixels(mut pickle: Vec<u8>) -> Vec<u8> {
    let place = pickle.windows(PIXELS.len()).position(|w| w == PIXELS);
    if let Some(place) = place {
        let after = place + PIXELS.len();
        pickle.splice(after..after, (0..10 * 3 * 32 * 32).map(|at| at as u8));
    }
    pickle
}

/// An archive with one file.
pub(crate) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    // Writing into memory cannot fail.
    builder
        .append_data(&mut header, name, content)
        .expect("a tar");
    builder.into_inner().expect("a tar")
}

pub(crate) fn gzip(bytes: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).expect("gzip in memory");
    encoder.finish().expect("gzip in memory")
}

/// The checksum of a tar's first header, made right.
pub(crate) fn tar_and_gzip(mut tar: Vec<u8>) -> Vec<u8> {
    if let Some(header) = tar.first_chunk_mut::<512>() {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        let spelled = format!("{sum:06o}\0 ");
        header[148..156].copy_from_slice(&spelled.as_bytes()[..8]);
    }
    gzip(tar)
}

pub(crate) fn idx(extents: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, extents.len() as u8];
    extents.iter().for_each(|e| bytes.extend(e.to_be_bytes()));
    bytes.extend(content);
    bytes
}

pub(crate) fn picture(format: ImageFormat) -> Vec<u8> {
    let pixel = |x: u32, y: u32| Rgb([x as u8 * 15, y as u8 * 21, (x * y) as u8]);
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(17, 12, pixel)
        .write_to(&mut bytes, format)
        .expect("an image in memory");
    bytes.into_inner()
}

/// A JPEG with EXIF data that turn it.
pub(crate) fn turned_jpeg() -> Vec<u8> {
    let jpeg = picture(ImageFormat::Jpeg);
    let mut exif =
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, length[0], length[1]];
    bytes.append(&mut exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

/// The checksums of a PNG's chunks, made right as far as there are chunks.
pub(crate) fn png_checksums(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at + 8 + length;
        if end + 4 > png.len() {
            break;
        }
        let sum = crc32(&png[at + 4..end]);
        png[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    png
}

/// A JPEG that has an end, whatever is before it.
pub(crate) fn jpeg_end(mut jpeg: Vec<u8>) -> Vec<u8> {
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

/// A text as a pickle has it.
fn pickled(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// The pickle of a state dict with two tensors of two floats in one storage.
pub(crate) fn state_dict(legacy: bool) -> Vec<u8> {
    let mut bytes = b"\x80\x02}q\0(".to_vec();
    for (name, offset) in [("conv1.weight", 0), ("module.fc.bias", 2)] {
        bytes.extend(pickled(name));
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        bytes.extend(pickled("storage"));
        bytes.extend(b"ctorch\nFloatStorage\n");
        bytes.extend(pickled("0"));
        bytes.extend(pickled("cpu"));
        bytes.extend(b"K\x04");
        if legacy {
            bytes.push(b'N');
        }
        bytes.extend(b"tQK");
        bytes.push(offset);
        bytes.extend(b"K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR");
    }
    bytes.extend(b"u.");
    bytes
}

const FLOATS: [u8; 16] = [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

/// What `torch.save` writes since 1.6, around a pickle.
pub(crate) fn torch_zip(pickle: Vec<u8>) -> Vec<u8> {
    zip(&[
        ("archive/data.pkl", &pickle),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &FLOATS),
        ("archive/version", b"3\n"),
    ])
}

/// What `torch.save` wrote before, around a pickle.
pub(crate) fn torch_legacy(pickle: Vec<u8>) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(b"\x80\x02}q\0(");
    bytes.extend(pickled("protocol_version"));
    bytes.extend(b"M\xe9\x03");
    bytes.extend(pickled("little_endian"));
    bytes.extend(b"\x88u.");
    bytes.extend(&pickle);
    bytes.extend(b"\x80\x02]q\0");
    bytes.extend(pickled("0"));
    bytes.extend(b"a.");
    bytes.extend(4u64.to_le_bytes());
    bytes.extend(FLOATS);
    bytes
}

/// The pickle of a compiled module with one tensor, and a part with another.
pub(crate) fn script() -> Vec<u8> {
    let mut bytes = b"\x80\x02c__torch__\nNet\n)\x81}(".to_vec();
    let tensor = |name: &str, offset: u8| {
        let mut bytes = pickled(name);
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        bytes.extend(pickled("storage"));
        bytes.extend(b"ctorch\nFloatStorage\n");
        bytes.extend(pickled("0"));
        bytes.extend(pickled("cpu"));
        bytes.extend(b"K\x04tQK");
        bytes.push(offset);
        bytes.extend(b"K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR");
        bytes
    };
    bytes.extend(tensor("scale", 0));
    bytes.extend(pickled("training"));
    bytes.push(0x89);
    bytes.extend(pickled("fc"));
    bytes.extend(b"c__torch__\nLinear\n)\x81q\0}(");
    bytes.extend(tensor("bias", 2));
    bytes.extend(b"ubub.");
    bytes
}

/// What `torch.jit.save` writes around a pickle.
pub(crate) fn script_zip(pickle: Vec<u8>) -> Vec<u8> {
    zip(&[
        ("archive/data.pkl", &pickle),
        ("archive/constants.pkl", b"\x80\x02).".as_slice()),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &FLOATS),
        ("archive/version", b"3\n"),
    ])
}

/// The description of two weights of an exported program.
pub(crate) fn exported() -> Vec<u8> {
    let weight = |name: &str, offset: usize| {
        format!(
            "\"{name}\": {{\"path_name\": \"weight_0\", \"is_param\": true, \"use_pickle\": false, \"tensor_meta\": \
             {{\"dtype\": 7, \"sizes\": [{{\"as_int\": 1}}, {{\"as_int\": 2}}], \"strides\": [{{\"as_int\": 2}}, \
             {{\"as_int\": 1}}], \"storage_offset\": {{\"as_int\": {offset}}}, \"layout\": 7}}}}"
        )
    };
    let weights = [weight("conv1.weight", 0), weight("fc.weight", 2)];
    format!("{{\"config\": {{{}}}}}", weights.join(", ")).into_bytes()
}

/// What `torch.export.save` writes around a description.
pub(crate) fn exported_zip(description: Vec<u8>) -> Vec<u8> {
    zip(&[
        ("archive/archive_format", b"pt2".as_slice()),
        ("archive/byteorder", b"little"),
        (
            "archive/data/weights/model_weights_config.json",
            &description,
        ),
        ("archive/data/weights/weight_0", &FLOATS),
    ])
}

/// The length of a safetensors header, made right: it ends before the first byte that is no text.
pub(crate) fn safetensors_length(mut bytes: Vec<u8>) -> Vec<u8> {
    let is_text = |byte: &u8| (b' '..=b'~').contains(byte);
    let length = bytes.iter().skip(8).take_while(|b| is_text(b)).count() as u64;
    if let Some(field) = bytes.first_chunk_mut::<8>() {
        *field = length.to_le_bytes();
    }
    bytes
}
