//! What a run asks of a kind of problem: where batches come from, which networks solve it, and how they
//! are scored.

mod doubts;
pub(crate) mod images;
mod module_file;
mod objects;
mod text;

use std::num::NonZeroU64;
use std::path::Path;

use burn::tensor::Device;
use kd_compress::prune::PruneConfig;
use kd_compress::quantise::QuantiseConfig;
use kd_core::{Objective, ObjectiveConfig, Output};
use kd_data::Normalize;
use kd_export::Onnx;
use kd_models::{Backbone, Input};
use serde_json::Value;

use crate::cache::DataPart;
use crate::evaluate::{Predictions, predict};
use crate::recipe::{ExportConfig, TeacherSpec};
use crate::{Error, Scores, Source, weights};

pub use crate::summary::{DataSummary, Panel, Picture, PictureBox};
pub(crate) use images::tell;
pub use images::{DataShape, ImageClassification, ImageNetwork};
pub use objects::ObjectDetection;
pub use text::{TextClassification, TextData, TextStudent};

/// The networks of a task, and what is known of its data before they are read.
///
/// A task of your own says how a network is built and what a batch looks like. The other methods have
/// defaults: weights are kept as safetensors, parameters are counted, and the recipe says the loss.
pub trait TaskSpec {
    /// What a network reads.
    type Input: Input;
    /// Every network of a run. Several kinds go into one enum.
    type Network: Backbone<Input = Self::Input>;

    /// Samples of the training split.
    fn train_samples(&self) -> usize;

    /// A batch of so many samples, of whatever content, on the plain `device`. Shapes and latency are
    /// taken from it.
    fn example(&self, samples: usize, device: &Device) -> Self::Input;

    /// Builds the network of a name. A run seeds what draws its values: [`kd_core::draw`], whose values are the
    /// same on every device, and the device itself ([`Device::seed`]), which burn's own initialisers draw from.
    /// Outside a run, call these two.
    ///
    /// # Errors
    /// When there is no such network.
    fn build(&self, model: &str, device: &Device) -> Result<Self::Network, Error>;

    /// Builds the network of a name with the weights of a file, or of a folder such as the hub's.
    ///
    /// # Errors
    /// When there is no such network, or the file does not fit it.
    fn load(&self, model: &str, path: &Path, device: &Device) -> Result<Self::Network, Error> {
        module_file::load(self.build(model, device)?, path)
    }

    /// As [`TaskSpec::load`], with the tensors whose names in the file begin with `prefix`, where there is one.
    ///
    /// # Errors
    /// As [`TaskSpec::load`]; and for a prefix, unless the task can choose.
    fn load_behind(
        &self,
        model: &str,
        path: &Path,
        prefix: Option<&str>,
        device: &Device,
    ) -> Result<Self::Network, Error> {
        match prefix {
            None => self.load(model, path, device),
            Some(_) => Err(Error::Recipe(
                "weights_prefix: this task reads files of one network; leave it out".into(),
            )),
        }
    }

    /// As [`TaskSpec::load_behind`], but for the classifier, which is drawn, or read from the file `classifier`.
    ///
    /// # Errors
    /// As [`TaskSpec::load_behind`]; and unless the task can do that.
    fn load_backbone(
        &self,
        model: &str,
        (path, prefix): (&Path, Option<&str>),
        classifier: Option<&Path>,
        device: &Device,
    ) -> Result<Self::Network, Error> {
        let _ = (model, path, prefix, device);
        Err(no_other_classifier(classifier))
    }

    /// The recipe's teacher with the weights of a file. It reads what the students read, so one with a
    /// `normalize` or a `size` of its own changes that first.
    ///
    /// # Errors
    /// As [`TaskSpec::load_behind`]; and for a teacher with `normalize` or `size`, unless the task can do that.
    fn load_teacher(
        &self,
        spec: &TeacherSpec,
        path: &Path,
        device: &Device,
    ) -> Result<Self::Network, Error> {
        if spec.normalize.is_some() {
            return Err(Error::Recipe(
                "teacher.normalize: this task has no statistics of images; leave it out".into(),
            ));
        }
        without_size(spec)?;
        let prefix = spec.weights_prefix.as_deref();
        match &spec.classifier_weights {
            None => self.load_behind(&spec.model, path, prefix, device),
            Some(classifier) => {
                let classifier = weights::local(classifier)?;
                self.load_backbone(&spec.model, (path, prefix), Some(&classifier), device)
            }
        }
    }

