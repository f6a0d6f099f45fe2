//! A problem of one's own, from data to report: tokens are tagged, a wide network teaches a narrow one,
//! with a loss of one's own beside those of a recipe.
//!
//! A row is a token here. Sequences are padded, and rows of padding do not count: no loss and no score
//! sees them.
//!
//! `cargo run -p kd-train --example own_task` writes `runs/own-task/report.html`.

use burn::module::Module;
use burn::nn::{Embedding, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_core::{Objective, ObjectiveConfig, Output, PairTaps, Part, Taps, draw};
use kd_models::{Backbone, TokenBatch};
use kd_train::task::{DataSummary, Shown, TrainSource};
use kd_train::{
    Batch, Error, Recipe, RunOptions, Silent, Source, Summary, Task, TaskSpec, TeacherSpec,
    TrainConfig, run_task,
};
use serde_json::{Value, json};

const VOCABULARY: usize = 30;
const TAGS: usize = 3;
const LONGEST: usize = 12;

/// Tags a token by itself and the one before it.
#[derive(Module, Debug)]
struct Tagger {
    embedding: Embedding,
    hidden: Linear,
    classifier: Linear,
}

impl Backbone for Tagger {
    type Input = TokenBatch;

    fn forward(&self, input: TokenBatch, taps: &Taps) -> Output {
        let [batch, length] = input.ids.dims();
        let tokens = self.embedding.forward(input.ids);
        let width = tokens.dims()[2];
        let first = Tensor::zeros([batch, 1, width], &tokens.device());
        let before = Tensor::cat(vec![first, tokens.clone().narrow(1, 0, length - 1)], 1);
        let both = Tensor::cat(vec![tokens.clone(), before], 2);
        let hidden = relu(self.hidden.forward(both)).flatten::<2>(0, 1);
        let mut output = Output::new(self.classifier.forward(hidden.clone()));
        output.counted = Some(input.mask.reshape([batch * length]));
        output.push(Part::Tokens, &tokens, taps);
        output.push(Part::Embedding, &hidden, taps);
        output
    }
}

/// Sequences of tokens with a tag each.
struct Tagging {
    /// Training, validation and test sequences.
    splits: [Split; 3],
}

/// Sequences with their numbers.
struct Split {
    sequences: Vec<Vec<usize>>,
    numbers: Vec<usize>,
}

/// A layer with values that the run's seed decides.
fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    Linear {
        weight: draw::uniform([inputs, outputs], bound, device),
        bias: Some(draw::uniform([outputs], bound, device)),
    }
}

/// The next number of a simple generator.
fn next(state: &mut u64, below: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 33) as usize % below
}

impl Tagging {
    fn new() -> Self {
        let mut state = 7;
        let mut split = |count: usize| {
            let sequences = (0..count).map(|_| {
                let length = 3 + next(&mut state, LONGEST - 2);
                (0..length).map(|_| next(&mut state, VOCABULARY)).collect()
            });
            Split {
                sequences: sequences.collect(),
                numbers: (0..count).collect(),
            }
        };
        Self {
            splits: [split(400), split(100), split(200)],
        }
    }
}

/// The tag of a token: what it and the one before it are, together.
fn tag(sequence: &[usize], place: usize) -> usize {
    let before = place.checked_sub(1).map_or(0, |before| sequence[before]);
    (sequence[place] + before) % TAGS
}

/// Batches of a split; a seed shuffles them, epoch by epoch.
struct Sequences<'a> {
    split: &'a Split,
    batch: usize,
    seed: Option<u64>,
}

impl Source for Sequences<'_> {
    type Input = TokenBatch;

    fn indices(&self) -> &[usize] {
        &self.split.numbers
    }

    fn batches(&self) -> usize {
        self.split.numbers.len().div_ceil(self.batch)
    }

    fn epoch<'a>(
        &'a self,
        epoch: u64,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<TokenBatch>> + 'a> {
        let mut order = self.split.numbers.clone();
        if let Some(seed) = self.seed {
            let mut state = seed * 1000 + epoch;
            for last in (1..order.len()).rev() {
                order.swap(last, next(&mut state, last + 1));
            }
        }
        Box::new((0..self.batches()).map(move |number| {
            let end = order.len().min((number + 1) * self.batch);
            let numbers = order[number * self.batch..end].to_vec();
            let sequences: Vec<_> = numbers.iter().map(|&n| &self.split.sequences[n]).collect();
            let (input, tags) = padded(&sequences, device);
            Batch::new(input, tags, numbers)
        }))
    }
}

