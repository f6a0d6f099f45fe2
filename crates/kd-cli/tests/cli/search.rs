//! What `kd search` writes, and what it says when it cannot.

use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    fails,
    run::{Finished, TINY, finish, kd},
};

const SEARCH: &str = r#"recipe = "tiny.toml"
sampler = "random"
trials = 4
seed = 3
asha = { least = 1, eta = 2 }
objectives = ["validation", "parameters"]

[base]
train.epochs = 2
teacher = ""
objective = { cross_entropy = {} }

[parameters]
objective.cross_entropy.smoothing = { from = 0.0, to = 0.3 }
student.model = ["resnet8", "resnet14"]
"#;

/// A folder with the tiny recipe and a search in it.
fn folder(search: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    fs::write(folder.path().join("space.toml"), search).unwrap();
    folder
}

fn search(folder: &Path, arguments: &[&str]) -> Finished {
    finish(kd(folder, &[&["search", "space.toml"], arguments].concat()))
}

fn found(folder: &Path, out: &str) -> Value {
    let text = fs::read_to_string(folder.join(out).join("search.json")).unwrap();
    serde_json::from_str(&text).expect("JSON")
}

/// What does not depend on the clock.
fn curves(found: &Value) -> Vec<(Value, Value)> {
    let trials = found["trials"].as_array().unwrap();
    trials
        .iter()
        .map(|t| (t["changes"].clone(), t["curves"].clone()))
        .collect()
}

