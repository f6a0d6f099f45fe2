//! Classification of images: the data sets of `kd-data`, the networks of `kd-models`.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use kd_compress::prune::PruneConfig;
use kd_compress::quantise::QuantiseConfig;
use kd_core::{Objective, ObjectiveConfig, Output};
use kd_data::{Augment, DataConfig, Dataset, Images, Loader, LoaderConfig, Progress, Splits};
use kd_export::{Onnx, export_network};
use kd_models::{Backbone, Network, NetworkConfig, WeightsHeader};
use serde_json::{Value, json};

use super::{
    NetworkCost, Shown, Task, TaskSpec, TrainSource, WeightsUse, doubts, module_file,
    no_other_classifier,
};
use crate::cache::DataPart;
use crate::recipe::{ExportConfig, TeacherSpec};
use crate::summary::DataSummary;
use crate::{Error, Event, Observer, Recipe, Source, weights};

/// What networks and objectives must know of a set of images.
#[derive(Clone, Debug)]
pub struct DataShape {
    /// Number of classes.
    pub classes: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Height of an image in pixels.
    pub height: usize,
    /// Width of an image in pixels.
    pub width: usize,
    /// Images of the training split.
    pub train: usize,
}

impl DataShape {
    /// What is known of a recipe's data before they are read; none where they are not there.
    pub fn known(recipe: &Recipe) -> Option<Self> {
        let data = recipe.images("this").ok()?;
        // What is wrong with the data is told by whoever reads them.
        Self::surveyed(data).ok()
    }

    /// As [`DataShape::known`], of data without a recipe. An image folder is counted by the names in it.
    ///
    /// # Errors
    /// When the data are not there or their configuration is wrong.
    pub fn surveyed(data: &DataConfig) -> Result<Self, Error> {
        let set = kd_data::survey(data)?;
        let train = match data.train_limit {
            Some(limit) => limit.min(set.train),
            None => set.train - (set.train as f64 * data.validation).round() as usize,
        };
        Ok(Self {
            classes: set.classes,
            channels: set.channels,
            height: set.size,
            width: set.size,
            train,
        })
    }

    fn new(dataset: &Dataset, splits: &Splits) -> Self {
        Self {
            classes: dataset.classes.len(),
            channels: dataset.train.channels,
            height: dataset.train.height,
            width: dataset.train.width,
            train: splits.train.len(),
        }
    }

    /// The same data as a teacher sees them.
    fn seen_by(&self, teacher: &TeacherSpec) -> Self {
        let size = |own: usize| teacher.size.unwrap_or(own);
        Self {
            height: size(self.height),
            width: size(self.width),
            ..self.clone()
        }
    }

    /// A network of the registry for these data.
    pub fn network(&self, model: &str) -> NetworkConfig {
        NetworkConfig::new(model, self.classes, self.channels).with_image_size(self.height)
    }
}

/// A network that classifies images in a run.
///
/// [`Network`] is every network of the registry. One of your own says how it is built; several kinds, and
/// those of the registry beside them, go into one enum. The other methods have the defaults of
/// [`TaskSpec`].
pub trait ImageNetwork: Backbone<Input = Tensor<4>> {
    /// Builds the network of a name for these images.
    ///
    /// # Errors
    /// When there is no such network.
    fn build(model: &str, data: &DataShape, device: &Device) -> Result<Self, Error>;

    /// As [`TaskSpec::load`].
    ///
    /// # Errors
    /// As [`TaskSpec::load`].
    fn load(model: &str, data: &DataShape, path: &Path, device: &Device) -> Result<Self, Error> {
        module_file::load(Self::build(model, data, device)?, path)
    }

    /// As [`TaskSpec::load_behind`].
    ///
    /// # Errors
    /// As [`TaskSpec::load_behind`].
    fn load_behind(
        model: &str,
        data: &DataShape,
        path: &Path,
        prefix: Option<&str>,
        device: &Device,
    ) -> Result<Self, Error> {
        match prefix {
            None => Self::load(model, data, path, device),
            Some(_) => Err(Error::Recipe(
                "weights_prefix: this network is read from files of its own; leave it out".into(),
            )),
        }
    }

