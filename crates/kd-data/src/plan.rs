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

/// An image as one of its views in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) index: usize,
    /// Which of its views, from 0.
    pub(crate) repeat: usize,
}

impl Shown {
    pub(crate) fn first(index: usize) -> Self {
        Self { index, repeat: 0 }
    }
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

    /// What an epoch shows, in its order: each image so often in a row as it is repeated.
    pub(crate) fn order(&self, epoch: u64) -> Vec<Shown> {
        let mut order = self.indices.clone();
        if self.config.shuffle {
            Stream::new([self.config.seed, ORDER, epoch, 0]).shuffle(&mut order);
        }
        let repeats = self.config.augment.repeats;
        let shown = |index| (0..repeats).map(move |repeat| Shown { index, repeat });
        let all = order.iter().copied().flat_map(shown);
        all.take(order.len()).collect()
    }

    /// Height and width of an image as networks see it.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.images.height, self.images.width)
    }

    /// Seed and number of the draw that a view in an epoch follows from.
    fn draw(&self, epoch: u64, repeat: usize) -> (u64, u64) {
        let draw = epoch * self.config.augment.repeats as u64 + repeat as u64;
        match self.bounded {
            None => (self.config.seed, draw),
            // Epochs count from 1.
            Some(Bounded { count, seed }) => (seed, 1 + draw.saturating_sub(1) % count),
        }
    }

    pub(crate) fn view(&self, epoch: u64, Shown { index, repeat }: Shown) -> View {
        let (seed, draw) = self.draw(epoch, repeat);
        let augment = &self.config.augment;
        augment.view(self.size(), seed, draw, index)
    }

    /// The number of a view, among those that there are.
    pub(crate) fn view_number(&self, epoch: u64, shown: Shown) -> u64 {
        let augment = &self.config.augment;
        if augment.is_endless() {
            // What is drawn is another view every time, so that its draw is its number.
            return self.draw(epoch, shown.repeat).1;
        }
        augment.number(self.size(), &self.view(epoch, shown))
    }

    pub(crate) fn batch(&self, epoch: u64, number: usize, shown: &[Shown]) -> Result<Batch, Error> {
        let images = &*self.images;
        let mut pixels = vec![0.0; shown.len() * images.stride()];
        // Decoding a file is work enough for a thread.
        let at_once = if images.files.is_some() { 1 } else { 8 };
        pixels
            .par_chunks_mut(images.stride())
            .zip(shown)
            .with_min_len(at_once)
            .try_for_each(|(out, &shown)| self.show(epoch, shown, out))?;
        let indices: Vec<usize> = shown.iter().map(|shown| shown.index).collect();
        let labels: Vec<u32> = indices.iter().map(|&i| images.labels[i]).collect();
        let views = shown.iter().map(|&shown| self.view_number(epoch, shown));
        let views = views.collect();
        let shape = [shown.len(), images.channels, images.height, images.width];
        let mixed = self.mix.and_then(|(mix, classes)| {
            let mut random = Stream::new([self.config.seed, MIX, epoch, number as u64]);
            mix.apply(&mut pixels, shape, &labels, classes, &mut random)
        });
        Ok(Batch {
            pixels,
            labels,
            indices,
            views,
            shape,
            mixed,
        })
    }

    /// Writes an image as it is seen in an epoch: augmented and normalised, `[channels, height, width]`.
    fn show(&self, epoch: u64, shown: Shown, out: &mut [f32]) -> Result<(), Error> {
        let (images, augment) = (&*self.images, &self.config.augment);
        let view = self.view(epoch, shown);
        let (seed, draw) = self.draw(epoch, shown.repeat);
        let index = shown.index;
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
            if let Some(operations) = augment.timm_rand_augment {
                image = operations.apply(image, &self.config.mean, &mut stream(OPERATIONS));
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
