//! Weights without a classifier, or with one for other classes: a new one is drawn and trained, or read from a file.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod notes;

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::Taps;
use kd_models::{Backbone, Network, NetworkConfig, WeightsHeader};
use kd_train::{DataShape, Error, Recipe, RunOptions, Summary, TaskSpec, TeacherSpec, run};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use notes::Notes;

const RECIPE: &str = r#"name = "classifiers"

[data]
name = "fashion_mnist_small"
train_limit = 64
test_limit = 40
validation = 0.0
augment = "none"

[student]
model = "resnet8"

[objective.cross_entropy]

[train]
epochs = 1
batch = 16
lr = { peak = 0.05 }
"#;

const DATA: DataShape = DataShape {
    classes: 10,
    channels: 1,
    height: 28,
    width: 28,
    train: 64,
};

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with a drawn ResNet-8 for so many classes.
    fn network(&self, name: &str, classes: usize) -> Network {
        let device = Device::flex();
        let network = Network::new(&NetworkConfig::new("resnet8", classes, 1), &device).unwrap();
        let mut header = WeightsHeader::default();
        header.class_names = Some((0..classes).map(|i| format!("class {i}")).collect());
        header.data = Some("another".into());
        network.save(self.path(name), &header.entries()).unwrap();
        network
    }

    /// The tensors of a file whose names are `kept`, as a file, under names that `called` makes.
    fn part(
        &self,
        from: &str,
        to: &str,
        kept: impl Fn(&str) -> bool,
        called: impl Fn(&str) -> String,
    ) -> PathBuf {
        let bytes = std::fs::read(self.path(from)).unwrap();
        let all = SafeTensors::deserialize(&bytes).unwrap();
        let tensors: Vec<(String, TensorView)> = all
            .tensors()
            .into_iter()
            .filter(|(name, _)| kept(name))
            .map(|(name, view)| (called(&name), view))
            .collect();
        safetensors::serialize_to_file(tensors, None, &self.path(to)).unwrap();
        self.path(to)
    }

    fn recipe(&self, overrides: &[String]) -> Result<Recipe, Error> {
        std::fs::write(self.path("recipe.toml"), RECIPE).unwrap();
        Recipe::load(&self.path("recipe.toml"), overrides)
    }

    fn run(&self, overrides: &[String], notes: &mut Notes) -> Result<Summary, Error> {
        let options = RunOptions {
            reuse: false,
            resume: false,
            out: self.path("run"),
            seeds: 1,
            device_name: "flex".into(),
        };
        let _ = std::fs::remove_dir_all(self.path("run"));
        run(&self.recipe(overrides)?, &options, &Device::flex(), notes)
    }

    /// Values of a tensor of what a run has trained.
    fn trained(&self, name: &str) -> Vec<u8> {
        tensor(&self.path("run/student.safetensors"), name)
    }
}

fn tensor(file: &Path, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(file).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    all.tensor(name).unwrap().data().to_vec()
}

fn logits(network: &Network) -> TensorData {
    let values: Vec<f32> = kd_goldens::uniform("input", 2 * 28 * 28)
        .into_iter()
        .map(|v| v as f32)
        .collect();
    let images = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
    let images = images.reshape([2, 1, 28, 28]);
    network
        .valid()
        .forward(images, &Taps::none())
        .logits
        .into_data()
}

fn given(path: &Path, key: &str) -> String {
    format!("{key}='{}'", path.display())
}