    /// As [`TaskSpec::load_backbone`].
    ///
    /// # Errors
    /// As [`TaskSpec::load_backbone`].
    fn load_backbone(
        model: &str,
        data: &DataShape,
        (path, prefix): (&Path, Option<&str>),
        classifier: Option<&Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let _ = (model, data, path, prefix, device);
        Err(no_other_classifier(classifier))
    }

    /// The same network for images that were normalised with the mean and standard deviation `given`, where it
    /// was trained with `own`, as a recipe's `teacher.normalize` says.
    ///
    /// # Errors
    /// Unless the network can do that.
    fn for_statistics(self, given: (&[f32], &[f32]), own: (&[f32], &[f32])) -> Result<Self, Error> {
        let _ = (given, own);
        Err(Error::Recipe(
            "teacher.normalize: this network takes images as the students do; implement \
             `ImageNetwork::for_statistics`, or leave it out"
                .into(),
        ))
    }

    /// The same network for images of any size, which it resizes to the size that it was built for, as a recipe's
    /// `teacher.size` says.
    ///
    /// # Errors
    /// Unless the network can do that.
    fn resizing(self) -> Result<Self, Error> {
        Err(Error::Recipe(
            "teacher.size: this network takes images as the students do; implement `ImageNetwork::resizing`, or leave \
             it out"
                .into(),
        ))
    }

    /// As [`TaskSpec::with_layers_of`].
    ///
    /// # Errors
    /// As [`TaskSpec::with_layers_of`].
    fn with_layers_of(self, teacher: &Self, layers: &[usize]) -> Result<Self, Error> {
        let _ = teacher;
        Err(Error::Recipe(format!(
            "init_from = {{ layers = {layers:?} }}: this network cannot begin with layers of another; implement \
             `ImageNetwork::with_layers_of`, or leave it out"
        )))
    }

    /// As [`TaskSpec::pruned`].
    ///
    /// # Errors
    /// As [`TaskSpec::pruned`].
    fn pruned(self, prune: &PruneConfig) -> Result<Self, Error> {
        let _ = prune;
        Err(Error::Recipe(
            "prune: this network cannot lose channels; implement `ImageNetwork::pruned`, or leave it out".into(),
        ))
    }

    /// As [`TaskSpec::quantised`].
    ///
    /// # Errors
    /// As [`TaskSpec::quantised`].
    fn quantised(self, quantise: &QuantiseConfig, images: Vec<Tensor<4>>) -> Result<Self, Error> {
        let _ = (quantise, images);
        Err(Error::Recipe(
            "quantise: this network has no integer grids; implement `ImageNetwork::quantised`, or leave it out".into(),
        ))
    }

    /// As [`TaskSpec::onnx`], for images of `size` by weights with this header.
    ///
    /// # Errors
    /// As [`TaskSpec::onnx`].
    fn onnx(
        &self,
        size: usize,
        header: &WeightsHeader,
        config: &ExportConfig,
    ) -> Result<Onnx, Error> {
        let _ = (size, header, config);
        Err(Error::Recipe(
            "this network has no ONNX; implement `ImageNetwork::onnx`, or leave the stage out"
                .into(),
        ))
    }

    /// As [`TaskSpec::save`].
    ///
    /// # Errors
    /// As [`TaskSpec::save`].
    fn save(&self, path: &Path, metadata: &[(&str, String)]) -> Result<(), Error> {
        module_file::save(self, path, metadata)
    }

    /// As [`TaskSpec::name`].
    fn name(&self, model: &str) -> String {
        model.into()
    }

    /// As [`TaskSpec::cost`].
    ///
    /// # Errors
    /// As [`TaskSpec::cost`].
    fn cost(&self, data: &DataShape) -> Result<NetworkCost, Error> {
        let _ = data;
        Ok(module_file::cost(self))
    }
}

impl ImageNetwork for Network {
    fn build(model: &str, data: &DataShape, device: &Device) -> Result<Self, Error> {
        Ok(Self::new(&data.network(model), device)?)
    }

    fn load(model: &str, data: &DataShape, path: &Path, device: &Device) -> Result<Self, Error> {
        Ok(Self::from_file(&data.network(model), path, device)?)
    }

