//! COCO's twelve figures.

use super::curve::average;
use super::matching::{Scene, THRESHOLDS, Verdict};
use super::{FoundObject, TrueObject};

/// Detections of a class in an image that count, at most.
const MOST: [usize; 3] = [1, 10, 100];
/// Ranges of areas in pixels², ends included: all, small, medium, large.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

/// What COCO's evaluation says, each figure from 0 to 1; none where there is no object that counts, which
/// `pycocotools` writes as −1.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoScores {
    /// Mean average precision over IoU 0.50 to 0.95 and all classes that have objects: COCO's first figure.
    pub ap: Option<f64>,
    /// The same at IoU 0.50.
    pub ap50: Option<f64>,
    /// The same at IoU 0.75.
    pub ap75: Option<f64>,
    /// As `ap`, of objects below 32² pixels, of those up to 96² and of larger ones.
    pub ap_by_area: [Option<f64>; 3],
    /// Mean recall over IoU 0.50 to 0.95 with at most 1, 10 and 100 detections of a class in an image.
    pub ar: [Option<f64>; 3],
    /// Mean recall with at most 100 detections, of small, medium and large objects.
    pub ar_by_area: [Option<f64>; 3],
    /// `ap` of each class.
    pub ap_by_class: Vec<Option<f64>>,
    /// `ap50` of each class.
    pub ap50_by_class: Vec<Option<f64>>,
}

