//! COCO's twelve figures.

use super::curve::{Curve, curve};
use super::matching::{Scene, THRESHOLDS, Verdict};
use super::{FoundObject, TrueObject};

/// Detections of a class in an image that count, at most.
const MOST: [usize; 3] = [1, 10, 100];
/// Ranges of areas in pixels², ends included: all, small, medium, large.
pub(super) const AREAS: [[f64; 2]; 4] =
    [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

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
    /// Each class by the size of its objects, and its curves.
    pub classes: Vec<CocoClass>,
}

/// What COCO's evaluation says of a class. Sizes are all, small, medium and large, by COCO's areas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CocoClass {
    /// Objects of each size; crowds are not among them.
    pub objects: [usize; 4],
    /// `ap` of the objects of each size.
    pub ap: [Option<f64>; 4],
    /// Precision at the recalls 0, 0.01, .. 1 of objects of all sizes, at IoU 0.50 and at IoU 0.75; empty without objects.
    pub precision: [Vec<f64>; 2],
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

/// The curves of one class at each threshold, in one range of areas with at most so many detections.
type OfClass = Option<[Curve; THRESHOLDS]>;

/// A class in one range of areas: how many objects count, and its curves.
type Measured = (usize, [OfClass; MOST.len()]);
/// Places of IoU 0.50 and 0.75 among the thresholds.
const SHOWN: [usize; 2] = [0, 5];

/// Evaluates detections as `pycocotools` does: images are numbered in the order of their ids, on which the order of
/// equal scores depends.
///
/// # Panics
/// When an object or detection is of a class that is not among `classes`.
pub fn evaluate_coco(objects: &[TrueObject], found: &[FoundObject], classes: usize) -> CocoScores {
    let images = objects.iter().map(|o| o.image);
    let images = images.chain(found.iter().map(|f| f.image)).max();
    let images = images.map_or(0, |last| last + 1);
    let of_classes = of_classes(objects, found, classes, images);
    let of_classes = of_classes.iter();
    let measured: Vec<[Measured; AREAS.len()]> = of_classes
        .map(|scenes| AREAS.map(|area| measure(scenes, area)))
        .collect();
    summarise(&measured)
}

/// The scenes of each class that have an object or a detection, each with its image.
pub(super) fn of_classes<'a>(
    objects: &'a [TrueObject],
    found: &'a [FoundObject],
    classes: usize,
    images: usize,
) -> Vec<Vec<(usize, Scene<'a>)>> {
    let mut scenes: Vec<(Vec<&FoundObject>, Vec<&TrueObject>)> =
        vec![Default::default(); classes * images];
    for found in found {
        scenes[found.class * images + found.image].0.push(found);
    }
    for object in objects {
        scenes[object.class * images + object.image].1.push(object);
    }
    let mut scenes = scenes.into_iter();
    let of_class = |_| {
        let of_class = scenes.by_ref().take(images).enumerate();
        let there =
            of_class.filter(|(_, (found, objects))| !found.is_empty() || !objects.is_empty());
        there
            .map(|(image, (found, objects))| (image, Scene::new(found, objects, MOST[2])))
            .collect()
    };
    (0..classes).map(of_class).collect()
}

fn measure(scenes: &[(usize, Scene)], area: [f64; 2]) -> Measured {
    let judged = scenes.iter().map(|(_, scene)| scene.judge(area));
    let judged: Vec<(Vec<Verdict>, usize)> = judged.collect();
    let objects: usize = judged.iter().map(|(_, count)| count).sum();
    let curves = MOST.map(|most| {
        if objects == 0 {
            return None;
        }
        let best = judged
            .iter()
            .flat_map(|(verdicts, _)| verdicts.iter().take(most));
        let mut verdicts: Vec<Verdict> = best.copied().collect();
        verdicts.sort_by(|a, b| b.score.total_cmp(&a.score));
        let once = || verdicts.iter().map(|verdict| (verdict, 1.0));
        Some(std::array::from_fn(|t| curve(once(), objects as f64, t)))
    });
    (objects, curves)
}

fn summarise(of_classes: &[[Measured; AREAS.len()]]) -> CocoScores {
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
        let of_classes = of_classes.iter();
        of_classes
            .filter_map(move |c| c[area].1[most].as_ref())
            .flatten()
    };
    let precision = |area| mean(&mut all(area, LAST).map(Curve::average));
    let recall = |area, most| mean(&mut all(area, most).map(|curve| curve.recall));
    let at = |t: usize| {
        let of_classes = of_classes.iter().filter_map(|c| c[0].1[LAST].as_ref());
        mean(&mut of_classes.map(|curves| curves[t].average()))
    };
    let classes = of_classes.iter().map(|areas| CocoClass {
        objects: [0, 1, 2, 3].map(|area| areas[area].0),
        ap: [0, 1, 2, 3].map(|area| {
            let curves = areas[area].1[LAST].as_ref()?;
            mean(&mut curves.iter().map(Curve::average))
        }),
        precision: match &areas[0].1[LAST] {
            Some(curves) => SHOWN.map(|t| curves[t].precision.clone()),
            None => Default::default(),
        },
    });
    let classes: Vec<CocoClass> = classes.collect();
    let ap50 = of_classes.iter().map(|areas| {
        let curves = areas[0].1[LAST].as_ref()?;
        Some(curves[0].average())
    });
    CocoScores {
        ap: precision(0),
        ap50: at(SHOWN[0]),
        ap75: at(SHOWN[1]),
        ap_by_area: [1, 2, 3].map(precision),
        ar: [0, 1, 2].map(|most| recall(0, most)),
        ar_by_area: [1, 2, 3].map(|area| recall(area, LAST)),
        ap_by_class: classes.iter().map(|class| class.ap[0]).collect(),
        ap50_by_class: ap50.collect(),
        classes,
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
        assert_eq!(scores.classes[1], CocoClass::default());
        assert_eq!(scores.classes[0].objects, [2, 0, 2, 0]);
        assert_eq!(evaluate_coco(&objects, &[], 1).ap, Some(0.0));
        assert_eq!(evaluate_coco(&[], &right, 1).ap, None);
        assert_eq!(evaluate_coco(&[], &[], 0).summary()[0], ("AP", None));
    }

    #[test]
    fn curves_fall_where_something_else_is_found_first() {
        // A hit, something wrong, a hit; the last object is never found.
        let elsewhere = [100.0, 100.0, 50.0, 50.0];
        let objects = [object(0, BOX), object(1, BOX), object(2, BOX)];
        let hits = [
            found(0, BOX, 0.9),
            found(0, elsewhere, 0.8),
            found(1, BOX, 0.7),
        ];
        let scores = evaluate_coco(&objects, &hits, 1);
        let [at50, at75] = &scores.classes[0].precision;
        assert_eq!((at50.len(), at50), (101, at75));
        let near = |recall: usize, want: f64| (at50[recall] - want).abs() < 1e-12;
        assert!(near(0, 1.0) && near(33, 1.0) && near(34, 2.0 / 3.0) && near(66, 2.0 / 3.0));
        assert_eq!((at50[67], at50[100]), (0.0, 0.0));
        let mean = at50.iter().sum::<f64>() / 101.0;
        assert!((mean - scores.ap50.unwrap()).abs() < 1e-12);
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
