//! All that batches follow from, and how one is prepared.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::random::Stream;
use crate::{Batch, Bitmap, Error, Images, LoaderConfig, Mix, View};

/// All that batches follow from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: LoaderConfig,
    pub(crate) images: Arc<Images>,
    pub(crate) indices: Vec<usize>,
    pub(crate) bounded: Option<Bounded>,
    /// How batches are mixed, and the number of classes.
    pub(crate) mix: Option<(Mix, usize)>,
    /// For each channel, what a pixel of each value becomes.
    tables: Vec<[f32; 256]>,
    /// Why an epoch ended early.
    pub(crate) problem: Arc<Mutex<Option<Error>>>,
}

/// A set of views an image that epochs take turns with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounded {
    pub(crate) count: NonZeroU64,
    pub(crate) seed: u64,
}

impl Plan {
    pub(crate) fn new(images: Arc<Images>, indices: Vec<usize>, config: LoaderConfig) -> Self {
        let channels = config.mean.iter().zip(&config.std);
        let tables = channels
            .map(|(mean, std)| std::array::from_fn(|p| (p as f32 / 255.0 - mean) / std))
            .collect();
        Self {
            config,
            images,
            indices,
            bounded: None,
            mix: None,
            tables,
            problem: Arc::default(),
        }
    }

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

    /// Height and width of an image as networks see it.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.images.height, self.images.width)
    }

    /// Seed and number of the draw that views of an epoch follow from.
    pub(crate) fn draw(&self, epoch: u64) -> (u64, u64) {
        match self.bounded {
            None => (self.config.seed, epoch),
            // Epochs count from 1.
            Some(Bounded { count, seed }) => (seed, 1 + epoch.saturating_sub(1) % count),
        }
    }

    pub(crate) fn view(&self, epoch: u64, index: usize) -> View {
        let (seed, draw) = self.draw(epoch);
        let augment = &self.config.augment;
        augment.view(self.size(), seed, draw, index)
    }

    pub(crate) fn batch(
        &self,
        epoch: u64,
        number: usize,
        indices: &[usize],
    ) -> Result<Batch, Error> {
        let images = &*self.images;
        let mut pixels = vec![0.0; indices.len() * images.stride()];
        // Decoding a file is work enough for a thread.
        let at_once = if images.files.is_some() { 1 } else { 8 };
        pixels
            .par_chunks_mut(images.stride())
            .zip(indices)
            .with_min_len(at_once)
            .try_for_each(|(out, &index)| self.show(epoch, index, out))?;
        let labels: Vec<u32> = indices.iter().map(|&i| images.labels[i]).collect();
        let shape = [indices.len(), images.channels, images.height, images.width];
        let mixed = self.mix.and_then(|(mix, classes)| {
            let mut random = Stream::new([self.config.seed, MIX, epoch, number as u64]);
            mix.apply(&mut pixels, shape, &labels, classes, &mut random)
        });
        Ok(Batch {
            pixels,
            labels,
            indices: indices.to_vec(),
            shape,
            mixed,
        })
    }

    /// Writes an image as it is seen in an epoch: augmented and normalised, `[channels, height, width]`.
    fn show(&self, epoch: u64, index: usize, out: &mut [f32]) -> Result<(), Error> {
        let (images, augment) = (&*self.images, &self.config.augment);
        let view = self.view(epoch, index);
        let (seed, draw) = self.draw(epoch);
        let stream = |kind| Stream::new([seed, kind, draw, index as u64]);
        let in_memory = images.files.is_none() && augment.random_resized_crop.is_none();
        if in_memory && !augment.recolours() {
            self.write(&view, images.image(index), out);
        } else {
            let mut image = self.cut(index, &mut stream(PART))?;
            let mut view = view;
            if augment.recolours() {
                image = image.seen(&view);
                view = View {
                    cutout: view.cutout,
                    ..View::default()
                };
            }
            if let Some(operations) = augment.rand_augment {
                image = operations.apply(image, &mut stream(OPERATIONS));
            }
            if let Some(operation) = augment.trivial_augment {
                image = operation.apply(&image, &mut stream(OPERATIONS));
            }
            if let Some(colours) = augment.color_jitter {
                image = colours.apply(image, &mut stream(COLOURS));
            }
            self.write(&view, &image.planes(), out);
        }
        if let Some(erasing) = augment.random_erasing {
            erasing.apply(out, self.size(), &mut stream(ERASED));
        }
        Ok(())
    }

    /// The part of an image that networks see, at the size they see it.
    fn cut(&self, index: usize, random: &mut Stream) -> Result<Bitmap, Error> {
        let images = &*self.images;
        let part = self.config.augment.random_resized_crop;
        let whole = match (&images.files, part) {
            (Some(files), None) => return files.centre(index),
            (Some(files), Some(_)) => files.whole(index)?,
            (None, _) => Bitmap::from_planes(images.image(index), images.channels, self.size()),
        };
        let (height, width) = self.size();
        Ok(match part {
            Some(part) => part.apply(&whole, (width, height), random),
            None => whole,
        })
    }

    /// Writes the normalised view of planes.
    fn write(&self, view: &View, planes: &[u8], out: &mut [f32]) {
        let (height, width) = self.size();
        let size = height * width;
        let planes = planes.chunks_exact(size).zip(&self.tables);
        for ((plane, table), out) in planes.zip(out.chunks_exact_mut(size)) {
            view.write(plane, table, width, out);
        }
    }
}

/// These keep draws for different things apart from others of the same seed.
const ORDER: u64 = 0x6f_7264_6572;
const PART: u64 = 0x7061_7274;
const OPERATIONS: u64 = 0x6f_7065_7261;
const COLOURS: u64 = 0x63_6f6c_6f72;
const ERASED: u64 = 0x65_7261_7365;
const MIX: u64 = 0x6d_6978;