impl CocoScores {
    /// The twelve figures in COCO's order, by their usual names.
    pub fn summary(&self) -> [(&'static str, Option<f64>); 12] {
        [
            ("AP", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("AP_small", self.ap_by_area[0]),
            ("AP_medium", self.ap_by_area[1]),
            ("AP_large", self.ap_by_area[2]),
            ("AR1", self.ar[0]),
            ("AR10", self.ar[1]),
            ("AR100", self.ar[2]),
            ("AR_small", self.ar_by_area[0]),
            ("AR_medium", self.ar_by_area[1]),
            ("AR_large", self.ar_by_area[2]),
        ]
    }
}

/// Precision and recall of one class, in one range of areas with at most so many detections.
type OfClass = Option<[(f64, f64); THRESHOLDS]>;

/// Evaluates detections as `pycocotools` does: images are numbered in the order of their ids, on which the order of
/// equal scores depends.
///
/// # Panics
/// When an object or detection is of a class that is not among `classes`.
pub fn evaluate_coco(objects: &[TrueObject], found: &[FoundObject], classes: usize) -> CocoScores {
    let images = objects.iter().map(|o| o.image);
    let images = images.chain(found.iter().map(|f| f.image)).max();
    let images = images.map_or(0, |last| last + 1);
    let mut scenes: Vec<(Vec<&FoundObject>, Vec<&TrueObject>)> =
        vec![Default::default(); classes * images];
    for found in found {
        scenes[found.class * images + found.image].0.push(found);
    }
    for object in objects {
        scenes[object.class * images + object.image].1.push(object);
    }
    let mut scenes = scenes.into_iter();
    let mut of_classes: Vec<[[OfClass; MOST.len()]; AREAS.len()]> = Vec::new();
    for _ in 0..classes {
        let of_class = scenes.by_ref().take(images);
        let of_class = of_class.filter(|(found, objects)| !found.is_empty() || !objects.is_empty());
        let of_class: Vec<Scene> = of_class
            .map(|(found, objects)| Scene::new(found, objects, MOST[2]))
            .collect();
        of_classes.push(AREAS.map(|area| measure(&of_class, area)));
    }
    summarise(&of_classes)
}

fn measure(scenes: &[Scene], area: [f64; 2]) -> [OfClass; MOST.len()] {
    let judged: Vec<(Vec<Verdict>, usize)> = scenes.iter().map(|s| s.judge(area)).collect();
    let objects: usize = judged.iter().map(|(_, count)| count).sum();
    MOST.map(|most| {
        if objects == 0 {
            return None;
        }
        let best = judged
            .iter()
            .flat_map(|(verdicts, _)| verdicts.iter().take(most));
        let mut verdicts: Vec<Verdict> = best.copied().collect();
        verdicts.sort_by(|a, b| b.score.total_cmp(&a.score));
        Some(std::array::from_fn(|t| average(&verdicts, objects, t)))
    })
}

fn summarise(of_classes: &[[[OfClass; MOST.len()]; AREAS.len()]]) -> CocoScores {
    const LAST: usize = MOST.len() - 1;
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (mut sum, mut count) = (0.0, 0);
        for value in values {
            sum += value;
            count += 1;
        }
        (count > 0).then(|| sum / f64::from(count))
    };
    let all = |area: usize, most: usize| {
        let of_classes = of_classes
            .iter()
            .filter_map(move |c| c[area][most].as_ref());
        of_classes.flatten()
    };
    let precision = |area| mean(&mut all(area, LAST).map(|(precision, _)| *precision));
    let recall = |area, most| mean(&mut all(area, most).map(|(_, recall)| *recall));
    let at = |t: usize| {
        let of_classes = of_classes.iter().filter_map(|c| c[0][LAST].as_ref());
        mean(&mut of_classes.map(|thresholds| thresholds[t].0))
    };
    let by_class = |of: fn(&[(f64, f64); THRESHOLDS]) -> f64| {
        let of_classes = of_classes.iter();
        of_classes.map(|c| c[0][LAST].as_ref().map(of)).collect()
    };
    CocoScores {
        ap: precision(0),
        ap50: at(0),
        ap75: at(5),
        ap_by_area: [1, 2, 3].map(precision),
        ar: [0, 1, 2].map(|most| recall(0, most)),
        ar_by_area: [1, 2, 3].map(|area| recall(area, LAST)),
        ap_by_class: by_class(|t| t.iter().map(|(p, _)| p).sum::<f64>() / THRESHOLDS as f64),
        ap50_by_class: by_class(|t| t[0].0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(image: usize, bbox: [f64; 4]) -> TrueObject {
        TrueObject {
            image,
            class: 0,
            bbox,
            area: bbox[2] * bbox[3],
            crowd: false,
        }
    }

    fn found(image: usize, bbox: [f64; 4], score: f64) -> FoundObject {
        FoundObject {
            image,
            class: 0,
            bbox,
            score,
        }
    }

    const BOX: [f64; 4] = [10.0, 10.0, 50.0, 50.0];

    #[test]
    fn all_found_is_one_and_none_found_is_zero() {
        let objects = [object(0, BOX), object(3, BOX)];
        let right = [found(0, BOX, 0.9), found(3, BOX, 0.8)];
        let scores = evaluate_coco(&objects, &right, 2);
        // COCO's small number in the divisor keeps it off 1.
        assert!((scores.ap.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(scores.ap_by_class[1], None);
        assert_eq!(scores.ap_by_area[0], None, "there is no small object");
        assert_eq!(evaluate_coco(&objects, &[], 1).ap, Some(0.0));
        assert_eq!(evaluate_coco(&[], &right, 1).ap, None);
        assert_eq!(evaluate_coco(&[], &[], 0).summary()[0], ("AP", None));
    }

    #[test]
    fn a_second_hit_is_wrong_and_one_in_a_crowd_is_nothing() {
        let twice = [found(0, BOX, 0.9), found(0, BOX, 0.8)];
        let one = object(0, BOX);
        let scores = evaluate_coco(&[one, object(1, BOX)], &twice, 1);
        assert!((scores.ap.unwrap() - 51.0 / 101.0).abs() < 1e-12);
        let crowd = TrueObject { crowd: true, ..one };
        let with_crowd = [crowd, object(1, BOX)];
        let hits = [twice[0], twice[1], found(1, BOX, 0.5)];
        let scores = evaluate_coco(&with_crowd, &hits, 1);
        assert!((scores.ap.unwrap() - 1.0).abs() < 1e-12);
    }
}
