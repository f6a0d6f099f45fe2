//! When the state of a training is saved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When the state of a training is saved, so that an interrupted run goes on from there: at the end of every
/// epoch, and as often as this says. No result depends on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Optimiser steps from one state to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_steps: Option<usize>,
    /// Minutes from one state to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<f64>,
}

impl CheckpointConfig {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a state is due after so many optimiser steps, and so long after the last one.
    pub(crate) fn due(&self, steps: usize, since: Duration) -> bool {
        let by_steps = self.every_steps.is_some_and(|n| steps.is_multiple_of(n));
        let minutes = since.as_secs_f64() / 60.0;
        by_steps || self.every_minutes.is_some_and(|limit| minutes >= limit)
    }

    pub(crate) fn validate(&self, table: &str) -> Result<(), String> {
        if self.every_steps == Some(0) {
            return Err(format!("{table}.every_steps = 0: must be at least 1"));
        }
        match self.every_minutes.filter(|m| !(m.is_finite() && *m > 0.0)) {
            Some(minutes) => Err(format!(
                "{table}.every_minutes = {minutes}: must be above 0"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_due_by_steps_or_by_minutes() {
        let config = CheckpointConfig {
            every_steps: Some(10),
            every_minutes: Some(0.5),
        };
        let due = |steps, seconds| config.due(steps, Duration::from_secs(seconds));
        assert!(due(20, 0) && due(3, 30));
        assert!(!due(19, 29));
        let never = CheckpointConfig::default();
        assert!(!never.due(1, Duration::from_secs(1 << 20)));
    }
}
