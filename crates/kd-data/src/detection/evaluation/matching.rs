//! Which detections of a class in an image are right, as `pycocotools` decides it.

use super::{FoundObject, TrueObject};

/// Thresholds of IoU: 0.50, 0.55, .. 0.95.
pub(super) const THRESHOLDS: usize = 10;

pub(super) fn thresholds() -> [f64; THRESHOLDS] {
    // As `numpy.linspace(.5, .95, 10)`: by steps, and the end as it is written.
    std::array::from_fn(|i| match i {
        9 => 0.95,
        _ => i as f64 * (0.45 / 9.0) + 0.5,
    })
}

/// A detection in one range of areas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub score: f64,
    /// At each threshold, whether it found an object.
    pub hit: [bool; THRESHOLDS],
    /// At each threshold, whether it counts.
    pub counts: [bool; THRESHOLDS],
}

/// A class in an image: its detections, best first, and its objects.
pub(super) struct Scene<'a> {
    pub found: Vec<&'a FoundObject>,
    pub objects: Vec<&'a TrueObject>,
    /// IoU of each detection with each object.
    overlaps: Vec<Vec<f64>>,
}

impl<'a> Scene<'a> {
    /// At most `most` detections are looked at; equal scores stay in order.
    pub fn new(mut found: Vec<&'a FoundObject>, objects: Vec<&'a TrueObject>, most: usize) -> Self {
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(most);
        let overlaps = found
            .iter()
            .map(|f| objects.iter().map(|o| overlap(f, o)).collect())
            .collect();
        Self {
            found,
            objects,
            overlaps,
        }
    }

    /// What the detections are worth among objects of an area in a range, and how many of these objects count.
    pub fn judge(&self, [least, most]: [f64; 2]) -> (Vec<Verdict>, usize) {
        let outside = |area: f64| area < least || area > most;
        let ignored: Vec<bool> = self
            .objects
            .iter()
            .map(|o| o.crowd || outside(o.area))
            .collect();
        // Objects that count come first, otherwise in their order.
        let mut order: Vec<usize> = (0..self.objects.len()).collect();
        order.sort_by_key(|i| ignored[*i]);
        let mut verdicts: Vec<Verdict> = self
            .found
            .iter()
            .map(|found| Verdict {
                score: found.score,
                hit: [false; THRESHOLDS],
                counts: [!outside(found.bbox[2] * found.bbox[3]); THRESHOLDS],
            })
            .collect();
        for (t, threshold) in thresholds().into_iter().enumerate() {
            let mut taken = vec![false; self.objects.len()];
            for (verdict, overlaps) in verdicts.iter_mut().zip(&self.overlaps) {
                if let Some(object) = self.best(&order, &ignored, &taken, overlaps, threshold) {
                    taken[object] = true;
                    verdict.hit[t] = true;
                    verdict.counts[t] = !ignored[object];
                }
            }
        }
        let count = ignored.iter().filter(|ignored| !**ignored).count();
        (verdicts, count)
    }

    /// The object that a detection takes: the one that it overlaps most, the later of equals, and one that counts
    /// before one that does not.
    fn best(
        &self,
        order: &[usize],
        ignored: &[bool],
        taken: &[bool],
        overlaps: &[f64],
        threshold: f64,
    ) -> Option<usize> {
        let mut least = threshold.min(1.0 - 1e-10);
        let mut best: Option<usize> = None;
        for &i in order {
            if taken[i] && !self.objects[i].crowd {
                continue;
            }
            if best.is_some_and(|best| !ignored[best]) && ignored[i] {
                break;
            }
            if overlaps[i] >= least {
                least = overlaps[i];
                best = Some(i);
            }
        }
        best
    }
}

/// Intersection over union; with a crowd, over the detection alone.
fn overlap(found: &FoundObject, object: &TrueObject) -> f64 {
    let ([x, y, w, h], [other_x, other_y, other_w, other_h]) = (found.bbox, object.bbox);
    let width = (w + x).min(other_w + other_x) - x.max(other_x);
    let height = (h + y).min(other_h + other_y) - y.max(other_y);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let shared = width * height;
    let own = w * h;
    shared
        / if object.crowd {
            own
        } else {
            own + other_w * other_h - shared
        }
}
