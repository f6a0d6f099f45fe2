//! Classification of sentences: files of sentences, the text networks of `kd-models`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_data::text::{TextColumns, TextFiles, TextSet, TextSplit, WordPiece, pools};
use kd_models::{TextConfig, TextNetwork, TextOutput, TokenBatch, text_model};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NetworkCost, Shown, Task, TaskSpec, TrainSource};
use crate::folder::io;
use crate::source::Batch;
use crate::summary::{DataSummary, Summary};
use crate::{Error, Recipe, Source};

/// A recipe's `[text]`: sentences, each with a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextData {
    /// Training sentences: a file that ends in `.tsv`, `.csv` or `.jsonl`.
    pub train: PathBuf,
    /// Validation sentences; a tenth of the training sentences when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// Test sentences.
    pub test: PathBuf,
    /// A folder with `tokenizer.json` or `vocab.txt`, or such a file.
    pub tokenizer: PathBuf,
    /// Words of a sentence that are kept, `[CLS]` and `[SEP]` counted.
    #[serde(default = "length")]
    pub length: usize,
    /// Name of the column of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Name of the column of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// By the name of a network, the Hugging Face folder whose weights it begins with; its classifier is drawn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub start: BTreeMap<String, PathBuf>,
}

fn length() -> usize {
    64
}

impl TextData {
    fn shape(
        &self,
        model: &str,
        tokenizer: &WordPiece,
        classes: usize,
    ) -> Result<TextConfig, Error> {
        let mut shape = match self.start.get(model) {
            Some(folder) => TextConfig::of_folder(folder)?,
            None => TextConfig {
                vocabulary: tokenizer.vocabulary(),
                padding: tokenizer.padding() as usize,
                ..text_model(model)?
            },
        };
        if shape.vocabulary < tokenizer.vocabulary() {
            return Err(Error::Recipe(format!(
                "text.start.{model}: the network knows {} words, and the tokenizer gives {}: take the tokenizer of its \
                 folder",
                shape.vocabulary,
                tokenizer.vocabulary()
            )));
        }
        if self.length > shape.positions {
            return Err(Error::Recipe(format!(
                "text.length = {}: `{model}` reads at most {} words",
                self.length, shape.positions
            )));
        }
        shape.output = TextOutput::Classes(classes);
        Ok(shape)
    }
}

/// The student of a finished run on sentences, with what belongs beside its weights.
#[derive(Debug)]
pub struct TextStudent {
    /// The network.
    pub network: TextNetwork,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Its tokenizer.
    pub tokenizer: WordPiece,
    /// Its name in the registry.
    pub model: String,
    /// Words of a sentence that it was trained with.
    pub length: usize,
}

impl TextStudent {
    /// Reads the student of a run's folder; none of a run on images.
    ///
    /// # Errors
    /// When the run is not finished, or its files or its tokenizer are not there.
    pub fn of_run(folder: &Path, device: &Device) -> Result<Option<Self>, Error> {
        let recipe = Recipe::load(&folder.join("recipe.toml"), &[])?;
        let Some(text) = &recipe.text else {
            return Ok(None);
        };
        let path = folder.join("summary.json");
        let summary = std::fs::read_to_string(&path).map_err(io("read the summary", &path))?;
        let summary = Summary::read(&summary).map_err(|e| Error::Format {
            path,
            problem: e.to_string(),
        })?;
        let tokenizer = WordPiece::read(&text.tokenizer)?;
        let classes = summary.data.classes;
        let shape = text.shape(&recipe.student.model, &tokenizer, classes.len())?;
        let network = TextNetwork::from_file(&shape, folder.join("student.safetensors"), device)?;
        Ok(Some(Self {
            network,
            classes,
            tokenizer,
            length: text.length,
            model: recipe.student.model,
        }))
    }
}

/// Sentences of a recipe, with the networks that read them.
pub struct TextClassification {
    config: TextData,
    tokenizer: WordPiece,
    set: TextSet,
    /// Places of each split from the shortest sentence: the order of evaluation.
    orders: [Vec<usize>; 3],
}

