//! A run folder without a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::words::spread;
use super::write;
use crate::records::{ComponentValue, EpochRecord, Record, StepRecord};
use crate::summary::{
    DataSummary, Gain, Latency, NetworkSummary, StudentFile, Summary, TemperatureSample,
    TemperatureSummary, Training,
};
use crate::{Role, Score, Scores, Unit};

/// A made-up run with the shape of a real one.
pub(super) struct Fake {
    pub summary: Summary,
    pub records: Vec<Record>,
}

impl Fake {
    pub fn new(classes: usize, seeds: u64, epochs: usize, steps_per_epoch: usize) -> Self {
        let mut networks = vec![role(Role::Teacher, None, 78.4, classes)];
        let mut records = Vec::new();
        for seed in 0..seeds {
            for (kind, top1) in [
                (Role::Baseline, 70.1 + 0.4 * seed as f64),
                (Role::Distilled, 72.4 + 0.7 * seed as f64),
            ] {
                networks.push(role(kind.clone(), Some(seed), top1, classes));
                records.extend(training(&kind, seed, epochs, steps_per_epoch));
            }
        }
        let per_seed: Vec<_> = (0..seeds).map(|s| 2.3 + 0.3 * s as f64).collect();
        let (mean, std) = spread(&per_seed).unwrap();
        Self {
            summary: Summary {
                exported: Vec::new(),
                name: "kd-resnet32x4-resnet8x4".into(),
                version: "0.1.0".into(),
                device: "flex".into(),
                threads: 2,
                data: DataSummary {
                    name: "cifar100".into(),
                    sha256: "0123456789abcdef".repeat(4),
                    train: 45_000,
                    validation: 5_000,
                    test: 10_000,
                    classes: (0..classes).map(|c| format!("kind {c}")).collect(),
                },
                networks,
                gain: Some(Gain {
                    score: "top-1".into(),
                    unit: Unit::Percent,
                    mean,
                    std,
                    per_seed,
                }),
                temperature: Some(temperatures(classes)),
                pictures: Vec::new(),
                student: Some(StudentFile {
                    file: "student.safetensors".into(),
                    role: Role::Distilled,
                    seed: 0,
                    seeds: seeds as usize,
                }),
                cache: None,
            },
            records,
        }
    }

    pub fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.fill(folder.path());
        folder
    }

    pub fn fill(&self, folder: &Path) {
        let mut lines = String::new();
        for record in &self.records {
            writeln!(lines, "{}", serde_json::to_string(record).unwrap()).unwrap();
        }
        let summary = serde_json::to_string_pretty(&self.summary).unwrap();
        std::fs::write(folder.join("summary.json"), summary).unwrap();
        std::fs::write(folder.join("metrics.jsonl"), lines).unwrap();
        std::fs::write(folder.join("recipe.toml"), RECIPE).unwrap();
    }

    pub fn page(&self) -> String {
        let folder = self.folder();
        std::fs::read_to_string(write(folder.path()).unwrap()).unwrap()
    }
}

const RECIPE: &str = "name = \"fake\"\n\n[student]\nmodel = \"resnet8x4\" # <small> & fast\n";

fn wave(n: usize) -> f64 {
    (n as f64 * 12.9898).sin()
}

fn number(role: &Role) -> usize {
    match role {
        Role::Teacher => 0,
        Role::Baseline => 1,
        _ => 2,
    }
}

fn role(kind: Role, seed: Option<u64>, top1: f64, classes: usize) -> NetworkSummary {
    let shift = seed.unwrap_or(7) as usize + 31 * number(&kind);
    let teacher = kind == Role::Teacher;
    NetworkSummary {
        made_of: None,
        changed: Vec::new(),
        onnx: None,
        activations: None,
        role: kind.clone(),
        seed,
        model: if teacher { "resnet32x4" } else { "resnet8x4" }.into(),
        parameters: if teacher { 7_433_860 } else { 1_233_540 },
        macs: Some(if teacher { 1_083_000_000 } else { 177_100_000 }),
        bytes: if teacher { 29_790_000 } else { 4_958_000 },
        adapter_parameters: 0,
        learned_from: match kind {
            Role::Distilled => vec!["teacher".into()],
            _ => Vec::new(),
        },
        validation: Some(Score::percent("top1", "top-1", top1 + 0.3)),
        test: Scores {
            list: vec![
                Score::percent("top1", "top-1", top1),
                Score::nats("loss", "cross-entropy", 1.1),
                Score::percent("top5", "top-5", top1 + 18.0),
                Score::percent("ece", "ECE", 6.3).lower_is_better(),
            ],
            per_class: (0..classes)
                .map(|c| Some((top1 + 9.0 * wave(c + shift)).clamp(0.0, 100.0)))
                .collect(),
            found: Vec::new(),
            resampled: Vec::new(),
        },
        agreement: (!teacher).then_some(top1 + 3.0),
        latency: Latency {
            median_ms: if teacher { 21.4 } else { 4.13 },
            p95_ms: if teacher { 24.9 } else { 4.9 },
        },
        images_per_second: if teacher { 96.0 } else { 612.0 },
        training: (!teacher).then_some(Training {
            epochs: 30,
            best_epoch: 28,
            best_validation: Some(top1 + 0.3),
            seconds: 1312.0,
            images_per_second: 402.0,
        }),
    }
}

