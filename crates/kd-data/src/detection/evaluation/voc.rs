//! PASCAL VOC's average precision, of 2007 and of later years.

use super::curve::fall;

/// An object of the class that is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocObject {
    /// The image's number.
    pub image: usize,
    /// x1, y1, x2, y2.
    pub corners: [f64; 4],
    /// Whether it is hard to see: finding it is neither right nor wrong.
    pub difficult: bool,
}

/// A detection of the class that is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocFound {
    /// The image's number.
    pub image: usize,
    /// x1, y1, x2, y2.
    pub corners: [f64; 4],
    /// How sure the detector is, the higher the surer.
    pub score: f64,
}

/// What the second corner of a box is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocEdges {
    /// The last pixel of the box, as in VOC's own files and its development kit: a box is `x2 − x1 + 1` wide.
    Inclusive,
    /// The edge of the box: it is `x2 − x1` wide.
    Continuous,
}

/// Precision and recall of one class.
#[derive(Clone, Debug, PartialEq)]
pub struct VocCurve {
    /// Recall after each detection, the best first; 0 where there is nothing to find.
    pub recall: Vec<f64>,
    /// Precision after each detection.
    pub precision: Vec<f64>,
    /// Average precision as from 2010 on: the area under precision that is made to fall. None where there is no
    /// object that counts.
    pub ap: Option<f64>,
    /// Average precision of 2007: the mean of the largest precision from recalls 0, 0.1, .. 1 on.
    pub ap_2007: Option<f64>,
}

/// Evaluates the detections of one class at an IoU that a hit must exceed.
///
/// A detection, the best first over all images, is a hit when the object that it overlaps most was not hit before; a
/// second hit is wrong. An object that is difficult counts neither way.
///
/// Source: M. Everingham, L. Van Gool, C. Williams, J. Winn, A. Zisserman, "The PASCAL Visual Object Classes (VOC)
/// Challenge", IJCV 2010.
pub fn evaluate_voc(
    objects: &[VocObject],
    found: &[VocFound],
    threshold: f64,
    edges: VocEdges,
) -> VocCurve {
    let count = objects.iter().filter(|object| !object.difficult).count() as f64;
    let mut order: Vec<&VocFound> = found.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut hit = vec![false; objects.len()];
    let (mut right, mut wrong) = (0.0, 0.0);
    let (mut recall, mut precision) = (Vec::new(), Vec::new());
    for found in order {
        match best(objects, found, edges) {
            Some((object, overlap)) if overlap > threshold => {
                if !objects[object].difficult {
                    match std::mem::replace(&mut hit[object], true) {
                        false => right += 1.0,
                        true => wrong += 1.0,
                    }
                }
            }
            _ => wrong += 1.0,
        }
        recall.push(if count > 0.0 { right / count } else { 0.0 });
        precision.push(right / (right + wrong).max(f64::EPSILON));
    }
    let counts = count > 0.0;
    VocCurve {
        ap: counts.then(|| area(&recall, &precision)),
        ap_2007: counts.then(|| eleven_points(&recall, &precision)),
        recall,
        precision,
    }
}

/// The object of the image that a detection overlaps most, the first of equals.
fn best(objects: &[VocObject], found: &VocFound, edges: VocEdges) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (i, object) in objects.iter().enumerate() {
        if object.image != found.image {
            continue;
        }
        let overlap = iou(&object.corners, &found.corners, edges);
        if best.is_none_or(|(_, most)| overlap > most) {
            best = Some((i, overlap));
        }
    }
    best
}

fn iou(a: &[f64; 4], b: &[f64; 4], edges: VocEdges) -> f64 {
    let more = match edges {
        VocEdges::Inclusive => 1.0,
        VocEdges::Continuous => 0.0,
    };
    let sides = |[x1, y1, x2, y2]: [f64; 4]| [x2 - x1 + more, y2 - y1 + more];
    let shared = sides([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    let shared = shared[0].max(0.0) * shared[1].max(0.0);
    let area = |corners: &[f64; 4]| sides(*corners).iter().product::<f64>();
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

fn eleven_points(recall: &[f64], precision: &[f64]) -> f64 {
    let best = |point: i32| {
        let from = f64::from(point) * 0.1;
        let reached = recall.iter().zip(precision).filter(|(r, _)| **r >= from);
        reached.map(|(_, p)| *p).fold(0.0, f64::max)
    };
    (0..11).map(best).sum::<f64>() / 11.0
}

fn area(recall: &[f64], precision: &[f64]) -> f64 {
    let mut falling = precision.to_vec();
    fall(&mut falling);
    let (mut sum, mut before) = (0.0, 0.0);
    for (recall, precision) in recall.iter().zip(falling) {
        sum += (recall - before) * precision;
        before = *recall;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_decide_how_wide_a_box_is() {
        let (a, b) = ([1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 1.0]);
        assert_eq!(iou(&a, &b, VocEdges::Inclusive), 0.5);
        assert_eq!(iou(&a, &b, VocEdges::Continuous), 0.0);
    }

    #[test]
    fn nothing_to_find_has_no_precision() {
        let object = VocObject {
            image: 0,
            corners: [1.0, 1.0, 9.0, 9.0],
            difficult: true,
        };
        let found = VocFound {
            image: 0,
            corners: object.corners,
            score: 0.5,
        };
        let curve = evaluate_voc(&[object], &[found], 0.5, VocEdges::Inclusive);
        assert_eq!((curve.ap, curve.ap_2007), (None, None));
        let seen = VocObject {
            difficult: false,
            ..object
        };
        let curve = evaluate_voc(&[seen], &[found, found], 0.5, VocEdges::Inclusive);
        assert_eq!((curve.ap, curve.recall.len()), (Some(1.0), 2));
    }
}
