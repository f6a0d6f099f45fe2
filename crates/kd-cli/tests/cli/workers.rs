//! Workers that share the trainings of a study, and are killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use super::fails;
use super::run::{Finished, TINY, finish, kd};

const STUDY: &str = r#"recipe = "tiny.toml"
seeds = 2

[base]
train.epochs = 3

[variants.kd]

[variants.at.objective]
cross_entropy = {}
at.weight = 10.0
"#;
/// For each of two seeds the student alone, `kd` and `at`. The teacher is the first student alone by another name: the
/// same network on the same labels.
const TRAININGS: usize = 6;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    fs::write(folder.path().join("study.toml"), STUDY).unwrap();
    folder
}

/// `kd study study.toml` and more arguments, to its end.
fn study(folder: &Path, arguments: &[&str]) -> Finished {
    let finished = finish(kd(folder, &[&["study", "study.toml"], arguments].concat()));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished
}

/// Every file of the finished trainings that follows from the inputs alone.
fn finished(runs: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for training in fs::read_dir(runs.join("finished")).unwrap() {
        let training = training.unwrap();
        let name = training.file_name().into_string().unwrap();
        assert!(!name.starts_with("unfinished-"), "{name}");
        if !training.path().is_dir() {
            continue;
        }
        for file in fs::read_dir(training.path()).unwrap() {
            let file = file.unwrap().path();
            let called = file.file_name().unwrap().to_str().unwrap();
            let bytes = fs::read(&file).unwrap();
            // Records and results hold seconds.
            if called == "inputs.json" {
                files.insert(format!("{name}/{called}"), bytes);
            } else if called.ends_with(".safetensors") {
                files.insert(format!("{name}/{called}"), tensors(&bytes));
            }
        }
    }
    files
}

/// Names, shapes and values; the order of the header's text is another in each file.
fn tensors(file: &[u8]) -> Vec<u8> {
    let read = SafeTensors::deserialize(file).unwrap();
    let mut tensors = read.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut bytes = Vec::new();
    for (name, tensor) in tensors {
        bytes.extend(format!("{name} {:?} {:?} ", tensor.dtype(), tensor.shape()).bytes());
        bytes.extend(tensor.data());
    }
    assert!(bytes.len() > 100_000, "a network has more values");
    bytes
}

/// What one machine makes of the study.
fn alone() -> (BTreeMap<String, Vec<u8>>, Vec<Value>) {
    let folder = folder();
    study(folder.path(), &["--quiet"]);
    let runs = folder.path().join("runs/study");
    (finished(&runs), scores(&runs))
}

/// The shared results are those of one machine, and nothing is trained for the table.
fn check(folder: &Path, store: &[&str], shared: &Path) {
    let last = study(folder, store);
    assert_eq!(trainings(&last.stderr), 0, "{}", last.stderr);
    let (files, of_one) = alone();
    assert_eq!(files.len(), 2 * TRAININGS);
    let ours = finished(shared);
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        files.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &files {
        assert!(ours[name] == *bytes, "{name} differs");
    }
    assert_eq!(scores(&folder.join("runs/study")), of_one);
}

/// Trainings whose first epoch was told of.
fn trainings(said: &str) -> usize {
    let first = |line: &&str| line.contains("epoch 1/3") && !line.contains(", step ");
    said.lines().filter(first).count()
}

/// The test scores of every network, of every seed.
fn scores(runs: &Path) -> Vec<Value> {
    let text = fs::read_to_string(runs.join("study.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    let variants = results["variants"].as_array().unwrap();
    let networks = [&results["alone"]].into_iter().chain(variants);
    let scores: Vec<Value> = networks.map(|n| n["score"]["values"].clone()).collect();
    assert!(
        scores
            .iter()
            .all(|values| values.as_array().is_some_and(|v| v.len() == 2))
    );
    scores
}

#[test]
fn workers_divide_the_trainings_and_do_none_twice() {
    let folder = folder();
    let store = ["--store", "store"];
    let spawn = |part: &str| {
        let shard = ["study", "study.toml", "--shard", part];
        let mut command = kd(folder.path(), &[&shard[..], &store].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("kd starts")
    };
    let workers = [spawn("1/2"), spawn("2/2")];
    let mut trained = 0;
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        trained += trainings(&said);
    }
    assert_eq!(trained, TRAININGS);
    check(folder.path(), &store, &folder.path().join("store"));
}

#[test]
fn workers_that_are_killed_lose_nothing() {
    let folder = folder();
    let mut random = StdRng::seed_from_u64(1);
    let spawn = || -> Child {
        let arguments = ["study", "study.toml", "--worker", "--lease", "3", "--quiet"];
        let mut command = kd(folder.path(), &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("kd starts")
    };
    let mut workers = [spawn(), spawn()];
    let (mut kills, began) = (0, Instant::now());
    let mut ended = [false; 2];
    while ended != [true; 2] {
        assert!(began.elapsed() < Duration::from_secs(600), "it never ends");
        std::thread::sleep(Duration::from_millis(random.random_range(300..1500)));
        let at = random.random_range(0..2);
        match workers[at].try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "{status}");
                ended[at] = true;
            }
            None if kills < 6 => {
                workers[at].kill().unwrap();
                workers[at].wait().unwrap();
                workers[at] = spawn();
                kills += 1;
            }
            None => {}
        }
    }
    assert!(kills > 0);
    let shared = folder.path().join("runs/study");
    check(folder.path(), &[], &shared);
}

#[test]
#[cfg(not(feature = "object-stores"))]
fn an_object_store_names_the_feature_that_is_missing() {
    let folder = folder();
    let store = ["study", "study.toml", "--store", "s3://bucket/a"];
    for more in [&[][..], &["--worker"]] {
        let wrong = finish(kd(folder.path(), &[&store[..], more].concat()));
        fails(&wrong, 3, &["s3://bucket/a", "--features object-stores"]);
    }
}

#[test]
fn a_part_that_is_none_is_refused() {
    let folder = folder();
    let wrong = finish(kd(
        folder.path(),
        &["study", "study.toml", "--shard", "3/2"],
    ));
    fails(&wrong, 2, &["3/2", "1/4 to 4/4"]);
}
