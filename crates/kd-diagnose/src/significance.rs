//! Significance: permutations, binomial tails, Holm.

use crate::random::Random;

/// Permutations of a test.
const PERMUTATIONS: usize = 999;

/// Whether groups have one mean, and which lie above it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Groups {
    /// Mean of every group; 0 of one without values.
    pub means: Vec<f64>,
    /// Values of every group.
    pub counts: Vec<usize>,
    /// How often chance spreads the means so far.
    pub p: f64,
    /// Share of the variance that lies between groups, η².
    pub effect: f64,
    /// For every group, how often the highest group of a permutation stands out as far: corrected for the number of groups.
    pub above: Vec<f64>,
}

/// Permutes the groups of values. The spread is `Σ n_g (mean_g − mean)²`; a group stands out by its mean less that of all, in
/// standard deviations of a draw without replacement, from the variance of all or from its own where that is larger: a group
/// whose values scatter more stands out by chance more easily. The highest of these over all groups corrects for their number.
///
/// Source: P. Westfall, S. Young, "Resampling-Based Multiple Testing", Wiley 1993 (step-down is left out: single-step maxT);
/// A. Janssen, "Studentized permutation tests for non-i.i.d. hypotheses", Statistics & Probability Letters 1997.
pub(crate) fn groups(values: &[f64], group_of: &[usize], groups: usize) -> Groups {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let mut counts = vec![0usize; groups];
    group_of.iter().for_each(|g| counts[*g] += 1);
    // Sum and sum of squares of what lies above the mean of all, for each group.
    let sums = |values: &[f64]| {
        let mut sums = vec![(0.0, 0.0); groups];
        for (value, group) in values.iter().zip(group_of) {
            let above = value - mean;
            sums[*group].0 += above;
            sums[*group].1 += above * above;
        }
        sums
    };
    let spread = |sums: &[(f64, f64)]| -> f64 {
        let pairs = sums.iter().zip(&counts).filter(|(_, n)| **n > 0);
        pairs.map(|((sum, _), n)| sum * sum / *n as f64).sum()
    };
    let common = squares / (n - 1.0).max(1.0);
    let stand_out = |sums: &[(f64, f64)]| -> Vec<f64> {
        let all = sums.iter().zip(&counts);
        all.map(|((sum, squares), count)| {
            let count = *count as f64;
            let own = (squares - sum * sum / count) / (count - 1.0);
            // NaN of a group without a variance is not larger.
            let scale = (common.max(own) * count * (n - count) / n).sqrt();
            if scale > 0.0 { sum / scale } else { 0.0 }
        })
        .collect()
    };
    let found = sums(values);
    let found_spread = spread(&found);
    let own = stand_out(&found);
    // What rounding leaves of an equal value counts as equal.
    let slack = |value: f64| value - 1e-9 * value.abs();
    let (mut wider, mut farther) = (1usize, vec![1usize; groups]);
    let mut random = Random::new(1);
    let mut shuffled = values.to_vec();
    for _ in 0..PERMUTATIONS {
        random.shuffle(&mut shuffled);
        let sums = sums(&shuffled);
        wider += usize::from(spread(&sums) >= slack(found_spread));
        let stand_out = stand_out(&sums);
        let most = stand_out.into_iter().fold(f64::NEG_INFINITY, f64::max);
        for (count, own) in farther.iter_mut().zip(&own) {
            *count += usize::from(most >= slack(*own));
        }
    }
    let all = (PERMUTATIONS + 1) as f64;
    let means = found.iter().zip(&counts);
    Groups {
        means: means
            .map(|((sum, _), n)| match n {
                0 => 0.0,
                n => mean + sum / *n as f64,
            })
            .collect(),
        p: wider as f64 / all,
        effect: if squares > 0.0 {
            found_spread / squares
        } else {
            0.0
        },
        above: farther.into_iter().map(|c| c as f64 / all).collect(),
        counts,
    }
}

