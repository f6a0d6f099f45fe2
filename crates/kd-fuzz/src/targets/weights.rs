//! Weights.

use burn::tensor::Device;
use kd_models::{Error, Network, NetworkConfig, WeightsHeader};

use super::{Seed, Target, text};
use crate::{Scratch, files};

/// A network that is small and has every kind of key.
const MODEL: &str = "resnet8";

fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
    let path = scratch.file("weights", bytes);
    let header = WeightsHeader::read(&path);
    let config = NetworkConfig::new(MODEL, 10, 1);
    match Network::from_file(&config, &path, &Device::flex()) {
        Ok(_) => header.map(drop).map_err(text),
        // It was read, and is another network's.
        Err(Error::Mismatch(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn pth() -> Target {
    Target {
        name: "pth",
        run,
        seeds: vec![
            Seed::inside(files::state_dict(false), files::torch_zip),
            Seed::inside(files::state_dict(true), files::torch_legacy),
            Seed::plain(files::torch_zip(files::state_dict(false))),
            Seed::plain(b"\x80\x02}q\0X\x01\0\0\0aK\x01s.".as_slice()),
        ],
        words: &[
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch\nHalfStorage\n",
            b"ctorch\nFloatStorage\n",
            b"ctorch._utils\n_rebuild_parameter\n",
            b"storage",
            b"(",
            b"t",
            b"Q",
            b"R",
            b"u",
            b"}q\0",
            b"]q\0",
            b"h\0",
            b"q\0",
            b"\x85",
            b"\x8a\x08",
            b"K\x02",
            b"N",
            b".",
            b"PK\x03\x04",
            b"PK\x01\x02",
            b"PK\x05\x06",
            b"state_dict",
        ],
        allowance: 8 << 20,
        multiple: 2048,
    }
}

/// Deflate makes at most 1,032 bytes of one, and a growing buffer is twice as large as what it holds.
const DEFLATE: u64 = 4 * 1032;

pub(super) fn torchscript() -> Target {
    Target {
        name: "torchscript",
        run,
        seeds: vec![
            Seed::inside(files::script(), files::script_zip),
            Seed::plain(include_bytes!("../../../kd-models/tests/data/traced.pt")),
        ],
        words: &[
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch._utils\n_rebuild_parameter\n",
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            b"ctorch\nHalfStorage\n",
            b"c__torch__\nA\n)\x81",
            b"_parameters",
            b"_modules",
            b"_buffers",
            b"_non_persistent_buffers_set",
            b"}",
            b"(",
            b"t",
            b"Q",
            b"R",
            b"u",
            b"b",
            b"h\0",
            b"q\0",
            b"2",
            b"K\x02",
            b"\x8a\x08",
            b".",
        ],
        allowance: 8 << 20,
        // Objects that share parts are walked as often as their names differ.
        multiple: 2 * DEFLATE,
    }
}

pub(super) fn exported() -> Target {
    Target {
        name: "exported",
        run,
        seeds: vec![
            Seed::inside(files::exported(), files::exported_zip),
            Seed::plain(include_bytes!("../../../kd-models/tests/data/exported.pt2")),
        ],
        words: &[
            b"\"use_pickle\": true",
            b"\"path_name\": \"weight_0\"",
            b"{\"as_int\": 18446744073709551615}",
            b"{\"as_expr\": \"s0\"}",
            b"\"dtype\": 13",
            b"\"strides\": []",
            b"null",
        ],
        allowance: 8 << 20,
        multiple: DEFLATE,
    }
}

pub(super) fn safetensors() -> Target {
    let small = b"\0\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\",\"mean\":\"[0.5]\"},\"model.conv1.weight\":\
        {\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},\"fc.bias\":{\"dtype\":\"F16\",\"shape\":[2],\
        \"data_offsets\":[8,12]}}\x01\0\x80\x3f\0\0\0\x40\0\x3c\0\x40";
    Target {
        name: "safetensors",
        run,
        seeds: vec![
            Seed::inside(small.as_slice(), files::safetensors_length),
            Seed::inside(small.as_slice(), files::safetensors_length),
            Seed::inside(whole(), files::safetensors_length),
        ],
        words: &[
            b"\"dtype\":\"F64\"",
            b"\"dtype\":\"BF16\"",
            b"\"dtype\":\"I64\"",
            b"\"dtype\":\"BOOL\"",
            b"\"shape\":[]",
            b"\"shape\":[0]",
            b"data_offsets",
            b"__metadata__",
            b"\"head\":\"{}\"",
            b"\"classes\":\"10\"",
            b"module.",
            b"\0\0\xc0\x7f",
        ],
        allowance: 8 << 20,
        multiple: 2048,
    }
}

/// A file that fits the network.
fn whole() -> Vec<u8> {
    let scratch = Scratch::new();
    let path = scratch.folder("seed").join("whole.safetensors");
    let config = NetworkConfig::new(MODEL, 10, 1);
    let network = Network::new(&config, &Device::flex()).expect("a network of the registry");
    let header = [("classes".to_owned(), "10".to_owned())];
    network.save(&path, &header).expect("weights");
    std::fs::read(path).expect("weights")
}