    fn load_behind(
        model: &str,
        data: &DataShape,
        path: &Path,
        prefix: Option<&str>,
        device: &Device,
    ) -> Result<Self, Error> {
        let config = data.network(model);
        Ok(match prefix {
            Some(prefix) => Self::from_file_behind(&config, path, prefix, device)?,
            None => Self::from_file(&config, path, device)?,
        })
    }

    fn load_backbone(
        model: &str,
        data: &DataShape,
        (path, prefix): (&Path, Option<&str>),
        classifier: Option<&Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let config = data.network(model);
        let network = match prefix {
            None => Self::from_backbone_file(&config, path, device)?,
            Some(prefix) => Self::from_backbone_file_behind(&config, path, prefix, device)?,
        };
        Ok(match classifier {
            None => network,
            Some(file) => network.with_classifier_of(file)?,
        })
    }

    fn for_statistics(self, given: (&[f32], &[f32]), own: (&[f32], &[f32])) -> Result<Self, Error> {
        Ok(Network::for_statistics(self, given, own)?)
    }

    fn resizing(self) -> Result<Self, Error> {
        Ok(Network::resizing(self))
    }

    fn with_layers_of(self, teacher: &Self, layers: &[usize]) -> Result<Self, Error> {
        Ok(Network::with_layers_of(self, teacher, layers)?)
    }

    fn pruned(self, prune: &PruneConfig) -> Result<Self, Error> {
        let pruned = prune.prune(&self);
        Ok(pruned
            .map_err(|problem| Error::Recipe(format!("prune.{problem}")))?
            .network)
    }

    fn quantised(self, quantise: &QuantiseConfig, images: Vec<Tensor<4>>) -> Result<Self, Error> {
        let quantised = quantise.quantise(&self, images);
        quantised.map_err(|problem| Error::Recipe(format!("quantise.{problem}")))
    }

    fn onnx(
        &self,
        size: usize,
        header: &WeightsHeader,
        config: &ExportConfig,
    ) -> Result<Onnx, Error> {
        let options = config.options(&self.config().model, size, header);
        export_network(self, size, &options).map_err(|problem| Error::Recipe(problem.to_string()))
    }

    fn save(&self, path: &Path, metadata: &[(&str, String)]) -> Result<(), Error> {
        let own = [
            ("model", self.config().model.clone()),
            ("classes", self.config().classes.to_string()),
            ("channels", self.config().channels()?.to_string()),
        ];
        let metadata: Vec<(String, String)> = own
            .iter()
            .chain(metadata)
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        Ok(Network::save(self, path, &metadata)?)
    }

    fn name(&self, _: &str) -> String {
        self.config().model.clone()
    }

    fn cost(&self, data: &DataShape) -> Result<NetworkCost, Error> {
        let cost = Network::cost(self, data.height)?;
        Ok(NetworkCost {
            parameters: cost.parameters,
            macs: Some(cost.macs),
            bytes: cost.bytes,
        })
    }
}

impl TaskSpec for DataShape {
    type Input = Tensor<4>;
    type Network = Network;

    fn train_samples(&self) -> usize {
        self.train
    }

    fn example(&self, samples: usize, device: &Device) -> Tensor<4> {
        Tensor::zeros([samples, self.channels, self.height, self.width], device)
    }

    fn build(&self, model: &str, device: &Device) -> Result<Network, Error> {
        ImageNetwork::build(model, self, device)
    }

    fn load(&self, model: &str, path: &Path, device: &Device) -> Result<Network, Error> {
        ImageNetwork::load(model, self, path, device)
    }

    fn load_behind(
        &self,
        model: &str,
        path: &Path,
        prefix: Option<&str>,
        device: &Device,
    ) -> Result<Network, Error> {
        ImageNetwork::load_behind(model, self, path, prefix, device)
    }

    /// Without the data there are no statistics to change from: the weights are read, and what the recipe gives
    /// is checked.
    fn load_teacher(
        &self,
        spec: &TeacherSpec,
        path: &Path,
        device: &Device,
    ) -> Result<Network, Error> {
        if let Some(normalize) = &spec.normalize {
            let any = (vec![0.5; self.channels], vec![0.5; self.channels]);
            normalize
                .resolve(self.channels, any)
                .map_err(of_the_teacher)?;
        }
        of_size(of_file(&self.seen_by(spec), spec, path, device)?, spec)
    }