#[test]
fn a_search_stops_bad_trials_goes_on_with_good_ones_and_never_reads_the_test_split() {
    let here = folder(SEARCH);
    let finished = search(here.path(), &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for part in [
        "4 trials",
        "The test split was not read",
        "kd train runs/space/best.toml",
        "runs/space/search.html",
    ] {
        assert!(
            finished.stdout.contains(part),
            "{part}: {}",
            finished.stdout
        );
    }
    let out = here.path().join("runs/space");
    let all = found(here.path(), "runs/space");
    let epochs: Vec<usize> = all["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["curves"][0].as_array().unwrap().len())
        .collect();
    // One of two goes on, as soon as there are two.
    let whole = epochs.iter().filter(|e| **e == 2).count();
    assert_eq!((epochs.len(), whole), (4, 2), "{epochs:?}");
    assert!(
        finished.stderr.contains("to 1 epoch:") && finished.stderr.contains("to 2 epochs:"),
        "{}",
        finished.stderr
    );
    // What goes on is not begun again.
    assert!(
        finished.stderr.contains("goes on in epoch 2 of 2"),
        "{}",
        finished.stderr
    );
    for trial in 1..=4 {
        assert!(
            !out.join(format!("trial-{trial}-seed1/summary.json"))
                .exists(),
            "nothing was measured"
        );
    }
    let parameters: Vec<f64> = all["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["costs"][0].as_f64().unwrap())
        .collect();
    assert!(parameters.iter().all(|p| *p > 10_000.0), "{parameters:?}");
    let page = fs::read_to_string(out.join("search.html")).unwrap();
    assert!(
        page.contains("id=\"heat\"") && page.contains("id=\"front\""),
        "{page}"
    );

    // The same again, without a training.
    let again = search(here.path(), &[]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(curves(&found(here.path(), "runs/space")), curves(&all));

    // And elsewhere, interrupted after its first trials: what is lost is what was not written down.
    let text = fs::read_to_string(out.join("search.json")).unwrap();
    let mut half: Value = serde_json::from_str(&text).unwrap();
    half["trials"].as_array_mut().unwrap().truncate(1);
    half["trials"][0]["curves"] = Value::Array(Vec::new());
    half["trials"][0]["ended"] = false.into();
    fs::write(out.join("search.json"), half.to_string()).unwrap();
    let third = search(here.path(), &["--quiet"]);
    assert_eq!(third.code, Some(0), "{}", third.stderr);
    assert_eq!(curves(&found(here.path(), "runs/space")), curves(&all));

    // The recipe that won trains as it is; nothing that the search trained is trained again.
    let run = finish(kd(
        here.path(),
        &["train", "runs/space/best.toml", "--out", "runs/space/best"],
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("an earlier run has done the same"),
        "{}",
        run.stderr
    );

    let other = search(here.path(), &["--set", "train.batch=16"]);
    fails(&other, 3, &["runs/space", "another recipe", "--out"]);
}

#[test]
fn trials_in_processes_of_their_own_train_the_same() {
    let here = folder(
        &SEARCH
            .replace("asha = { least = 1, eta = 2 }", "seeds = 2")
            .replace("trials = 4", "trials = 2"),
    );
    let one = search(here.path(), &["--out", "one"]);
    let two = search(here.path(), &["--out", "two", "--jobs", "2"]);
    assert_eq!(
        (one.code, two.code),
        (Some(0), Some(0)),
        "{}\n{}",
        one.stderr,
        two.stderr
    );
    let [one, two] = ["one", "two"].map(|out| curves(&found(here.path(), out)));
    assert_eq!(one, two);
    assert_eq!(one[0].1.as_array().unwrap().len(), 2, "two seeds");
}

#[test]
fn a_training_whose_loss_is_no_number_is_the_worst_and_no_end() {
    let here = folder(
        "recipe = \"tiny.toml\"\nsampler = \"grid\"\n\
         [base]\nteacher = \"\"\nobjective = { cross_entropy = {} }\n\
         [parameters]\ntrain.lr.peak = [1e30, 0.05]\n",
    );
    for _ in 0..2 {
        let finished = search(here.path(), &["--out", "out"]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let found = found(here.path(), "out");
        let problem = found["trials"][0]["problem"].as_str();
        assert!(problem.is_some_and(|p| p.contains("loss")), "{found}");
        assert!(found["trials"][1]["problem"].is_null(), "{found}");
        let best = fs::read_to_string(here.path().join("out/best.toml")).unwrap();
        assert!(best.contains("peak = 0.05"), "{best}");
    }
}

#[test]
fn a_mistake_names_the_file_and_the_key() {
    for (from, to, parts) in [
        (
            "trials = 4",
            "trial = 4",
            ["space.toml:3:", "did you mean `trials`"],
        ),
        ("trials = 4", "", ["`trials` is missing", "trials = 20"]),
        (
            "\"random\"",
            "\"grid\"",
            ["trials = 4", "all its 10 combinations"],
        ),
        ("\"random\"", "\"randm\"", ["space.toml:2:", "random"]),
        ("tiny.toml", "none.toml", ["none.toml", "read the recipe"]),
        ("least = 1", "least = 9", ["least = 9", "train.epochs"]),
        (
            "[\"validation\", \"parameters\"]",
            "[\"parameters\"]",
            ["objectives begin", "\"validation\""],
        ),
        (
            "{ from = 0.0, to = 0.3 }",
            "{ from = 0.0, to = 3.0 }",
            ["smoothing=3.0", "smoothing"],
        ),
        (
            "[parameters]",
            "[parameters]\ntrain.epochs = [1, 2]",
            ["`train.epochs`", "[asha]"],
        ),
        (
            "[parameters]",
            "[parameters]\nseed = [1, 2]",
            ["`seed`", "seeds = N"],
        ),
        (
            "student.model",
            "student.modell",
            ["student", "did you mean `model`"],
        ),
        ("\"resnet14\"", "\"resnet15\"", ["resnet15", "resnet14"]),
        (
            "train.epochs = 2",
            "train.epochs = 2\ndata.validation = 0.0",
            ["data.validation", "[base]"],
        ),
    ] {
        assert!(SEARCH.contains(from), "{from}");
        let here = folder(&SEARCH.replacen(from, to, 1));
        let finished = search(here.path(), &[]);
        fails(&finished, 3, &parts);
        assert!(!here.path().join("runs").exists(), "{to}");
    }
    let here = folder(SEARCH);
    let finished = finish(kd(here.path(), &["search", "tiny.toml"]));
    fails(
        &finished,
        3,
        &["this is a recipe, not a search", "kd train tiny.toml"],
    );
}

const GRID: &str = r#"recipe = "tiny.toml"
sampler = "grid"
seeds = 2

[base]
train.epochs = 2
teacher = ""
objective = { cross_entropy = {} }

[parameters]
objective.cross_entropy.smoothing = [0.0, 0.1, 0.2]
"#;

#[test]
fn workers_divide_a_search_and_one_that_is_killed_loses_nothing() {
    let alone = folder(GRID);
    assert_eq!(search(alone.path(), &["--quiet"]).code, Some(0));
    let here = folder(GRID);
    let worker = ["search", "space.toml", "--worker", "--lease", "3"];
    let spawn = || {
        let mut command = kd(here.path(), &worker);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("kd starts")
    };
    let (mut killed, other) = (spawn(), spawn());
    let began = Instant::now();
    let leases = here.path().join("runs/space/shared/runs");
    while fs::read_dir(&leases).map_or(0, Iterator::count) < 2 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing begins");
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = other.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let last = search(here.path(), &[]);
    assert_eq!(last.code, Some(0), "{}", last.stderr);
    assert!(!last.stderr.contains("epoch 1/2"), "{}", last.stderr);
    assert_eq!(
        curves(&found(here.path(), "runs/space")),
        curves(&found(alone.path(), "runs/space"))
    );
}

#[test]
fn a_search_whose_trials_follow_from_others_is_not_for_workers() {
    for (space, why) in [
        (SEARCH.to_owned(), "ASHA"),
        (
            SEARCH
                .replace("\"random\"", "\"tpe\"")
                .replace("asha = { least = 1, eta = 2 }\n", ""),
            "TPE",
        ),
    ] {
        let here = folder(&space);
        fails(&search(here.path(), &["--worker"]), 3, &[why, "--jobs"]);
    }
}
