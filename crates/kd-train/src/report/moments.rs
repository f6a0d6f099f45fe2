//! What a curve is drawn of: epochs, or steps while there are no epochs yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::records::{EpochRecord, StepRecord};

use super::read::History;

/// What one point of a training's curves stands for.
pub(super) struct Moment {
    /// The epoch, or the step.
    pub at: f64,
    pub loss: f64,
    /// Value and weight of each component.
    pub components: Vec<(String, f64, Option<f64>)>,
    pub gradient_norm: Option<f64>,
    /// Norms of the components' gradients, where they were measured.
    pub component_norms: Vec<(String, f64)>,
    pub images_per_second: f64,
}

/// The axis that a run's curves are drawn over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Over {
    Epochs,
    Steps,
}

impl Over {
    /// Epochs, as soon as a training has two of them. An epoch's loss is the mean over all its samples, where
    /// a step's is that of one batch, and the last batch of an epoch may be short.
    pub fn of<'a>(histories: impl Iterator<Item = &'a History>) -> Self {
        let mut histories = histories;
        match histories.any(|history| history.epochs.len() > 1) {
            true => Self::Epochs,
            false => Self::Steps,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Steps => "step",
        }
    }
}

pub(super) fn moments(history: &History, over: Over) -> Vec<Moment> {
    if over == Over::Steps && !history.steps.is_empty() {
        return whole_steps(history).map(of_step).collect();
    }
    let mut steps: BTreeMap<usize, Vec<Moment>> = BTreeMap::new();
    for step in whole_steps(history) {
        steps.entry(step.epoch).or_default().push(of_step(step));
    }
    let of = |epoch: &EpochRecord| {
        let steps = steps.get(&epoch.epoch).map_or(&[][..], Vec::as_slice);
        of_epoch(epoch, steps, over)
    };
    history.epochs.values().map(of).collect()
}

/// The learning rate at every logged step, or at the end of an epoch where no steps were logged.
pub(super) fn rates(history: &History, over: Over) -> Vec<(f64, f64)> {
    let per_epoch = history.epochs.values().next();
    let per_epoch = per_epoch.map(|e| e.step as f64 / e.epoch.max(1) as f64);
    let steps = history.steps.values();
    match (over, per_epoch) {
        _ if history.steps.is_empty() => {
            let at = |e: &EpochRecord| match over {
                Over::Epochs => e.epoch as f64,
                Over::Steps => e.step as f64,
            };
            history.epochs.values().map(|e| (at(e), e.lr)).collect()
        }
        (Over::Steps, _) => steps.map(|s| (s.step as f64, s.lr)).collect(),
        (Over::Epochs, Some(per_epoch)) => steps
            .map(|s| ((s.step + 1) as f64 / per_epoch.max(1.0), s.lr))
            .collect(),
        (Over::Epochs, None) => Vec::new(),
    }
}

/// Logged steps without the last one of an epoch, whose batch may be short, where the epoch has others.
fn whole_steps(history: &History) -> impl Iterator<Item = &StepRecord> {
    let lasts: BTreeSet<usize> = history.epochs.values().map(|e| e.step).collect();
    let steps = || history.steps.values();
    let (last, whole): (Vec<_>, Vec<_>) = steps().partition(|s| lasts.contains(&(s.step + 1)));
    let with_others: BTreeSet<usize> = whole.iter().map(|s| s.epoch).collect();
    let only: BTreeSet<usize> = last
        .iter()
        .filter(|s| !with_others.contains(&s.epoch))
        .map(|s| s.step)
        .collect();
    steps().filter(move |s| !lasts.contains(&(s.step + 1)) || only.contains(&s.step))
}

fn of_step(s: &StepRecord) -> Moment {
    let components = s.components.iter();
    Moment {
        at: s.step as f64,
        loss: s.loss,
        components: components
            .clone()
            .map(|(name, c)| (name.clone(), c.value, Some(c.weight)))
            .collect(),
        gradient_norm: Some(s.gradient_norm),
        component_norms: components
            .filter_map(|(name, c)| Some((name.clone(), c.gradient_norm?)))
            .collect(),
        images_per_second: s.images_per_second,
    }
}

/// An epoch, with the weights and norms of its steps.
fn of_epoch(e: &EpochRecord, steps: &[Moment], over: Over) -> Moment {
    let mean = |values: Vec<f64>| {
        let count = values.len() as f64;
        (count > 0.0).then(|| values.iter().sum::<f64>() / count)
    };
    let weight = |name: &String| {
        let of = |m: &Moment| m.components.iter().find(|c| c.0 == *name)?.2;
        mean(steps.iter().filter_map(of).collect())
    };
    let norm = |name: &String| {
        let of = |m: &Moment| Some(m.component_norms.iter().find(|c| c.0 == *name)?.1);
        mean(steps.iter().filter_map(of).collect())
    };
    let names = e.components.keys();
    Moment {
        at: match over {
            Over::Epochs => e.epoch as f64,
            Over::Steps => e.step as f64,
        },
        loss: e.loss,
        components: e
            .components
            .iter()
            .map(|(name, value)| (name.clone(), *value, weight(name)))
            .collect(),
        gradient_norm: mean(steps.iter().filter_map(|m| m.gradient_norm).collect()),
        component_norms: names
            .filter_map(|name| Some((name.clone(), norm(name)?)))
            .collect(),
        images_per_second: e.images_per_second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use crate::records::ComponentValue;

    /// Two epochs of four steps whose last batch is short and has another loss.
    fn history(epochs: usize) -> History {
        let mut history = History::default();
        for step in 0..4 * epochs {
            let short = step % 4 == 3;
            let value = ComponentValue {
                value: if short { 9.0 } else { 1.0 },
                weight: 0.5,
                gradient_norm: None,
            };
            let record = StepRecord {
                role: Role::Distilled,
                seed: 1,
                epoch: step / 4 + 1,
                step,
                loss: 0.5 * value.value,
                components: [("kd".into(), value)].into(),
                lr: 0.1,
                gradient_norm: if short { 30.0 } else { 2.0 },
                images_per_second: 100.0,
            };
            history.steps.insert(step, record);
        }
        for epoch in 1..=epochs {
            let record = EpochRecord {
                role: Role::Distilled,
                seed: 1,
                epoch,
                step: 4 * epoch,
                loss: 0.6,
                components: [("kd".into(), 1.2)].into(),
                lr: 0.1,
                seconds: 1.0,
                images_per_second: 100.0,
                validation: Vec::new(),
                cache: None,
            };
            history.epochs.insert(epoch, record);
        }
        history
    }

    #[test]
    fn a_short_last_batch_bends_no_curve() {
        let history = history(2);
        let over = Over::of([&history].into_iter());
        assert!(over == Over::Epochs);
        let found = moments(&history, over);
        let losses: Vec<_> = found.iter().map(|m| (m.at, m.loss)).collect();
        assert_eq!(losses, [(1.0, 0.6), (2.0, 0.6)]);
        assert_eq!(found[0].gradient_norm, Some(2.0));
        assert_eq!(found[0].components, [("kd".into(), 1.2, Some(0.5))]);
        assert_eq!(rates(&history, over)[3], (1.0, 0.1));
    }

    #[test]
    fn a_first_epoch_is_drawn_by_its_steps() {
        let history = history(1);
        let over = Over::of([&history].into_iter());
        assert!(over == Over::Steps);
        let at: Vec<_> = moments(&history, over).iter().map(|m| m.at).collect();
        assert_eq!(at, [0.0, 1.0, 2.0]);
    }
}
