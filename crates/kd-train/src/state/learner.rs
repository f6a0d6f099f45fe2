//! A learner as bytes.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::OptimizerRecord;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Bytes;
use kd_models::Backbone;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::damaged;
use crate::Error;
use crate::learner::Learner;

/// All that a [`Learner`] has learned and remembers between two steps. It can be written by any format of
/// serde that keeps floating-point numbers exactly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearnerState {
    /// Student and objective, with their running statistics and memories.
    trainee: ByteBuf,
    optimizer: ByteBuf,
    average: Option<AverageState>,
    /// Factors of a balance, by component.
    factors: BTreeMap<String, f64>,
}

/// A moving average after so many updates.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AverageState {
    trainee: ByteBuf,
    updates: i32,
}

impl LearnerState {
    /// A state of these bytes, whatever they say.
    pub(super) fn of_bytes(trainee: ByteBuf) -> Self {
        Self {
            optimizer: trainee.clone(),
            trainee,
            average: None,
            factors: BTreeMap::new(),
        }
    }
}

/// A module's values, with those that its forward passes left behind.
pub(crate) fn module_bytes<M: Module>(module: &M) -> Result<ByteBuf, Error> {
    // Running statistics are brought up to date by `valid` alone.
    let bytes = module.valid().into_record().into_bytes();
    Ok(ByteBuf::from(bytes.map_err(damaged)?.to_vec()))
}

/// A module with the values that another one of the same kind had.
pub(crate) fn with_bytes<M: Module>(module: M, bytes: &[u8]) -> Result<M, Error> {
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()));
    let loaded = record.and_then(|record| module.try_load_record(record));
    loaded.map_err(|e: RecordError| damaged(e))
}

impl<S: Backbone> Learner<S> {
    /// What it has learned and remembers, between two steps.
    ///
    /// # Errors
    /// When a tensor cannot be written.
    pub fn state(&self) -> Result<LearnerState, Error> {
        let trainee = self.trainee();
        let optimizer = self.optimizer.to_record().into_bytes().map_err(damaged)?;
        let average = match self.average.as_ref().filter(|a| a.updates() > 0) {
            Some(average) => Some(AverageState {
                trainee: module_bytes(&average.apply(trainee.valid()))?,
                updates: average.updates(),
            }),
            None => None,
        };
        Ok(LearnerState {
            trainee: module_bytes(trainee)?,
            optimizer: ByteBuf::from(optimizer.to_vec()),
            average,
            factors: trainee.objective.factors(),
        })
    }

    /// A learner that goes on where another one was. This one must be new, with a student, an objective and
    /// settings as the other's were.
    ///
    /// # Errors
    /// When the state is one of something else.
    pub fn with_state(mut self, state: &LearnerState) -> Result<Self, Error> {
        // The optimiser's state goes by the parameters' identities, which come with the record.
        let mut trainee = with_bytes(self.take_trainee(), &state.trainee)?;
        trainee.objective.set_factors(&state.factors)?;
        let bytes = Bytes::from_bytes_vec(state.optimizer.to_vec());
        let optimizer = OptimizerRecord::from_bytes(bytes).map_err(damaged)?;
        self.optimizer = self.optimizer.load_record(optimizer);
        match (&mut self.average, &state.average) {
            (Some(average), Some(saved)) => {
                let averaged = with_bytes(trainee.valid(), &saved.trainee)?;
                average.restore(&trainee, &averaged, saved.updates);
            }
            (None, Some(_)) => return Err(damaged("it has a moving average")),
            (_, None) => {}
        }
        Ok(self.with_trainee(trainee))
    }
}
