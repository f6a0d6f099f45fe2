//! Non-maximum suppression.

use super::{Corners, iou};

/// The boxes that stay when those are dropped that overlap a better one: indices, best score first.
///
/// A box is dropped when its IoU with a kept box is greater than `threshold`; one of exactly the threshold stays. Of
/// equal scores the first box is the better. A score that is not a number is the worst.
///
/// # Panics
/// When there are not as many scores as boxes.
pub fn nms(boxes: &[Corners], scores: &[f64], threshold: f64) -> Vec<usize> {
    nms_by_class(boxes, scores, &vec![0; boxes.len()], threshold)
}

/// [`nms`] of each class by itself; the indices of all classes together, best score first.
///
/// # Panics
/// When there are not as many scores and classes as boxes.
pub fn nms_by_class(
    boxes: &[Corners],
    scores: &[f64],
    classes: &[usize],
    threshold: f64,
) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "a score for each box");
    assert_eq!(boxes.len(), classes.len(), "a class for each box");
    let rank = |i: &usize| {
        if scores[*i].is_nan() {
            f64::NEG_INFINITY
        } else {
            scores[*i]
        }
    };
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    let mut kept: Vec<usize> = Vec::new();
    // Those that were kept, by class: a box is compared with its own class's only.
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); classes.iter().max().map_or(0, |c| c + 1)];
    for i in order {
        let better = &mut of_class[classes[i]];
        if better
            .iter()
            .all(|k| iou(&boxes[*k], &boxes[i]) <= threshold)
        {
            better.push(i);
            kept.push(i);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: [Corners; 3] = [[0.0, 0.0, 4.0, 4.0]; 3];

    #[test]
    fn of_equal_boxes_the_best_stays_and_of_equal_scores_the_first() {
        assert_eq!(nms(&SAME, &[0.2, 0.9, 0.5], 0.5), [1]);
        assert_eq!(nms(&SAME, &[0.5, 0.5, 0.5], 0.5), [0]);
        assert_eq!(nms(&SAME, &[f64::NAN, 0.1, 0.2], 0.5), [2]);
        assert_eq!(nms(&[], &[], 0.5), [0_usize; 0]);
    }

    #[test]
    fn classes_do_not_suppress_each_other() {
        let kept = nms_by_class(&SAME, &[0.2, 0.9, 0.5], &[1, 0, 1], 0.5);
        assert_eq!(kept, [1, 2]);
    }

    #[test]
    fn an_overlap_of_the_threshold_stays() {
        let boxes = [[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]];
        assert_eq!(nms(&boxes, &[0.9, 0.8], 0.5), [0, 1]);
        assert_eq!(nms(&boxes, &[0.9, 0.8], 0.49), [0]);
    }
}
