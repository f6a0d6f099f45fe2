//! Batches, prepared ahead of the step.

use std::num::NonZeroU64;
use std::sync::{Arc, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::plan::{Bounded, Plan, Shown};
use crate::{Augment, Epoch, Error, Images, Mix, Mixed, View};

/// How images become batches.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Images a batch.
    pub batch: usize,
    /// Random views; [`Augment::none`] for evaluation.
    pub augment: Augment,
    /// Mean of each channel, in units of 255.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 255.
    pub std: Vec<f32>,
    /// Seed of the order and of the views.
    pub seed: u64,
    /// Whether every epoch has its own order.
    pub shuffle: bool,
    /// Whether a last, smaller batch is left out.
    pub drop_last: bool,
}

/// Makes batches of some of a set's images.
#[derive(Clone, Debug)]
pub struct Loader {
    plan: Arc<Plan>,
}

/// One batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Normalised, `[batch, channels, height, width]`.
    pub pixels: Vec<f32>,
    /// Class of each image.
    pub labels: Vec<u32>,
    /// Index of each image in its [`Images`].
    pub indices: Vec<usize>,
    /// The number of each view, below [`Loader::possible_views`].
    pub views: Vec<u64>,
    /// Shape of `pixels`.
    pub shape: [usize; 4],
    /// What the images were mixed of; none where each is one image.
    pub mixed: Option<Mixed>,
}

impl Batch {
    /// The images as a tensor, `[batch, channels, height, width]`.
    pub fn images(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(self.pixels.clone(), self.shape), device)
    }

    /// The classes as a tensor, `[batch]`.
    pub fn labels(&self, device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i64> = self.labels.iter().map(|&label| i64::from(label)).collect();
        let count = labels.len();
        Tensor::from_data(TensorData::new(labels, [count]), device)
    }

    /// The share of every class in every image, `[batch, classes]`, where images are mixed.
    pub fn shares(&self, device: &Device) -> Option<Tensor<2>> {
        let mixed = self.mixed.as_ref()?;
        Some(mixed.rows(&self.labels, device))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Loader {
    /// A loader of the images `indices` of `images`.
    ///
    /// # Errors
    /// [`Error::Loader`] for no images, a batch of 0, an index or a channel that does not exist,
    /// or when `drop_last` would leave no batch.
    pub fn new(
        images: Arc<Images>,
        indices: Vec<usize>,
        config: LoaderConfig,
    ) -> Result<Self, Error> {
        let problem = |text: String| Err(Error::Loader(text));
        let available = images.len();
        if indices.is_empty() {
            return problem("there are no images to make batches of".into());
        }
        if let Some(index) = indices.iter().find(|&&index| index >= available) {
            return problem(format!("there is no image {index}: there are {available}"));
        }
        if config.batch == 0 {
            return problem("a batch of 0 images; at least 1 is needed".into());
        }
        if config.drop_last && indices.len() < config.batch {
            return problem(format!(
                "{} images do not fill one batch of {}, and smaller batches are left out; \
                 use a smaller batch or more images",
                indices.len(),
                config.batch
            ));
        }
        let channels = images.channels;
        if config.mean.len() != channels || config.std.len() != channels {
            return problem(format!(
                "{} means and {} standard deviations for images of {channels} channels",
                config.mean.len(),
                config.std.len()
            ));
        }
        if let Some(files) = &images.files {
            if files.paths.len() != available {
                let files = files.paths.len();
                return problem(format!("{files} files are not {available} images"));
            }
        } else if images.pixels.len() != available * images.stride() {
            return problem(format!(
                "{} bytes are not {available} images of {channels}x{}x{}",
                images.pixels.len(),
                images.height,
                images.width
            ));
        }
        config.augment.fits((images.height, images.width))?;
        Ok(Self {
            plan: Arc::new(Plan::new(images, indices, config)),
        })
    }

    /// The same loader, which shows at most `count` views of each image (Shen and Xing 2022).
    ///
    /// They are those that a loader with this `seed` draws in its epochs 1 to `count`; epoch
    /// `count + 1` shows those of epoch 1 again, and so on. The order of the images is still that
    /// of the loader's own seed and the epoch.
    pub fn with_views(mut self, count: NonZeroU64, seed: u64) -> Self {
        Arc::make_mut(&mut self.plan).bounded = Some(Bounded { count, seed });
        self
    }

    /// The same loader, which mixes the images of a batch, of so many `classes`.
    ///
    /// # Errors
    /// [`Error::Config`] for a wrong value, [`Error::Loader`] for a label that is no class.
    pub fn with_mix(mut self, mix: Mix, classes: usize) -> Result<Self, Error> {
        mix.validate()?;
        let plan = Arc::make_mut(&mut self.plan);
        if let Some(label) = plan.images.labels.iter().find(|l| **l as usize >= classes) {
            return Err(Error::Loader(format!(
                "an image has the label {label}, and there are {classes} classes"
            )));
        }
        plan.mix = Some((mix, classes));
        Ok(self)
    }

    /// Why the batches of an epoch ended early: an image that could not be read. Told once.
    pub fn problem(&self) -> Option<Error> {
        let problem = self.plan.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        self.plan.batches()
    }

    /// Images that the loader draws from.
    pub fn len(&self) -> usize {
        self.plan.indices.len()
    }

    /// Their indices in [`Images`], in the order they were given.
    pub fn indices(&self) -> &[usize] {
        &self.plan.indices
    }

    /// Never true: a loader of nothing cannot be made.
    pub fn is_empty(&self) -> bool {
        self.plan.indices.is_empty()
    }

    /// How image `index` is seen in `epoch`; for the first time, where it is repeated.
    pub fn view(&self, epoch: u64, index: usize) -> View {
        self.plan.view(epoch, Shown::first(index))
    }

    /// How many different views of an image there are: [`Augment::views`] of these images.
    pub fn possible_views(&self) -> u64 {
        self.plan.config.augment.views(self.plan.size())
    }

    /// The number of the view of image `index` in `epoch`, the first one where it is repeated; below
    /// [`Loader::possible_views`].
    pub fn view_number(&self, epoch: u64, index: usize) -> u64 {
        self.plan.view_number(epoch, Shown::first(index))
    }

    /// The batches of an epoch: the same ones whenever the same epoch is asked for.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch without its first `skip`, which are not prepared either.
    pub fn epoch_from(&self, epoch: u64, skip: usize) -> Epoch {
        let plan = Arc::clone(&self.plan);
        let (order, size) = (plan.order(epoch), plan.config.batch);
        let numbers = skip.min(plan.batches())..plan.batches();
        Epoch::start(numbers, Arc::clone(&plan.problem), move |number| {
            let end = order.len().min((number + 1) * size);
            plan.batch(epoch, number, &order[number * size..end])
        })
    }
}
