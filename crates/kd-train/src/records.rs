//! Lines of `metrics.jsonl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Role, Score};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// An optimiser step.
    Step(StepRecord),
    /// The end of an epoch.
    Epoch(EpochRecord),
}

impl Record {
    /// Reads a line of `metrics.jsonl`, of this version or an older one.
    ///
    /// # Errors
    /// When it is no record.
    pub fn read(line: &str) -> Result<Self, serde_json::Error> {
        let mut value = serde_json::from_str(line)?;
        crate::older::record(&mut value);
        serde_json::from_value(value)
    }

    /// The same without what differs from one time to the next: speeds and seconds are 0.
    pub(crate) fn timeless(&self) -> Self {
        let mut record = self.clone();
        match &mut record {
            Self::Step(step) => step.images_per_second = 0.0,
            Self::Epoch(epoch) => (epoch.seconds, epoch.images_per_second) = (0.0, 0.0),
        }
        record
    }

    /// The network it is about.
    pub fn role_mut(&mut self) -> &mut Role {
        match self {
            Self::Step(step) => &mut step.role,
            Self::Epoch(epoch) => &mut epoch.role,
        }
    }
}

/// JSON has no number that is not finite: it is written as `null`.
pub(crate) fn nan_from_null<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

fn nans_from_nulls<'de, D: Deserializer<'de>>(
    values: D,
) -> Result<BTreeMap<String, f64>, D::Error> {
    let values: BTreeMap<String, Option<f64>> = BTreeMap::deserialize(values)?;
    let values = values.into_iter();
    Ok(values.map(|(k, v)| (k, v.unwrap_or(f64::NAN))).collect())
}

/// One component of the loss: its unweighted value and the weight it had.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentValue {
    /// Value before weighting.
    #[serde(deserialize_with = "nan_from_null")]
    pub value: f64,
    /// Weight at that step.
    pub weight: f64,
    /// L2 norm of its gradient on the student, before weighting, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
}

/// How often a cache was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Images that it answered.
    pub hits: u64,
    /// Images that went through the teacher.
    pub misses: u64,
}

impl CacheStats {
    /// Share of the teacher's work that was saved, in percent.
    pub fn saved(&self) -> f64 {
        100.0 * self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }

    /// What was asked since an earlier count.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            hits: self.hits - earlier.hits,
            misses: self.misses - earlier.misses,
        }
    }
}

/// An optimiser step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which network is trained.
    pub role: Role,
    /// Seed of this training.
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Optimiser step of this training, from 0.
    pub step: usize,
    /// Weighted sum of the components.
    pub loss: f64,
    /// Components by name.
    pub components: BTreeMap<String, ComponentValue>,
    /// Learning rate.
    pub lr: f64,
    /// Global L2 norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Training images per second since the previous record.
    pub images_per_second: f64,
}

/// The end of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which network is trained.
    pub role: Role,
    /// Seed of this training.
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Optimiser steps taken so far.
    pub step: usize,
    /// Mean weighted loss over the epoch.
    pub loss: f64,
    /// Mean unweighted components over the epoch.
    #[serde(deserialize_with = "nans_from_nulls")]
    pub components: BTreeMap<String, f64>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds of training, evaluation excluded.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
    /// Scores on the validation split, the one that selects first; empty without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<Score>,
    /// How often the teacher cache was asked in this epoch; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStats>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_none_can_be_read_again() {
        let component = ComponentValue {
            value: f64::NAN,
            weight: 0.0,
            gradient_norm: None,
        };
        let line = serde_json::to_string(&component).unwrap();
        let read: ComponentValue = serde_json::from_str(&line).unwrap();
        assert!(read.value.is_nan() && read.weight == 0.0, "{line}");

        let epoch = EpochRecord {
            role: Role::Baseline,
            seed: 1,
            epoch: 1,
            step: 2,
            loss: 3.0,
            components: [("kd".into(), f64::INFINITY), ("rkd".into(), 0.5)].into(),
            lr: 0.1,
            seconds: 1.0,
            images_per_second: 64.0,
            validation: Vec::new(),
            cache: None,
        };
        let line = serde_json::to_string(&Record::Epoch(epoch)).unwrap();
        let Record::Epoch(read) = serde_json::from_str(&line).unwrap() else {
            panic!("{line}");
        };
        assert!(read.components["kd"].is_nan(), "{line}");
        assert_eq!(read.components["rkd"], 0.5);
    }
}
