//! What a run lacks, and why.

use std::fs;

use serde_json::Value;

use super::{
    TINY, call_with, fails,
    run::{finish, kd},
};

#[test]
fn a_run_is_diagnosed_and_its_report_shows_it() {
    let (folder, trained) = call_with(TINY, &["train", "tiny.toml", "--out", "run"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let report = || fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(
        report().contains("This run was not diagnosed"),
        "{}",
        report()
    );

    let ask = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    let told = ask(&["diagnose", "run", "--html", "page.html"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for part in [
        "Capacity gap (capacity)",
        "Feature maps (layers)",
        "Temperature (temperature)",
    ] {
        assert!(
            told.stdout.contains(part),
            "{part} is not in\n{}",
            told.stdout
        );
    }
    assert!(report().contains("Capacity gap"), "{}", report());
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(
        page.contains("<h1>run</h1>") && !page.contains("http"),
        "{page}"
    );

    let told = ask(&["diagnose", "run", "--json", "--quiet"]);
    let found: Value = serde_json::from_str(&told.stdout).unwrap();
    let kept = fs::read_to_string(folder.path().join("run/diagnosis.json")).unwrap();
    assert_eq!(found, serde_json::from_str::<Value>(&kept).unwrap());
    // Every finding but two: of other normalisations, which a teacher that was trained here cannot need, and of the norms of
    // gradients, which the last quarter of so short a run has none of.
    let keys: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["key"].as_str().unwrap())
        .collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    let all = [
        "calibration",
        "capacity",
        "classes",
        "conflict",
        "fidelity",
        "gap",
        "label_noise",
        "layers",
        "mistakes",
        "temperature",
    ];
    assert_eq!(sorted, all);
}

#[test]
fn what_cannot_be_diagnosed_says_what_would_be_right() {
    let (folder, trained) = call_with(
        TINY,
        &[
            "train",
            "tiny.toml",
            "--out",
            "run",
            "--set",
            "data.validation=0.0",
        ],
    );
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let ask = |arguments: &[&str]| finish(kd(folder.path(), arguments));
    fails(
        &ask(&["diagnose", "run"]),
        3,
        &["keeps no validation split", "data.validation"],
    );
    fails(
        &ask(&["diagnose", "nothing"]),
        3,
        &["there is no such file", "`kd train`"],
    );
}