    fn load_backbone(
        &self,
        model: &str,
        file: (&Path, Option<&str>),
        classifier: Option<&Path>,
        device: &Device,
    ) -> Result<Network, Error> {
        ImageNetwork::load_backbone(model, self, file, classifier, device)
    }

    fn with_layers_of(
        &self,
        network: Network,
        teacher: &Network,
        layers: &[usize],
    ) -> Result<Network, Error> {
        ImageNetwork::with_layers_of(network, teacher, layers)
    }

    fn pruned(&self, network: Network, prune: &PruneConfig) -> Result<Network, Error> {
        ImageNetwork::pruned(network, prune)
    }

    fn quantised(
        &self,
        network: Network,
        quantise: &QuantiseConfig,
        inputs: Vec<Tensor<4>>,
    ) -> Result<Network, Error> {
        ImageNetwork::quantised(network, quantise, inputs)
    }

    fn onnx(&self, network: &Network, config: &ExportConfig) -> Result<Onnx, Error> {
        // The statistics are those of images that are not here yet.
        let mut header = WeightsHeader::default();
        header.mean = Some(vec![0.0; self.channels]);
        header.std = Some(vec![1.0; self.channels]);
        ImageNetwork::onnx(network, self.height, &header, config)
    }

    fn build_teacher(&self, spec: &TeacherSpec, device: &Device) -> Result<Network, Error> {
        of_size(
            ImageNetwork::build(&spec.model, &self.seen_by(spec), device)?,
            spec,
        )
    }
}

/// The recipe's teacher for what it sees, with its weights and its classifier.
fn of_file<N: ImageNetwork>(
    seen: &DataShape,
    spec: &TeacherSpec,
    path: &Path,
    device: &Device,
) -> Result<N, Error> {
    let prefix = spec.weights_prefix.as_deref();
    match &spec.classifier_weights {
        None => N::load_behind(&spec.model, seen, path, prefix, device),
        Some(classifier) => {
            let classifier = weights::local(classifier)?;
            N::load_backbone(&spec.model, seen, (path, prefix), Some(&classifier), device)
        }
    }
}

/// A teacher that resizes what it sees, where it has a size of its own.
fn of_size<N: ImageNetwork>(teacher: N, spec: &TeacherSpec) -> Result<N, Error> {
    match spec.size {
        Some(_) => teacher.resizing(),
        None => Ok(teacher),
    }
}

/// A mistake in a normalisation, as one of the recipe's `[teacher]`.
fn of_the_teacher(problem: kd_data::Error) -> Error {
    Error::Recipe(problem.to_string().replacen("data.", "teacher.", 1))
}

/// Passes on what happens to the data.
pub(crate) fn tell(progress: Progress, observer: &mut dyn Observer) {
    match progress {
        Progress::Note(text) => observer.event(Event::Note(&text)),
        progress => observer.event(Event::Data(progress)),
    }
}

/// What [`ImageClassification::with_losses`] takes.
type AddLosses = dyn Fn(Objective) -> Result<Objective, kd_core::Error> + Send + Sync;

/// Losses of your own, and what they are called in what a training depends on.
#[derive(Clone)]
struct OwnLosses {
    name: String,
    add: Arc<AddLosses>,
}

/// Classification of a set of images, by networks of the registry or of your own.
#[derive(Clone)]
pub struct ImageClassification<N = Network> {
    shape: DataShape,
    data: DataConfig,
    dataset: Dataset,
    splits: Splits,
    losses: Option<OwnLosses>,
    network: PhantomData<fn() -> N>,
}

impl<N: ImageNetwork> ImageClassification<N> {
    /// Reads the data, or fetches them.
    ///
    /// # Errors
    /// When they are not there, are damaged, or cannot be split as the configuration says.
    pub fn load(data: &DataConfig, observer: &mut dyn Observer) -> Result<Self, Error> {
        let dataset = kd_data::load(data, &mut |p| tell(p, observer))?;
        Self::new(data, dataset)
    }

