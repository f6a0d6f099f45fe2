//! Areas and overlaps of boxes.

/// A box: `x1`, `y1`, `x2`, `y2` in pixels, the first corner above and left of the second.
pub type Corners = [f64; 4];

/// Width times height, in pixels²; 0 of a box whose corners are out of order.
pub fn area([x1, y1, x2, y2]: &Corners) -> f64 {
    (x2 - x1).max(0.0) * (y2 - y1).max(0.0)
}

/// The area that two boxes share, in pixels².
pub fn intersection(a: &Corners, b: &Corners) -> f64 {
    area(&[
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ])
}

/// Intersection over union, from 0 to 1; 0 of two boxes without an area.
pub fn iou(a: &Corners, b: &Corners) -> f64 {
    let shared = intersection(a, b);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// The part of a box that lies in an image `[height, width]`.
pub fn clip(corners: &Corners, [height, width]: [f64; 2]) -> Corners {
    let [x1, y1, x2, y2] = corners;
    [
        x1.clamp(0.0, width),
        y1.clamp(0.0, height),
        x2.clamp(0.0, width),
        y2.clamp(0.0, height),
    ]
}

/// How much each object overlaps each box: a table of [`iou`], `[objects, boxes]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlaps {
    boxes: usize,
    values: Vec<f64>,
}

impl Overlaps {
    /// The overlaps of objects with boxes.
    pub fn new(objects: &[Corners], boxes: &[Corners]) -> Self {
        let of_object = |object| boxes.iter().map(move |other| iou(object, other));
        Self {
            boxes: boxes.len(),
            values: objects.iter().flat_map(of_object).collect(),
        }
    }

    /// A table of overlaps, a row of `boxes` values for each object.
    ///
    /// # Panics
    /// When a row has another length.
    pub fn from_rows(boxes: usize, rows: &[Vec<f64>]) -> Self {
        assert!(
            rows.iter().all(|row| row.len() == boxes),
            "every object has an overlap with each of {boxes} boxes"
        );
        Self {
            boxes,
            values: rows.concat(),
        }
    }

    /// The number of boxes.
    pub fn boxes(&self) -> usize {
        self.boxes
    }

    /// The overlaps of each object with all boxes, object by object.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        // A chunk must not be empty; without boxes there is no value to chunk.
        self.values.chunks_exact(self.boxes.max(1))
    }

    /// For every box the object that overlaps it most, the first of equals, with the overlap; none without objects.
    pub fn best_objects(&self) -> Vec<Option<(usize, f64)>> {
        let mut best: Vec<Option<(usize, f64)>> = vec![None; self.boxes];
        for (object, row) in self.rows().enumerate() {
            for (best, value) in best.iter_mut().zip(row) {
                if best.is_none_or(|(_, most)| *value > most) {
                    *best = Some((object, *value));
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_of_boxes_that_share_touch_and_miss() {
        let unit = [0.0, 0.0, 2.0, 2.0];
        assert_eq!(iou(&unit, &unit), 1.0);
        assert_eq!(iou(&unit, &[1.0, 0.0, 3.0, 2.0]), 2.0 / 6.0);
        assert_eq!(iou(&unit, &[2.0, 0.0, 3.0, 2.0]), 0.0);
        assert_eq!(iou(&unit, &[5.0, 5.0, 6.0, 6.0]), 0.0);
        assert_eq!(iou(&[1.0; 4], &[1.0; 4]), 0.0);
    }

    #[test]
    fn a_clipped_box_lies_in_the_image() {
        let clipped = clip(&[-3.0, 2.0, 50.0, 9.0], [8.0, 40.0]);
        assert_eq!(clipped, [0.0, 2.0, 40.0, 8.0]);
    }

    #[test]
    fn the_first_of_equal_objects_is_the_best() {
        let overlaps = Overlaps::from_rows(2, &[vec![0.5, 0.1], vec![0.5, 0.2]]);
        assert_eq!(overlaps.best_objects(), [Some((0, 0.5)), Some((1, 0.2))]);
        assert_eq!(Overlaps::new(&[], &[[0.0; 4]]).best_objects(), [None]);
        assert_eq!(Overlaps::new(&[[0.0; 4]], &[]).rows().count(), 0);
    }
}