    /// The recipe's teacher before it has weights, from which shapes are read.
    ///
    /// # Errors
    /// As [`TaskSpec::build`]; and for a teacher with `size`, unless the task can do that.
    fn build_teacher(&self, spec: &TeacherSpec, device: &Device) -> Result<Self::Network, Error> {
        without_size(spec)?;
        self.build(&spec.model, device)
    }

    /// A network that begins with layers of the teacher, as a recipe's `init_from` says.
    ///
    /// # Errors
    /// Unless the task can do that, and when the networks do not suit each other.
    fn with_layers_of(
        &self,
        network: Self::Network,
        teacher: &Self::Network,
        layers: &[usize],
    ) -> Result<Self::Network, Error> {
        let _ = (network, teacher);
        Err(Error::Recipe(format!(
            "init_from = {{ layers = {layers:?} }}: the networks of this task cannot begin with layers of another; \
             leave it out"
        )))
    }

    /// A network without some of its channels, as a recipe's `prune` says.
    ///
    /// # Errors
    /// Unless the task can do that, and when nothing can be removed so.
    fn pruned(&self, network: Self::Network, prune: &PruneConfig) -> Result<Self::Network, Error> {
        let _ = (network, prune);
        Err(Error::Recipe(
            "prune: the networks of this task cannot lose channels; leave it out".into(),
        ))
    }

    /// A network with the statistics that `inputs` have, in its batch normalisations: what channels sum up to has
    /// changed with those that were removed.
    ///
    /// # Errors
    /// When there are no inputs.
    fn recalibrated(
        &self,
        network: &Self::Network,
        inputs: Vec<Self::Input>,
    ) -> Result<Self::Network, Error> {
        module_file::recalibrated(network, &inputs)
    }

    /// A network as ONNX.
    ///
    /// # Errors
    /// Unless the task can do that, and when the network has an operation that ONNX lacks.
    fn onnx(&self, network: &Self::Network, config: &ExportConfig) -> Result<Onnx, Error> {
        let _ = (network, config);
        Err(Error::Recipe(
            "a stage of this task writes no ONNX; leave it out: `kd export` with the run folder writes that of a detector \
             and of a network that reads text"
                .into(),
        ))
    }

    /// A network on integer grids, as a recipe's `quantise` says, with ranges found in `inputs`.
    ///
    /// # Errors
    /// Unless the task can do that, and when the network cannot be quantised so.
    fn quantised(
        &self,
        network: Self::Network,
        quantise: &QuantiseConfig,
        inputs: Vec<Self::Input>,
    ) -> Result<Self::Network, Error> {
        let _ = (network, quantise, inputs);
        Err(Error::Recipe(
            "quantise: the networks of this task cannot be quantised; leave it out".into(),
        ))
    }

    /// Writes the weights of a network, with entries for the header of the file.
    ///
    /// # Errors
    /// When they cannot be written.
    fn save(
        &self,
        network: &Self::Network,
        path: &Path,
        metadata: &[(&str, String)],
    ) -> Result<(), Error> {
        module_file::save(network, path, metadata)
    }

    /// The name of a network in results, which a recipe spells `model`.
    fn name(&self, network: &Self::Network, model: &str) -> String {
        let _ = network;
        model.into()
    }

    /// What a network costs.
    ///
    /// # Errors
    /// When it cannot be told.
    fn cost(&self, network: &Self::Network) -> Result<NetworkCost, Error> {
        Ok(module_file::cost(network))
    }

    /// The loss of a student, from one dry run of each network that kept everything. Losses of your own
    /// are added here: [`Objective::with_function`], [`Objective::with_term`]. There is no teacher for a
    /// student that trains alone.
    ///
    /// # Errors
    /// When a term cannot work on these networks.
    fn objective(
        &self,
        config: &ObjectiveConfig,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Objective, kd_core::Error> {
        config.init(student, teacher, device)
    }
}

/// The error of a task whose networks have the classifiers of their weights.
fn no_other_classifier(classifier: Option<&Path>) -> Error {
    let key = match classifier {
        None => "new_classifier",
        Some(_) => "classifier_weights",
    };
    Error::Recipe(format!(
        "{key}: these networks are read with their classifiers; leave it out"
    ))
}

/// Refuses a teacher that sees images of a size of its own.
fn without_size(spec: &TeacherSpec) -> Result<(), Error> {
    match spec.size {
        None => Ok(()),
        Some(size) => Err(Error::Recipe(format!(
            "teacher.size = {size}: this task has no images that can be resized; leave it out"
        ))),
    }
}

/// What a file of weights is used for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WeightsUse<'a> {
    /// Mean and standard deviation of the network, where it has its own.
    pub normalize: Option<&'a Normalize>,
    /// Whether its classifier is used, too; else it may have been trained for other data.
    pub own_classifier: bool,
}

