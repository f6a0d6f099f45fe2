//! Anchors of region proposals and of one-stage detectors.

use super::Corners;

/// Boxes at every cell of every map, of given sizes and ratios.
///
/// With ratio `r = height / width` and size `s`, the sides are `s / √r` and `s √r`, and the corners around the
/// origin are rounded, half to even. A cell's anchors lie around its upper left corner. All of it as in torchvision.
///
/// Source: S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
/// Networks", NeurIPS 2015.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// Sizes of each level, in pixels.
    pub sizes: Vec<Vec<f64>>,
    /// Ratios of height to width, the same at every level.
    pub ratios: Vec<f64>,
}

impl Anchors {
    /// Those of Faster R-CNN with a feature pyramid: one size a level, from 32 to 512.
    pub fn faster_rcnn() -> Self {
        Self {
            sizes: [32.0, 64.0, 128.0, 256.0, 512.0].map(|s| vec![s]).to_vec(),
            ratios: vec![0.5, 1.0, 2.0],
        }
    }

    /// Those of RetinaNet: three sizes a level, a third of an octave apart and cut to integers.
    pub fn retinanet() -> Self {
        let octave = |size: f64| {
            let third = |n: f64| (size * 2_f64.powf(n / 3.0)).floor();
            vec![size, third(1.0), third(2.0)]
        };
        Self {
            sizes: [32.0, 64.0, 128.0, 256.0, 512.0].map(octave).to_vec(),
            ratios: vec![0.5, 1.0, 2.0],
        }
    }

    /// The number of anchors of a cell at a level.
    pub fn a_cell(&self, level: usize) -> usize {
        self.sizes[level].len() * self.ratios.len()
    }

    /// The anchors of a cell at the origin, ratio by ratio.
    pub fn cell(&self, level: usize) -> Vec<Corners> {
        let sizes = &self.sizes[level];
        let of_ratio = |ratio: &f64| {
            let root = ratio.sqrt();
            sizes.iter().map(move |size| {
                let [x, y] = [size / root, size * root].map(|side| (side / 2.0).round_ties_even());
                [-x, -y, x, y]
            })
        };
        self.ratios.iter().flat_map(of_ratio).collect()
    }

    /// All anchors of an image `[height, width]`, by level, row, column and cell. A cell is as many whole pixels wide
    /// as the image has for each column of the map.
    ///
    /// # Panics
    /// When there are more maps than levels, or a map has no cell.
    pub fn of_image(&self, image: [usize; 2], maps: &[[usize; 2]]) -> Vec<Corners> {
        let levels = maps.iter().enumerate();
        levels
            .flat_map(|(level, map)| {
                let strides = [image[0] / map[0], image[1] / map[1]];
                self.of_map(level, *map, strides)
            })
            .collect()
    }

    /// The anchors of a map `[height, width]` at a level, whose cells are `strides` pixels high and wide.
    ///
    /// # Panics
    /// When there is no such level.
    pub fn of_map(
        &self,
        level: usize,
        [height, width]: [usize; 2],
        strides: [usize; 2],
    ) -> Vec<Corners> {
        let cell = self.cell(level);
        let mut anchors = Vec::with_capacity(height * width * cell.len());
        for row in 0..height {
            for column in 0..width {
                let (x, y) = ((column * strides[1]) as f64, (row * strides[0]) as f64);
                let moved = |[x1, y1, x2, y2]: &Corners| [x1 + x, y1 + y, x2 + x, y2 + y];
                anchors.extend(cell.iter().map(moved));
            }
        }
        anchors
    }
}