#[test]
fn a_student_starts_from_a_backbone_with_a_classifier_of_its_own() {
    let scratch = Scratch::new();
    scratch.network("whole.safetensors", 7);
    let is_classifier = |name: &str| name.starts_with("fc.");
    let headless = scratch.part(
        "whole.safetensors",
        "headless.safetensors",
        |name| !is_classifier(name),
        str::to_owned,
    );
    let two = scratch.part(
        "whole.safetensors",
        "two.safetensors",
        |_| true,
        |name| format!("student.{name}"),
    );
    let weights = |path: &Path| given(path, "student.weights");
    let without = scratch.run(&[weights(&headless)], &mut Notes::default());
    let without = without.unwrap_err().to_string();
    assert!(without.contains("`new_classifier = true`"), "{without}");

    let fresh = "student.new_classifier=true".to_owned();
    let frozen = "train.groups.freeze=[\"conv1\", \"bn1\", \"layer1\", \"layer2\", \"layer3\"]";
    let mut heads = Vec::new();
    for (path, prefix) in [
        (scratch.path("whole.safetensors"), None),
        (headless, None),
        (two, Some("student.weights_prefix=\"student\"".to_owned())),
    ] {
        let all = [weights(&path), fresh.clone(), frozen.into()];
        let mut notes = Notes::default();
        let overrides: Vec<String> = all.into_iter().chain(prefix).collect();
        scratch.run(&overrides, &mut notes).unwrap();
        // It is for other classes, as it should be.
        assert!(
            !notes
                .0
                .iter()
                .any(|note| note.starts_with("warning: student.weights")),
            "{:?}",
            notes.0
        );
        let kernel = "layer2.0.conv1.weight";
        let of_file = tensor(&scratch.path("whole.safetensors"), kernel);
        assert!(scratch.trained(kernel) == of_file, "frozen");
        heads.push(scratch.trained("fc.weight"));
    }
    assert_eq!(heads[0].len(), 4 * 10 * 64);
    assert!(
        heads.iter().all(|head| *head == heads[0]),
        "the seed draws it"
    );
}

#[test]
fn a_classifier_may_be_in_a_file_of_its_own() {
    let scratch = Scratch::new();
    let whole = scratch.network("whole.safetensors", 10);
    let is_classifier = |name: &str| name.starts_with("fc.");
    let headless = scratch.part(
        "whole.safetensors",
        "headless.safetensors",
        |name| !is_classifier(name),
        str::to_owned,
    );
    // As `torch.nn.Linear` names them, and as a part of something.
    let bare = scratch.part(
        "whole.safetensors",
        "bare.safetensors",
        is_classifier,
        |name| name.trim_start_matches("fc.").to_owned(),
    );
    let probe = scratch.part(
        "whole.safetensors",
        "probe.safetensors",
        is_classifier,
        |name| format!("probe.{name}"),
    );
    let device = Device::flex();
    for classifier in [bare.clone(), probe, scratch.path("whole.safetensors")] {
        let spec = TeacherSpec {
            weights: Some(headless.clone()),
            classifier_weights: Some(classifier.clone()),
            ..TeacherSpec::new("resnet8")
        };
        let teacher = DATA.load_teacher(&spec, &headless, &device).unwrap();
        assert_eq!(logits(&teacher), logits(&whole), "{}", classifier.display());
    }
    let other = scratch.network("other.safetensors", 10);
    let spec = TeacherSpec {
        weights: Some(headless.clone()),
        classifier_weights: Some(scratch.path("other.safetensors")),
        ..TeacherSpec::new("resnet8")
    };
    let mixed = DATA.load_teacher(&spec, &headless, &device).unwrap();
    assert_ne!(logits(&mixed), logits(&whole));
    assert_ne!(logits(&mixed), logits(&other));

    // A recipe runs with it, and its paths are the recipe's.
    let mut notes = Notes::default();
    let overrides = [
        "objective.kd={}".to_owned(),
        "compare=false".into(),
        "teacher.model=resnet8".into(),
        given(&headless, "teacher.weights"),
        given(&bare, "teacher.classifier_weights"),
    ];
    let by_parts = scratch.run(&overrides, &mut notes).unwrap();
    let overrides = [
        "objective.kd={}".to_owned(),
        "compare=false".into(),
        "teacher.model=resnet8".into(),
        given(&scratch.path("whole.safetensors"), "teacher.weights"),
    ];
    let at_once = scratch.run(&overrides, &mut notes).unwrap();
    let loss = |summary: &Summary| summary.networks[0].test.get("loss").unwrap();
    assert_eq!(loss(&by_parts), loss(&at_once));
}

