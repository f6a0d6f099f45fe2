//! Images in memory.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;

use crate::{Error, ImageFiles, Normalize, sets};

/// Labelled images that networks see at one size, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Colour channels: 1 or 3.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[n, channels, height, width]`, row-major; empty for images in `files`.
    pub pixels: Vec<u8>,
    /// Class of each image, `[n]`.
    pub labels: Vec<u32>,
    /// Superclass of each image, `[n]`; CIFAR-100 only.
    pub coarse: Option<Vec<u32>>,
    /// Where images are that are decoded when they are shown; none for images in memory.
    pub files: Option<ImageFiles>,
}

impl Images {
    /// No images, of a size.
    pub fn empty(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
            pixels: Vec::new(),
            labels: Vec::new(),
            coarse: None,
            files: None,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn stride(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// One image in memory, `[channels, height, width]`.
    ///
    /// # Panics
    /// When there is no image `i` in memory.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.stride()..][..self.stride()]
    }

    /// One image as evaluation sees it, `[channels, height, width]`, wherever it is.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] when its file cannot be read.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn planes(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        match &self.files {
            None => Ok(self.image(i).into()),
            Some(files) => Ok(files.centre(i)?.planes().into()),
        }
    }

    /// Images of each of `classes` classes.
    pub fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Mean and standard deviation of each channel, in units of 255. The deviation of a channel with a single
    /// value is exactly 0.
    ///
    /// # Errors
    /// When the file of an image cannot be read.
    pub fn statistics(&self) -> Result<(Vec<f32>, Vec<f32>), Error> {
        let images = (0..self.len()).into_par_iter();
        let counts = images.try_fold(
            || vec![[0; 256]; self.channels],
            |counts, i| Ok::<_, Error>(self.counted(&self.planes(i)?, counts)),
        );
        let histograms =
            counts.try_reduce(|| vec![[0; 256]; self.channels], |a, b| Ok(added(a, &b)));
        Ok(histograms?.iter().map(moments).unzip())
    }

    /// Adds the values of an image to the histogram of each channel.
    fn counted(&self, planes: &[u8], mut histograms: Vec<[u64; 256]>) -> Vec<[u64; 256]> {
        let planes = planes.chunks_exact((self.height * self.width).max(1));
        for (histogram, plane) in histograms.iter_mut().zip(planes) {
            for &value in plane {
                histogram[usize::from(value)] += 1;
            }
        }
        histograms
    }
}

fn added(mut a: Vec<[u64; 256]>, b: &[[u64; 256]]) -> Vec<[u64; 256]> {
    for (sum, other) in a.iter_mut().flatten().zip(b.iter().flatten()) {
        *sum += other;
    }
    a
}

/// Mean and standard deviation, in units of 255, of bytes that are counted by value.
fn moments(histogram: &[u64; 256]) -> (f32, f32) {
    let used = |(_, count): &(usize, &u64)| **count > 0;
    let mut values = histogram.iter().enumerate().filter(used);
    if let (Some((value, _)), None) = (values.next(), values.next()) {
        return ((value as f64 / 255.0) as f32, 0.0);
    }
    let total = histogram.iter().sum::<u64>().max(1) as f64;
    let moment = |f: &dyn Fn(f64) -> f64| {
        let weighted = |(v, &n): (usize, &u64)| f(v as f64 / 255.0) * n as f64;
        histogram.iter().enumerate().map(weighted).sum::<f64>() / total
    };
    let mean = moment(&|v| v);
    let variance = moment(&|v| (v - mean) * (v - mean));
    (mean as f32, variance.sqrt() as f32)
}

/// A data set, read and checked.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name, as in the recipe.
    pub name: String,
    /// Class names, by label.
    pub classes: Vec<String>,
    /// Superclass names, by coarse label; empty where there are none.
    pub coarse_classes: Vec<String>,
    /// Training images; none when only the test set was read.
    pub train: Arc<Images>,
    /// Test images.
    pub test: Arc<Images>,
    /// Mean of each channel, in units of 255, that images are to be normalised with.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, likewise.
    pub std: Vec<f32>,
    /// SHA-256, in hexadecimal: of the archive's bytes, or of the files that were read (each as its
    /// name, its length and its bytes; in name order, an image folder's training images first).
    pub sha256: String,
    /// Where it came from: a path, or `embedded`.
    pub source: String,
}

impl Dataset {
    /// Mean and standard deviation of each channel that this set would be normalised with by `normalize`,
    /// whatever it is normalised with.
    ///
    /// # Errors
    /// [`Error::Config`] when they are for another number of channels, or a channel has a deviation of 0; and when
    /// the file of an image cannot be read.
    pub fn statistics(&self, normalize: &Normalize) -> Result<(Vec<f32>, Vec<f32>), Error> {
        sets::statistics(normalize, &self.name, self.test.channels, &self.train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_per_channel() {
        let images = Images {
            channels: 2,
            height: 1,
            width: 2,
            pixels: vec![0, 255, 51, 51, 255, 0, 51, 51],
            labels: vec![0, 1],
            coarse: None,
            files: None,
        };
        let statistics = images.statistics().unwrap();
        assert_eq!(statistics, (vec![0.5, 0.2], vec![0.5, 0.0]));
        let grey = Images {
            pixels: vec![77; 12],
            labels: vec![0; 3],
            ..Images::empty(1, 2, 2)
        };
        let statistics = grey.statistics().unwrap();
        assert_eq!(statistics, (vec![77.0 / 255.0], vec![0.0]));
        assert_eq!(images.image(1), [255, 0, 51, 51]);
        assert_eq!(images.counts(3), [1, 1, 0]);
    }
}