/// Sequences of one length, and the tag of each token, `[batch · tokens]`.
fn padded(sequences: &[&Vec<usize>], device: &Device) -> (TokenBatch, Tensor<1, Int>) {
    let places = || {
        sequences
            .iter()
            .flat_map(|s| (0..LONGEST).map(move |place| (s, place)))
    };
    let ids: Vec<i64> = places()
        .map(|(s, place)| s.get(place).map_or(0, |id| *id as i64))
        .collect();
    let mask: Vec<bool> = places().map(|(s, place)| place < s.len()).collect();
    let tags: Vec<i64> = places()
        .map(|(s, place)| {
            if place < s.len() {
                tag(s, place) as i64
            } else {
                0
            }
        })
        .collect();
    let (count, shape) = (tags.len(), [sequences.len(), LONGEST]);
    let input = TokenBatch::new(
        Tensor::from_data(TensorData::new(ids, shape), device),
        Tensor::<2, Bool>::from_data(TensorData::new(mask, shape), device),
    );
    let tags = Tensor::from_data(TensorData::new(tags, [count]), device);
    (input, tags)
}

impl TaskSpec for Tagging {
    type Input = TokenBatch;
    type Network = Tagger;

    fn train_samples(&self) -> usize {
        self.splits[0].numbers.len()
    }

    fn example(&self, samples: usize, device: &Device) -> TokenBatch {
        let sequence = vec![0; LONGEST];
        padded(&vec![&sequence; samples], device).0
    }

    fn build(&self, model: &str, device: &Device) -> Result<Tagger, Error> {
        let width = match model {
            "wide" => 32,
            "narrow" => 3,
            _ => {
                return Err(Error::Recipe(format!(
                    "no tagger `{model}`: wide or narrow"
                )));
            }
        };
        // The run's seed decides these values; those of burn's `init` would differ from run to run.
        Ok(Tagger {
            embedding: Embedding {
                weight: draw::normal([VOCABULARY, width], 1.0, device),
            },
            hidden: linear(2 * width, 4 * width, device),
            classifier: linear(4 * width, TAGS, device),
        })
    }

    fn objective(
        &self,
        config: &ObjectiveConfig,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Objective, kd_core::Error> {
        let objective = config.init(student, teacher, device)?;
        // The margin of the first tag over the last should be the teacher's.
        match teacher {
            None => Ok(objective),
            Some(_) => objective.with_function("margin", 0.1, PairTaps::default(), |pair, _| {
                let margin = |logits: &Tensor<2>| {
                    logits.clone().narrow(1, 0, 1) - logits.clone().narrow(1, TAGS - 1, 1)
                };
                let teacher = margin(&pair.teacher()?.logits);
                Ok((margin(&pair.student.logits) - teacher).square().mean())
            }),
        }
    }
}

impl Task for Tagging {
    fn train(
        &self,
        options: &TrainSource,
    ) -> Result<Box<dyn Source<Input = TokenBatch> + '_>, Error> {
        Ok(Box::new(Sequences {
            split: &self.splits[0],
            batch: options.batch,
            seed: Some(options.seed),
        }))
    }

    fn validation(
        &self,
        batch: usize,
    ) -> Result<Option<Box<dyn Source<Input = TokenBatch> + '_>>, Error> {
        Ok(Some(Box::new(Sequences {
            split: &self.splits[1],
            batch,
            seed: None,
        })))
    }

    fn test(&self, batch: usize) -> Result<Box<dyn Source<Input = TokenBatch> + '_>, Error> {
        Ok(Box::new(Sequences {
            split: &self.splits[2],
            batch,
            seed: None,
        }))
    }

    fn summary(&self) -> DataSummary {
        let [train, validation, test] = [0, 1, 2].map(|split| self.splits[split].numbers.len());
        DataSummary {
            name: "made-up tags".into(),
            sha256: "made up".into(),
            train,
            validation,
            test,
            classes: (0..TAGS).map(|tag| format!("tag {tag}")).collect(),
        }
    }

    fn dependencies(&self) -> Value {
        json!({ "data": "made-up tags, version 1", "losses": "margin, version 1" })
    }

    fn show(&self, row: usize) -> Result<Shown, Error> {
        // Rows of padding are no rows, so tokens are counted one after the other.
        let mut tokens = self.splits[2]
            .sequences
            .iter()
            .flat_map(|sequence| (0..sequence.len()).map(move |place| (sequence, place)));
        let (sequence, place) = tokens.nth(row).unwrap_or((&self.splits[2].sequences[0], 0));
        Ok(Shown::Text(format!("token {place} of {sequence:?}")))
    }
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    run_in("runs/own-task")?;
    Ok(())
}

/// Trains the wide tagger, the narrow one alone, and the narrow one taught by the wide one.
pub fn run_in(folder: &str) -> Result<Summary, Box<dyn std::error::Error>> {
    let objective = serde_json::from_value(json!({
        "cross_entropy": { "weight": 0.5 },
        "kd": { "weight": 0.5, "temperature": 2.0 },
    }))?;
    let mut train = TrainConfig::new(12, 0.1);
    train.batch = 32;
    let mut recipe = Recipe::new("own-task", "narrow", objective, train);
    recipe.teacher = Some(TeacherSpec::new("wide"));
    let options = RunOptions {
        out: folder.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: false,
    };
    let task = Tagging::new();
    Ok(run_task(
        &task,
        &recipe,
        &options,
        &Device::flex(),
        &mut Silent,
    )?)
}