#[test]
fn what_is_no_classifier_is_told() {
    let scratch = Scratch::new();
    scratch.network("whole.safetensors", 10);
    scratch.network("seven.safetensors", 7);
    let is_classifier = |name: &str| name.starts_with("fc.");
    scratch.part(
        "whole.safetensors",
        "headless.safetensors",
        |name| !is_classifier(name),
        str::to_owned,
    );
    let bytes: Vec<u8> = [f32::NAN; 640]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let view = |shape: &[usize]| {
        let length = 4 * shape.iter().product::<usize>();
        TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes[..length]).unwrap()
    };
    let write = |name: &str, tensors: Vec<(&str, TensorView)>| {
        safetensors::serialize_to_file(tensors, None, &scratch.path(name)).unwrap();
    };
    let layer = [("weight", view(&[10, 64])), ("bias", view(&[10]))];
    write("nan.safetensors", layer.to_vec());
    let two = [
        ("a.weight", view(&[10, 64])),
        ("a.bias", view(&[10])),
        ("b.weight", view(&[10, 32])),
        ("b.bias", view(&[10])),
    ];
    write("two.safetensors", two.to_vec());
    let whole = scratch.path("whole.safetensors");
    for (file, parts) in [
        (
            "headless.safetensors",
            ["student.weights", "it holds no classifier"],
        ),
        (
            "seven.safetensors",
            ["[10, 64] and [10]", "[7, 64] and [7]"],
        ),
        ("nan.safetensors", ["nan.safetensors", "`weight` holds NaN"]),
        (
            "two.safetensors",
            ["`a.weight`, `b.weight`", "save that one alone"],
        ),
        ("none.safetensors", ["none.safetensors", "student.weights"]),
    ] {
        let overrides = [
            given(&whole, "student.weights"),
            given(&scratch.path(file), "student.classifier_weights"),
        ];
        let error = scratch.run(&overrides, &mut Notes::default()).unwrap_err();
        let error = error.to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let weights = given(&whole, "student.weights");
    for (overrides, part) in [
        (
            vec!["student.new_classifier=true".to_owned()],
            "student.new_classifier is for a network with student.weights",
        ),
        (
            vec!["student.classifier_weights=x".into()],
            "student.classifier_weights is for a network with student.weights",
        ),
        (
            vec![
                weights,
                "student.new_classifier=true".into(),
                "student.classifier_weights=x".into(),
            ],
            "keep one of them",
        ),
        (
            vec![
                "objective.kd={}".into(),
                "teacher.model=resnet8".into(),
                "teacher.classifier_weights=x".into(),
            ],
            "teacher.classifier_weights is for a teacher with weights",
        ),
    ] {
        let error = scratch.recipe(&overrides).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_teacher_may_be_a_stage_whose_classifier_alone_is_trained() {
    let scratch = Scratch::new();
    scratch.network("whole.safetensors", 7);
    let overrides = [
        given(&scratch.path("whole.safetensors"), "stages.probe.weights"),
        "stages.probe.model=resnet8".into(),
        "stages.probe.new_classifier=true".into(),
        "stages.probe.teachers=[]".into(),
        "stages.probe.train={ epochs = 2, batch = 16, lr = { peak = 0.05 }, groups = { freeze = [\"conv1\", \"bn1\", \
         \"layer1\", \"layer2\", \"layer3\"] } }"
            .into(),
        "student.teachers=[\"probe\"]".into(),
        "objective.kd={}".into(),
        "compare=false".into(),
    ];
    let recipe = scratch.recipe(&overrides).unwrap();
    let again: Recipe = toml::from_str(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(again, recipe);
    kd_train::check(&recipe, &DATA, &Device::flex()).unwrap();
    let summary = scratch.run(&overrides, &mut Notes::default()).unwrap();
    assert_eq!(summary.networks.len(), 2);
}
