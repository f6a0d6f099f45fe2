//! `kd export --onnx`.

use std::{fs, path::Path};

use super::{
    fails,
    run::{finish, kd},
};

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../recipes/weights/cifar100_resnet56.safetensors"
);

/// Exports the student of the run `runs/tiny` in `folder`.
pub fn export_student(folder: &Path) {
    let arguments = [
        "export",
        "runs/tiny",
        "--onnx",
        "student.onnx",
        "--normalise",
        "--softmax",
        "--check",
        "tensorrt",
    ];
    let finished = finish(kd(folder, &arguments));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for part in ["student.onnx", "9 Conv", "1 Softmax", "largest difference"] {
        assert!(finished.stdout.contains(part), "{}", finished.stdout);
    }
    // The file tells where it comes from.
    let file = fs::read(folder.join("student.onnx")).expect("the file");
    let text = String::from_utf8_lossy(&file);
    for part in [
        "recipe_sha256",
        "Ankle boot",
        "layer1.0.conv1.weight",
        "probabilities",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn weights_alone_are_exported_where_they_say_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let export = |more: &[&str]| {
        let arguments = [&["export", "--weights", WEIGHTS], more].concat();
        finish(kd(folder.path(), &arguments))
    };
    let finished = export(&["--onnx", "teacher.onnx"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let halves = export(&["--onnx", "halves.onnx", "--float16"]);
    assert_eq!(halves.code, Some(0), "{}", halves.stderr);
    let bytes = |name: &str| {
        fs::metadata(folder.path().join(name))
            .expect("a file")
            .len()
    };
    assert!(bytes("halves.onnx") < bytes("teacher.onnx") * 6 / 10);
    fails(
        &export(&["--onnx", "none/teacher.onnx"]),
        1,
        &["none/teacher.onnx", "there is no folder"],
    );
    fails(
        &export(&[
            "--onnx",
            "x.onnx",
            "--normalise",
            "--mean",
            "0.5",
            "--std",
            "0.5",
        ]),
        3,
        &["normalise", "each of 3 channels"],
    );
    fails(
        &export(&["--onnx", "x.onnx", "--nms"]),
        3,
        &["--nms", "for detectors"],
    );
    assert!(!folder.path().join("x.onnx").exists());
}
