//! What was measured of a teacher that was loaded, kept beside the finished trainings: the variants of a study, and a
//! run that is started again, share it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::evaluate::Measured;
use super::trained::TrainedNetwork;
use super::{RunContext, threads};
use crate::cache::identity;
use crate::evaluate::Predictions;
use crate::folder::write_atomically;
use crate::recipe::TEACHER;
use crate::summary::NetworkSummary;
use crate::task::Task;
use crate::{Event, Observer};

#[derive(Serialize, Deserialize)]
struct Kept {
    /// All that it depends on.
    inputs: Value,
    summary: NetworkSummary,
    predictions: Option<Predictions>,
}

impl<T: Task> RunContext<'_, T> {
    /// What an earlier run measured of this teacher, on these data and this device.
    pub(super) fn kept_teacher(&self, teacher: &TrainedNetwork<T::Network>) -> Option<Measured> {
        let (inputs, path) = self.kept_as(teacher)?;
        if !self.store.reuses() {
            return None;
        }
        // What cannot be read is measured again.
        let text = std::fs::read_to_string(path).ok()?;
        let kept: Kept = serde_json::from_str(&text).ok()?;
        (kept.inputs == inputs).then_some(Measured {
            summary: kept.summary,
            predictions: kept.predictions,
        })
    }

    /// Keeps what was measured of a teacher; nothing depends on it, so a failure is only told.
    pub(super) fn keep_teacher(
        &self,
        teacher: &TrainedNetwork<T::Network>,
        measured: &Measured,
        observer: &mut dyn Observer,
    ) {
        let Some((inputs, path)) = self.kept_as(teacher) else {
            return;
        };
        let kept = Kept {
            inputs,
            summary: measured.summary.clone(),
            predictions: measured.predictions.clone(),
        };
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = folder.map_err(|e| e.to_string()).and_then(|()| {
            let text = serde_json::to_string(&kept).map_err(|e| e.to_string())?;
            write_atomically(&path, text.as_bytes()).map_err(|e| e.to_string())
        });
        if let Err(problem) = written {
            observer.event(Event::Note(&format!(
                "what was measured of the teacher cannot be kept for later runs: {problem}"
            )));
        }
    }

    /// What the measurements of a loaded teacher depend on, and their file; none for a teacher that is trained here.
    fn kept_as(&self, teacher: &TrainedNetwork<T::Network>) -> Option<(Value, PathBuf)> {
        if teacher.seed.is_some() {
            return None;
        }
        let data = self.task.summary();
        let kernels = kd_kernels::mode().ok()?.to_string();
        let inputs = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": self.store.device(),
            "threads": threads(),
            "kernels": kernels,
            "data": self.task.dependencies(),
            "images": [data.validation, data.test],
            "batch": self.recipe.train.batch,
            "model": teacher.model,
            "weights": identity::hash(&teacher.network),
            "normalize": self.recipe.normalize_of(TEACHER),
            "size": self.recipe.size_of(TEACHER),
        });
        let path = self.store.of_teacher(&inputs)?;
        Some((inputs, path))
    }
}
