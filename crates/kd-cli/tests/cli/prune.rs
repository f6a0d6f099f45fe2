//! `kd prune`.

use std::fs;

use super::run::{finish, kd};

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../recipes/weights/fashion_mnist_resnet20.safetensors"
);

#[test]
fn a_network_is_pruned_and_evaluated_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let pruned = run(&[
        "prune",
        WEIGHTS,
        "half.safetensors",
        "--macs",
        "0.5",
        "--plan",
        "plan.json",
        "--picture",
        "plan.svg",
    ]);
    assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    for part in [
        "of the multiply-accumulates",
        "are left",
        "largest difference",
    ] {
        assert!(pruned.stdout.contains(part), "{}", pruned.stdout);
    }
    let plan = fs::read_to_string(folder.path().join("plan.json")).expect("a plan");
    assert!(plan.contains("conv1.weight:0"), "{plan}");
    let picture = fs::read_to_string(folder.path().join("plan.svg")).expect("a picture");
    assert!(picture.contains(" of 64</text>"), "{picture}");
    let bytes = |path: &str| {
        fs::metadata(folder.path().join(path))
            .expect("a file")
            .len()
    };
    assert!(bytes("half.safetensors") < bytes(WEIGHTS));
    let again = run(&["convert", "half.safetensors", "again.safetensors"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let onnx = run(&[
        "export",
        "--weights",
        "half.safetensors",
        "--onnx",
        "half.onnx",
    ]);
    assert_eq!(onnx.code, Some(0), "{}", onnx.stderr);
}

#[test]
fn bad_requests_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |more: &[&str]| {
        let arguments = [&["prune", WEIGHTS, "out.safetensors"], more].concat();
        let finished = finish(kd(folder.path(), &arguments));
        assert_eq!(finished.code, Some(3), "{}", finished.stderr);
        finished.stderr
    };
    assert!(refused(&[]).contains("say how far to prune"));
    assert!(refused(&["--ratio", "1"]).contains("from 0 to below 1"));
    assert!(refused(&["--macs", "0.00001"]).contains("cannot be reached"));
    assert!(refused(&["--macs", "0.5", "--round-to", "0"]).contains("round_to"));
    assert!(!folder.path().join("out.safetensors").exists());
}
