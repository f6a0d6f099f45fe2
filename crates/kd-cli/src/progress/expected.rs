//! How long a training will take, once its first steps are done.

use std::time::{Duration, Instant};

use crate::format::duration;

/// Steps that are timed: the first is left out, because memory and kernels are made ready in it.
const FEWEST: usize = 3;
const ENOUGH: usize = 20;
/// Time after which a few steps are enough.
const LONG: Duration = Duration::from_secs(1);

/// Times the first steps of a training.
#[derive(Default)]
pub struct Expected {
    steps: usize,
    first: Option<Instant>,
    told: bool,
}

impl Expected {
    /// A training of so many steps begins.
    pub fn begin(&mut self, steps: usize) {
        *self = Self {
            steps,
            ..Self::default()
        };
    }

    /// The expected time of the whole training, once; `step` counts from 0 and is over `now`.
    pub fn after(&mut self, step: usize, now: Instant) -> Option<String> {
        let Some(first) = self.first else {
            self.first = (step == 0).then_some(now);
            return None;
        };
        let took = now.duration_since(first);
        let enough = step >= ENOUGH || (step >= FEWEST && took >= LONG);
        if self.told || !enough {
            return None;
        }
        self.told = true;
        let a_step = took.as_secs_f64() / step as f64;
        Some(format!(
            "  expected: about {} for this training ({:.3} s a step, validation not counted)",
            duration(a_step * self.steps as f64),
            a_step
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_steps_tell_the_time_once() {
        let mut expected = Expected::default();
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        expected.begin(1000);
        // The first step is slow, and not counted; of peers each step comes twice.
        for (step, seconds) in [(0, 5.0), (0, 5.0), (1, 5.5), (1, 5.5), (2, 6.0)] {
            assert_eq!(expected.after(step, at(seconds)), None);
        }
        let text = expected.after(3, at(6.5)).unwrap();
        assert!(
            text.contains("about 8 min 20 s") && text.contains("0.500 s a step"),
            "{text}"
        );
        assert_eq!(expected.after(4, at(7.0)), None);
        // Quick steps are told after twenty.
        expected.begin(100);
        assert_eq!(expected.after(0, at(0.0)), None);
        assert_eq!(expected.after(19, at(0.19)), None);
        assert!(expected.after(20, at(0.2)).is_some());
    }
}
