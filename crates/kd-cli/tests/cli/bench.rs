//! What `kd bench` measures, and what it says when it cannot.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    call, fails,
    run::{Finished, TINY, finish, kd},
};

/// A measurement that must succeed, with the file it writes.
fn measure(folder: &Path, arguments: &[&str]) -> (Finished, Value) {
    let arguments = [arguments, &["--json", "out.json"]].concat();
    let finished = finish(kd(folder, &arguments));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let text = fs::read_to_string(folder.join("out.json")).expect("the measurements");
    let left: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    (finished, serde_json::from_str(&text).expect("JSON"))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_step_is_measured_in_images_per_second() {
    let folder = folder();
    let arguments = [
        "bench",
        "step",
        "--only",
        "resnet20",
        "--batch",
        "2",
        "--repeat",
        "1",
        "--threads",
        "1",
    ];
    let (finished, json) = measure(folder.path(), &arguments);
    let steps = [
        "infer resnet20",
        "infer1 resnet20",
        "train resnet20",
        "kd resnet56 resnet20",
        "kd vit_small_patch14_dinov2 resnet20",
    ];
    assert_eq!(json["rows"].as_object().unwrap().len(), steps.len());
    for step in steps {
        assert!(finished.stdout.contains(step), "{}", finished.stdout);
        let row = &json["rows"][format!("{step} {}", json["backend"].as_str().unwrap())];
        let (best, median) = (row["best"].as_f64(), row["median"].as_f64());
        // Of one repetition, the best is the median.
        assert!(best.unwrap() > 0.0 && best == median, "{json}");
    }
    assert_eq!((&json["batch"], &json["threads"]), (&2.into(), &1.into()));
}

#[test]
fn an_unknown_row_gets_the_list() {
    let finished = call(&["bench", "step", "--only", "resnet21"]);
    fails(&finished, 3, &["`resnet21`", "kd resnet32x4 resnet8x4"]);
    let finished = call(&["bench", "losses", "--only", "kdd"]);
    fails(&finished, 3, &["`kdd`", "cross_entropy"]);
}

#[test]
fn nothing_is_not_measured() {
    for option in ["--batch", "--repeat", "--threads"] {
        let finished = call(&["bench", "step", option, "0"]);
        fails(&finished, 2, &[option]);
    }
    fails(
        &call(&["bench", "epoch", "--epochs", "0"]),
        2,
        &["--epochs"],
    );
}

#[test]
fn measurements_that_cannot_be_written_are_an_error() {
    let finished = call(&[
        "bench",
        "step",
        "--only",
        "infer resnet20",
        "--batch",
        "1",
        "--repeat",
        "1",
        "--json",
        "none/out.json",
    ]);
    fails(&finished, 1, &["none/out.json"]);
}

#[test]
fn a_loss_is_measured_beside_its_step() {
    let folder = folder();
    let arguments = [
        "bench", "losses", "--only", "rkd", "--batch", "4", "--repeat", "1",
    ];
    let (finished, json) = measure(folder.path(), &arguments);
    assert!(finished.stdout.contains("| rkd"), "{}", finished.stdout);
    let rkd = &json["losses"]["rkd"];
    let milliseconds = rkd["median_ms"].as_f64().unwrap();
    let step = json["step_ms"].as_f64().unwrap();
    assert!(milliseconds > 0.0 && milliseconds < step, "{json}");
    let share = rkd["share_of_step"].as_f64().unwrap();
    // Up to the last digits that JSON may change.
    assert!((share / (milliseconds / step) - 1.0).abs() < 1e-9, "{json}");
    #[cfg(all(target_os = "linux", feature = "flex"))]
    assert!(rkd["memory_bytes"].is_u64(), "{json}");
}

#[test]
fn a_loss_that_does_not_fit_says_why() {
    // RKD compares the members of a batch, and one image has no others.
    let folder = folder();
    let arguments = [
        "bench", "losses", "--only", "rkd", "--batch", "1", "--repeat", "1",
    ];
    let (finished, json) = measure(folder.path(), &arguments);
    assert!(json["refused"]["rkd"].is_string(), "{json}");
    assert!(json["losses"].as_object().unwrap().is_empty(), "{json}");
    assert!(finished.stdout.contains("rkd: "), "{}", finished.stdout);
}

#[test]
fn an_epoch_stands_beside_its_parts() {
    let folder = folder();
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../recipes/weights/fashion_mnist_resnet20.safetensors"
    );
    let recipe = TINY.replacen(
        "model = \"resnet8\"",
        &format!("model = \"resnet20\"\nweights = {weights:?}"),
        1,
    );
    fs::write(folder.path().join("tiny.toml"), recipe).unwrap();
    let (finished, json) = measure(folder.path(), &["bench", "epoch", "tiny.toml"]);
    assert!(
        finished.stdout.contains("| epoch 1 "),
        "{}",
        finished.stdout
    );
    let rate = |key: &str| json[key].as_f64().unwrap();
    let parts = ["loader", "teacher", "student"].map(|key| 1.0 / rate(key));
    let sum = 1.0 / parts.iter().sum::<f64>();
    assert!((rate("sum") / sum - 1.0).abs() < 1e-9, "{json}");
    assert_eq!(json["epochs"].as_array().unwrap().len(), 1);
    assert!(json["epochs"][0].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn an_epoch_needs_a_trained_teacher_and_enough_epochs() {
    // The tiny recipe's teacher has no weights.
    let finished = call(&["bench", "epoch", "tiny.toml"]);
    fails(&finished, 3, &["tiny.toml", "teacher.weights"]);
    let weights = "teacher.weights=w.safetensors";
    let finished = call(&[
        "bench",
        "epoch",
        "tiny.toml",
        "--set",
        weights,
        "--epochs",
        "2",
    ]);
    fails(&finished, 3, &["tiny.toml", "--epochs 2", "train.epochs"]);
    fails(&call(&["bench", "epoch"]), 3, &["quickstart.toml"]);
}
