//! A teacher's own statistics, and what a file of weights says of its training.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod notes;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_data::DataConfig;
use kd_models::WeightsHeader;
use kd_train::{Error, EvalOptions, Observer, Recipe, RunOptions, Silent, Summary, evaluate, run};

use notes::Notes;

const STUDENT: &str = r#"name = "teacher"

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

/// The same data normalised otherwise.
const OTHER: &str = "data.normalize={ mean = [0.5], std = [0.25] }";

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recipe(&self, text: &str, overrides: &[&str]) -> Result<Recipe, Error> {
        let file = self.path("recipe.toml");
        std::fs::write(&file, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Recipe::load(&file, &overrides)
    }

    fn run(
        &self,
        name: &str,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Result<Summary, Error> {
        let options = RunOptions {
            reuse: false,
            resume: false,
            out: self.path(name),
            seeds: 1,
            device_name: "flex".into(),
        };
        run(recipe, &options, &Device::flex(), observer)
    }

    /// Weights that a run has trained.
    fn weights(&self) -> PathBuf {
        let recipe = self.recipe(STUDENT, &[]).unwrap();
        self.run("first", &recipe, &mut Silent).unwrap();
        self.path("first").join("student.safetensors")
    }

    /// A distillation from those weights.
    fn distil(
        &self,
        name: &str,
        weights: &Path,
        overrides: &[&str],
        notes: &mut Notes,
    ) -> Result<Summary, Error> {
        let text = format!(
            "{STUDENT}\n[objective.kd]\n[teacher]\nmodel = \"resnet8\"\nweights = '{}'\n",
            weights.display()
        );
        let all = [&["compare=false"], overrides].concat();
        let recipe = self.recipe(&text, &all)?;
        self.run(name, &recipe, notes)
    }
}

/// The teacher's cross-entropy on the test images.
fn loss(summary: &Summary) -> f64 {
    summary.networks[0].test.get("loss").unwrap()
}

#[test]
fn a_teacher_with_its_own_statistics_answers_as_where_it_was_trained() {
    let scratch = Scratch::new();
    let weights = scratch.weights();
    let mut notes = Notes::default();
    let wanted = loss(&scratch.distil("same", &weights, &[], &mut notes).unwrap());
    let warned = |notes: &Notes| {
        notes
            .0
            .iter()
            .any(|note| note.starts_with("warning: teacher.weights = "))
    };
    assert!(!warned(&notes), "{:?}", notes.0);

    let own = [OTHER, "teacher.normalize=\"dataset\""];
    let found = loss(&scratch.distil("own", &weights, &own, &mut notes).unwrap());
    assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
    assert!(!warned(&notes), "{:?}", notes.0);

    // Without it the teacher is another one, which is told with the cure.
    let found = loss(
        &scratch
            .distil("wrong", &weights, &[OTHER], &mut notes)
            .unwrap(),
    );
    assert!((found - wanted).abs() > 1e-3, "{found} {wanted}");
    let warning = notes
        .0
        .iter()
        .find(|note| note.starts_with("warning: teacher.weights = "));
    let cure = "set teacher.normalize = { mean = [0.286], std = [0.353] }";
    assert!(warning.unwrap().contains(cure), "{warning:?}");
}

#[test]
fn a_cache_belongs_to_the_statistics_of_its_teacher() {
    let scratch = Scratch::new();
    let weights = scratch.weights();
    let file = scratch.path("answers.kdcache");
    let cache = format!(
        "teacher.cache={{ place = \"file\", path = '{}' }}",
        file.display()
    );
    let mut notes = Notes::default();
    let own = [OTHER, &cache, "teacher.normalize=\"dataset\""];
    scratch.distil("one", &weights, &own, &mut notes).unwrap();
    scratch.distil("again", &weights, &own, &mut notes).unwrap();
    let refused = scratch.distil("two", &weights, &[OTHER, &cache], &mut notes);
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("teacher.normalize is \"dataset\" there and not given in this run"),
        "{message}"
    );
}

