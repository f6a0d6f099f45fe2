//! `cargo xtask diagnose`: real runs with a planted trouble, which `kd diagnose` must name, and healthy ones, which it must
//! not accuse.

mod judge;
mod plant;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::judge::{Diagnosis, Judged, table};
use self::plant::{Cause, NOISY};
use crate::{
    backend::{self, Backend},
    kd::{self, Kd},
};

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// Healthy runs.
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: usize,
    /// Runs of every planted trouble.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: usize,
    /// Folder of the runs; those that are there are not done again [default: runs/diagnose].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Backend to build with and to compute on, with an optional device number (`cuda:1`).
    #[arg(long, default_value = "flex", value_parser = backend::parse)]
    backend: Backend,
}

/// Students and losses of healthy runs.
const PAIRS: [(&str, &[&str]); 4] = [
    ("resnet8-kd", &[]),
    ("resnet14-kd", &["student.model=resnet14"]),
    ("wrn_16_1-kd", &["student.model=wrn_16_1"]),
    (
        "resnet8-dkd",
        &["objective={ cross_entropy = {}, dkd = { temperature = 4.0 } }"],
    ),
];

/// The validation images are those that the teacher was not trained on either.
const RECIPE: &str = r#"# A run of `cargo xtask diagnose`.
name = "diagnose"
compare = false

[data]
name = "fashion_mnist_small"
train_limit = 5000
validation = 0.1
augment = { crop = 2, flip = true }

[teacher]
model = "resnet20"

[student]
model = "resnet8"

[objective.cross_entropy]
weight = 0.1

[objective.kd]
weight = 0.9
temperature = 4.0

[train]
epochs = 6
batch = 64
gradient_norms_every = 20
optimizer = { name = "sgd", momentum = 0.9, nesterov = true, weight_decay = 5e-4 }
lr = { peak = 0.1, shape = { name = "one_cycle" } }
"#;

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = kd::repository()?;
    let out = kd::results(arguments.out.as_deref(), "diagnose")?;
    std::fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let recipe = out.join("recipe.toml");
    std::fs::write(&recipe, RECIPE).with_context(|| format!("write {}", recipe.display()))?;
    let bench = Bench {
        kd: Kd::new(arguments.backend.clone())?.build()?,
        device: arguments.backend.device(),
        weights: root.join("recipes/weights/fashion_mnist_resnet20.safetensors"),
        recipe,
        out,
    };
    let mut judged = Vec::new();
    for cause in Cause::ALL {
        for seed in 1..=arguments.seeds as u64 {
            let found = bench.planted(cause, seed, &root)?;
            judged.push(tell(Judged::planted(cause, seed, &found)));
        }
    }
    for number in 0..arguments.runs {
        let (pair, overrides) = PAIRS[number % PAIRS.len()];
        let seed = (number / PAIRS.len()) as u64 + 1;
        let found = bench.healthy(pair, overrides, seed)?;
        judged.push(tell(Judged::healthy(pair, seed, &found)));
    }
    let text = table(&judged);
    println!("\n{text}");
    let file = bench.out.join("table.md");
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    println!("table  {}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn tell(judged: Judged) -> Judged {
    println!("{judged}");
    judged
}

/// Where runs are made.
struct Bench {
    kd: PathBuf,
    device: String,
    weights: PathBuf,
    recipe: PathBuf,
    out: PathBuf,
}

impl Bench {
    fn healthy(&self, pair: &str, overrides: &[&str], seed: u64) -> Result<Diagnosis> {
        let folder = self.out.join(format!("{pair}-seed{seed}"));
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        self.train(&folder, &overrides, seed)?;
        self.diagnose(&folder)
    }

    fn planted(&self, cause: Cause, seed: u64, root: &Path) -> Result<Diagnosis> {
        let folder = self.out.join(format!("{}-seed{seed}", cause.name()));
        if cause == Cause::Crippled {
            let (pair, overrides) = PAIRS[0];
            let healthy = self.out.join(format!("{pair}-seed{seed}"));
            let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
            self.train(&healthy, &overrides, seed)?;
            if !folder.join("student.safetensors").exists() {
                plant::cripple(&healthy, &folder)?;
            }
            return self.diagnose(&folder);
        }
        let noisy = self.out.join("noisy");
        if cause == Cause::Labels {
            plant::noisy_labels(&root.join("datasets/fashion_mnist_small"), &noisy, &NOISY)?;
        }
        self.train(&folder, &cause.overrides(&noisy), seed)?;
        self.diagnose(&folder)
    }

    /// Trains, unless that was done.
    fn train(&self, folder: &Path, overrides: &[String], seed: u64) -> Result<()> {
        if folder.join("summary.json").exists() {
            return Ok(());
        }
        eprintln!("training {}", folder.display());
        let mut command = Command::new(&self.kd);
        command.arg("train").arg(&self.recipe);
        command.arg("--out").arg(folder);
        command.args(["--quiet", "--device", &self.device]);
        let weights = format!("teacher.weights={}", self.weights.display());
        let seed = format!("seed={seed}");
        for text in [weights, seed].iter().chain(overrides) {
            command.args(["--set", text]);
        }
        let output = command.output().context("start kd")?;
        ensure!(
            output.status.success(),
            "{} could not be trained: {}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn diagnose(&self, folder: &Path) -> Result<Diagnosis> {
        let mut command = Command::new(&self.kd);
        command.arg("diagnose").arg(folder);
        command.args(["--json", "--quiet", "--device", &self.device]);
        let output = command.output().context("start kd")?;
        ensure!(
            output.status.success(),
            "{} could not be diagnosed: {}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("kd diagnose printed no diagnosis")
    }
}