    /// As [`ImageClassification::load`], of the test set alone: it can be evaluated with, not trained.
    ///
    /// # Errors
    /// As [`ImageClassification::load`].
    pub fn load_test(data: &DataConfig, observer: &mut dyn Observer) -> Result<Self, Error> {
        let dataset = kd_data::load_test(data, &mut |p| tell(p, observer))?;
        Self::new(data, dataset)
    }

    /// Images that were read.
    ///
    /// # Errors
    /// When they cannot be split as the configuration says.
    pub fn new(data: &DataConfig, dataset: Dataset) -> Result<Self, Error> {
        let splits = kd_data::split(&dataset, data)?;
        Ok(Self {
            shape: DataShape::new(&dataset, &splits),
            data: data.clone(),
            dataset,
            splits,
            losses: None,
            network: PhantomData,
        })
    }

    /// Adds losses of your own to the objective of every student that has a teacher. A finished training is
    /// taken from an earlier run only when `name` is that run's: change it with the losses.
    pub fn with_losses(
        mut self,
        name: impl Into<String>,
        add: impl Fn(Objective) -> Result<Objective, kd_core::Error> + Send + Sync + 'static,
    ) -> Self {
        self.losses = Some(OwnLosses {
            name: name.into(),
            add: Arc::new(add),
        });
        self
    }

    /// What networks and objectives must know of the images.
    pub fn shape(&self) -> &DataShape {
        &self.shape
    }

    /// The images.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// At most so many training images, evenly spread over the split, as evaluation shows them.
    pub(crate) fn train_as_evaluated(&self, most: usize, batch: usize) -> Result<Loader, Error> {
        let all = &self.splits.train;
        let step = all.len().div_ceil(most.max(1)).max(1);
        let indices: Vec<usize> = all.iter().copied().step_by(step).collect();
        self.loader(&self.dataset.train, &indices, None, batch)
    }

    fn loader(
        &self,
        images: &Arc<Images>,
        indices: &[usize],
        training: Option<u64>,
        batch: usize,
    ) -> Result<Loader, Error> {
        let mix = self.data.mix.filter(|_| training.is_some());
        let config = LoaderConfig {
            batch,
            augment: match training {
                Some(_) => self.data.augment,
                None => Augment::none(),
            },
            mean: self.dataset.mean.clone(),
            std: self.dataset.std.clone(),
            seed: training.unwrap_or(0),
            shuffle: training.is_some(),
            drop_last: false,
        };
        let loader = Loader::new(images.clone(), indices.to_vec(), config)?;
        Ok(match mix {
            None => loader,
            Some(mix) => loader.with_mix(mix, self.shape.classes)?,
        })
    }
}

impl ImageClassification<Network> {
    /// The recipe's teacher of a file whose classifier is left alone; its own is drawn.
    ///
    /// # Errors
    /// As [`TaskSpec::load_teacher`].
    pub(crate) fn without_classifier(
        &self,
        spec: &TeacherSpec,
        path: &Path,
        device: &Device,
    ) -> Result<Network, Error> {
        let config = self.shape.seen_by(spec).network(&spec.model);
        let network = Network::from_backbone_file(&config, path, device)?;
        self.adapted(of_size(network, spec)?, spec)
    }

    /// Writes the weights of a teacher, whose images are normalised its own way.
    ///
    /// # Errors
    /// As [`TaskSpec::save`].
    pub(crate) fn save_teacher(
        &self,
        network: &Network,
        spec: &TeacherSpec,
        path: &Path,
        metadata: &[(&str, String)],
    ) -> Result<(), Error> {
        let mut header = doubts::header(&self.data, &self.dataset, self.shape.height);
        if let Some(normalize) = &spec.normalize {
            let own = self.dataset.statistics(normalize);
            let (mean, std) = own.map_err(of_the_teacher)?;
            (header.mean, header.std) = (Some(mean), Some(std));
        }
        self.save_with(network, path, &header, metadata)
    }
}