#[test]
fn weights_say_what_they_were_trained_for() {
    let scratch = Scratch::new();
    let header = WeightsHeader::read(scratch.weights()).unwrap();
    assert_eq!(header.model.as_deref(), Some("resnet8"));
    assert_eq!((header.classes, header.channels), (Some(10), Some(1)));
    assert_eq!(header.size, Some(28));
    assert_eq!(header.mean, Some(vec![0.286]));
    assert_eq!(header.std, Some(vec![0.353]));
    assert_eq!(header.data.as_deref(), Some("fashion_mnist_small"));
    assert_eq!(header.class_names.unwrap()[1], "Trouser");
    assert_eq!(header.data_sha256.unwrap().len(), 64);
}

#[test]
fn values_that_are_not_finite_are_refused_by_recipe_and_evaluation() {
    let scratch = Scratch::new();
    let weights = scratch.weights();
    let mut bytes = std::fs::read(&weights).unwrap();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&f32::NAN.to_le_bytes());
    let broken = scratch.path("broken.pth");
    std::fs::write(&broken, bytes).unwrap();

    let mut notes = Notes::default();
    let refused = scratch.distil("run", &broken, &[], &mut notes);
    let start = format!("student.weights='{}'", broken.display());
    let student = scratch.recipe(STUDENT, &[&start]).unwrap();
    let student = scratch.run("student", &student, &mut Silent);
    let options = EvalOptions {
        model: "resnet8".into(),
        weights: broken,
        data: DataConfig::default(),
        batch: 64,
    };
    let measured = evaluate(&options, &Device::flex(), &mut Silent);
    for (refused, part) in [
        (refused.unwrap_err(), "teacher.weights: "),
        (student.unwrap_err(), "student.weights: "),
        (measured.unwrap_err(), ""),
    ] {
        let message = refused.to_string();
        for part in [part, "broken.pth", "not finite", "the first is NaN"] {
            assert!(message.contains(part), "{message}, without {part}");
        }
    }
}

#[test]
fn a_wrong_network_is_told_before_images_are_read() {
    let scratch = Scratch::new();
    let weights = scratch.weights();
    let images = scratch.path("images");
    for part in ["train", "test"] {
        for class in ["cat", "dog"] {
            let folder = images.join(part).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            // Reading it would be an error of its own.
            std::fs::write(folder.join("1.png"), "no image").unwrap();
        }
    }
    let data = format!(
        "data={{ name = \"folder\", size = 32, dir = '{}' }}",
        images.display()
    );
    let mut notes = Notes::default();
    let message = scratch
        .distil("run", &weights, &[&data], &mut notes)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("weights for 10 classes and images of 1 channels"),
        "{message}"
    );
    let options = EvalOptions {
        model: "resnet8".into(),
        weights,
        data: DataConfig {
            name: "folder".into(),
            dir: Some(images),
            size: Some(32),
            ..DataConfig::default()
        },
        batch: 64,
    };
    let refused = evaluate(&options, &Device::flex(), &mut Silent).unwrap_err();
    assert!(
        refused.to_string().contains("weights for 10 classes"),
        "{refused}"
    );
}

#[test]
fn what_is_said_of_weights_needs_weights() {
    let scratch = Scratch::new();
    let text = format!("{STUDENT}\n[objective.kd]\n[teacher]\nmodel = \"resnet8\"\n");
    for (override_, part) in [
        (
            "teacher.normalize=\"imagenet\"",
            "teacher.normalize is for a teacher with weights",
        ),
        (
            "teacher.weights_prefix=\"teacher\"",
            "teacher.weights_prefix is for a teacher with weights",
        ),
        (
            "student.weights_prefix=\"student\"",
            "student.weights_prefix says where in student.weights",
        ),
        (
            "teacher.normalize={ mean = [0.5], std = [0.0] }",
            "teacher.normalize = { mean = [0.5], std = [0.0] }: means must be finite",
        ),
    ] {
        let message = scratch.recipe(&text, &[override_]).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
