//! What `kd improve` tries, writes and says, and that a killed one goes on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    fails,
    run::{Finished, TINY, finish, kd},
};

/// Two seeds on few images: seconds, and too few to show anything.
const CALL: [&str; 8] = [
    "improve",
    "tiny.toml",
    "--budget",
    "40",
    "--seeds",
    "2",
    "--set",
    "train.epochs=4",
];

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    folder
}

fn improve(folder: &Path, out: &str) -> Finished {
    finish(kd(folder, &[&CALL[..], &["--out", out]].concat()))
}

fn found(folder: &Path, out: &str) -> Value {
    let text = fs::read_to_string(folder.join(out).join("improve.json")).unwrap();
    serde_json::from_str(&text).expect("JSON")
}

/// When each training ended.
fn ended(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let runs = fs::read_dir(out.join("runs")).into_iter().flatten();
    let markers = runs.map(|run| run.unwrap().path().join("trained"));
    let times = markers.filter_map(|marker| {
        let time = marker.metadata().ok()?.modified().ok()?;
        Some((marker, time))
    });
    times.collect()
}

/// What does not depend on the clock.
fn timeless(mut found: Value) -> Value {
    found["spent"]["seconds"] = 0.into();
    found
}

#[test]
fn every_step_is_decided_and_a_killed_procedure_ends_as_one_that_was_not() {
    let here = folder();
    let finished = improve(here.path(), "whole");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for part in [
        "Rate test",
        "A small batch by heart",
        "Spread of seeds",
        "weights and temperature",
        "read once at the end",
        "whole/improve.html",
    ] {
        assert!(
            finished.stdout.contains(part),
            "{part}: {}",
            finished.stdout
        );
    }
    let whole = found(here.path(), "whole");
    let keys: Vec<&str> = whole["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["rate", "features", "search", "assistant"]);
    assert_eq!(whole["given"].as_array().unwrap().len(), 2);
    assert_eq!(whole["test"]["given"].as_array().unwrap().len(), 2);
    assert!(
        whole["spent"]["trainings"].as_f64().unwrap() <= 40.0,
        "{whole}"
    );
    let out = here.path().join("whole");
    for file in [
        "improve.html",
        "best.toml",
        "diagnosis.html",
        "test/study.html",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }
    // No training of a comparison was measured; those of the end are.
    for run in fs::read_dir(out.join("runs")).unwrap() {
        assert!(!run.unwrap().path().join("summary.json").exists());
    }
    // The recipe that won is a recipe.
    let again = ["improve", "whole/best.toml", "--budget", "1"];
    fails(&finish(kd(here.path(), &again)), 3, &["too small"]);

    // Killed after a few trainings, and started again.
    let out = here.path().join("killed");
    let mut child = kd(
        here.path(),
        &[&CALL[..], &["--out", "killed", "--quiet"]].concat(),
    )
    .spawn()
    .unwrap();
    let begun = Instant::now();
    while ended(&out).len() < 4 {
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "four trainings take seconds"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = ended(&out);
    let again = improve(here.path(), "killed");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let after = ended(&out);
    assert!(before.iter().all(|(marker, time)| after[marker] == *time));
    assert_eq!(
        timeless(found(here.path(), "killed")),
        timeless(whole.clone())
    );

    // And once more, without a training.
    let third = improve(here.path(), "killed");
    assert_eq!(third.code, Some(0), "{}", third.stderr);
    assert_eq!(ended(&out), after);
    assert!(!third.stderr.contains("seed 1"), "{}", third.stderr);
    let other = ["--set", "train.batch=16", "--out", "killed"];
    fails(
        &finish(kd(here.path(), &[&CALL[..], &other].concat())),
        3,
        &["killed", "another recipe"],
    );
}

#[test]
fn what_cannot_be_improved_says_what_would_be_right() {
    let here = folder();
    let call = |arguments: &[&str]| {
        finish(kd(
            here.path(),
            &[&["improve", "tiny.toml"], arguments].concat(),
        ))
    };
    for (arguments, code, parts) in [
        (
            &[
                "--budget",
                "40",
                "--set",
                "teacher=",
                "--set",
                "objective={ cross_entropy = {} }",
            ][..],
            3,
            &["tiny.toml", "[teacher]"][..],
        ),
        (
            &[
                "--budget",
                "40",
                "--set",
                "objective={ cross_entropy = {} }",
            ],
            3,
            &["[teacher]", "no term of [objective] compares"],
        ),
        (
            &["--budget", "40", "--set", "data.validation=0.0"],
            3,
            &["tiny.toml", "data.validation = 0", "data.validation = 0.1"],
        ),
        (
            &["--budget", "5"],
            3,
            &[
                "--budget 5 is too small",
                "11 trainings with 5 seeds",
                "--seeds",
            ],
        ),
        (
            &["--budget", "40", "--seeds", "1"],
            3,
            &["--seeds 1", "at least 2"],
        ),
        (&["--budget", "soon"], 2, &["2h, 90m", "60"]),
        (&[], 2, &["--budget"]),
    ] {
        fails(&call(arguments), code, parts);
        assert!(
            !here.path().join("runs").exists(),
            "{arguments:?} left a folder"
        );
    }
    // A time is known to be too short once a training has told how long one takes.
    fails(
        &call(&["--budget", "0.01s", "--seeds", "2"]),
        3,
        &["is too small: a training takes", "What was trained is kept"],
    );
}