impl TextClassification {
    /// Reads the sentences and the tokenizer.
    ///
    /// # Errors
    /// When a file is not there, or not what it should be.
    pub fn load(config: &TextData) -> Result<Self, Error> {
        if config.length < 3 {
            return Err(Error::Recipe(format!(
                "text.length = {}: at least 3, for `[CLS]`, a word and `[SEP]`",
                config.length
            )));
        }
        let tokenizer = WordPiece::read(&config.tokenizer)?;
        let files = TextFiles {
            train: config.train.clone(),
            validation: config.validation.clone(),
            test: config.test.clone(),
            columns: TextColumns {
                text: config.text.clone(),
                label: config.label.clone(),
            },
        };
        let set = TextSet::read(&files, &tokenizer, config.length)?;
        let orders = [0, 1, 2].map(|split: usize| {
            let ids = &set.splits[split].ids;
            let mut order: Vec<usize> = (0..ids.len()).collect();
            order.sort_by_key(|place| ids[*place].len());
            order
        });
        Ok(Self {
            config: config.clone(),
            tokenizer,
            set,
            orders,
        })
    }

    /// The sentences.
    pub fn set(&self) -> &TextSet {
        &self.set
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &WordPiece {
        &self.tokenizer
    }

    /// The shape of a network of these sentences.
    ///
    /// # Errors
    /// When there is no such network, or sentences are longer than it reads.
    pub fn shape(&self, model: &str) -> Result<TextConfig, Error> {
        self.config
            .shape(model, &self.tokenizer, self.set.classes.len())
    }

    /// Words of a sentence in the mean, rounded.
    fn mean_length(&self) -> usize {
        let ids = &self.set.splits[0].ids;
        let words: usize = ids.iter().map(Vec::len).sum();
        (words + ids.len() / 2) / ids.len().max(1)
    }

    fn source(&self, split: usize, batch: usize, seed: Option<u64>) -> Box<Sentences<'_>> {
        Box::new(Sentences {
            split: &self.set.splits[split],
            order: &self.orders[split],
            batch,
            seed,
            padding: self.tokenizer.padding(),
        })
    }
}

impl TaskSpec for TextClassification {
    type Input = TokenBatch;
    type Network = TextNetwork;

    fn train_samples(&self) -> usize {
        self.set.splits[0].ids.len()
    }

    fn example(&self, samples: usize, device: &Device) -> TokenBatch {
        // The shortest sentences over and over, so that there is padding.
        let order = &self.orders[0];
        let places: Vec<usize> = order.iter().copied().cycle().take(samples).collect();
        padded(
            &self.set.splits[0].ids,
            &places,
            self.tokenizer.padding(),
            device,
        )
    }

    fn build(&self, model: &str, device: &Device) -> Result<TextNetwork, Error> {
        let shape = self.shape(model)?;
        Ok(match self.config.start.get(model) {
            Some(folder) => TextNetwork::from_backbone_file(&shape, folder, device)?,
            None => TextNetwork::new(&shape, device)?,
        })
    }

    fn load(&self, model: &str, path: &Path, device: &Device) -> Result<TextNetwork, Error> {
        Ok(TextNetwork::from_file(&self.shape(model)?, path, device)?)
    }

    fn with_layers_of(
        &self,
        network: TextNetwork,
        teacher: &TextNetwork,
        layers: &[usize],
    ) -> Result<TextNetwork, Error> {
        Ok(network.with_layers_of(teacher, layers)?)
    }

    fn save(
        &self,
        network: &TextNetwork,
        path: &Path,
        metadata: &[(&str, String)],
    ) -> Result<(), Error> {
        let metadata = metadata.iter();
        let metadata: Vec<_> = metadata
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        Ok(network.save(path, &metadata)?)
    }

    /// Multiply-accumulates are those of a sentence of mean length.
    fn cost(&self, network: &TextNetwork) -> Result<NetworkCost, Error> {
        let size = network.cost(self.mean_length());
        Ok(NetworkCost {
            parameters: size.parameters,
            macs: Some(size.macs),
            bytes: 4 * size.parameters,
        })
    }
}

