//! `summary.json`: what a run measured, and everything the report shows beside the curves.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::report::read::text;
use crate::stats::{Pair, Verdict};
use crate::{Error, Role, Score, Scores, Unit};

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the recipe.
    pub name: String,
    /// Version of this toolkit.
    pub version: String,
    /// Device that computed, as given to `--device`.
    pub device: String,
    /// Threads that the CPU offers.
    pub threads: usize,
    /// The data.
    pub data: DataSummary,
    /// Teacher first, then for each seed the stages, the student alone and the student distilled; ensembles
    /// last.
    pub networks: Vec<NetworkSummary>,
    /// Distilled minus alone; none when a run has no teacher or no comparison.
    pub gain: Option<Gain>,
    /// What a temperature does to the teacher's softmax on a few test images.
    pub temperature: Option<TemperatureSummary>,
    /// Test images with what each network finds in them; none where networks classify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Picture>,
    /// Whose weights `student.safetensors` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<StudentFile>,
    /// Files that stages wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exported: Vec<ExportedFile>,
    /// What the teacher cache gave; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSummary>,
}

impl Summary {
    /// Reads a `summary.json`, of this version or an older one.
    ///
    /// # Errors
    /// When it is no summary.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let mut value = serde_json::from_str(text)?;
        crate::older::summary(&mut value);
        serde_json::from_value(value)
    }

    /// The summary of a finished run, by its folder.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or none of this version, [`Error::Io`] when it cannot be read.
    pub fn of_run(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("summary.json");
        Self::read(&text(&path)?).map_err(|problem| Error::Format {
            path,
            problem: format!(
                "not the summary of a run ({problem}); run the recipe again, or read the folder with \
                 the version of kd that wrote it"
            ),
        })
    }

    /// Whether the distilled student is better than the student alone, by networks of the same seed; none when
    /// no seed has both.
    pub fn verdict(&self) -> Option<Verdict> {
        let of = |role: Role| -> Vec<&NetworkSummary> {
            self.networks.iter().filter(|n| n.role == role).collect()
        };
        verdict(&of(Role::Distilled), &of(Role::Baseline), self.data.test)
    }

    /// What the first score is called: `accuracy` for top-1.
    pub(crate) fn first_title(&self) -> String {
        let first = self.networks.iter().find_map(|n| n.test.first());
        match first {
            Some(score) if score.key != "top1" => score.title.clone(),
            _ => "accuracy".into(),
        }
    }

    /// The first test score of every network of a role, a value a seed.
    pub fn first_scores(&self, role: &Role) -> Vec<f64> {
        let measured = self.networks.iter().filter(|n| n.role == *role);
        measured
            .filter_map(|n| Some(n.test.first()?.value))
            .collect()
    }

    /// The test scores of this run, each by its name, unit and direction.
    pub fn scores(&self) -> &[Score] {
        self.networks.first().map_or(&[], |n| &n.test.list)
    }

    /// The networks that were measured, each once, whatever the number of seeds, in the order of their
    /// measurement.
    pub fn distinct_roles(&self) -> Vec<&Role> {
        let mut networks: Vec<&Role> = Vec::new();
        for measured in &self.networks {
            if !networks.contains(&&measured.role) {
                networks.push(&measured.role);
            }
        }
        networks
    }
}

/// Whether networks are better than others of the same seeds on so many test images; none when there is no
/// such seed. A network is not compared with itself.
pub(crate) fn verdict(
    ours: &[&NetworkSummary],
    theirs: &[&NetworkSummary],
    images: usize,
) -> Option<Verdict> {
    let pairs = pairs(ours, theirs);
    let score = ours.iter().find_map(|our| our.test.first())?;
    Verdict::of(
        &pairs,
        score.better,
        score.unit,
        images,
        score.key == "top1",
    )
}

/// The first test scores of networks that have the same seed.
pub(crate) fn pairs(ours: &[&NetworkSummary], theirs: &[&NetworkSummary]) -> Vec<Pair> {
    let pair = |our: &&NetworkSummary| {
        let other = theirs.iter().find(|other| other.seed == our.seed)?;
        let (new, old) = (our.test.first()?, other.test.first()?);
        (!std::ptr::eq(*our, *other)).then(|| {
            let resampled = [&our.test.resampled, &other.test.resampled];
            Pair::of(new.value, old.value).resampled(resampled.map(Vec::as_slice))
        })
    };
    ours.iter().filter_map(pair).collect()
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Name of the data set.
    pub name: String,
    /// SHA-256 of what was read.
    pub sha256: String,
    /// Images that were trained on.
    pub train: usize,
    /// Images that selected the checkpoint.
    pub validation: usize,
    /// Images of the final measurement.
    pub test: usize,
    /// Names of the classes.
    pub classes: Vec<String>,
}

