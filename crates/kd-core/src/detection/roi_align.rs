//! The part of a map that lies under a box, at a fixed size.

use burn::tensor::{Tensor, TensorData};
use kd_kernels::RowSums;

use super::Corners;
use crate::Error;

/// A box of an image of the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionOfInterest {
    /// The image's place in the batch.
    pub image: usize,
    /// The box, in pixels of the image.
    pub corners: Corners,
}

/// Pools each region to `output` × `output` values a channel, each the mean of samples between pixels.
///
/// A region is divided into bins, and each bin into samples, evenly. A sample is interpolated from the four pixels
/// around it; beyond the map's edge by up to a pixel it takes the edge's value, and farther out it is 0. Values and
/// gradients as in torchvision.
///
/// Source: K. He, G. Gkioxari, P. Dollár, R. Girshick, "Mask R-CNN", ICCV 2017.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Bins a side.
    pub output: usize,
    /// Pixels of the map for each pixel of the image.
    pub scale: f64,
    /// Samples a side of a bin; 0 for as many as a bin has pixels, rounded up.
    pub sampling_ratio: usize,
    /// Whether a pixel's value stands for its centre. If not (as in torchvision's detectors), it stands for its
    /// upper left corner, and a region is at least a pixel of the map high and wide.
    pub aligned: bool,
}

impl RoiAlign {
    /// Pools regions of a map `[batch, channels, height, width]` to `[regions, channels, output, output]`.
    ///
    /// The gradient reaches the map; regions are constants.
    ///
    /// # Errors
    /// [`Error::Shape`] when a region is of an image that is not in the batch, or is not finite.
    pub fn forward(
        &self,
        map: Tensor<4>,
        regions: &[RegionOfInterest],
    ) -> Result<Tensor<4>, Error> {
        let [batch, channels, height, width] = map.dims();
        for RegionOfInterest { image, corners } in regions {
            if *image >= batch || corners.iter().any(|edge| !edge.is_finite()) {
                return Err(Error::Shape {
                    loss: "roi_align",
                    problem: format!("the box {corners:?} of image {image} in a batch of {batch}"),
                });
            }
        }
        let options = (&map.device(), map.dtype());
        if regions.is_empty() {
            return Ok(Tensor::zeros(
                [0, channels, self.output, self.output],
                options,
            ));
        }
        let bins = regions.len() * self.output * self.output;
        let (mut entries, mut weights) = (vec![], vec![]);
        for (number, region) in regions.iter().enumerate() {
            let [x1, y1, x2, y2] = region.corners;
            let (down, across) = (self.axis([y1, y2], height), self.axis([x1, x2], width));
            for (bin, (y, x)) in self.bins().enumerate() {
                let bin = number * self.output * self.output + bin;
                for (pixel_y, weight_y) in down.of_bin(y) {
                    for (pixel_x, weight_x) in across.of_bin(x) {
                        let pixel = (region.image * height + pixel_y) * width + pixel_x;
                        entries.push([bin, pixel]);
                        weights.push(weight_y * weight_x);
                    }
                }
            }
        }
        let count = weights.len();
        let weights = Tensor::<1>::from_data(TensorData::new(weights, [count]), options);
        let pixels = map.permute([0, 2, 3, 1]);
        let pixels: Tensor<2> = pixels.reshape([batch * height * width, channels]);
        let sums = RowSums::new(entries.iter().copied(), [bins, batch * height * width]);
        Ok(sums
            .weighted(pixels, weights)
            .reshape([regions.len(), self.output, self.output, channels])
            .permute([0, 3, 1, 2]))
    }

    /// Rows and columns of bins.
    fn bins(&self) -> impl Iterator<Item = (usize, usize)> {
        let output = self.output;
        (0..output).flat_map(move |y| (0..output).map(move |x| (y, x)))
    }

    /// The pixels and weights of all bins along one axis.
    fn axis(&self, [from, to]: [f64; 2], pixels: usize) -> Axis {
        let shift = if self.aligned { 0.5 } else { 0.0 };
        let start = from * self.scale - shift;
        let mut length = to * self.scale - shift - start;
        if !self.aligned {
            length = length.max(1.0);
        }
        let bin = length / self.output as f64;
        let samples = match self.sampling_ratio {
            0 => bin.ceil().max(0.0) as usize,
            given => given,
        };
        let mut taps = Vec::with_capacity(2 * samples * self.output);
        for i in 0..self.output {
            for sample in 0..samples {
                let step = (sample as f64 + 0.5) / samples as f64;
                let at = start + bin * (i as f64 + step);
                taps.extend(
                    between(at, pixels).map(|(pixel, weight)| (pixel, weight / samples as f64)),
                );
            }
        }
        Axis {
            taps,
            a_bin: 2 * samples,
        }
    }
}

/// The two pixels around a place, with their weights.
fn between(place: f64, pixels: usize) -> [(usize, f64); 2] {
    if place < -1.0 || place > pixels as f64 {
        return [(0, 0.0); 2];
    }
    let place = place.max(0.0);
    let low = place as usize;
    let last = pixels - 1;
    if low >= last {
        return [(last, 1.0), (last, 0.0)];
    }
    let share = place - low as f64;
    [(low, 1.0 - share), (low + 1, share)]
}

/// Pixels and weights along one axis of a region, bin by bin.
struct Axis {
    taps: Vec<(usize, f64)>,
    a_bin: usize,
}

impl Axis {
    fn of_bin(&self, bin: usize) -> &[(usize, f64)] {
        &self.taps[bin * self.a_bin..(bin + 1) * self.a_bin]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const ALIGN: RoiAlign = RoiAlign {
        output: 2,
        scale: 0.5,
        sampling_ratio: 2,
        aligned: false,
    };

    fn region(image: usize, corners: Corners) -> RegionOfInterest {
        RegionOfInterest { image, corners }
    }

    #[test]
    fn a_constant_map_stays_constant_inside_and_fades_outside() {
        let map = Tensor::ones([1, 1, 6, 6], &Device::flex());
        let regions = [
            region(0, [1.0, 1.0, 9.0, 9.0]),
            region(0, [40.0, 40.0, 60.0, 60.0]),
        ];
        let pooled = ALIGN.forward(map, &regions).unwrap();
        let pooled: Vec<f32> = pooled.into_data().iter().collect();
        assert_eq!(pooled, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn no_region_is_an_empty_answer_and_a_wrong_image_an_error() {
        let map = || Tensor::ones([1, 3, 4, 4], &Device::flex());
        assert_eq!(ALIGN.forward(map(), &[]).unwrap().dims(), [0, 3, 2, 2]);
        let wrong = ALIGN.forward(map(), &[region(1, [0.0, 0.0, 4.0, 4.0])]);
        assert!(wrong.unwrap_err().to_string().contains("image 1"));
    }
}