impl Task for TextClassification {
    fn train(
        &self,
        options: &TrainSource,
    ) -> Result<Box<dyn Source<Input = TokenBatch> + '_>, Error> {
        Ok(self.source(0, options.batch, Some(options.seed)))
    }

    fn validation(
        &self,
        batch: usize,
    ) -> Result<Option<Box<dyn Source<Input = TokenBatch> + '_>>, Error> {
        Ok(Some(self.source(1, batch, None)))
    }

    fn test(&self, batch: usize) -> Result<Box<dyn Source<Input = TokenBatch> + '_>, Error> {
        Ok(self.source(2, batch, None))
    }

    fn summary(&self) -> DataSummary {
        let [train, validation, test] = [0, 1, 2].map(|split| self.orders[split].len());
        let folder = self.config.train.parent().and_then(Path::file_name);
        let name = folder.map_or_else(|| "sentences".into(), |name| name.to_string_lossy().into());
        DataSummary {
            name,
            sha256: self.set.sha256.clone(),
            train,
            validation,
            test,
            classes: self.set.classes.clone(),
        }
    }

    fn dependencies(&self) -> Value {
        json!({ "text": self.set.sha256, "start": self.config.start })
    }

    fn show(&self, row: usize) -> Result<Shown, Error> {
        let text = self.orders[2]
            .get(row)
            .map(|place| &self.set.splits[2].texts[*place]);
        Ok(text.map_or(Shown::Nothing, |text| Shown::Text(text.clone())))
    }
}

/// Sentences of a split.
struct Sentences<'a> {
    split: &'a TextSplit,
    order: &'a [usize],
    batch: usize,
    /// Shuffled in pools when there is one.
    seed: Option<u64>,
    padding: u32,
}

impl Source for Sentences<'_> {
    type Input = TokenBatch;

    fn indices(&self) -> &[usize] {
        &self.split.numbers
    }

    fn batches(&self) -> usize {
        self.split.ids.len().div_ceil(self.batch)
    }

    fn epoch<'a>(
        &'a self,
        epoch: u64,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<TokenBatch>> + 'a> {
        self.rest_of_epoch(epoch, 0, device)
    }

    fn rest_of_epoch<'a>(
        &'a self,
        epoch: u64,
        skip: usize,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<TokenBatch>> + 'a> {
        let batches: Vec<Vec<usize>> = match self.seed {
            Some(seed) => {
                let lengths: Vec<usize> = self.split.ids.iter().map(Vec::len).collect();
                // Epochs of one seed are apart, as seeds are.
                pools(
                    &lengths,
                    self.batch,
                    seed.wrapping_mul(1 << 20).wrapping_add(2 * epoch),
                )
            }
            None => self
                .order
                .chunks(self.batch)
                .map(<[usize]>::to_vec)
                .collect(),
        };
        Box::new(batches.into_iter().skip(skip).map(move |places| {
            let labels = places
                .iter()
                .map(|place| i64::from(self.split.labels[*place]));
            let labels: Vec<i64> = labels.collect();
            let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), device);
            let numbers = places
                .iter()
                .map(|place| self.split.numbers[*place])
                .collect();
            let input = padded(&self.split.ids, &places, self.padding, device);
            Batch::new(input, labels, numbers)
        }))
    }
}

/// Some sequences, padded to the longest of them.
fn padded(sequences: &[Vec<u32>], places: &[usize], padding: u32, device: &Device) -> TokenBatch {
    let of = |place: &usize| &sequences[*place];
    let longest = places
        .iter()
        .map(|place| of(place).len())
        .max()
        .unwrap_or(0);
    let shape = [places.len(), longest];
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for sequence in places.iter().map(of) {
        for at in 0..longest {
            ids.push(i64::from(sequence.get(at).copied().unwrap_or(padding)));
            mask.push(at < sequence.len());
        }
    }
    TokenBatch::new(
        Tensor::from_data(TensorData::new(ids, shape), device),
        Tensor::<2, Bool>::from_data(TensorData::new(mask, shape), device),
    )
}
