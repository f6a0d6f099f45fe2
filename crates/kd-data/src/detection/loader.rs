//! Batches of images with boxes, prepared ahead of the step.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{Annotation, BoxAugment, DetectionSet, Scene};
use crate::epoch::Epoch;
use crate::random::Stream;
use crate::{Error, Interpolation};

/// How images with boxes become batches.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionLoaderConfig {
    /// Images a batch.
    pub batch: usize,
    /// Height and width that images are resized to; their aspect is not kept.
    pub size: usize,
    /// What is done to them before; nothing for evaluation.
    pub augment: Option<BoxAugment>,
    /// Seed of the order and of the views.
    pub seed: u64,
    /// Whether every epoch has its own order.
    pub shuffle: bool,
}

/// Makes batches of a set's images.
#[derive(Clone, Debug)]
pub struct DetectionLoader {
    set: Arc<DetectionSet>,
    config: DetectionLoaderConfig,
    indices: Vec<usize>,
    problem: Arc<Mutex<Option<Error>>>,
}

/// One batch.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionBatch {
    /// RGB in 0..1, `[batch, 3, size, size]`.
    pub pixels: Vec<f32>,
    /// Shape of `pixels`.
    pub shape: [usize; 4],
    /// The objects of each image, in pixels of what networks see.
    pub objects: Vec<Vec<Annotation>>,
    /// Place of each image in the set.
    pub indices: Vec<usize>,
}

impl DetectionBatch {
    /// The images as a tensor.
    pub fn images(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(self.pixels.clone(), self.shape), device)
    }
}

/// Keeps draws of the order apart from others of the same seed.
const ORDER: u64 = 0x0B0C_0DE5;

impl DetectionLoader {
    /// A loader of all images of a set.
    ///
    /// # Errors
    /// [`Error::Loader`] for no images, a batch of 0 or a size of 0.
    pub fn new(set: Arc<DetectionSet>, config: DetectionLoaderConfig) -> Result<Self, Error> {
        let count = set.images.len();
        if count == 0 || config.batch == 0 || config.size == 0 {
            return Err(Error::Loader(format!(
                "{count} images in batches of {}, of {} pixels a side: at least 1 of each is needed",
                config.batch, config.size
            )));
        }
        Ok(Self {
            set,
            config,
            indices: (0..count).collect(),
            problem: Arc::default(),
        })
    }