/// One network, measured on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSummary {
    /// Which one.
    pub role: Role,
    /// Seed of its training; none for a teacher that was loaded.
    pub seed: Option<u64>,
    /// Name of the network, or names of an ensemble's.
    pub model: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions and linear layers for one sample; none where they are not
    /// counted.
    pub macs: Option<u64>,
    /// Size of its safetensors file in bytes.
    pub bytes: u64,
    /// Parameters of the adapters that were trained beside it and thrown away.
    pub adapter_parameters: u64,
    /// Who it learned from beside its labels: `teacher`, stages and peers by name.
    #[serde(default)]
    pub learned_from: Vec<String>,
    /// The first score on the validation split: of the epoch that was kept, or of a teacher that was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Score>,
    /// The test split.
    pub test: Scores,
    /// Share of test images where it predicts the teacher's class, in percent.
    pub agreement: Option<f64>,
    /// Milliseconds for one image.
    pub latency: Latency,
    /// Images per second at the recipe's evaluation batch.
    pub images_per_second: f64,
    /// How it was trained; none for a teacher that was loaded, and for a stage that trains nothing.
    pub training: Option<Training>,
    /// The network whose weights it began with, in a recipe that prunes or quantises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_of: Option<MadeOf>,
    /// What it was worth after each change before its training, but for what a stage that trains nothing ends with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedNetwork>,
    /// Its size as ONNX, in a recipe that prunes or quantises; none where it has no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnx: Option<FileSize>,
    /// The most bytes of activations that are needed at once for one example, by the graph of that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<u64>,
}

impl NetworkSummary {
    /// Its weights in the run folder; none for a network that was loaded, and for an ensemble.
    pub fn weights(&self, run: &Path) -> Option<PathBuf> {
        let seed = self.seed.filter(|_| self.role != Role::Ensemble)?;
        let name = format!("{}-seed{seed}.safetensors", self.role.file_name());
        Some(run.join("checkpoints").join(name))
    }
}

/// The network that another was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeOf {
    /// Which one.
    pub role: Role,
    /// Share of test samples where the two predict the same class, in percent.
    pub agreement: Option<f64>,
}

/// What is changed in a network before its training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkChange {
    /// Channels were removed.
    ChannelsRemoved,
    /// Statistics of batch normalisation were taken anew.
    StatisticsRenewed,
    /// Layers compute on integer grids.
    OnGrids,
}

/// A network after a change, on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedNetwork {
    /// The change.
    pub change: NetworkChange,
    /// What it was worth then.
    pub test: Scores,
}

/// The size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSize {
    /// As it is.
    pub bytes: u64,
    /// Packed by gzip.
    pub gzip: u64,
}

/// A file that a stage wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Its name in the run folder.
    pub file: String,
    /// Whose network it holds.
    pub of: String,
    /// Its size.
    pub size: FileSize,
    /// The largest difference of a logit from the network's.
    pub difference: f32,
}

/// The network that a run leaves to be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudentFile {
    /// Its file in the run folder.
    pub file: String,
    /// Which network it is.
    pub role: Role,
    /// The seed of its training.
    pub seed: u64,
    /// How many seeds were trained.
    pub seeds: usize,
}

impl StudentFile {
    /// Whose weights they are, and why: `student.safetensors is the student distilled, seed 1`.
    pub fn sentence(&self) -> String {
        let Self {
            file,
            role,
            seed,
            seeds,
        } = self;
        let who = role.title();
        match seeds {
            0 | 1 => format!("{file} is the {who}, seed {seed}"),
            seeds => format!(
                "{file} is the {who}, seed {seed}: the recipe's own of {seeds} seeds, because to take the best \
                 one would select it by the test split; checkpoints/ has the others"
            ),
        }
    }
}

/// Latency of one image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median, milliseconds.
    pub median_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
}

/// How a network was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Epochs that ran.
    pub epochs: usize,
    /// Epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// The first validation score at that epoch.
    pub best_validation: Option<f64>,
    /// Seconds of training.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
}

/// What a run got out of its teacher cache, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheSummary {
    /// Images that the cache answered.
    pub hits: u64,
    /// Images that went through the teacher.
    pub misses: u64,
    /// Share of the teacher's work that was saved, in percent.
    pub saved: f64,
    /// Views of images that it holds an answer to.
    pub answers: u64,
    /// Bytes of the answers, in memory or in the file.
    pub bytes: u64,
    /// The file; none for a cache in memory.
    pub file: Option<PathBuf>,
}

/// The student's gain from distillation in the first test score; above 0 is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The score, as people call it.
    #[serde(default = "top1")]
    pub score: String,
    /// Its unit.
    #[serde(default = "percent")]
    pub unit: Unit,
    /// Mean over the seeds.
    pub mean: f64,
    /// Sample standard deviation over the seeds; none for one seed.
    pub std: Option<f64>,
    /// Gain of each seed.
    pub per_seed: Vec<f64>,
}

pub(crate) fn top1() -> String {
    "top-1".into()
}

pub(crate) fn percent() -> Unit {
    Unit::Percent
}

/// The teacher's softmax at several temperatures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperatureSummary {
    /// The temperatures, in rising order.
    pub temperatures: Vec<f64>,
    /// A few test images.
    pub samples: Vec<TemperatureSample>,
}

/// One test image and what the teacher says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperatureSample {
    /// Its row in the test split.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// The image as a `data:image/png;base64,...` address; empty for a sample that is no image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The sample as text; empty for one that is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Probabilities by temperature, then class.
    pub probabilities: Vec<Vec<f64>>,
}

/// A test image with what is there and what networks find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The image as a `data:` address.
    pub image: String,
    /// Its width, in the unit of the boxes.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// What is there, and then what each network finds.
    pub panels: Vec<Panel>,
}

/// The boxes of one network, or those that are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Whose they are.
    pub title: String,
    /// The boxes.
    pub boxes: Vec<PictureBox>,
}

/// A box on a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureBox {
    /// x1, y1, x2, y2.
    pub corners: [f64; 4],
    /// The class, counted from 0.
    pub class: usize,
    /// How sure the network is; none for what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}