/// Chance of `hits` or more of `tries` that each succeed with `chance`.
pub(crate) fn at_least(hits: usize, tries: usize, chance: f64) -> f64 {
    if hits == 0 || chance >= 1.0 {
        return 1.0;
    }
    if chance <= 0.0 || hits > tries {
        return 0.0;
    }
    let logs: Vec<f64> = (1..=tries).map(|i| (i as f64).ln()).collect();
    let choose =
        |k: usize| -> f64 { logs[tries - k..].iter().sum::<f64>() - logs[..k].iter().sum::<f64>() };
    let mut log =
        choose(hits) + hits as f64 * chance.ln() + (tries - hits) as f64 * (1.0 - chance).ln();
    let odds = (chance / (1.0 - chance)).ln();
    let mut sum = 0.0;
    for k in hits..=tries {
        sum += log.exp();
        if k < tries {
            log += ((tries - k) as f64).ln() - ((k + 1) as f64).ln() + odds;
        }
    }
    sum.min(1.0)
}

/// McNemar's exact test, two-sided, of samples that only one of two networks has right.
///
/// Source: Q. McNemar, Psychometrika 1947.
pub(crate) fn mcnemar(only_one: usize, only_other: usize) -> f64 {
    let both = only_one + only_other;
    (2.0 * at_least(only_one.max(only_other), both, 0.5)).min(1.0)
}

/// Corrects p values for their number.
///
/// Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 1979.
pub(crate) fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut corrected = vec![0.0; values.len()];
    let mut most: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        most = most.max((values[at] * (values.len() - rank) as f64).min(1.0));
        corrected[at] = most;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_a_calculation_by_hand() {
        // (1 + 10 + 45) / 1024 of eight or more heads of ten.
        assert!((at_least(8, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
        assert!((at_least(1, 3, 0.1) - (1.0 - 0.9f64.powi(3))).abs() < 1e-12);
        assert_eq!((at_least(0, 5, 0.3), at_least(2, 5, 0.0)), (1.0, 0.0));
        assert!((mcnemar(8, 2) - 112.0 / 1024.0).abs() < 1e-12);
        assert_eq!(mcnemar(3, 3), 1.0);
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
    }

    #[test]
    fn a_group_that_stands_out_is_found_and_equal_ones_are_not() {
        let group_of: Vec<usize> = (0..400).map(|i| i % 4).collect();
        let mut random = Random::new(3);
        let drawn: Vec<f64> = group_of
            .iter()
            .map(|g| f64::from(u8::from(random.share() < if *g == 2 { 0.6 } else { 0.2 })))
            .collect();
        let found = groups(&drawn, &group_of, 4);
        assert_eq!((found.p, found.above[2]), (0.001, 0.001));
        assert!(found.above[0] > 0.5 && found.effect > 0.08, "{found:?}");
        let even: Vec<f64> = (0..400).map(|i| f64::from(i % 8 / 4)).collect();
        let found = groups(&even, &group_of, 4);
        assert!(
            found.p > 0.9 && found.above.iter().all(|p| *p > 0.5),
            "{found:?}"
        );
    }

    #[test]
    fn chance_is_called_a_finding_as_often_as_it_should() {
        let group_of: Vec<usize> = (0..200).map(|i| i % 5).collect();
        let mut random = Random::new(9);
        let mut accused = 0;
        for _ in 0..100 {
            let drawn: Vec<f64> = group_of
                .iter()
                .map(|_| f64::from(u8::from(random.share() < 0.3)))
                .collect();
            accused += usize::from(
                groups(&drawn, &group_of, 5)
                    .above
                    .iter()
                    .any(|p| *p <= 0.05),
            );
        }
        // 5 are expected; more than 12 come in one of 1,000.
        assert!(accused <= 12, "{accused}");
    }

    #[test]
    fn a_group_that_only_scatters_more_is_no_finding() {
        let group_of: Vec<usize> = (0..250).map(|i| i % 5).collect();
        let mut random = Random::new(5);
        let mut accused = 0;
        for _ in 0..100 {
            // Either network is right alone in 30 % of the group, in 3 % elsewhere.
            let draw = |group: &usize| {
                let (share, drawn) = (if *group == 2 { 0.3 } else { 0.03 }, random.share());
                f64::from(u8::from(drawn < share)) - f64::from(u8::from(drawn > 1.0 - share))
            };
            let drawn: Vec<f64> = group_of.iter().map(draw).collect();
            accused += usize::from(groups(&drawn, &group_of, 5).above[2] <= 0.05);
        }
        assert!(accused <= 12, "{accused}");
    }
}
