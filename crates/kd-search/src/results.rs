//! What finished trials say.

use crate::space::Point;

/// Trials that no other is at least as good as in every objective and better in one, of scores of which higher ones are better.
/// Trials with a score that is no number are left out.
pub fn pareto_front(scores: &[Vec<f64>]) -> Vec<usize> {
    let numbers = |at: &usize| scores[*at].iter().all(|s| !s.is_nan());
    let beats = |a: &[f64], b: &[f64]| {
        let pairs = || a.iter().zip(b);
        pairs().all(|(a, b)| a >= b) && pairs().any(|(a, b)| a > b)
    };
    (0..scores.len())
        .filter(numbers)
        .filter(|at| {
            let mut others = (0..scores.len()).filter(numbers);
            !others.any(|other| beats(&scores[other], &scores[*at]))
        })
        .collect()
}

/// How much of the variance of the score each parameter explains by itself, η² less what chance gives so many groups
/// (ω² of Hays, 1963, at least 0). Numbers are put into four groups of equal size.
///
/// A parameter that matters only together with another has little here.
pub fn importance(finished: &[(Point, f64)]) -> Vec<f64> {
    let finite: Vec<&(Point, f64)> = finished.iter().filter(|(_, s)| s.is_finite()).collect();
    let parameters = finished.first().map_or(0, |(point, _)| point.0.len());
    (0..parameters).map(|at| explained(&finite, at)).collect()
}

fn explained(finished: &[&(Point, f64)], parameter: usize) -> f64 {
    const GROUPS: usize = 4;
    let n = finished.len();
    let mut values: Vec<f64> = finished.iter().map(|(p, _)| p.number(parameter)).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    // Few values are groups of their own.
    let ends: Vec<f64> = match values.len() {
        0..=GROUPS => values,
        many => (1..=GROUPS)
            .map(|g| values[g * many / GROUPS - 1])
            .collect(),
    };
    let (mut sums, mut counts) = (vec![0.0; ends.len()], vec![0usize; ends.len()]);
    let mean = finished.iter().map(|(_, s)| s).sum::<f64>() / n.max(1) as f64;
    let mut all = 0.0;
    for (point, score) in finished {
        let group = ends.partition_point(|end| *end < point.number(parameter));
        sums[group] += score - mean;
        counts[group] += 1;
        all += (score - mean).powi(2);
    }
    let filled = counts.iter().filter(|n| **n > 0).count();
    if filled < 2 || n <= filled || all <= 0.0 {
        return 0.0;
    }
    let pairs = sums.iter().zip(&counts).filter(|(_, n)| **n > 0);
    let between: f64 = pairs.map(|(sum, n)| sum * sum / *n as f64).sum();
    let inside = (all - between) / (n - filled) as f64;
    ((between - (filled - 1) as f64 * inside) / (all + inside)).max(0.0)
}

#[cfg(test)]
mod tests {
    use kd_goldens::uniform;

    use super::*;
    use crate::Value;

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let scores = [
            [90.0, -5.0],
            [85.0, -1.0],
            [84.0, -2.0],
            [90.0, -5.0],
            [f64::NAN, 0.0],
        ];
        let scores: Vec<Vec<f64>> = scores.iter().map(|s| s.to_vec()).collect();
        assert_eq!(pareto_front(&scores), [0, 1, 3]);
        assert!(pareto_front(&[]).is_empty());
    }

    #[test]
    fn what_the_score_depends_on_is_important() {
        let [a, b, noise] = ["a", "b", "noise"].map(|key| uniform(key, 200));
        let finished: Vec<(Point, f64)> = (0..200)
            .map(|at| {
                let point = Point(vec![
                    Value::Float(a[at]),
                    Value::Float(b[at]),
                    Value::Int(1),
                ]);
                (point, 4.0 * a[at] + 0.5 * noise[at])
            })
            .collect();
        let found = importance(&finished);
        assert!(
            found[0] > 0.85 && found[1] < 0.05 && found[2] == 0.0,
            "{found:?}"
        );
        assert!(importance(&[]).is_empty());
    }
}
