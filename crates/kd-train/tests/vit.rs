//! Vision transformers as teachers and students of a run: images of another size, a classifier of their own, layers of the
//! teacher, and the report of a study.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kd_core::{Part, Taps, draw};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::study::{self, Study};
use kd_train::{
    DataShape, ProbeOptions, Recipe, RunOptions, Silent, TaskSpec, TeacherSpec, explain, probe, run,
};

/// 28×28 images of one channel; the teacher sees them at 32×32, 4×4 patches.
const RECIPE: &str = r#"name = "vit"
[data]
name = "fashion_mnist_small"
train_limit = 96
test_limit = 60
validation = 0.25
augment = { crop = 0, flip = true }

[teacher]
model = "vit_p8_d6_w192_mlp4"
weights = "teacher.safetensors"
size = 32
cache = { embedding = true, maps = [6], precision = "f16", place = "file" }

[student]
model = "resnet8"

[objective.cross_entropy]
weight = 0.1
[objective.kd]

[train]
epochs = 1
batch = 32
lr = { peak = 0.05 }
"#;

struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A folder with the recipe and the weights of a transformer that was only drawn.
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
        draw::seed(7);
        let config = NetworkConfig::new("vit_p8_d6_w192_mlp4", 10, 1);
        let teacher = Network::new(&config, &Device::flex()).unwrap();
        teacher
            .save(scratch.path("teacher.safetensors"), &[])
            .unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recipe(&self, overrides: &[&str]) -> Result<Recipe, kd_train::Error> {
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Recipe::load(&self.path("recipe.toml"), &overrides)
    }

    fn run(&self, name: &str, overrides: &[&str]) -> Result<kd_train::Summary, kd_train::Error> {
        let options = RunOptions {
            out: self.path("runs").join(name),
            seeds: 1,
            device_name: "flex".into(),
            reuse: true,
            resume: true,
        };
        run(
            &self.recipe(overrides)?,
            &options,
            &Device::flex(),
            &mut Silent,
        )
    }
}

#[test]
fn a_teacher_sees_images_of_its_own_size() {
    let scratch = Scratch::new();
    let device = Device::flex();
    let images = DataShape {
        classes: 10,
        channels: 1,
        height: 28,
        width: 28,
        train: 10,
    };
    let file = scratch.path("teacher.safetensors");
    let mut spec = TeacherSpec::new("vit_p8_d6_w192_mlp4");
    // 28 pixels are no whole number of patches.
    let refused = images
        .load_teacher(&spec, &file, &device)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("multiple of 8"), "{refused}");
    spec.size = Some(32);
    let teacher = images.load_teacher(&spec, &file, &device).unwrap();
    let shown = teacher.forward(images.example(2, &device), &Taps::all());
    assert_eq!(shown.map(6).unwrap().dims(), [2, 192, 4, 4]);
    assert_eq!(shown.levels(Part::Maps), 7);
    // An image of one colour stays one, so it is as if it had been of that size.
    let grey = |size: usize| Tensor::<4>::ones([1, 1, size, size], &device) * 0.3;
    let logits = |size| -> Vec<f32> {
        let output = teacher.forward(grey(size), &Taps::none());
        output.logits.into_data().iter().collect()
    };
    for (small, large) in logits(28).into_iter().zip(logits(32)) {
        assert!((small - large).abs() < 1e-4, "{small} {large}");
    }
}

#[test]
fn a_classifier_of_its_own_is_trained_on_what_the_network_shows() {
    let scratch = Scratch::new();
    let out = scratch.path("probed/teacher.safetensors");
    let options = ProbeOptions {
        epochs: 40,
        ..ProbeOptions::default()
    };
    let recipe = scratch.recipe(&[]).unwrap();
    let found = probe(&recipe, &options, &out, &Device::flex(), &mut Silent).unwrap();
    assert_eq!(found.images, [96, 32]);
    // Drawn features tell some of the ten kinds of clothes apart.
    assert!(found.train > 50.0 && found.validation > 20.0, "{found:?}");
    let weights = format!("teacher.weights={}", out.display());
    let summary = scratch.run("probed", &[&weights]).unwrap();
    let teacher = &summary.networks[0];
    let score = teacher.validation.as_ref().unwrap();
    assert!(
        (score.value - found.validation).abs() < 1e-3,
        "{score:?} {found:?}"
    );
    // The same again is not done again.
    let before = fs::metadata(&out).unwrap().modified().unwrap();
    let again = probe(&recipe, &options, &out, &Device::flex(), &mut Silent).unwrap();
    assert_eq!(again, found);
    assert_eq!(fs::metadata(&out).unwrap().modified().unwrap(), before);
}

