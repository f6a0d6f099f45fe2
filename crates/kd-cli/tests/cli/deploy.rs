//! `kd bench deploy`: networks as they are deployed, beside other runtimes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{bench::measure, call, fails};

const QUICK: [&str; 6] = ["--batch", "2", "--seconds", "0.01", "--rounds", "1"];

fn deploy(folder: &Path, arguments: &[&str]) -> (String, Value) {
    let arguments = [&["bench", "deploy"], arguments, &QUICK].concat();
    let (finished, json) = measure(folder, &arguments);
    (finished.stdout, json)
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
    assert_eq!(
        rows.len(),
        2 * 2 * if threads > 1 { 2 } else { 1 },
        "{json}"
    );
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!(row["runtime"], "kd");
        assert!(number("median_ms") > 0.0 && number("median_ms") <= number("p95_ms"));
        assert!(number("p95_ms") <= number("p99_ms"), "{row}");
        let rate = 1e3 * number("batch") / number("median_ms");
        assert!((number("images_per_second") / rate - 1.0).abs() < 1e-9);
    }
    for name in ["onnxruntime", "openvino"] {
        let missing = format!("{name} was not measured: give --python");
        assert!(stdout.contains(&missing), "{stdout}");
    }
    let svg = fs::read_to_string(folder.path().join("deploy.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("resnet8, kd, 1 thread"));
}

/// Something that answers as Python does.
#[cfg(unix)]
fn interpreter(folder: &Path, says: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("python");
    fs::write(&path, format!("#!/bin/sh\n{says}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("net.onnx"), "").unwrap();
}

#[cfg(unix)]
const OTHERS: [&str; 5] = ["resnet8", "--onnx", "net.onnx", "--python", "./python"];

#[test]
#[cfg(unix)]
fn other_runtimes_stand_beside_ours_and_what_they_say_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    interpreter(
        folder.path(),
        r#"echo '{"versions": {"onnxruntime": "1.2", "openvino": "3.4"}}'
while read -r line; do
  case "$line" in
    *openvino*) echo '{"error": "RuntimeError: no such layer"}';;
    *) echo '{"ms": [3e9, 1e9, 2e9]}';;
  esac
done"#,
    );
    let (stdout, json) = deploy(folder.path(), &OTHERS);
    let rows = json["rows"].as_array().unwrap();
    let of = |name: &str| {
        let mut rows = rows.iter().filter(|row| row["runtime"] == name);
        rows.next().unwrap_or_else(|| panic!("{json}")).clone()
    };
    assert_eq!(of("onnxruntime")["median_ms"], 2e9);
    assert_eq!(of("onnxruntime")["p99_ms"], 3e9);
    let problem = "openvino on net.onnx: RuntimeError: no such layer";
    assert_eq!(of("openvino")["problem"], problem);
    assert!(stdout.contains(problem), "{stdout}");
    assert!(!stdout.contains("was not measured"), "{stdout}");
    assert_eq!(json["openvino"], "3.4");
}

#[test]
#[cfg(unix)]
fn an_interpreter_without_the_packages_or_without_an_answer_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let versions = r#"{"versions": {"onnxruntime": null, "openvino": null}}"#;
    interpreter(
        folder.path(),
        &format!("echo '{versions}'; cat > /dev/null"),
    );
    let (stdout, _) = deploy(folder.path(), &OTHERS);
    let missing = "install it for that Python: pip install openvino";
    assert!(stdout.contains(missing), "{stdout}");
    interpreter(folder.path(), "exit 1");
    let mut kd = super::run::kd(folder.path(), &["bench", "deploy"]);
    kd.args(OTHERS);
    let finished = super::run::finish(kd);
    fails(&finished, 1, &["./python", "ended without an answer"]);
}

#[test]
fn what_cannot_be_measured_is_refused_first() {
    let finished = call(&["bench", "deploy"]);
    fails(&finished, 2, &["NETWORK"]);
    let finished = call(&["bench", "deploy", "resnet9"]);
    fails(&finished, 3, &["resnet9", "resnet8"]);
    let finished = call(&["bench", "deploy", "resnet8", "--onnx", "none.onnx"]);
    fails(&finished, 3, &["--onnx none.onnx", "no such file"]);
    let finished = call(&["bench", "deploy", "resnet8", "vgg8", "--onnx", "a.onnx"]);
    fails(&finished, 3, &["1 times for 2 networks"]);
    let finished = call(&["bench", "deploy", "resnet8", "--python", "python3"]);
    fails(&finished, 2, &["--onnx"]);
    let finished = call(&["bench", "deploy", "tiny.toml"]);
    fails(&finished, 3, &["tiny.toml"]);
}
