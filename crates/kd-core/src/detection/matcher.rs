//! Which object a box is to find.

use super::Overlaps;

/// What a box is matched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The object of this index.
    Object(usize),
    /// No object: the box is to say "background".
    Background,
    /// Too close to an object to be background, too far to be it: the box is left out of the loss.
    Between,
}

/// Matches boxes to objects by two thresholds of IoU.
///
/// A box goes to the object that it overlaps most: it is positive from `positive` on, background below `negative`,
/// and left out between. With `low_quality`, each object gets its best boxes too, however little they overlap (all of
/// them where several are equally good); such a box goes to the object that *it* overlaps most, as in torchvision.
/// An object that overlaps no box at all gets none.
///
/// Source: S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
/// Networks", NeurIPS 2015.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// IoU from which on a box is positive.
    pub positive: f64,
    /// IoU below which a box is background.
    pub negative: f64,
    /// Whether each object gets its best boxes.
    pub low_quality: bool,
}

impl Matcher {
    /// Of region proposals.
    pub const RPN: Self = Self {
        positive: 0.7,
        negative: 0.3,
        low_quality: true,
    };

    /// Of the box head of Faster R-CNN.
    pub const ROI: Self = Self {
        positive: 0.5,
        negative: 0.5,
        low_quality: false,
    };

    /// Of RetinaNet.
    pub const RETINANET: Self = Self {
        positive: 0.5,
        negative: 0.4,
        low_quality: true,
    };

    /// What each box is matched to; the first of objects that overlap it equally.
    pub fn matches(&self, overlaps: &Overlaps) -> Vec<Matched> {
        let best = overlaps.best_objects();
        let mut matches: Vec<Matched> = best
            .iter()
            .map(|best| match *best {
                Some((object, overlap)) if overlap >= self.positive => Matched::Object(object),
                Some((_, overlap)) if overlap >= self.negative => Matched::Between,
                _ => Matched::Background,
            })
            .collect();
        if self.low_quality {
            for row in overlaps.rows() {
                let most = row.iter().fold(0.0_f64, |most, overlap| most.max(*overlap));
                for (i, _) in row
                    .iter()
                    .enumerate()
                    .filter(|(_, o)| most > 0.0 && **o == most)
                {
                    if let Some((object, _)) = best[i] {
                        matches[i] = Matched::Object(object);
                    }
                }
            }
        }
        matches
    }
}

/// Matches SSD's default boxes: a box goes to the object that it overlaps most, from an IoU of `positive` on; then
/// every object takes its best box, the later object where two want the same. No box is left out.
///
/// Source: W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu, A. Berg, "SSD: Single Shot MultiBox
/// Detector", ECCV 2016.
pub fn match_default_boxes(overlaps: &Overlaps, positive: f64) -> Vec<Matched> {
    let by_overlap = Matcher {
        positive,
        negative: positive,
        low_quality: false,
    };
    let mut matches = by_overlap.matches(overlaps);
    for (object, row) in overlaps.rows().enumerate() {
        let mut best: Option<(usize, f64)> = None;
        for (i, overlap) in row.iter().enumerate() {
            if best.is_none_or(|(_, most)| *overlap > most) {
                best = Some((i, *overlap));
            }
        }
        if let Some((i, _)) = best {
            matches[i] = Matched::Object(object);
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_objects_all_is_background() {
        let overlaps = Overlaps::new(&[], &[[0.0, 0.0, 4.0, 4.0]; 3]);
        for matches in [
            Matcher::RPN.matches(&overlaps),
            match_default_boxes(&overlaps, 0.5),
        ] {
            assert_eq!(matches, [Matched::Background; 3]);
        }
    }

    #[test]
    fn an_object_far_from_every_box_gets_none() {
        let overlaps = Overlaps::from_rows(2, &[vec![0.0, 0.0], vec![0.8, 0.1]]);
        let matches = Matcher::RPN.matches(&overlaps);
        assert_eq!(matches, [Matched::Object(1), Matched::Background]);
    }
}
