//! What COCO's first figure would be of other images.

use super::coco::{AREAS, of_classes};
use super::curve::{Curve, curve};
use super::matching::{THRESHOLDS, Verdict};
use super::{FoundObject, TrueObject};
use crate::random::Stream;

/// [`CocoScores::ap`](super::CocoScores::ap) of sets of images that are drawn with replacement from the images
/// `0..images`, as many each time (Efron, "Bootstrap Methods: Another Look at the Jackknife", The Annals of Statistics
/// 1979); none for a set without objects. What is drawn follows from the number of images alone, so that the differences of
/// two networks are between the same sets.
///
/// # Panics
/// When an object or detection is of a class that is not among `classes`, or of an image that is not among `images`.
pub fn resample_coco(
    objects: &[TrueObject],
    found: &[FoundObject],
    classes: usize,
    images: usize,
    draws: usize,
) -> Vec<Option<f64>> {
    let of_classes: Vec<OfClass> = of_classes(objects, found, classes, images)
        .iter()
        .map(|scenes| {
            let mut class = OfClass::default();
            for (image, scene) in scenes {
                let (verdicts, count) = scene.judge(AREAS[0]);
                class
                    .verdicts
                    .extend(verdicts.into_iter().map(|verdict| (*image, verdict)));
                class.objects.push((*image, count));
            }
            let by_score =
                |(_, a): &(usize, Verdict), (_, b): &(usize, Verdict)| b.score.total_cmp(&a.score);
            class.verdicts.sort_by(by_score);
            class
        })
        .collect();
    let draw = |number: usize| {
        let mut random = Stream::new([images as u64, number as u64, 0, 0]);
        let mut weights = vec![0.0; images];
        for _ in 0..images {
            weights[random.below(images)] += 1.0;
        }
        let (mut sum, mut count) = (0.0, 0);
        for class in &of_classes {
            for t in 0..THRESHOLDS {
                if let Some(average) = class.average(&weights, t) {
                    sum += average;
                    count += 1;
                }
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    };
    (0..draws).map(draw).collect()
}

/// A class with the images of what it has.
#[derive(Default)]
struct OfClass {
    /// Best first.
    verdicts: Vec<(usize, Verdict)>,
    /// How many objects count.
    objects: Vec<(usize, usize)>,
}

impl OfClass {
    /// Average precision at a threshold of a set that has each image so many times; none without objects.
    fn average(&self, weights: &[f64], t: usize) -> Option<f64> {
        let objects = self.objects.iter();
        let objects: f64 = objects.map(|(image, n)| weights[*image] * *n as f64).sum();
        let verdicts = self.verdicts.iter();
        let there = verdicts.map(|(image, verdict)| (verdict, weights[*image]));
        let there = there.filter(|(_, weight)| *weight > 0.0);
        (objects > 0.0).then(|| Curve::average(&curve(there, objects, t)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate_coco;
    use super::*;

    /// Images with an object each, which is found in some.
    fn set(hits: &[bool]) -> (Vec<TrueObject>, Vec<FoundObject>) {
        let bbox = [10.0, 10.0, 50.0, 50.0];
        let objects = (0..hits.len()).map(|image| TrueObject {
            image,
            class: 0,
            bbox,
            area: 2500.0,
            crowd: false,
        });
        let found = hits.iter().enumerate().map(|(image, hit)| FoundObject {
            image,
            class: 0,
            bbox: match hit {
                true => bbox,
                false => [200.0, 10.0, 50.0, 50.0],
            },
            score: 0.9 - 0.01 * image as f64,
        });
        (objects.collect(), found.collect())
    }

    #[test]
    fn sets_scatter_around_the_figure_and_are_the_same_for_all() {
        let hits: Vec<bool> = (0..40).map(|image| image % 3 > 0).collect();
        let (objects, found) = set(&hits);
        let figure = evaluate_coco(&objects, &found, 1).ap.unwrap();
        let draws = resample_coco(&objects, &found, 1, 40, 300);
        let draws: Vec<f64> = draws.into_iter().map(Option::unwrap).collect();
        let mean = draws.iter().sum::<f64>() / 300.0;
        // Precision is made to fall, from which sets in which hits come by chance gain more than this one, where every third
        // image is missed.
        assert!(
            (0.0..0.06).contains(&(mean - figure)),
            "{mean} for {figure}"
        );
        let spread = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 299.0;
        // Of a share of two thirds of 40 images it is 7.5 points.
        let spread = spread.sqrt();
        assert!((0.05..0.12).contains(&spread), "{spread}");
        let again = resample_coco(&objects, &found, 1, 40, 300);
        assert_eq!(again[7], Some(draws[7]));
        // A network that finds all has nothing to scatter.
        let (objects, found) = set(&[true; 40]);
        let all = resample_coco(&objects, &found, 1, 40, 20);
        assert!(all.iter().all(|ap| ap.unwrap() > 1.0 - 1e-9));
        assert_eq!(resample_coco(&[], &found, 1, 40, 2), [None, None]);
    }
}
