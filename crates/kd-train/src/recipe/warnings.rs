//! What a recipe may well mean, and rarely does.

use kd_core::{ObjectiveConfig, Step};
use serde_json::Value;

use super::{Recipe, TrainingPlan};
use crate::Role;

impl Recipe {
    /// What is allowed in it, and probably a mistake: a sentence each, with the key and the cure. A run tells
    /// them before its first training.
    pub fn warnings(&self) -> Vec<String> {
        let plans = self.plans();
        let plans = plans.iter().filter(|plan| !plan.is_baseline());
        let of_plans = plans.flat_map(|plan| {
            let found = [other_temperature(plan), nothing_distilled(plan)];
            found.into_iter().flatten().collect::<Vec<_>>()
        });
        other_size(self).into_iter().chain(of_plans).collect()
    }
}

/// Height and width of the images of all sets but folders, or nearly.
const SMALL: usize = 32;

/// How many times larger or smaller images may be than those that a network is made for.
const TIMES: usize = 4;

/// Networks that are made for images of quite another size than the data have.
fn other_size(recipe: &Recipe) -> Vec<String> {
    if recipe.detection.is_some() {
        return Vec::new();
    }
    let size = recipe.data.size.unwrap_or(SMALL);
    let networks = crate::check::networks(recipe).into_iter();
    // Who gives a size means it.
    let resized = recipe
        .teacher
        .as_ref()
        .is_some_and(|teacher| teacher.size.is_some());
    let networks = networks.filter(|(key, _)| !(resized && key == "teacher.model"));
    let other = networks.filter_map(|(key, model)| {
        let info = kd_models::find(model).ok()?;
        let made_for = info.image_size;
        if size < TIMES * made_for && made_for < TIMES * size {
            return None;
        }
        let sibling = match info.name.strip_suffix("_224") {
            Some(name) => name.to_owned(),
            None => format!("{}_224", info.name),
        };
        let cure = match kd_models::find(&sibling) {
            Ok(_) => format!("`{sibling}` is made for such images"),
            Err(_) => "`kd models` lists for which size each network is made".into(),
        };
        Some(format!(
            "warning: {key} = \"{model}\" is made for images of {made_for}×{made_for}, and the data have {size}×{size}; \
             {cure}"
        ))
    });
    other.collect()
}

/// The table of a plan's stage.
fn table(plan: &TrainingPlan) -> String {
    match plan.role() {
        Role::Stage(name) => format!("stages.{name}"),
        _ => "student".into(),
    }
}

/// Several teachers are averaged at one temperature: terms that read them at another do not see their mean.
fn other_temperature(plan: &TrainingPlan) -> Option<String> {
    let peers = if plan.mutual {
        plan.students.len() - 1
    } else {
        0
    };
    if plan.teachers.len() + peers < 2 {
        return None;
    }
    let combined = plan.combine.temperature;
    let read = temperatures(&plan.objective);
    let other: Vec<_> = read
        .iter()
        .filter(|(_, values)| values.iter().any(|value| *value != combined))
        .map(|(name, values)| {
            let values: Vec<_> = values.iter().map(f64::to_string).collect();
            format!("`{name}` reads them at {}", values.join(" to "))
        })
        .collect();
    let table = table(plan);
    (!other.is_empty()).then(|| {
        format!(
            "warning: {table}.combine averages the probabilities of the teachers at temperature {combined}, and \
             {}, where their mean is another; set {table}.combine.temperature to the temperature of the term",
            other.join(", ")
        )
    })
}

/// The temperatures at which terms read a teacher, by name; those of a schedule are its numbers at both ends.
fn temperatures(objective: &ObjectiveConfig) -> Vec<(String, Vec<f64>)> {
    let Ok(Value::Object(written)) = serde_json::to_value(objective) else {
        return Vec::new();
    };
    let of = |name: &str| -> Vec<f64> {
        let keys = |key| written.get(name).and_then(|term| term.get(key));
        match (keys("temperature"), keys("temperatures")) {
            (Some(Value::Number(number)), _) => number.as_f64().into_iter().collect(),
            (Some(Value::Object(schedule)), _) => {
                let ends = ["from", "value", "to"];
                ends.iter()
                    .filter_map(|end| schedule.get(*end)?.as_f64())
                    .collect()
            }
            (_, Some(Value::Array(list))) => list.iter().filter_map(Value::as_f64).collect(),
            _ => Vec::new(),
        }
    };
    let read = objective
        .terms
        .iter()
        .filter(|(_, entry)| entry.term.needs_teacher());
    read.map(|(name, _)| (name.clone(), of(name))).collect()
}

/// A student that is called distilled and learns from labels alone.
fn nothing_distilled(plan: &TrainingPlan) -> Option<String> {
    let epochs = plan.train.epochs;
    let counts = |epoch| {
        let at = Step {
            epoch,
            epochs,
            index: 0,
        };
        let mut counted = plan.objective.clone();
        let of = &plan.objective;
        counted
            .terms
            .retain(|(_, entry)| of.weight(entry).at(&at) > 0.0);
        counted.distils()
    };
    let silent = plan.objective.distils() && !counts(1) && !counts(epochs);
    silent.then(|| {
        let table = match plan.role() {
            Role::Stage(name) => format!("stages.{name}.objective"),
            _ => "objective".into(),
        };
        format!(
            "warning: every term of [{table}] but the labels has weight 0: the student learns from labels alone, \
             and is still called distilled"
        )
    })
}