impl<N: ImageNetwork> ImageClassification<N> {
    fn save_with(
        &self,
        network: &N,
        path: &Path,
        header: &WeightsHeader,
        metadata: &[(&str, String)],
    ) -> Result<(), Error> {
        let header = header.entries();
        let own = header
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()));
        let all: Vec<(&str, String)> = own.chain(metadata.iter().cloned()).collect();
        network.save(path, &all)
    }

    /// A teacher for images that are normalised as the students'.
    fn adapted(&self, teacher: N, spec: &TeacherSpec) -> Result<N, Error> {
        let Some(normalize) = &spec.normalize else {
            return Ok(teacher);
        };
        let Dataset { mean, std, .. } = &self.dataset;
        let own = self.dataset.statistics(normalize);
        let (own_mean, own_std) = own.map_err(of_the_teacher)?;
        teacher.for_statistics((mean, std), (&own_mean, &own_std))
    }
}

impl<N: ImageNetwork> TaskSpec for ImageClassification<N> {
    type Input = Tensor<4>;
    type Network = N;

    fn train_samples(&self) -> usize {
        self.shape.train_samples()
    }

    fn example(&self, samples: usize, device: &Device) -> Tensor<4> {
        self.shape.example(samples, device)
    }

    fn build(&self, model: &str, device: &Device) -> Result<N, Error> {
        N::build(model, &self.shape, device)
    }

    fn load(&self, model: &str, path: &Path, device: &Device) -> Result<N, Error> {
        N::load(model, &self.shape, path, device)
    }

    fn load_behind(
        &self,
        model: &str,
        path: &Path,
        prefix: Option<&str>,
        device: &Device,
    ) -> Result<N, Error> {
        N::load_behind(model, &self.shape, path, prefix, device)
    }

    fn load_teacher(&self, spec: &TeacherSpec, path: &Path, device: &Device) -> Result<N, Error> {
        let teacher = of_file(&self.shape.seen_by(spec), spec, path, device)?;
        self.adapted(of_size(teacher, spec)?, spec)
    }

    fn load_backbone(
        &self,
        model: &str,
        file: (&Path, Option<&str>),
        classifier: Option<&Path>,
        device: &Device,
    ) -> Result<N, Error> {
        N::load_backbone(model, &self.shape, file, classifier, device)
    }

    fn with_layers_of(&self, network: N, teacher: &N, layers: &[usize]) -> Result<N, Error> {
        ImageNetwork::with_layers_of(network, teacher, layers)
    }

    fn pruned(&self, network: N, prune: &PruneConfig) -> Result<N, Error> {
        ImageNetwork::pruned(network, prune)
    }

    fn quantised(
        &self,
        network: N,
        quantise: &QuantiseConfig,
        inputs: Vec<Tensor<4>>,
    ) -> Result<N, Error> {
        ImageNetwork::quantised(network, quantise, inputs)
    }

    fn build_teacher(&self, spec: &TeacherSpec, device: &Device) -> Result<N, Error> {
        of_size(
            N::build(&spec.model, &self.shape.seen_by(spec), device)?,
            spec,
        )
    }

    fn save(&self, network: &N, path: &Path, metadata: &[(&str, String)]) -> Result<(), Error> {
        let header = doubts::header(&self.data, &self.dataset, self.shape.height);
        self.save_with(network, path, &header, metadata)
    }

    fn onnx(&self, network: &N, config: &ExportConfig) -> Result<Onnx, Error> {
        let header = doubts::header(&self.data, &self.dataset, self.shape.height);
        network.onnx(self.shape.height, &header, config)
    }

    fn name(&self, network: &N, model: &str) -> String {
        network.name(model)
    }

    fn cost(&self, network: &N) -> Result<NetworkCost, Error> {
        network.cost(&self.shape)
    }

    fn objective(
        &self,
        config: &ObjectiveConfig,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Objective, kd_core::Error> {
        let objective = config.init(student, teacher, device)?;
        match (&self.losses, teacher) {
            (Some(losses), Some(_)) => (losses.add)(objective),
            _ => Ok(objective),
        }
    }
}

impl<N: ImageNetwork> Task for ImageClassification<N> {
    fn train(
        &self,
        options: &TrainSource,
    ) -> Result<Box<dyn Source<Input = Tensor<4>> + '_>, Error> {
        let (images, indices) = (&self.dataset.train, &self.splits.train);
        let loader = self.loader(images, indices, Some(options.seed), options.batch)?;
        Ok(match options.views {
            Some((count, seed)) => Box::new(loader.with_views(count, seed)),
            None => Box::new(loader),
        })
    }

