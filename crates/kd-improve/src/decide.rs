//! Whether a change stays.
//!
//! The change and the recipe so far are trained with the same seeds, which gives a difference a seed. The change stays when the
//! 95 % interval of their mean (Student's t) lies above 0. Looking early is allowed for giving up alone: two seeds or more of
//! which none gained end the comparison. A change that is useless stays with a chance of at most 2.5 % by this rule, since giving
//! up early can only lower it.

use serde::{Deserialize, Serialize};

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is better: the interval lies above 0.
    Kept,
    /// No difference that these seeds show.
    NotShown,
    /// It is worse: the interval lies below 0.
    Worse,
    /// Given up early: no seed gained.
    Stopped,
    /// The budget ended before the last seed, so nothing is decided, and the recipe stays as it was.
    Unfinished,
}

/// Whether these gains, one a seed, are enough to give up.
pub fn futile(gains: &[f64]) -> bool {
    gains.len() >= 2 && gains.iter().all(|gain| *gain <= 0.0)
}

/// What becomes of a change with these gains, one a seed of `planned`. `half` is half the 95 % interval of their mean; none for
/// a single seed, which shows nothing.
pub fn decide(gains: &[f64], half: Option<f64>, planned: usize) -> Decision {
    let mean = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    if gains.len() < planned {
        return match futile(gains) {
            true => Decision::Stopped,
            false => Decision::Unfinished,
        };
    }
    match half {
        Some(half) if mean - half > 0.0 => Decision::Kept,
        Some(half) if mean + half < 0.0 => Decision::Worse,
        _ => Decision::NotShown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_decides() {
        let gains = [1.0, 2.0, 1.5];
        assert_eq!(decide(&gains, Some(1.2), 3), Decision::Kept);
        assert_eq!(decide(&gains, Some(1.5), 3), Decision::NotShown);
        assert_eq!(decide(&gains.map(|g| -g), Some(1.2), 3), Decision::Worse);
        // One seed shows nothing, however much it gained.
        assert_eq!(decide(&[9.0], None, 1), Decision::NotShown);
        // No number is no reason to keep anything.
        assert_eq!(decide(&[f64::NAN; 3], Some(0.1), 3), Decision::NotShown);
    }

    #[test]
    fn giving_up_early_needs_two_seeds_and_no_gain() {
        assert_eq!(decide(&[-1.0], None, 3), Decision::Unfinished);
        assert_eq!(decide(&[-1.0, 0.0], Some(6.0), 3), Decision::Stopped);
        assert_eq!(decide(&[-1.0, 0.1], Some(6.0), 3), Decision::Unfinished);
        // All seeds are there: what they show is said.
        assert_eq!(decide(&[-1.0, -1.1], Some(0.6), 2), Decision::Worse);
    }

    /// Draws that follow from a number.
    fn normal(state: &mut u64) -> f64 {
        let mut share = || {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((*state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let (a, b) = (share(), share());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// How often a change of this true gain is kept, in standard deviations of a seed's difference, by five seeds with early
    /// looks.
    fn kept(gain: f64, tries: usize) -> usize {
        let mut state = 7;
        let mut kept = 0;
        for _ in 0..tries {
            let mut gains: Vec<f64> = Vec::new();
            while gains.len() < 5 && !futile(&gains) {
                gains.push(gain + normal(&mut state));
            }
            let n = gains.len() as f64;
            let mean = gains.iter().sum::<f64>() / n;
            let square: f64 = gains.iter().map(|g| (g - mean).powi(2)).sum();
            let half = 2.776 * (square / (n - 1.0)).sqrt() / n.sqrt();
            kept += usize::from(decide(&gains, Some(half), 5) == Decision::Kept);
        }
        kept
    }

    #[test]
    fn a_useless_change_is_rarely_kept_and_a_large_gain_mostly_is() {
        // At most 2.5 % of 4,000 are 100; more than 130 come less than once in 100.
        let useless = kept(0.0, 4000);
        assert!((1..=130).contains(&useless), "{useless}");
        let large = kept(2.0, 4000);
        assert!(large > 3200, "{large}");
    }
}
