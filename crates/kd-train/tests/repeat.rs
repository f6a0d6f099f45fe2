//! The same recipe and seed give the same run.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::tensor::Device;
use kd_train::{Recipe, Record, RunOptions, Silent, run};

const RECIPE: &str = r#"name = "repeat"

[data]
name = "fashion_mnist_small"
train_limit = 64
test_limit = 20
validation = 0.01

[student]
model = "resnet8"

[objective.cross_entropy]

[train]
epochs = 2
batch = 16
log_every = 1
lr = { peak = 0.05 }
"#;

#[test]
fn a_run_repeats_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("repeat.toml");
    std::fs::write(&file, RECIPE).unwrap();
    let recipe = Recipe::load(&file, &[]).unwrap();
    let losses = |name: &str, seed: u64| -> Vec<f64> {
        let options = RunOptions {
            reuse: false,
            resume: false,
            out: folder.path().join(name),
            seeds: 1,
            device_name: "flex".into(),
        };
        let recipe = Recipe {
            seed,
            ..recipe.clone()
        };
        run(&recipe, &options, &Device::flex(), &mut Silent).unwrap();
        let text = std::fs::read_to_string(options.out.join("metrics.jsonl")).unwrap();
        let records = text.lines().map(|l| serde_json::from_str(l).unwrap());
        records
            .filter_map(|r: Record| match r {
                Record::Step(s) => Some(s.loss),
                Record::Epoch(e) => Some(e.loss),
                _ => None,
            })
            .collect()
    };
    let first = losses("first", 1);
    assert_eq!(first.len(), 10);
    assert_eq!(first, losses("second", 1));
    assert_ne!(first, losses("other", 2));
}
