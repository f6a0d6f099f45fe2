//! What mixed images, and views that are never drawn twice, do not go with.

use kd_core::{CombineRule, ObjectiveConfig};

use super::Recipe;
use crate::cache::Views;

impl Recipe {
    /// A cache needs views that come again.
    pub(super) fn validate_views(&self) -> Result<(), String> {
        let cache = self.teacher.as_ref().and_then(|t| t.cache.as_ref());
        match cache {
            Some(cache) if cache.views == Views::All && self.data.augment.is_endless() => Err(
                "teacher.cache.views = \"all\": data.augment draws another view of an image every time, so no answer \
                 would ever be used twice; set teacher.cache.views to a number of views an image, or remove \
                 [teacher.cache]"
                    .into(),
            ),
            _ => Ok(()),
        }
    }

    /// An image that a batch shows several times.
    pub(super) fn validate_repeats(&self) -> Result<(), String> {
        let stages = self.tables();
        let own = stages.filter_map(|(table, stage)| {
            let objective = stage.objective.as_ref()?;
            Some((format!("{table}.objective"), objective))
        });
        let mut all = own.chain([("objective".into(), &self.objective)]);
        let remembering = all.find_map(|(table, objective)| {
            let mut terms = objective.terms.iter();
            let (name, entry) = terms.find(|(_, entry)| entry.term.remembers_samples())?;
            Some(format!("[{table}.{name}]: {}", entry.term.name()))
        });
        match remembering.filter(|_| self.data.augment.repeats > 1) {
            None => Ok(()),
            Some(term) => Err(format!(
                "{term} keeps one answer of every image, and data.augment.repeats = {} shows an image several times in \
                 a batch; remove `repeats`, or the term",
                self.data.augment.repeats
            )),
        }
    }

    /// Mixed images belong to two classes, and no two batches have the same ones.
    pub(super) fn validate_mix(&self) -> Result<(), String> {
        if self.data.mix.is_none() {
            return Ok(());
        }
        if self.teacher.as_ref().is_some_and(|t| t.cache.is_some()) {
            return Err(
                "[teacher.cache] and [data.mix]: a mixed image is never shown twice, so no answer would ever be used \
                 twice; remove one of the two tables"
                    .into(),
            );
        }
        needs_class("objective", &self.objective)?;
        for (table, stage) in self.tables() {
            if let Some(objective) = &stage.objective {
                needs_class(&format!("{table}.objective"), objective)?;
            }
            if stage.combine.rule == CombineRule::Confidence {
                return Err(format!(
                    "{table}.combine.rule = \"confidence\" weighs teachers by the class of an image, and [data.mix] \
                     mixes images of two classes; combine by \"average\", or remove [data.mix]"
                ));
            }
        }
        let own = |train: &super::TrainConfig| train.batch == 1;
        let of_teacher = self.teacher.as_ref().and_then(|t| t.train.as_ref());
        let mut stages = self.tables().filter_map(|(_, stage)| stage.train.as_ref());
        if own(&self.train) || of_teacher.is_some_and(own) || stages.any(own) {
            return Err(
                "train.batch = 1: [data.mix] mixes the images of a batch, and there is one; use a larger batch, or \
                 remove [data.mix]"
                    .into(),
            );
        }
        Ok(())
    }
}

/// Refuses a term that asks for the class of an image.
fn needs_class(table: &str, objective: &ObjectiveConfig) -> Result<(), String> {
    let mut terms = objective.terms.iter();
    match terms.find(|(_, entry)| entry.term.needs_class()) {
        None => Ok(()),
        Some((name, entry)) => Err(format!(
            "[{table}.{name}]: {} needs the one class of an image, and [data.mix] mixes images of two classes; remove \
             [data.mix], or the term",
            entry.term.name()
        )),
    }
}
