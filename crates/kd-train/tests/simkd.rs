//! SimKD: what is evaluated and saved is the student with the projector and the teacher's classifier.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod notes;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_data::{Augment, Loader, LoaderConfig};
use kd_models::{Network, NetworkConfig};
use kd_train::{
    EvalOptions, NetworkSummary, Recipe, Role, RunOptions, Scores, Silent, Summary, evaluate,
    predict, run,
};

use notes::Notes;

const RECIPE: &str = r#"name = "simkd"

[data]
train_limit = 200
test_limit = 100
validation = 0.2

[student]
model = "resnet8"

[teacher]
model = "resnet14"
train = { epochs = 2, batch = 16, lr = { peak = 0.05 } }

[objective.simkd]

[train]
epochs = 3
batch = 16
lr = { peak = 0.05 }
"#;

fn recipe(overrides: &[&str]) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simkd.toml");
    std::fs::write(&file, RECIPE).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    Recipe::load(&file, &overrides).unwrap()
}

fn options(out: &Path) -> RunOptions {
    RunOptions {
        out: out.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: true,
        resume: false,
    }
}

fn of(summary: &Summary, role: Role) -> &NetworkSummary {
    summary.networks.iter().find(|a| a.role == role).unwrap()
}

fn load(model: &str, path: &Path) -> Network {
    Network::from_file(&NetworkConfig::new(model, 10, 1), path, &Device::flex()).unwrap()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

#[test]
fn the_student_is_measured_and_saved_with_the_projector_and_the_teachers_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let recipe = recipe(&[]);
    let device = Device::flex();
    let summary = run(&recipe, &options(&out), &device, &mut Silent).unwrap();
    let (alone, distilled) = (of(&summary, Role::Baseline), of(&summary, Role::Distilled));

    let file = out.join("student.safetensors");
    let deployed = load("resnet8", &file);
    let head = deployed.head().unwrap();
    let teacher = load(
        "resnet14",
        &out.join("checkpoints/teacher-seed1.safetensors"),
    );
    let shown = {
        use kd_core::Taps;
        use kd_models::Backbone;
        let image = Tensor::zeros([1, 1, 28, 28], &device);
        teacher.forward(image, &Taps::all()).classifier().unwrap()
    };
    assert_eq!(numbers(head.classifier().weight), numbers(shown.weight));
    assert_eq!(numbers(head.classifier().bias), numbers(shown.bias));
    assert_eq!(distilled.adapter_parameters, 0);
    let more = deployed.cost(28).unwrap().parameters - alone.parameters;
    assert_eq!(distilled.parameters - alone.parameters, more);
    assert!(more > 64 * 32 + 9 * 32 * 32 + 32 * 64, "{more}");

    // The file alone gives the accuracy that the run reports.
    let found = evaluate(
        &EvalOptions {
            model: "resnet8".into(),
            weights: file.clone(),
            data: recipe.data.clone(),
            batch: 16,
        },
        &device,
        &mut Silent,
    )
    .unwrap();
    assert_eq!(found.scores.get("top1"), distilled.test.get("top1"));
    let loss = |scores: &Scores| scores.get("loss").unwrap();
    assert!((loss(&found.scores) - loss(&distilled.test)).abs() < 1e-6);

    // And the best epoch was chosen by it.
    let data = kd_data::load(&recipe.data, &mut |_| ()).unwrap();
    let splits = kd_data::split(&data, &recipe.data).unwrap();
    let loader = LoaderConfig {
        batch: 16,
        augment: Augment::none(),
        mean: data.mean.clone(),
        std: data.std.clone(),
        seed: 0,
        shuffle: false,
        drop_last: false,
    };
    let validation = Loader::new(data.train.clone(), splits.validation.clone(), loader).unwrap();
    let top1 = predict(&deployed, &validation, &device)
        .scores()
        .get("top1");
    let best = distilled.training.as_ref().unwrap().best_validation;
    assert_eq!(best, top1);

    // A later run takes the same network from there.
    let mut notes = Notes::default();
    let again = folder.path().join("again");
    let second = run(&recipe, &options(&again), &device, &mut notes).unwrap();
    let taken =
        |note: &String| note.starts_with("student distilled") && note.contains("taken from");
    assert!(notes.0.iter().any(taken), "{:?}", notes.0);
    let second = of(&second, Role::Distilled);
    assert_eq!(second.test, distilled.test);
    assert_eq!(second.parameters, distilled.parameters);
}

#[test]
fn a_stage_with_a_head_is_a_start_and_a_teacher_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let recipe = recipe(&[
        "stages.first={ model = \"resnet8\", objective = { simkd = {} } }",
        "student.start=first",
        "student.teachers=[\"first\"]",
        "objective={ cross_entropy = {}, kd = {} }",
        "compare=false",
        "train.epochs=1",
    ]);
    let summary = run(&recipe, &options(&out), &Device::flex(), &mut Silent).unwrap();
    let [stage, student] =
        [Role::Stage("first".into()), Role::Distilled].map(|role| of(&summary, role));
    assert_eq!(stage.parameters, student.parameters);
    // Its head is trained on: it is a part of the network.
    let first = load(
        "resnet8",
        &out.join("checkpoints/stage-first-seed1.safetensors"),
    );
    let last = load("resnet8", &out.join("student.safetensors"));
    let [first, last] = [first, last].map(|n| numbers(n.head().unwrap().classifier().weight));
    assert_ne!(first, last);
}

#[test]
fn those_who_learn_from_each_other_have_no_finished_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let recipe = recipe(&[
        "student.peers=[\"resnet8\"]",
        "student.mutual=true",
        "teacher=",
    ]);
    let mut notes = Notes::default();
    let error = run(&recipe, &options(&out), &Device::flex(), &mut notes).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("mutual = true") && message.contains("(simkd)"),
        "{message}"
    );
    assert!(!out.exists());
}
