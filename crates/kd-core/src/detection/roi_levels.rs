//! Pooling from the maps of a pyramid, each region from the map that fits its size.

use burn::tensor::{Int, Tensor};

use super::{Corners, RegionOfInterest, RoiAlign, area};
use crate::Error;

/// How large the maps of a pyramid are against the image.
///
/// Source: T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan, S. Belongie, "Feature Pyramid Networks for Object
/// Detection", CVPR 2017.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelScales {
    /// Pixels of a map for each pixel of the image, powers of two, the largest first.
    scales: Vec<f64>,
}

impl LevelScales {
    /// From the sizes `[height, width]` of image and maps: the nearest power of two of each.
    pub fn new(image: [usize; 2], maps: &[[usize; 2]]) -> Self {
        let scale = |map: &[usize; 2]| {
            let ratio = map[0] as f64 / image[0] as f64;
            2_f64.powf(ratio.log2().round_ties_even())
        };
        Self {
            scales: maps.iter().map(scale).collect(),
        }
    }

    /// The level of a box, counted from 0: `⌊4 + log2(√area / 224)⌋` is 2 at scale ¼.
    pub fn level_of(&self, corners: &Corners) -> usize {
        let level = (4.0 + (area(corners).sqrt() / 224.0).log2() + 1e-6).floor();
        let [first, last] = [self.scales.first(), self.scales.last()]
            .map(|scale| scale.map_or(0.0, |scale| -scale.log2()));
        // An empty box is at minus infinity, so at the first level.
        (level.clamp(first, last) - first) as usize
    }
}

/// Pools regions from the maps of a pyramid, `[regions, channels, output, output]`, each with `sampling_ratio` samples
/// a side of a bin and without the half-pixel shift.
///
/// # Errors
/// [`Error::Shape`] when there are not as many maps as scales, and as [`RoiAlign::forward`].
pub fn multi_scale_roi_align(
    maps: &[Tensor<4>],
    scales: &LevelScales,
    regions: &[RegionOfInterest],
    output: usize,
    sampling_ratio: usize,
) -> Result<Tensor<4>, Error> {
    let count = scales.scales.len();
    if maps.len() != count || maps.is_empty() {
        return Err(Error::Shape {
            loss: "roi_align",
            problem: format!("{} maps for {count} scales", maps.len()),
        });
    }
    let mut places = Vec::with_capacity(regions.len());
    let mut pooled = Vec::new();
    for (level, (map, scale)) in maps.iter().zip(&scales.scales).enumerate() {
        let of_level = regions.iter().enumerate();
        let of_level = of_level.filter(|(_, r)| scales.level_of(&r.corners) == level);
        let (indices, here): (Vec<usize>, Vec<RegionOfInterest>) = of_level.unzip();
        if here.is_empty() && !(regions.is_empty() && level == 0) {
            continue;
        }
        let align = RoiAlign {
            output,
            scale: *scale,
            sampling_ratio,
            aligned: false,
        };
        pooled.push(align.forward(map.clone(), &here)?);
        places.extend(indices);
    }
    let pooled = Tensor::cat(pooled, 0);
    if places.is_sorted() {
        return Ok(pooled);
    }
    let mut order = vec![0_i64; places.len()];
    for (row, place) in places.iter().enumerate() {
        order[*place] = row as i64;
    }
    let order = Tensor::<1, Int>::from_ints(order.as_slice(), &pooled.device());
    Ok(pooled.select(0, order))
}
