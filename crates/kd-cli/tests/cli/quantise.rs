//! `kd quantise`.

use super::call_with;
use super::run::{TINY, finish, kd};

#[test]
fn a_student_is_quantised_and_exported_like_any_other() {
    let train = [
        "train",
        "tiny.toml",
        "--out",
        "run",
        "--set",
        "data.validation=0.5",
    ];
    let (folder, trained) = call_with(TINY, &train);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let run = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let quantised = run(&[
        "quantise",
        "run",
        "int8.safetensors",
        "--images",
        "8",
        "--symmetric",
    ]);
    assert_eq!(quantised.code, Some(0), "{}", quantised.stderr);
    for part in [
        "| conv1",
        "| fc",
        "with floats",
        "on grids; the two agree on",
        "int8.safetensors",
    ] {
        assert!(quantised.stdout.contains(part), "{}", quantised.stdout);
    }
    let export = [
        "export",
        "--weights",
        "int8.safetensors",
        "--onnx",
        "int8.onnx",
        "--check",
        "tensorrt",
    ];
    let exported = run(&export);
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    assert!(
        exported.stdout.contains("QuantizeLinear"),
        "{}",
        exported.stdout
    );
    // What it is worth with integers: the same images, as good as on grids to some of them.
    let top1 = |arguments: &[&str]| -> f64 {
        let told = run(arguments);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let line = told.stdout.lines().find(|line| line.contains("top-1"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse().ok())
            .expect("top-1")
    };
    let weights = ["eval", "run", "--weights", "int8.safetensors"];
    let (on_grids, integers) = (top1(&weights), top1(&[&weights[..], &["--int8"]].concat()));
    assert!((on_grids - integers).abs() <= 10.0, "{on_grids} {integers}");
    let told = run(&[&weights[..], &["--int8"]].concat()).stdout;
    assert!(
        told.contains("resnet8 in 8-bit integers on 32 test images"),
        "{told}"
    );
    let measured = run(&[
        "bench",
        "deploy",
        "int8.safetensors",
        "--batch",
        "2",
        "--seconds",
        "0.01",
        "--rounds",
        "1",
    ]);
    assert_eq!(measured.code, Some(0), "{}", measured.stderr);
    for way in [" kd |", " kd f32 |", " kd int8 |", " rten |"] {
        assert!(measured.stdout.contains(way), "{}", measured.stdout);
    }
    // Two layers with floats: those that move the answers most.
    let mixed = run(&[
        "quantise",
        "run",
        "mixed.safetensors",
        "--images",
        "8",
        "--bits",
        "2",
        "--floats",
        "2",
    ]);
    assert_eq!(mixed.code, Some(0), "{}", mixed.stderr);
    let rows = |text: &str| text.lines().filter(|line| line.starts_with('|')).count();
    assert_eq!(rows(&mixed.stdout) + 2, rows(&quantised.stdout));

    let refused = |arguments: &[&str], code: i32, part: &str| {
        let finished = run(arguments);
        super::fails(&finished, code, &[part]);
    };
    refused(&["quantise", "run", "int8.safetensors"], 3, "exists");
    refused(
        &["eval", "run", "--int8"],
        3,
        "computes with floats; `kd quantise`",
    );
    refused(
        &["eval", "run", "--weights", "mixed.safetensors", "--int8"],
        3,
        "there are no integers for floats",
    );
    refused(
        &["quantise", "run", "x.safetensors", "--bits", "9"],
        3,
        "9 bits: from 2 to 8",
    );
    refused(
        &["quantise", "run", "x.safetensors", "--keep", "cnv1"],
        3,
        "there is no layer `cnv1`",
    );
    refused(
        &[
            "quantise",
            "run",
            "x.safetensors",
            "--weights",
            "int8.safetensors",
        ],
        3,
        "on grids already",
    );
    refused(&["quantise", "nowhere", "x.safetensors"], 3, "nowhere");
    assert!(!folder.path().join("x.safetensors").exists());
}

#[test]
fn a_file_is_measured_in_the_program_that_runs_it() {
    let stage = [
        "train",
        "tiny.toml",
        "--out",
        "run",
        "--set",
        "stages.file={ do = \"export\", model = \"resnet8\", start = \"student\" }",
    ];
    let (folder, trained) = call_with(TINY, &stage);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let run = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let top1 = |text: &str| {
        let line = text.lines().find(|line| line.trim().starts_with("top-1"));
        line.expect("a line of top-1").to_owned()
    };
    let own = run(&["eval", "run"]);
    let other = run(&["eval", "run", "--onnx", "run/file.onnx"]);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    assert!(
        other
            .stdout
            .contains("run/file.onnx in rten on 32 test images"),
        "{}",
        other.stdout
    );
    assert_eq!(top1(&own.stdout), top1(&other.stdout));
    let refused = run(&["eval", "run", "--onnx", "run/none.onnx"]);
    super::fails(
        &refused,
        3,
        &["--onnx run/none.onnx: there is no such file"],
    );
    let refused = run(&["eval", "run", "--onnx", "run/recipe.toml"]);
    assert!(
        refused.stderr.contains("recipe.toml in rten"),
        "{}",
        refused.stderr
    );
}
