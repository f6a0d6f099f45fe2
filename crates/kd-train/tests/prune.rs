//! Stages that lose channels, or get integer grids, before their training.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use kd_core::draw;
use kd_models::{Network, NetworkConfig};
use kd_train::{Recipe, RunOptions, Silent, Summary, run};

const RECIPE: &str = r#"name = "prune"
[data]
name = "fashion_mnist_small"
train_limit = 96
test_limit = 60
validation = 0.25

[teacher]
model = "resnet8"
weights = "teacher.safetensors"

[student]
model = "resnet8"
prune = { macs = 0.5 }

[objective.cross_entropy]
weight = 0.1
[objective.kd]

[train]
epochs = 1
batch = 32
lr = { peak = 0.01 }
"#;

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
        draw::seed(7);
        let teacher = Network::new(&config(), &Device::flex()).unwrap();
        let path = scratch.path("teacher.safetensors");
        teacher.save(path, &[]).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recipe(&self, overrides: &[&str]) -> Result<Recipe, kd_train::Error> {
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Recipe::load(&self.path("recipe.toml"), &overrides)
    }

    fn run(&self, name: &str, overrides: &[&str]) -> Result<Summary, kd_train::Error> {
        let options = RunOptions {
            out: self.path("runs").join(name),
            seeds: 1,
            device_name: "flex".into(),
            reuse: true,
            resume: true,
        };
        let recipe = self.recipe(overrides)?;
        run(&recipe, &options, &Device::flex(), &mut Silent)
    }

    fn network(&self, file: &str) -> Network {
        let path = self.path("runs").join(file);
        Network::from_file(&config(), path, &Device::flex()).unwrap()
    }

    /// The bytes of a file behind its header, whose entries have no order.
    fn values(&self, file: &str) -> Vec<u8> {
        let bytes = fs::read(self.path("runs").join(file)).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        bytes[8 + header as usize..].to_vec()
    }
}

fn config() -> NetworkConfig {
    NetworkConfig::new("resnet8", 10, 1).with_image_size(28)
}

fn macs(network: &Network) -> u64 {
    network.cost(28).unwrap().macs
}

#[test]
fn what_is_left_is_trained_with_the_teacher_and_alone() {
    let scratch = Scratch::new();
    let whole = macs(&Network::new(&config(), &Device::flex()).unwrap());
    scratch.run("one", &[]).unwrap();
    let student = scratch.network("one/student.safetensors");
    let left = macs(&student);
    assert!(left <= whole / 2 && left > whole / 3, "{left} of {whole}");
    let alone = scratch.network("one/checkpoints/alone-seed1.safetensors");
    assert_eq!(alone.cost(28).unwrap(), student.cost(28).unwrap());
    // Another run with the same recipe has the trainings of the first, to the last bit.
    scratch.run("two", &[]).unwrap();
    let values = |run: &str| scratch.values(&format!("{run}/student.safetensors"));
    assert!(values("one") == values("two"));
}

#[test]
fn a_stage_is_distilled_pruned_and_distilled() {
    let scratch = Scratch::new();
    let whole = macs(&Network::new(&config(), &Device::flex()).unwrap());
    let stages = [
        "stages.whole.model=resnet8",
        "student.start=whole",
        "student.teachers=[\"whole\"]",
    ];
    scratch.run("stages", &stages).unwrap();
    assert!(macs(&scratch.network("stages/student.safetensors")) <= whole / 2);
}

#[test]
fn a_stage_is_pruned_and_trained_on_grids() {
    let scratch = Scratch::new();
    let stages = [
        "stages.whole.model=resnet8",
        "student.start=whole",
        "student.teachers=[\"whole\"]",
        "student.quantise={ images = 40 }",
        "compare=false",
    ];
    scratch.run("one", &stages).unwrap();
    let student = scratch.network("one/student.safetensors");
    let grids = student.grids().unwrap();
    assert!(grids.len() == 10 && grids.iter().all(Option::is_some));
    let whole = scratch.network("one/checkpoints/stage-whole-seed1.safetensors");
    assert!(macs(&student) <= macs(&whole) / 2 && whole.grids().is_none());
    // What another run left is used, and is the same to the last bit; other bits are another training.
    scratch.run("two", &stages).unwrap();
    let values = |run: &str| scratch.values(&format!("{run}/student.safetensors"));
    assert!(values("one") == values("two"));
    let coarse = [&stages[..], &["student.quantise.weights=3"]].concat();
    scratch.run("three", &coarse).unwrap();
    assert!(values("one") != values("three"));
}

#[test]
fn bad_requests_name_the_key_and_the_cure() {
    let scratch = Scratch::new();
    let refused = |overrides: &[&str]| scratch.recipe(overrides).unwrap_err().to_string();
    for (overrides, parts) in [
        (
            vec!["student.prune={ ratio = 1.0 }"],
            vec!["student.prune.ratio: 1 of the channels", "below 1"],
        ),
        (vec!["student.prune={}"], vec!["student.prune.goal", "macs"]),
        (
            vec!["student.prune={ macs = 0.5, ratio = 0.5 }"],
            vec!["with one of `macs`"],
        ),
        (
            vec!["student.prune={ macs = 0.5, by = \"l3\" }"],
            vec!["l3"],
        ),
        (
            vec!["student.quantise={ weights = 9 }"],
            vec!["student.quantise.weights: 9 bits: from 2 to 8"],
        ),
        (
            vec!["student.model=resnet20"],
            vec!["student.prune", "is a resnet8", "resnet20"],
        ),
    ] {
        let refused = refused(&overrides);
        assert!(
            parts.iter().all(|part| refused.contains(part)),
            "{overrides:?}: {refused}"
        );
    }
}
