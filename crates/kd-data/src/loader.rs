//! Batches, prepared ahead of the step.

use std::num::NonZeroU64;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::random::Stream;
use crate::{Augment, Epoch, Error, Images, View};

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

/// All that batches follow from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: LoaderConfig,
    images: Arc<Images>,
    indices: Vec<usize>,
    bounded: Option<Bounded>,
    /// For each channel, what a pixel of each value becomes.
    tables: Vec<[f32; 256]>,
}

/// A set of views an image that epochs take turns with.
#[derive(Clone, Copy, Debug)]
struct Bounded {
    count: NonZeroU64,
    seed: u64,
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
    /// Shape of `pixels`.
    pub shape: [usize; 4],
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
        if images.pixels.len() != available * images.stride() {
            return problem(format!(
                "{} bytes are not {available} images of {channels}x{}x{}",
                images.pixels.len(),
                images.height,
                images.width
            ));
        }
        config.augment.fits((images.height, images.width))?;
        let tables = config
            .mean
            .iter()
            .zip(&config.std)
            .map(|(mean, std)| std::array::from_fn(|p| (p as f32 / 255.0 - mean) / std))
            .collect();
        Ok(Self {
            plan: Arc::new(Plan {
                images,
                indices,
                bounded: None,
                config,
                tables,
            }),
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

    /// How image `index` is seen in `epoch`.
    pub fn view(&self, epoch: u64, index: usize) -> View {
        self.plan.view(epoch, index)
    }

    /// How many different views of an image there are: [`Augment::views`] of these images.
    pub fn possible_views(&self) -> u64 {
        self.plan.config.augment.views(self.plan.size())
    }

    /// The number of the view of image `index` in `epoch`, below [`Loader::possible_views`].
    pub fn view_number(&self, epoch: u64, index: usize) -> u64 {
        let view = self.view(epoch, index);
        self.plan.config.augment.number(self.plan.size(), &view)
    }

    /// The batches of an epoch: the same ones whenever the same epoch is asked for.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch without its first `skip`, which are not prepared either.
    pub fn epoch_from(&self, epoch: u64, skip: usize) -> Epoch {
        Epoch::start(Arc::clone(&self.plan), epoch, skip)
    }
}

impl Plan {
    pub(crate) fn batches(&self) -> usize {
        let (n, batch) = (self.indices.len(), self.config.batch);
        if self.config.drop_last {
            n / batch
        } else {
            n.div_ceil(batch)
        }
    }

    pub(crate) fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order = self.indices.clone();
        if self.config.shuffle {
            Stream::new([self.config.seed, ORDER, epoch, 0]).shuffle(&mut order);
        }
        order
    }

    /// Height and width of an image.
    fn size(&self) -> (usize, usize) {
        (self.images.height, self.images.width)
    }

    fn view(&self, epoch: u64, index: usize) -> View {
        let size = self.size();
        let (seed, draw) = match self.bounded {
            None => (self.config.seed, epoch),
            // Epochs count from 1.
            Some(Bounded { count, seed }) => (seed, 1 + epoch.saturating_sub(1) % count),
        };
        self.config.augment.view(size, seed, draw, index)
    }

    pub(crate) fn batch(&self, epoch: u64, indices: &[usize]) -> Batch {
        let images = &*self.images;
        let mut pixels = vec![0.0; indices.len() * images.stride()];
        pixels
            .par_chunks_mut(images.stride())
            .zip(indices)
            .with_min_len(8)
            .for_each(|(out, &index)| {
                let view = self.view(epoch, index);
                let plane = images.height * images.width;
                let planes = images.image(index).chunks_exact(plane);
                for ((plane, table), out) in
                    planes.zip(&self.tables).zip(out.chunks_exact_mut(plane))
                {
                    view.write(plane, table, images.width, out);
                }
            });
        Batch {
            pixels,
            labels: indices.iter().map(|&i| images.labels[i]).collect(),
            indices: indices.to_vec(),
            shape: [indices.len(), images.channels, images.height, images.width],
        }
    }
}

/// Keeps these draws apart from others of the same seed.
const ORDER: u64 = 0x6f_7264_6572;