    /// The places of the images, in order.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        self.indices.len().div_ceil(self.config.batch)
    }

    /// Why the batches of an epoch ended early: an image that could not be read. Told once.
    pub fn problem(&self) -> Option<Error> {
        let problem = self.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The batches of an epoch without its first `skip`: the same ones whenever the same epoch is asked for.
    pub fn epoch_from(&self, epoch: u64, skip: usize) -> Epoch<DetectionBatch> {
        let mut order = self.indices.clone();
        if self.config.shuffle {
            Stream::new([self.config.seed, ORDER, epoch, 0]).shuffle(&mut order);
        }
        let own = self.clone();
        let size = self.config.batch;
        let numbers = skip.min(self.batches())..self.batches();
        Epoch::start(numbers, Arc::clone(&self.problem), move |number| {
            let end = order.len().min((number + 1) * size);
            own.batch(epoch, &order[number * size..end])
        })
    }

    fn batch(&self, epoch: u64, indices: &[usize]) -> Result<DetectionBatch, Error> {
        let size = self.config.size;
        let stride = 3 * size * size;
        let mut pixels = vec![0.0; indices.len() * stride];
        let objects = pixels
            .par_chunks_mut(stride)
            .zip(indices)
            .map(|(out, &index)| self.show(epoch, index, out))
            .collect::<Result<_, _>>()?;
        Ok(DetectionBatch {
            pixels,
            shape: [indices.len(), 3, size, size],
            objects,
            indices: indices.to_vec(),
        })
    }

    /// Writes an image as it is seen in an epoch; the objects that are seen.
    fn show(&self, epoch: u64, index: usize, out: &mut [f32]) -> Result<Vec<Annotation>, Error> {
        let scene = self.set.scene(index)?;
        let Scene { image, objects } = match &self.config.augment {
            Some(augment) => augment.apply(scene, self.config.seed, epoch, index),
            None => scene,
        };
        let size = self.config.size;
        let [across, down] = [image.width, image.height].map(|side| size as f64 / side as f64);
        let seen = image.resize((size, size), Interpolation::Bilinear);
        let area = size * size;
        for (channel, plane) in out.chunks_exact_mut(area).enumerate() {
            // A grey image shows its only channel three times.
            let from = channel.min(seen.channels - 1);
            let bytes = seen.bytes.iter().skip(from).step_by(seen.channels);
            for (value, byte) in plane.iter_mut().zip(bytes) {
                *value = f32::from(*byte) / 255.0;
            }
        }
        let moved = objects.into_iter().map(|object| {
            let [x1, y1, x2, y2] = object.corners;
            let corners = [x1 * across, y1 * down, x2 * across, y2 * down];
            Annotation {
                corners,
                bbox: [
                    corners[0],
                    corners[1],
                    corners[2] - corners[0],
                    corners[3] - corners[1],
                ],
                area: object.area * across * down,
                ..object
            }
        });
        Ok(moved.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes;
    use super::*;

    fn loader(augment: Option<BoxAugment>) -> DetectionLoader {
        let config = DetectionLoaderConfig {
            batch: 4,
            size: 80,
            augment,
            seed: 5,
            shuffle: true,
        };
        DetectionLoader::new(Arc::new(shapes(10, 1)), config).unwrap()
    }

    #[test]
    fn an_epoch_shows_every_image_once_with_its_boxes_at_the_size_that_is_seen() {
        let loader = loader(None);
        let batches: Vec<_> = loader.epoch_from(1, 0).collect();
        assert_eq!(batches.len(), 3);
        let mut seen: Vec<usize> = batches.iter().flat_map(|b| b.indices.clone()).collect();
        for batch in &batches {
            for (index, objects) in batch.indices.iter().zip(&batch.objects) {
                let annotated = &loader.set.images[*index].objects;
                let of = |object: &Annotation| {
                    let [x1, y1, x2, y2] = object.corners;
                    [x1 / 2.0, y1 / 1.5, x2 / 2.0, y2 / 1.5]
                };
                let wanted: Vec<_> = annotated.iter().map(of).collect();
                let found: Vec<_> = objects.iter().map(|object| object.corners).collect();
                for (found, wanted) in found.concat().iter().zip(wanted.concat()) {
                    assert!((found - wanted).abs() < 1e-9);
                }
            }
        }
        assert_ne!(seen, (0..10).collect::<Vec<_>>(), "the order is drawn");
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_rest_of_an_epoch_is_as_if_it_had_not_been_interrupted() {
        let loader = loader(Some(BoxAugment::ssd()));
        let whole: Vec<_> = loader.epoch_from(2, 0).collect();
        let rest: Vec<_> = loader.epoch_from(2, 1).collect();
        assert_eq!(whole[1..], rest);
        assert_ne!(whole[0], loader.epoch_from(3, 0).next().unwrap());
    }

    #[test]
    fn an_image_that_cannot_be_read_ends_the_epoch_with_its_name() {
        let mut set = shapes(3, 1);
        set.images[1].drawn = None;
        let config = DetectionLoaderConfig {
            batch: 1,
            size: 32,
            augment: None,
            seed: 0,
            shuffle: false,
        };
        let loader = DetectionLoader::new(Arc::new(set), config).unwrap();
        assert_eq!(loader.epoch_from(0, 0).count(), 1);
        let problem = loader.problem().unwrap().to_string();
        assert!(problem.contains("shape 1 of seed 1"), "{problem}");
        assert!(loader.problem().is_none());
    }
}