fn training(role: &Role, seed: u64, epochs: usize, steps_per_epoch: usize) -> Vec<Record> {
    let gain = if *role == Role::Distilled { 3.0 } else { 0.0 };
    let mut records = Vec::new();
    for step in 0..epochs * steps_per_epoch {
        let progress = step as f64 / (epochs * steps_per_epoch) as f64;
        let noise = wave(step + 97 * seed as usize + 13 * number(role));
        let ce = 4.2 * (-3.0 * progress).exp() + 0.4 + 0.1 * noise;
        let kd = 14.0 * (-4.0 * progress).exp() + 0.9 + 0.3 * noise;
        let mut components = BTreeMap::new();
        let mut add = |name: &str, value, weight| {
            components.insert(
                name.into(),
                ComponentValue {
                    value,
                    weight,
                    gradient_norm: Some(value / 2.0),
                },
            );
        };
        match role {
            Role::Distilled => {
                add("ce", ce, 0.1);
                add("kd", kd, 0.9);
            }
            _ => add("ce", ce, 1.0),
        }
        let values = components.iter();
        let values: BTreeMap<String, f64> = values
            .map(|(name, c): (&String, &ComponentValue)| (name.clone(), c.value))
            .collect();
        let loss = components.values().map(|c| c.value * c.weight).sum();
        records.push(Record::Step(StepRecord {
            role: role.clone(),
            seed,
            epoch: step / steps_per_epoch + 1,
            step,
            loss,
            components,
            lr: 0.05 * 0.1f64.powi((3.0 * progress) as i32),
            gradient_norm: 2.0 + noise + 3.0 * (-9.0 * progress).exp(),
            images_per_second: 402.0 + 9.0 * noise,
        }));
        if (step + 1) % steps_per_epoch == 0 {
            let epoch = (step + 1) / steps_per_epoch;
            records.push(Record::Epoch(EpochRecord {
                role: role.clone(),
                seed,
                epoch,
                step: step + 1,
                loss,
                components: values,
                lr: 0.05,
                seconds: 40.0,
                images_per_second: 402.0,
                validation: vec![
                    Score::percent(
                        "top1",
                        "top-1",
                        70.0 + gain - 50.0 * (-4.0 * progress).exp() + noise,
                    ),
                    Score::nats("loss", "cross-entropy", ce),
                ],
                cache: None,
            }));
        }
    }
    records
}

fn temperatures(classes: usize) -> TemperatureSummary {
    // A shirt of sixteen grey pixels.
    let image = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAHUlEQVR42mNgiIpi\
                 YFjw//8CBpsTJ2wYbLZssQEASNUH28+52OoAAAAASUVORK5CYII=";
    let temperatures = vec![1.0, 2.0, 4.0, 8.0, 20.0];
    let sample = |index: usize| {
        let logits: Vec<f64> = (0..classes).map(|c| 6.0 * wave(7 * c + index)).collect();
        let best = (0..classes).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let softmax = |t: &f64| {
            let powers: Vec<_> = logits.iter().map(|z| (z / t).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|p| p / sum).collect()
        };
        TemperatureSample {
            index,
            label: if index == 2 { 0 } else { best.unwrap() },
            image: image.into(),
            text: String::new(),
            probabilities: temperatures.iter().map(softmax).collect(),
        }
    };
    TemperatureSummary {
        samples: (0..4).map(sample).collect(),
        temperatures,
    }
}