#[test]
fn a_student_begins_with_layers_of_its_teacher() {
    let scratch = Scratch::new();
    let device = Device::flex();
    let network = |model: &str| NetworkConfig::new(model, 10, 1).with_image_size(28);
    let deep = Network::new(&network("vit_p4_d9_w192_mlp2"), &device).unwrap();
    deep.save(scratch.path("deep.safetensors"), &[]).unwrap();
    let weights = format!(
        "teacher.weights={}",
        scratch.path("deep.safetensors").display()
    );
    let with = |layers: &str| {
        let begins = format!("student.init_from={{ layers = {layers} }}");
        let overrides = [
            "teacher.model=vit_p4_d9_w192_mlp2",
            &weights,
            "teacher.size=",
            "teacher.cache=",
            "student.model=vit_p4_d6_w192_mlp2",
            &begins,
            // It stays where it begins.
            "train.lr.peak=1e-9",
            "train.batches_per_epoch=1",
        ];
        scratch.run("layers", &overrides)
    };
    let problem = with("[0, 1]").unwrap_err().to_string();
    assert!(
        problem.contains("student.init_from") && problem.contains("must be 6"),
        "{problem}"
    );
    with("[0, 2, 3, 5, 6, 8]").unwrap();
    let images = Tensor::<4>::ones([2, 1, 28, 28], &device) * 0.5;
    let first_block = |network: &Network| -> Vec<f32> {
        let output = network.forward(images.clone(), &Taps::all());
        output.tokens(1).unwrap().into_data().iter().collect()
    };
    for file in ["student.safetensors", "checkpoints/alone-seed1.safetensors"] {
        let path = scratch.path("runs/layers").join(file);
        let student = Network::from_file(&network("vit_p4_d6_w192_mlp2"), path, &device).unwrap();
        for (own, teacher) in first_block(&student).iter().zip(first_block(&deep)) {
            assert!((own - teacher).abs() < 1e-4, "{own} {teacher}");
        }
    }
    let wrong = scratch.recipe(&["student.init_from={ layer = [0] }"]);
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.contains("layers"), "{wrong}");
    let both = [
        "student.init_from={ layers = [0] }",
        "student.weights=teacher.safetensors",
    ];
    let wrong = scratch.recipe(&both).unwrap_err().to_string();
    assert!(wrong.contains("keep one of them"), "{wrong}");
}

#[test]
fn parts_that_a_network_does_not_have_are_refused() {
    let scratch = Scratch::new();
    for (groups, parts) in [
        (
            "freeze = [\"layer9\"]",
            &["train.groups.freeze", "`layer9`", "layer1"][..],
        ),
        (
            "layer_rate = 0.9",
            &["train.groups.layer_rate", "no blocks", "resnet8"],
        ),
        ("layer_rate = 1.5", &["train.groups.layer_rate = 1.5"]),
        ("freese = []", &["`freeze`"]),
    ] {
        let problem = scratch.run("refused", &[&format!("train.groups={{ {groups} }}")]);
        let problem = problem.unwrap_err().to_string();
        for part in parts {
            assert!(problem.contains(part), "{problem} without {part}");
        }
    }
}

const STUDY: &str = r#"recipe = "recipe.toml"
seeds = 2
[variants.kd]
[variants.kd_rkd.objective]
cross_entropy.weight = 0.1
kd = {}
rkd = {}
[variants.fitnet.objective]
cross_entropy = {}
fitnet = { level = 3 }
"#;

#[test]
fn a_study_is_explained_by_its_numbers() {
    let scratch = Scratch::new();
    let path = scratch.path("study.toml");
    fs::write(&path, STUDY).unwrap();
    let out = scratch.path("out");
    let nothing = explain(&out, &Device::flex(), &mut Silent)
        .unwrap_err()
        .to_string();
    assert!(nothing.contains("holds no finished variant"), "{nothing}");
    let study = Study::load(&path, &[], None).unwrap();
    let results = study::run(&study, &out, &Device::flex(), "flex", &mut Silent).unwrap();
    let page = explain(&out, &Device::flex(), &mut Silent).unwrap();
    let found: kd_train::Explanation =
        serde_json::from_str(&fs::read_to_string(out.join("explained.json")).unwrap()).unwrap();
    let names: Vec<&str> = found.students.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        ["untrained", "student alone", "kd", "kd_rkd", "fitnet"]
    );
    let families: Vec<&str> = found.students.iter().map(|s| s.family.as_str()).collect();
    assert_eq!(
        families,
        [
            "nothing",
            "labels",
            "logits",
            "logits + relations",
            "features"
        ]
    );
    assert!(
        found
            .students
            .iter()
            .all(|s| s.alignment.len() == 5 && s.alignment[0].len() == 4)
    );
    let changed: Vec<(&str, &str)> = found
        .changes
        .iter()
        .map(|c| (c.from.as_str(), c.to.as_str()))
        .collect();
    assert_eq!(changed, [("kd", "kd_rkd")]);
    let gained = &results.variants[1]
        .above_first
        .as_ref()
        .unwrap()
        .points
        .values;
    assert_eq!(&found.changes[0].points.values, gained);
    // A drawn teacher knows less than any student.
    let texts =
        ["report.md", "report.html"].map(|file| fs::read_to_string(out.join(file)).unwrap());
    for text in &texts {
        assert!(
            text.contains("this teacher knows less than its student"),
            "{text}"
        );
        assert!(!text.contains("NaN"), "{text}");
    }
    assert!(texts[1].contains("class=\"warning\"") && page.ends_with("report.html"));
    for outside in ["http://", "https://", "src=", "<script"] {
        assert!(!texts[1].contains(outside), "{outside}");
    }
    measured_once(&out);
}

/// The teacher of a study is measured by its first variant alone.
fn measured_once(out: &Path) {
    let kept = fs::read_dir(out.join("finished")).unwrap();
    let kept = kept.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("teacher-")
    });
    assert_eq!(kept.count(), 1);
    let teacher = |variant: &str| {
        let text = fs::read_to_string(out.join(variant).join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        summary["networks"][0].clone()
    };
    // To the last digit, times too.
    assert_eq!(teacher("kd"), teacher("fitnet"));
    assert_eq!(teacher("kd")["role"], "teacher");
}
