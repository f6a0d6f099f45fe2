//! Files that PyTorch wrote (`tests/data/make.py`): all hold the same network.

use std::fs;
use std::path::{Path, PathBuf};

use burn::store::bridge;
use serde::Deserialize;

use super::*;
use crate::{Error, state_dict};

#[derive(Deserialize)]
struct Wanted {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn wanted() -> BTreeMap<String, Wanted> {
    let text = fs::read(file("values.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Whether a file holds every tensor of the network behind `prefix`, and `beside` as the only others.
fn holds(path: &Path, prefix: &str, beside: &[&str]) {
    let (mut found, _) = state_dict::read(path).unwrap();
    for (name, wanted) in wanted() {
        let name = format!("{prefix}{name}");
        let Some(tensor) = found.remove(&name) else {
            panic!("{} has no {name}: {found:?}", path.display());
        };
        assert_eq!(tensor.shape.to_vec(), wanted.shape, "{name}");
        let values = bridge::into_data(tensor).unwrap();
        let values: Vec<f32> = values.iter().collect();
        assert_eq!(values, wanted.values, "{} {name}", path.display());
    }
    let others: Vec<&String> = found.keys().collect();
    assert_eq!(others, beside, "{}", path.display());
}

#[test]
fn a_network_is_the_same_in_every_archive_of_pytorch() {
    for name in [
        "state_dict.pth",
        "module.pth",
        "module_legacy.pth",
        "exported.pt2",
    ] {
        holds(&file(name), "", &[]);
    }
    holds(&file("module_in_checkpoint.pth"), "model.", &[]);
    holds(&file("checkpoint.pth"), "state_dict.", &[]);
    // An object of a class of the program that wrote it.
    holds(&file("trainer.pth"), "model.", &[]);
    // What is compiled says no more which buffers are part of a state dict.
    for name in ["scripted.pt", "scripted_half.pt", "traced.pt"] {
        holds(&file(name), "", &["table"]);
    }
}

/// An archive like one of PyTorch's, with entries changed.
fn rewritten(name: &str, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> tempfile::TempDir {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let archive_offset = zip::read::ArchiveOffset::Known(0);
    let from = fs::File::open(file(name)).unwrap();
    let mut from =
        zip::ZipArchive::with_config(zip::read::Config { archive_offset }, from).unwrap();
    let to = fs::File::create(folder.path().join("f")).unwrap();
    let mut to = zip::ZipWriter::new(to);
    for index in 0..from.len() {
        let mut entry = from.by_index(index).unwrap();
        let entry_name = entry.name().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(content) = change(&entry_name, content) {
            to.start_file(entry_name, zip::write::SimpleFileOptions::default())
                .unwrap();
            to.write_all(&content).unwrap();
        }
    }
    to.finish().unwrap();
    folder
}

fn message(folder: &tempfile::TempDir) -> String {
    state_dict::read(&folder.path().join("f"))
        .unwrap_err()
        .to_string()
}

#[test]
fn damaged_archives_say_what_is_wrong() {
    let replace = |from: &'static str, to: &'static str| {
        move |name: &str, content: Vec<u8>| {
            if !name.ends_with("model_weights_config.json") {
                return Some(content);
            }
            let text = String::from_utf8(content).unwrap();
            assert!(text.contains(from));
            Some(text.replacen(from, to, 1).into_bytes())
        }
    };
    for (folder, part) in [
        (
            rewritten(
                "exported.pt2",
                replace("\"use_pickle\": false", "\"use_pickle\": true"),
            ),
            "kept as a pickle of its own: save the state dict",
        ),
        (
            rewritten("exported.pt2", replace("\"dtype\": 7", "\"dtype\": 9")),
            "elements of a kind that is not read (9)",
        ),
        (
            rewritten(
                "exported.pt2",
                replace("{\"as_int\": 9}", "{\"as_expr\": \"s0\"}"),
            ),
            "a size that is no number",
        ),
        (
            rewritten(
                "exported.pt2",
                replace("{\"as_int\": 9}", "{\"as_int\": 900}"),
            ),
            "which its storage of 72 bytes does not hold",
        ),
        (
            rewritten("exported.pt2", |name, content| {
                (!name.ends_with("weight_3")).then_some(content)
            }),
            "weight_3",
        ),
        (
            rewritten("scripted.pt", |name, content| {
                Some(if name.ends_with("byteorder") {
                    b"big".to_vec()
                } else {
                    content
                })
            }),
            "byte order `big`",
        ),
        (
            rewritten("scripted.pt", |name, content| {
                Some(if name.ends_with("data/2") {
                    vec![0; 8]
                } else {
                    content
                })
            }),
            "which its storage of 8 bytes does not hold",
        ),
        (
            rewritten("traced.pt", |name, content| {
                let end = content.len() / 2;
                Some(if name.ends_with("/data.pkl") {
                    content[..end].to_vec()
                } else {
                    content
                })
            }),
            "the pickle is truncated",
        ),
    ] {
        let message = message(&folder);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_legacy_file_that_is_cut_is_damaged() {
    let whole = fs::read(file("module_legacy.pth")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for cut in [20, 200, whole.len() - 300, whole.len() - 1] {
        fs::write(folder.path().join("f"), &whole[..cut]).unwrap();
        let error = state_dict::read(&folder.path().join("f")).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error}");
        assert!(legacy::tensors(&folder.path().join("f")).is_err(), "{cut}");
    }
}

/// A pickle in an archive, as `torch.save` writes it or as a compiled module.
fn pickled(pickle: &[u8], script: bool) -> tempfile::TempDir {
    rewritten("scripted.pt", |name, content| match name {
        "scripted/data.pkl" => Some(pickle.to_vec()),
        "scripted/constants.pkl" if !script => None,
        _ => Some(content),
    })
}

#[test]
fn objects_that_hold_each_other_end() {
    // A record whose state holds itself under two names.
    let endless = b"\x80\x02c__torch__\nA\n)\x81q\0}(X\x01\0\0\0ah\0X\x01\0\0\0bh\0ub.";
    let error = message(&pickled(endless, true));
    assert!(error.contains("in more than 64 others"), "{error}");
    // Thirty levels of two names each: a milliard of paths.
    let mut doubled = b"\x80\x02c__torch__\nA\n)\x81q\0".to_vec();
    for level in 1..31_u8 {
        doubled.extend(b"c__torch__\nA\n)\x81}(X\x01\0\0\0ah");
        doubled.push(level - 1);
        doubled.extend(b"X\x01\0\0\0bh");
        doubled.push(level - 1);
        doubled.extend([b'u', b'b', b'q', level]);
    }
    doubled.push(b'.');
    let error = message(&pickled(&doubled, true));
    assert!(error.contains("hold each other without end"), "{error}");
}

#[test]
fn a_class_that_cannot_be_understood_is_named_with_the_cure() {
    // A tensor of a kind of its own, in an object of an own class.
    let quantised = b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_qtensor\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
                      X\x01\0\0\x000X\x03\0\0\0cpuK\x02tQK\0K\x02\x85K\x01\x85tRs.";
    let error = message(&pickled(quantised, false));
    for part in [
        "`torch._utils._rebuild_qtensor`",
        "never executed",
        "torch.save(model.state_dict(), ",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = message(&pickled(quantised, true));
    assert!(error.contains("quantised"), "{error}");
}

#[test]
fn weights_of_other_programs_are_named_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    for (path, part) in [
        (
            of("a.gguf", b"GGUF\x03\0\0\0"),
            "a file of llama.cpp (GGUF)",
        ),
        (of("a.tflite", b"\x1c\0\0\0TFL3\x14\0"), "TensorFlow Lite"),
        (of("a.bin", b"\x08\x08\x12\x07pytorch"), "a graph of ONNX"),
        (of("a.npy", b"\x93NUMPY\x01\0"), "NumPy"),
        (
            of("tf/saved_model.pb", b"\x08\x01\x12\x03")
                .parent()
                .unwrap()
                .into(),
            "a SavedModel of TensorFlow",
        ),
        (
            of("orbax/_CHECKPOINT_METADATA", b"{}")
                .parent()
                .unwrap()
                .into(),
            "a checkpoint of Orbax",
        ),
        (
            of("onnx/a.onnx", b"\x08").parent().unwrap().into(),
            "a graph of ONNX",
        ),
    ] {
        let error = state_dict::read(&path).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(part), "{message}");
        assert!(message.contains("safetensors.torch.save_file"), "{message}");
    }
    for (name, part) in [("keras/a.h5", "of Keras"), ("flax/a.msgpack", "of Flax")] {
        let path = of(name, b"");
        let error = state_dict::read(path.parent().unwrap()).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(part), "{message}");
        assert!(message.ends_with("name the file"), "{message}");
    }
}

/// A safetensors file with these tensors, each of two numbers.
fn safetensors(path: &Path, names: &[&str]) {
    let bytes: Vec<u8> = [1.0_f32, 2.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let view = || safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &bytes);
    let tensors = names.iter().map(|name| (*name, view().unwrap()));
    safetensors::serialize_to_file(tensors, None, path).unwrap();
}

#[test]
fn a_folder_with_an_index_is_read_as_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let index = |map: &str| {
        let text = format!("{{\"metadata\": {{\"total_size\": 24}}, \"weight_map\": {map}}}");
        fs::write(path("model.safetensors.index.json"), text).unwrap();
    };
    safetensors(&path("1.safetensors"), &["a.weight", "a.bias"]);
    safetensors(&path("2.safetensors"), &["b.weight"]);
    let whole =
        r#"{"a.weight": "1.safetensors", "a.bias": "1.safetensors", "b.weight": "2.safetensors"}"#;
    index(whole);
    for path in [
        folder.path().to_owned(),
        path("model.safetensors.index.json"),
    ] {
        let found: Vec<String> = state_dict::read(&path).unwrap().0.into_keys().collect();
        assert_eq!(found, ["a.bias", "a.weight", "b.weight"]);
    }
    let message = || state_dict::read(folder.path()).unwrap_err().to_string();
    for (map, part) in [
        (whole.replace("2.safe", "3.safe"), "3.safetensors"),
        (
            whole.replace("b.weight", "c.weight"),
            "2.safetensors has no `c.weight`",
        ),
        (
            whole.replace("a.bias\": \"1", "a.bias\": \"2"),
            "`a.bias` is in 1.safetensors, and the index says that it is in 2.safetensors",
        ),
        (
            whole.replace("2.safe", "../2.safe"),
            "which is no file beside it",
        ),
        ("[]".into(), "an index of weights has a `weight_map`"),
    ] {
        index(&map);
        let message = message();
        assert!(message.contains(part), "{message}");
    }
    fs::remove_file(path("model.safetensors.index.json")).unwrap();
    let message = message();
    assert!(
        message.contains("is a folder without weights: none of model.safetensors, "),
        "{message}"
    );
}
