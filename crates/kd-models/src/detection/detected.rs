//! From scores and boxes to what is found in an image.

use kd_core::detection::{Corners, clip, nms_by_class};

/// An object that a network says is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// Its class, from 1 on.
    pub class: usize,
    /// Its box in pixels of the image that the network saw.
    pub corners: Corners,
    /// The probability of its class.
    pub score: f64,
}

impl Detected {
    /// The same object in an image that is so many times as wide and as high.
    pub fn scaled(self, [across, down]: [f64; 2]) -> Self {
        let [x1, y1, x2, y2] = self.corners;
        Self {
            corners: [x1 * across, y1 * down, x2 * across, y2 * down],
            ..self
        }
    }
}

/// Which boxes of an image are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filter {
    /// A score that must be exceeded.
    pub score: f64,
    /// Boxes of a class before they suppress each other, at most; none for all.
    pub a_class: Option<usize>,
    /// IoU above which a box is dropped beside a better one of its class.
    pub overlap: f64,
    /// Boxes of an image, at most.
    pub an_image: usize,
    /// Sides that a box has at least, in pixels.
    pub side: f64,
}

impl Filter {
    /// What is found among boxes in an image `[height, width]`, best first. Box `i` has the probability
    /// `scores[i][class]` of each class and lies, for that class, at `corners(i, class)`.
    pub(super) fn apply(
        &self,
        scores: &[f64],
        classes: usize,
        image: [f64; 2],
        corners: impl Fn(usize, usize) -> Corners,
    ) -> Vec<Detected> {
        let mut found: Vec<Detected> = Vec::new();
        for class in 1..classes {
            let mut of_class: Vec<Detected> = (0..scores.len() / classes)
                .map(|i| (i, scores[i * classes + class]))
                .filter(|(_, score)| *score > self.score)
                .map(|(i, score)| Detected {
                    class,
                    corners: clip(&corners(i, class), image),
                    score,
                })
                .filter(|found| {
                    let [x1, y1, x2, y2] = found.corners;
                    x2 - x1 >= self.side && y2 - y1 >= self.side
                })
                .collect();
            if let Some(most) = self.a_class {
                of_class.sort_by(|a, b| b.score.total_cmp(&a.score));
                of_class.truncate(most);
            }
            found.extend(of_class);
        }
        self.suppress(&found)
    }

    /// What is left of candidates when those of a class have suppressed each other, best first.
    pub(super) fn suppress(&self, found: &[Detected]) -> Vec<Detected> {
        let boxes: Vec<Corners> = found.iter().map(|found| found.corners).collect();
        let scores: Vec<f64> = found.iter().map(|found| found.score).collect();
        let classes: Vec<usize> = found.iter().map(|found| found.class).collect();
        let kept = nms_by_class(&boxes, &scores, &classes, self.overlap);
        kept.into_iter()
            .take(self.an_image)
            .map(|i| found[i])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_each_class_are_told() {
        let filter = Filter {
            score: 0.2,
            a_class: Some(2),
            overlap: 0.5,
            an_image: 3,
            side: 1.0,
        };
        let scores = [
            [0.1, 0.9, 0.0],
            [0.1, 0.8, 0.3],
            [0.0, 0.25, 0.7],
            [0.9, 0.1, 0.2],
        ];
        let corners = |i: usize, class: usize| {
            let x = 100.0 * if class == 1 { 0.0 } else { i as f64 };
            [x, 0.0, x + 50.0, 50.0]
        };
        let found = filter.apply(&scores.concat(), 3, [50.0, 1000.0], corners);
        let told: Vec<_> = found.iter().map(|f| (f.class, f.score)).collect();
        assert_eq!(told, [(1, 0.9), (2, 0.7), (2, 0.3)]);
        assert_eq!(found[1].corners, [200.0, 0.0, 250.0, 50.0]);
    }
}