    fn validation(
        &self,
        batch: usize,
    ) -> Result<Option<Box<dyn Source<Input = Tensor<4>> + '_>>, Error> {
        let indices = &self.splits.validation;
        if indices.is_empty() {
            return Ok(None);
        }
        let loader = self.loader(&self.dataset.train, indices, None, batch)?;
        Ok(Some(Box::new(loader)))
    }

    fn test(&self, batch: usize) -> Result<Box<dyn Source<Input = Tensor<4>> + '_>, Error> {
        let loader = self.loader(&self.dataset.test, &self.splits.test, None, batch)?;
        Ok(Box::new(loader))
    }

    fn views(&self) -> u64 {
        self.data
            .augment
            .views((self.shape.height, self.shape.width))
    }

    fn summary(&self) -> DataSummary {
        DataSummary {
            name: self.dataset.name.clone(),
            sha256: self.dataset.sha256.clone(),
            train: self.splits.train.len(),
            validation: self.splits.validation.len(),
            test: self.splits.test.len(),
            classes: self.dataset.classes.clone(),
        }
    }

    fn dependencies(&self) -> Value {
        let data = &self.data;
        let mut all = json!({
            "sha256": self.dataset.sha256,
            "name": data.name,
            "validation": data.validation,
            "train_limit": data.train_limit,
            "size": data.size,
            "mean": self.dataset.mean,
            "std": self.dataset.std,
            "augment": data.augment,
            "split_seed": data.split_seed,
        });
        // What is not there has no entry, so that trainings of earlier versions are found.
        if let Some(fit) = data.fit() {
            all["resize"] = fit.resize.into();
        }
        if let Some(interpolation) = data.resized_by() {
            all["interpolation"] = json!(interpolation);
        }
        if let Some(mix) = data.mix {
            all["mix"] = json!(mix);
        }
        if let Some(losses) = &self.losses {
            all["losses"] = losses.name.clone().into();
        }
        all
    }

    fn cache_parts(&self) -> Vec<DataPart> {
        let DataShape {
            channels,
            height,
            width,
            ..
        } = self.shape;
        let Dataset {
            sha256, mean, std, ..
        } = &self.dataset;
        let size = [channels, height, width];
        let mut parts = data_parts(sha256, size, mean, std, self.data.augment);
        let (resize, interpolation) = (self.data.fit(), self.data.resized_by());
        if let Some(fit) = resize {
            parts.push((
                "data.resize",
                format!("{} {}", fit.resize, fit.interpolation),
            ));
        } else if let Some(interpolation) = interpolation {
            parts.push(("data.interpolation", interpolation.to_string()));
        }
        parts
    }

    fn doubts(&self, path: &Path, used: WeightsUse) -> Result<Vec<String>, Error> {
        let mut header = WeightsHeader::read(path)?;
        if !used.own_classifier {
            header = doubts::without_classes(header);
        }
        let mut here = doubts::header(&self.data, &self.dataset, self.shape.height);
        if let Some(normalize) = used.normalize {
            let (mean, std) = self.dataset.statistics(normalize).map_err(of_the_teacher)?;
            (here.mean, here.std) = (Some(mean), Some(std));
        }
        Ok(doubts::between(&header, &here))
    }

    fn show(&self, row: usize) -> Result<Shown, Error> {
        let index = self.splits.test[row];
        crate::teacher_softmax::data_url(&self.dataset.test, index).map(Shown::Image)
    }
}

/// What a teacher's answers to images follow from.
pub(crate) fn data_parts(
    sha256: &str,
    [channels, height, width]: [usize; 3],
    mean: &[f32],
    std: &[f32],
    augment: Augment,
) -> Vec<DataPart> {
    let Augment {
        crop, flip, cutout, ..
    } = augment;
    // The three have always been spelled like this; the others are as in the recipe, where they are on.
    let mut spelled = format!("crop {crop}, flip {flip}, cutout {cutout}");
    if augment.is_endless() {
        spelled = json!(augment).to_string();
    }
    vec![
        ("SHA-256 of the data", sha256.into()),
        ("size of an image", format!("{channels}x{height}x{width}")),
        ("data.normalize", format!("mean {mean:?}, std {std:?}")),
        ("data.augment", spelled),
    ]
}