/// A task with its data.
pub trait Task: TaskSpec {
    /// Batches of the training split, in an order that follows from `options`.
    ///
    /// # Errors
    /// When there are none.
    fn train(
        &self,
        options: &TrainSource,
    ) -> Result<Box<dyn Source<Input = Self::Input> + '_>, Error>;

    /// Batches of the validation split, which selects the epoch that is kept; none without one.
    ///
    /// # Errors
    /// When they cannot be made.
    fn validation(
        &self,
        batch: usize,
    ) -> Result<Option<Box<dyn Source<Input = Self::Input> + '_>>, Error>;

    /// Batches of the test split, which is read once, at the end of a run.
    ///
    /// # Errors
    /// When they cannot be made.
    fn test(&self, batch: usize) -> Result<Box<dyn Source<Input = Self::Input> + '_>, Error>;

    /// Views that a training sample can be shown in: [`Source::views`].
    fn views(&self) -> u64 {
        1
    }

    /// The data, for people.
    fn summary(&self) -> DataSummary;

    /// All of the data, of their preparation and of losses of your own that the result of a training
    /// depends on. A finished training is taken from an earlier run only when this is equal.
    fn dependencies(&self) -> Value;

    /// What a teacher's outputs depend on beside its weights, by name.
    fn cache_parts(&self) -> Vec<DataPart> {
        vec![("data", self.dependencies().to_string())]
    }

    /// What a file of weights was trained for, where that is not what this task uses it for: a sentence each,
    /// told before training. `{table}` in a sentence stands for the recipe's table that has the key `normalize` of this
    /// network.
    ///
    /// # Errors
    /// When the file says it in a way that cannot be read.
    fn doubts(&self, path: &Path, used: WeightsUse) -> Result<Vec<String>, Error> {
        let _ = (path, used);
        Ok(Vec::new())
    }

    /// The scores of a network on a split, and its predictions where it classifies rows.
    fn evaluate(
        &self,
        network: &Self::Network,
        source: &dyn Source<Input = Self::Input>,
        device: &Device,
    ) -> Evaluated {
        let predictions = predict(network, source, device);
        Evaluated {
            scores: predictions.scores(),
            predictions: Some(predictions),
        }
    }

    /// Some test samples with what each of these networks finds in them; nothing where there is nothing to point at.
    ///
    /// # Errors
    /// When a sample cannot be read.
    fn pictures(
        &self,
        networks: &[(String, &Self::Network)],
        device: &Device,
    ) -> Result<Vec<Picture>, Error> {
        let _ = (networks, device);
        Ok(Vec::new())
    }

    /// A test sample as people see it, by its row in the predictions.
    ///
    /// # Errors
    /// When it cannot be made visible.
    fn show(&self, row: usize) -> Result<Shown, Error> {
        let _ = row;
        Ok(Shown::Nothing)
    }
}

/// How training batches are drawn.
#[derive(Clone, Copy, Debug)]
pub struct TrainSource {
    /// Seed of the order and of the views.
    pub seed: u64,
    /// Samples in a batch.
    pub batch: usize,
    /// A number of views that each sample is shown in, and their seed; none for all that are drawn.
    pub views: Option<(NonZeroU64, u64)>,
}

/// What a network costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkCost {
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates for one sample; none where they are not counted.
    pub macs: Option<u64>,
    /// Size of its file in bytes.
    pub bytes: u64,
}

/// A network on a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// What it is worth.
    pub scores: Scores,
    /// Its logits with their labels, where it classifies rows.
    pub predictions: Option<Predictions>,
}

/// A sample as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shown {
    /// Not at all.
    Nothing,
    /// An image, as a `data:image/png;base64,...` address.
    Image(String),
    /// A text.
    Text(String),
}
