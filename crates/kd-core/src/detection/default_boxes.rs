//! Default boxes of SSD.

use super::Corners;

/// Boxes at every cell of every map, with sides relative to the image.
///
/// A cell of level `k` with scale `s_k` has boxes of sides, in this order: `(s_k, s_k)`, twice `√(s_k s_{k+1})`, and
/// for each ratio `a`: `(s_k √a, s_k / √a)` and `(s_k / √a, s_k √a)`. Sides are at most 1, so at most the image's;
/// the corners may lie outside. All of it as in torchvision, whose sides are of single precision.
///
/// Source: W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu, A. Berg, "SSD: Single Shot MultiBox
/// Detector", ECCV 2016.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultBoxes {
    /// Ratios beside 1, of each level.
    pub ratios: Vec<Vec<f64>>,
    /// Scales relative to the image, one more than levels.
    pub scales: Vec<f64>,
    /// Pixels from one cell to the next, of each level; none where cells divide the image evenly.
    pub steps: Option<Vec<f64>>,
}

impl DefaultBoxes {
    /// Those of SSD300 for COCO.
    pub fn ssd300() -> Self {
        let (two, three) = (vec![2.0], vec![2.0, 3.0]);
        Self {
            ratios: vec![
                two.clone(),
                three.clone(),
                three.clone(),
                three,
                two.clone(),
                two,
            ],
            scales: vec![0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
            steps: Some(vec![8.0, 16.0, 32.0, 64.0, 100.0, 300.0]),
        }
    }

    /// Those of SSDLite320 for COCO: scales from 0.2 to 0.95 in equal steps, then 1.
    pub fn ssdlite320() -> Self {
        let scale = |level: usize| 0.2 + 0.75 * level as f64 / 5.0;
        Self {
            ratios: vec![vec![2.0, 3.0]; 6],
            scales: (0..6).map(scale).chain([1.0]).collect(),
            steps: None,
        }
    }

    /// The number of boxes of a cell at a level.
    pub fn a_cell(&self, level: usize) -> usize {
        2 + 2 * self.ratios[level].len()
    }

    /// Width and height of a cell's boxes, relative to the image, before they are cut to it.
    ///
    /// # Panics
    /// When there is no such level.
    pub fn sides(&self, level: usize) -> Vec<[f64; 2]> {
        let (scale, next) = (self.scales[level], self.scales[level + 1]);
        let between = (scale * next).sqrt();
        let mut sides = vec![[scale; 2], [between; 2]];
        for ratio in &self.ratios[level] {
            let [long, short] = [scale * ratio.sqrt(), scale / ratio.sqrt()];
            sides.extend([[long, short], [short, long]]);
        }
        let single = |side: f64| f64::from(side as f32);
        sides.into_iter().map(|side| side.map(single)).collect()
    }

    /// All default boxes of an image `[height, width]`, in pixels, by level, row, column and cell.
    ///
    /// # Panics
    /// When there are more maps than levels.
    pub fn of_image(&self, image: [usize; 2], maps: &[[usize; 2]]) -> Vec<Corners> {
        let [height, width] = image.map(|side| side as f64);
        let mut boxes = Vec::new();
        for (level, map) in maps.iter().enumerate() {
            let sides = self.sides(level).into_iter();
            let sides: Vec<_> = sides.map(|side| side.map(|s| s.clamp(0.0, 1.0))).collect();
            let [rows, columns] = match &self.steps {
                Some(steps) => [height, width].map(|side| side / steps[level]),
                None => map.map(|cells| cells as f64),
            };
            for row in 0..map[0] {
                for column in 0..map[1] {
                    let x = (column as f64 + 0.5) / columns * width;
                    let y = (row as f64 + 0.5) / rows * height;
                    boxes.extend(sides.iter().map(|[w, h]| {
                        let (w, h) = (w * width / 2.0, h * height / 2.0);
                        [x - w, y - h, x + w, y + h]
                    }));
                }
            }
        }
        boxes
    }
}
