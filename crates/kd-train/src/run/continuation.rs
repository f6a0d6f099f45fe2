//! How a training of an interrupted run goes on.

use crate::cache::TeacherCache;
use crate::folder::{FinishedTraining, Folder};
use crate::records::Record;
use crate::state::{StateFiles, TrainingState};
use crate::{Error, Event, Observer};

/// What a training leaves in the run folder to go on from.
pub(super) struct Continuation {
    /// Follows from all that its result depends on.
    pub training: String,
    pub states: StateFiles,
    /// What an interrupted run noted when it had finished it.
    pub done: Option<FinishedTraining>,
    /// The state that an interrupted run left, with the records before it.
    pub left: Option<(TrainingState, Vec<Record>)>,
}

impl Continuation {
    /// Reads what an interrupted run left of a training.
    pub fn read(
        training: String,
        states: StateFiles,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Self {
        let mut this = Self {
            done: folder.had_finished(&training),
            training,
            states,
            left: None,
        };
        if this.done.is_none() {
            this.left = this.find(folder, observer);
        }
        this
    }

    fn find(
        &self,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Option<(TrainingState, Vec<Record>)> {
        if !folder.goes_on() {
            return None;
        }
        let mut say = |problem: &str| observer.event(Event::Note(problem));
        let (saved, problems) = self.states.read();
        for problem in problems {
            say(&format!(
                "{problem}; the state before it is used, if there is one"
            ));
        }
        let saved = saved?;
        if saved.training != self.training {
            say("the saved state is of a training with other inputs; it begins again");
            return None;
        }
        let records = folder.left(saved.records);
        if records.is_none() {
            say("metrics.jsonl is shorter than the saved state says; the training begins again");
        }
        Some((saved.state, records?))
    }

    /// Notes that the training is finished, and removes what it would go on from.
    pub fn finish(&self, folder: &mut Folder, cache: Option<&TeacherCache>) -> Result<(), Error> {
        if self.done.is_none() {
            folder.finished(FinishedTraining {
                training: self.training.clone(),
                cache: cache.map(TeacherCache::state),
            })?;
        }
        self.states.remove();
        Ok(())
    }
}

/// Where a training goes on.
pub(super) fn goes_on(state: &TrainingState, epochs: usize) -> String {
    if state.epoch() > epochs {
        return "all epochs of this training were done before the interruption".into();
    }
    format!(
        "goes on in epoch {} of {}, after step {}",
        state.epoch(),
        epochs,
        state.step()
    )
}
