//! What `kd study` writes, and what it says when it cannot.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    fails,
    run::{Finished, TINY, finish, kd},
};

const STUDY: &str = r#"recipe = "tiny.toml"
seeds = 2

[base]
train.log_every = 2

[variants.kd]

[variants.at.objective]
cross_entropy = {}
at.weight = 10.0
"#;

/// A folder with the tiny recipe and a study of it.
fn folder(study: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    fs::write(folder.path().join("study.toml"), study).unwrap();
    folder
}

/// `kd study study.toml` and more arguments.
fn study(folder: &Path, arguments: &[&str]) -> Finished {
    finish(kd(folder, &[&["study", "study.toml"], arguments].concat()))
}

/// A study with one line for another that is refused with all of `parts`.
fn refused(from: &str, to: &str, parts: &[&str]) {
    assert!(STUDY.contains(from), "{from}");
    let folder = folder(&STUDY.replacen(from, to, 1));
    fails(&study(folder.path(), &[]), 3, parts);
    assert!(!folder.path().join("runs").exists(), "{to}");
}

#[test]
fn a_study_compares_its_variants_and_goes_on_where_it_ended() {
    let folder = folder(STUDY);
    let runs = folder.path().join("runs/study");
    let finished = study(folder.path(), &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for part in ["variant 1 of 2, `kd`", "variant 2 of 2, `at`"] {
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
    for part in ["| student alone", "| kd", "| at", "runs/study/study.html"] {
        assert!(finished.stdout.contains(part), "{}", finished.stdout);
    }
    let table = fs::read_to_string(runs.join("table.md")).unwrap();
    assert!(finished.stdout.starts_with(&table), "{}", finished.stdout);
    let page = fs::read_to_string(runs.join("study.html")).unwrap();
    assert!(page.contains("href=\"at/report.html\""), "{page}");
    assert!(runs.join("at/report.html").is_file());

    let results = json(&runs.join("study.json"));
    check_results(&results, &runs);

    // Of a run that ended in the middle, only the records are there.
    fs::remove_file(runs.join("at/summary.json")).unwrap();
    let again = study(folder.path(), &[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    for part in [
        "`kd`: finished before, not run again",
        "`at`: was not finished, goes on",
    ] {
        assert!(again.stderr.contains(part), "{}", again.stderr);
    }
    // All its trainings were finished, and are not done again.
    assert_eq!(again.stderr.matches("epoch 1/1").count(), 0);
    assert_eq!(again.stderr.matches("--fresh").count(), 3);
    let top1 = |results: &Value| results["variants"][1]["score"].clone();
    assert_eq!(top1(&json(&runs.join("study.json"))), top1(&results));

    // Finished runs of other settings are not taken for these, nor thrown away.
    let other = study(folder.path(), &["--set", "train.epochs=2"]);
    fails(
        &other,
        3,
        &["runs/study/kd", "train.epochs (1 instead of 2)", "--out"],
    );
    let other = study(folder.path(), &["--seeds", "3"]);
    fails(
        &other,
        3,
        &["runs/study/kd", "seeds = 2 instead of 3", "--out"],
    );
}

/// The numbers of the study are those of its runs.
fn check_results(results: &Value, runs: &Path) {
    let top1 = |variant: &str, role: &str| -> Vec<f64> {
        let summary = json(&runs.join(variant).join("summary.json"));
        let networks = summary["networks"].as_array().unwrap().clone();
        networks
            .iter()
            .filter(|a| a["role"] == role)
            .map(|a| a["test"]["list"][0]["value"].as_f64().unwrap())
            .collect()
    };
    let numbers = |value: &Value| -> Vec<f64> {
        let values = value.as_array().unwrap();
        values.iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
    let alone = top1("kd", "alone");
    assert_eq!(alone.len(), 2);
    assert_eq!(top1("at", "alone").len(), 0, "the second trains none");
    let [kd, at] = ["kd", "at"].map(|variant| top1(variant, "distilled"));
    assert_eq!(numbers(&results["alone"]["score"]["values"]), alone);
    let [first, second] = [&results["variants"][0], &results["variants"][1]];
    assert_eq!(
        numbers(&first["gain"]["points"]["values"]),
        minus(&kd, &alone)
    );
    assert_eq!(
        numbers(&second["gain"]["points"]["values"]),
        minus(&at, &alone)
    );
    assert_eq!(
        numbers(&second["above_first"]["points"]["values"]),
        minus(&at, &kd)
    );
    assert!(first["above_first"].is_null());
    let recipe = fs::read_to_string(runs.join("at/recipe.toml")).unwrap();
    for part in ["name = \"study-at\"", "log_every = 2", "[objective.at]"] {
        assert!(recipe.contains(part), "{recipe}");
    }
    assert!(!recipe.contains("[objective.kd]"), "{recipe}");
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).expect("JSON")
}

#[test]
fn a_mistake_names_the_file_the_variant_and_the_key() {
    refused(
        "seeds = 2",
        "seed = 2",
        &["study.toml:2:", "`seed`", "did you mean `seeds`"],
    );
    refused(
        "seeds = 2",
        "seeds = 0",
        &["study.toml", "seeds = 0", "at least 1"],
    );
    refused("tiny.toml", "none.toml", &["none.toml"]);
    refused(
        "[variants.kd]",
        "[variants.kd]\ntrain.epoch = 2",
        &[
            "study.toml: variant `kd`: train: unknown field `epoch`",
            "did you mean `epochs`",
        ],
    );
    refused(
        "at.weight",
        "att.weight",
        &[
            "study.toml: variant `at`: objective.att",
            "did you mean `at`",
        ],
    );
    refused(
        "at.weight = 10.0",
        "fitnet.level = 9",
        &["variant `at`", "objective.fitnet", "9"],
    );
    refused(
        "at.weight = 10.0",
        "at.weight = 10.0\n[variants.at.stages.first]\nmodel = \"resnet14\"\n\
         objective.hint.level = 9",
        &["variant `at`: stages.first: objective.hint: unknown term"],
    );
    refused(
        "at.weight = 10.0",
        "at.weight = 10.0\n[variants.at.stages.first]\nmodel = \"resnet14\"\n\
         weights = \"none.safetensors\"\n[variants.at.student]\nmodel = \"resnet8\"\n\
         teachers = [\"first\"]",
        &["variant `at`", "none.safetensors"],
    );
    refused(
        "at.weight = 10.0",
        "at.weight = 10.0\n[variants.at.teacher]\nweights = \"none.safetensors\"",
        &["variant `at`", "none.safetensors"],
    );
    refused(
        "at.weight = 10.0",
        "at.weight = 10.0\n[variants.at.student]\nmodel = \"resnet8\"\n\
         weights = \"none.safetensors\"",
        &["variant `at`", "none.safetensors"],
    );
    refused(
        "[variants.kd]",
        "[variants.\"a/b\"]",
        &["variant `a/b`", "folder"],
    );
    refused(
        "[variants.kd]",
        "[variants.kd]\nname = \"x\"",
        &["variant `kd`", "`name`"],
    );
    refused(
        "[variants.kd]",
        "[variants]\nkd = 1",
        &["variant `kd`", "table", "1"],
    );
    let none = folder("recipe = \"tiny.toml\"\nvariants = {}\n");
    fails(
        &study(none.path(), &[]),
        3,
        &["study.toml", "[variants.NAME]"],
    );
    let good = folder(STUDY);
    let finished = study(good.path(), &["--set", "train.epoch=1"]);
    fails(&finished, 3, &["--set", "did you mean `epochs`"]);
    let finished = finish(kd(good.path(), &["study", "none.toml"]));
    fails(&finished, 3, &["none.toml"]);
}

#[test]
fn an_unfair_comparison_is_refused() {
    let unfair = |change: &str, parts: &[&str]| {
        let change = format!("[variants.at]\n{change}\n\n[variants.at.objective]");
        refused("[variants.at.objective]", &change, parts);
    };
    unfair(
        "train.epochs = 2",
        &[
            "variant `at`",
            "train.epochs (2 instead of 1)",
            "compare = true",
        ],
    );
    unfair(
        "student.model = \"resnet14\"",
        &["student.model", "compare = true"],
    );
    unfair(
        "data.train_limit = 32",
        &["data.train_limit", "compare = true"],
    );
    unfair(
        "teacher.cache.views = 2",
        &["teacher.cache.views", "compare = true"],
    );
    refused(
        "cross_entropy = {}",
        "cross_entropy.smoothing = 0.1",
        &["smoothing (0.1 instead of 0.0)", "compare = true"],
    );
    refused(
        "[variants.kd]",
        "[variants.kd]\ncompare = false",
        &["variant `kd`", "the first variant"],
    );
}

#[test]
fn a_variant_may_bring_its_own_comparison() {
    let study_toml = format!(
        "{STUDY}\n[variants.more]\ncompare = true\ntrain.epochs = 2\n\n\
         [variants.labels]\nteacher = \"\"\nobjective.cross_entropy = {{}}\n"
    );
    let folder = folder(&study_toml);
    let finished = study(folder.path(), &["--seeds", "1", "--quiet"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let runs = folder.path().join("runs/study");
    let results = json(&runs.join("study.json"));
    let summary = json(&runs.join("more/summary.json"));
    let top1 = |role: &str| {
        let networks = summary["networks"].as_array().unwrap();
        let role = networks.iter().find(|a| a["role"] == role).unwrap();
        role["test"]["list"][0]["value"].as_f64().unwrap()
    };
    let gain = |at: usize| results["variants"][at]["gain"]["points"]["mean"].as_f64();
    assert_eq!(gain(2), Some(top1("distilled") - top1("alone")));
    // The student on labels is the student alone, by the same seed and budget.
    assert_eq!(gain(3), Some(0.0));
}
