//! The examples run, and leave what a run leaves.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::Path;

use kd_train::{Record, Role, Summary};

#[path = "../examples/own_student.rs"]
#[allow(dead_code, reason = "its main function")]
mod own_student;
#[path = "../examples/own_task.rs"]
#[allow(dead_code, reason = "its main function")]
mod own_task;
#[path = "../examples/own_transformer.rs"]
#[allow(dead_code, reason = "its main function")]
mod own_transformer;

/// The components of the distilled student's steps, after a look at the folder.
fn components(folder: &Path) -> Vec<String> {
    for file in [
        "recipe.toml",
        "student.safetensors",
        "summary.json",
        "report.html",
    ] {
        assert!(folder.join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let lines = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let records = lines.lines().map(|line| Record::read(line).unwrap());
    let mut steps = records.filter_map(|record| match record {
        Record::Step(step) if step.role == Role::Distilled => Some(step),
        _ => None,
    });
    steps.next_back().unwrap().components.into_keys().collect()
}

fn first_score(summary: &Summary, role: Role) -> f64 {
    let network = summary.networks.iter().find(|n| n.role == role).unwrap();
    network.test.first().unwrap().value
}

#[test]
fn a_student_and_a_loss_of_ones_own_are_a_run() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let summary = own_student::run_in(folder.to_str().unwrap()).unwrap();
    assert_eq!(components(&folder), ["cross_entropy", "kd", "l1"]);
    let models: Vec<_> = summary.networks.iter().map(|n| n.model.as_str()).collect();
    assert_eq!(models, ["resnet8", "small", "small"]);
    // Parameters of two convolutions and a classifier.
    let parameters = 16 * 9 + 16 + 32 * 16 * 9 + 32 + 320 + 10;
    assert_eq!(summary.networks[1].parameters, parameters);
}

#[test]
fn a_transformer_of_ones_own_learns_from_the_tokens_of_another() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let summary = own_transformer::run_in(folder.to_str().unwrap()).unwrap();
    let learned = ["cross_entropy", "kd", "tinybert_hidden"];
    assert_eq!(components(&folder), learned);
    assert!(first_score(&summary, Role::Distilled).is_finite());
}

#[test]
fn a_task_of_ones_own_is_a_run_in_which_padding_does_not_count() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let summary = own_task::run_in(folder.to_str().unwrap()).unwrap();
    assert_eq!(components(&folder), ["cross_entropy", "kd", "margin"]);
    // Chance is a third; a network that sees the token before knows nearly all.
    assert!(first_score(&summary, Role::Teacher) > 90.0);
    assert!(first_score(&summary, Role::Distilled) > 50.0);
    assert_eq!(summary.networks[0].macs, None);
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("<blockquote>token "), "a sample as text");
}
