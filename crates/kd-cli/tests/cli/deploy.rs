//! `kd bench deploy`: networks as they are deployed, beside other runtimes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::run::{Finished, TINY, finish, kd};
use super::{call, call_with, fails};

const QUICK: [&str; 6] = ["--batch", "2", "--seconds", "0.01", "--rounds", "1"];

/// Runs the command where `python3` is what stands in `folder`, or nothing.
fn run(folder: &Path, arguments: &[&str]) -> Finished {
    let outcome = ["--json", "out.json"];
    let mut command = kd(
        folder,
        &[&["bench", "deploy"], arguments, &QUICK, &outcome].concat(),
    );
    command.env("PATH", folder);
    finish(command)
}

fn deploy(folder: &Path, arguments: &[&str]) -> (String, Value) {
    let finished = run(folder, arguments);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let json = fs::read(folder.join("out.json")).expect("the measurements");
    (
        finished.stdout,
        serde_json::from_slice(&json).expect("JSON"),
    )
}

#[test]
fn a_student_and_its_teacher_are_measured_with_every_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../recipes/weights/fashion_mnist_resnet20.safetensors"
    );
    let (stdout, json) = deploy(folder.path(), &["resnet8", weights, "--svg", "deploy.svg"]);
    let networks = json["networks"].as_array().unwrap();
    assert_eq!(networks[0]["parameters"], 83_892);
    // The file says which network it is of, and that its images are grey.
    assert_eq!(networks[1]["image"][0], 1, "{json}");
    assert!(networks[1]["prepared_bytes"].as_u64() > networks[1]["file_bytes"].as_u64());
    let threads = std::thread::available_parallelism().unwrap().get();
    let rows = json["rows"].as_array().unwrap();
    let numbers = if threads > 1 { 2 } else { 1 };
    assert_eq!(rows.len(), 2 * 2 * numbers * 2, "{json}");
    for (place, row) in rows.iter().enumerate() {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!(row["runtime"], ["kd", "rten"][place % 2]);
        assert!(number("median_ms") > 0.0 && number("median_ms") <= number("p95_ms"));
        assert!(number("p95_ms") <= number("p99_ms"), "{row}");
        let rate = 1e3 * number("batch") / number("median_ms");
        assert!((number("images_per_second") / rate - 1.0).abs() < 1e-9);
    }
    for name in ["onnxruntime", "openvino"] {
        let missing = format!("{name} was not measured: start python3");
        assert!(stdout.contains(&missing), "{stdout}");
        let how = format!("give --python an interpreter that has it (pip install {name})");
        assert!(stdout.contains(&how), "{stdout}");
    }
    let svg = fs::read_to_string(folder.path().join("deploy.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("resnet8, kd, 1 thread"));
    assert!(svg.contains("resnet8, rten, 1 thread"));
}

/// Something that answers as Python does.
#[cfg(unix)]
fn interpreter(file: &Path, says: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, format!("#!/bin/sh\n{says}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Reads on, with no more than a shell has itself.
#[cfg(unix)]
const IDLE: &str = "while read -r line; do :; done";

#[test]
#[cfg(unix)]
fn other_runtimes_are_given_the_network_and_what_they_say_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    // ONNX Runtime answers only for a file that is there.
    interpreter(
        &folder.path().join("python3"),
        r#"echo '{"versions": {"onnxruntime": "1.2", "openvino": "3.4"}}'
while read -r line; do
  case "$line" in
    *openvino*) echo '{"error": "RuntimeError: no such layer"}';;
    *) file=${line#*\"file\":\"}; file=${file%%\"*}
       if [ -s "$file" ]; then echo '{"ms": [3e9, 1e9, 2e9]}'; else echo '{"error": "no file"}'; fi;;
  esac
done"#,
    );
    let (stdout, json) = deploy(folder.path(), &["resnet8"]);
    let rows = json["rows"].as_array().unwrap();
    let of = |name: &str| {
        let mut rows = rows.iter().filter(|row| row["runtime"] == name);
        rows.next().unwrap_or_else(|| panic!("{json}")).clone()
    };
    assert_eq!(of("onnxruntime")["median_ms"], 2e9);
    assert_eq!(of("onnxruntime")["p99_ms"], 3e9);
    assert!(of("rten")["median_ms"].as_f64() > Some(0.0));
    let problem = "openvino on resnet8: RuntimeError: no such layer";
    assert_eq!(of("openvino")["problem"], problem);
    assert_eq!(stdout.matches(problem).count(), 1, "{stdout}");
    assert!(!stdout.contains("was not measured"), "{stdout}");
    assert_eq!(json["openvino"], "3.4");
}

#[test]
#[cfg(unix)]
fn an_interpreter_without_the_packages_or_without_an_answer_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let versions = r#"{"versions": {"onnxruntime": null, "openvino": null}}"#;
    let says = format!("echo '{versions}'; {IDLE}");
    for name in ["python", "python3"] {
        interpreter(&folder.path().join(name), &says);
    }
    let (stdout, json) = deploy(folder.path(), &["resnet8", "--python", "./python"]);
    let missing = "openvino was not measured: install it: ./python -m pip install openvino";
    assert!(stdout.contains(missing), "{stdout}");
    assert!(
        json["openvino"].is_null() && json["rten"] == "0.27",
        "{json}"
    );
    let (stdout, _) = deploy(folder.path(), &["resnet8"]);
    let missing = "openvino was not measured: python3 does not have it; give --python";
    assert!(stdout.contains(missing), "{stdout}");

    // Who names an interpreter wants it; the other may be missing.
    for name in ["python", "python3"] {
        interpreter(&folder.path().join(name), "exit 1");
    }
    let finished = run(folder.path(), &["resnet8", "--python", "./python"]);
    fails(&finished, 1, &["./python", "ended without an answer"]);
    let (stdout, _) = deploy(folder.path(), &["resnet8"]);
    assert!(stdout.contains("ended without an answer"), "{stdout}");
}

#[test]
fn the_networks_of_a_run_are_measured_into_its_report() {
    let (folder, trained) = call_with(TINY, &["train", "tiny.toml", "--out", "run"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let report = || fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(!report().contains("id=\"deployed\""));
    let (stdout, json) = deploy(folder.path(), &["--run", "run"]);
    let kept = fs::read(folder.path().join("run/deploy.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), json);
    let networks = json["networks"].as_array().unwrap();
    assert_eq!(networks.len(), 2, "{json}");
    for network in networks {
        assert!(
            stdout.contains(network["name"].as_str().unwrap()),
            "{stdout}"
        );
    }
    assert!(report().contains("id=\"deployed\""));

    let missing = run(folder.path(), &["--run", "nothing"]);
    fails(&missing, 3, &["nothing", "`kd train`"]);
}

#[test]
fn what_cannot_be_measured_is_refused_first() {
    let finished = call(&["bench", "deploy"]);
    fails(&finished, 2, &["NETWORK"]);
    let finished = call(&["bench", "deploy", "resnet9"]);
    fails(&finished, 3, &["resnet9", "resnet8"]);
    let missing = ["bench", "deploy", "resnet8", "--python", "nowhere/python"];
    fails(&call(&missing), 1, &["start nowhere/python"]);
    let finished = call(&["bench", "deploy", "tiny.toml"]);
    fails(&finished, 3, &["tiny.toml"]);
}
