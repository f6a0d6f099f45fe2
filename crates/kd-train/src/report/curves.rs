//! Which plots a run gets.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::RGBColor;

use crate::Role;
use crate::error::Error;
use crate::records::EpochRecord;
use crate::summary::Summary;

use super::downsample::Line;
use super::plots::{Axes, Figure, PALETTE, Scale, figure};
use super::read::History;
use super::table::title;
use super::words::spread;

type Trainings = BTreeMap<(Role, u64), History>;

/// What one moment of a training logged, from a step or, where no steps were logged, an epoch.
struct Moment {
    step: usize,
    loss: f64,
    /// Value and, for steps, weight.
    components: Vec<(String, f64, Option<f64>)>,
    lr: f64,
    gradient_norm: Option<f64>,
    /// Norms of the components' gradients, where they were measured.
    component_norms: Vec<(String, f64)>,
    images_per_second: f64,
}

pub(super) fn figures(summary: &Summary, trainings: &Trainings) -> Result<Vec<Figure>, Error> {
    let curves = Curves {
        moments: trainings
            .iter()
            .map(|((role, _), history)| (role.clone(), moments(history)))
            .collect(),
        pens: Pens::new(trainings),
    };
    let mut all = validation(summary, trainings, &curves.pens)?;
    all.push(curves.plot("Loss, weighted sum", wide("loss"), |m| Some(m.loss))?);
    let networks: BTreeSet<&Role> = trainings.keys().map(|(role, _)| role).collect();
    for role in networks {
        all.push(curves.contributions(role)?);
        all.push(curves.component_norms(role)?);
    }
    for name in curves.component_names() {
        let heading = format!("Component {name}, before weighting");
        all.push(curves.plot(&heading, wide("value"), |m| {
            m.components.iter().find(|c| c.0 == name).map(|c| c.1)
        })?);
    }
    let rate = |m: &Moment| Some(m.lr);
    all.push(curves.plot("Learning rate", wide("learning rate"), rate)?);
    let norm = |m: &Moment| m.gradient_norm;
    all.push(curves.plot("Gradient norm, before clipping", wide("norm"), norm)?);
    let speed = |m: &Moment| Some(m.images_per_second);
    let axes = Axes {
        scale: Scale::FromZero,
        ..wide("images / s")
    };
    all.push(curves.plot("Training speed", axes, speed)?);
    Ok(all.into_iter().flatten().collect())
}

/// Values that may span decades, over optimiser steps.
fn wide(y: impl Into<String>) -> Axes {
    Axes {
        x: "step",
        y: y.into(),
        scale: Scale::Wide,
    }
}

fn by_epoch(y: String) -> Axes {
    Axes {
        x: "epoch",
        y,
        scale: Scale::Linear,
    }
}

struct Curves {
    moments: Vec<(Role, Vec<Moment>)>,
    pens: Pens,
}

/// A colour for every network of a run.
struct Pens {
    /// Networks beside teacher, student alone and student distilled.
    others: Vec<Role>,
}

impl Pens {
    fn new(trainings: &Trainings) -> Self {
        let usual = [Role::Teacher, Role::Baseline, Role::Distilled];
        let mut others: Vec<Role> = trainings.keys().map(|(role, _)| role.clone()).collect();
        others.dedup();
        others.retain(|role| !usual.contains(role));
        Self { others }
    }

    fn line(&self, role: &Role, points: Vec<(f64, f64)>) -> Line {
        Line {
            name: title(role),
            color: self.color(role),
            dashed: false,
            points,
        }
    }

    fn color(&self, role: &Role) -> RGBColor {
        match role {
            Role::Distilled => PALETTE[0],
            Role::Baseline => PALETTE[1],
            Role::Teacher => PALETTE[6],
            other => {
                let place = self.others.iter().position(|role| role == other);
                PALETTE[2 + place.unwrap_or(0) % 4]
            }
        }
    }
}

impl Curves {
    fn plot(
        &self,
        heading: &str,
        axes: Axes,
        pick: impl Fn(&Moment) -> Option<f64>,
    ) -> Result<Option<Figure>, Error> {
        let lines = self.moments.iter().map(|(role, moments)| {
            let points = moments
                .iter()
                .filter_map(|m| Some((m.step as f64, pick(m)?)));
            self.pens.line(role, points.collect())
        });
        figure(heading, axes, &lines.collect::<Vec<_>>())
    }

    /// Weight times value of every component of a role, unless that is just its loss.
    fn contributions(&self, role: &Role) -> Result<Option<Figure>, Error> {
        let is_the_loss = |m: &Moment| matches!(m.components.as_slice(), [(_, _, Some(1.0))]);
        if self.of(role).flatten().all(is_the_loss) {
            return Ok(None);
        }
        let heading = format!("{}: weight × value of each component", title(role));
        self.by_component(role, &heading, "contribution", |m, name| {
            let (_, value, weight) = m.components.iter().find(|c| c.0 == *name)?;
            Some(value * (*weight)?)
        })
    }

    /// The gradient norm of every component of a role, where it was measured.
    fn component_norms(&self, role: &Role) -> Result<Option<Figure>, Error> {
        let title = title(role);
        let heading = format!("{title}: gradient norm of each component, before weighting");
        self.by_component(role, &heading, "norm", |m, name| {
            let norm = m.component_norms.iter().find(|c| c.0 == *name)?;
            Some(norm.1)
        })
    }

    /// The trainings of a role.
    fn of(&self, role: &Role) -> impl Iterator<Item = &Vec<Moment>> {
        let trainings = self.moments.iter().filter(move |(a, _)| a == role);
        trainings.map(|(_, moments)| moments)
    }

    /// A line for every component and training of a role.
    fn by_component(
        &self,
        role: &Role,
        heading: &str,
        y: &'static str,
        pick: impl Fn(&Moment, &String) -> Option<f64>,
    ) -> Result<Option<Figure>, Error> {
        let mut lines = Vec::new();
        for (at, name) in names(self.of(role).flatten()).iter().enumerate() {
            for moments in self.of(role) {
                let points = moments
                    .iter()
                    .filter_map(|m| Some((m.step as f64, pick(m, name)?)));
                lines.push(Line {
                    name: name.clone(),
                    color: PALETTE[at % PALETTE.len()],
                    dashed: false,
                    points: points.collect(),
                });
            }
        }
        figure(heading, wide(y), &lines)
    }

    fn component_names(&self) -> BTreeSet<String> {
        names(self.moments.iter().flat_map(|(_, moments)| moments))
    }
}

fn names<'a>(moments: impl Iterator<Item = &'a Moment>) -> BTreeSet<String> {
    moments
        .flat_map(|m| m.components.iter().map(|c| c.0.clone()))
        .collect()
}

fn moments(history: &History) -> Vec<Moment> {
    let steps = history.steps.values().map(|s| Moment {
        step: s.step,
        loss: s.loss,
        components: s
            .components
            .iter()
            .map(|(name, c)| (name.clone(), c.value, Some(c.weight)))
            .collect(),
        lr: s.lr,
        gradient_norm: Some(s.gradient_norm),
        component_norms: s
            .components
            .iter()
            .filter_map(|(name, c)| Some((name.clone(), c.gradient_norm?)))
            .collect(),
        images_per_second: s.images_per_second,
    });
    let epochs = history.epochs.values().map(|e| Moment {
        step: e.step,
        loss: e.loss,
        components: e
            .components
            .iter()
            .map(|(name, value)| (name.clone(), *value, None))
            .collect(),
        lr: e.lr,
        gradient_norm: None,
        component_norms: Vec::new(),
        images_per_second: e.images_per_second,
    });
    if history.steps.is_empty() {
        epochs.collect()
    } else {
        steps.collect()
    }
}

/// A figure for every score of the validation split.
fn validation(
    summary: &Summary,
    trainings: &Trainings,
    pens: &Pens,
) -> Result<Vec<Option<Figure>>, Error> {
    let mut epochs = trainings.values().flat_map(|h| h.epochs.values());
    let Some(first) = epochs.find(|epoch| !epoch.validation.is_empty()) else {
        return Ok(Vec::new());
    };
    let scores = first.validation.iter().enumerate();
    scores
        .map(|(place, score)| {
            let mut lines: Vec<Line> = trainings
                .iter()
                .map(|((role, _), history)| {
                    let epochs = history.epochs.values();
                    let value = |e: &EpochRecord| {
                        let own = e.validation.iter().find(|own| own.key == score.key)?;
                        Some((e.epoch as f64, own.value))
                    };
                    pens.line(role, epochs.filter_map(value).collect())
                })
                .collect();
            // A teacher that was loaded has no epochs to show: its level is what the student is after.
            if place == 0 && trainings.keys().all(|(role, _)| *role != Role::Teacher) {
                lines.extend(teacher_level(summary, trainings, pens));
            }
            let y = [score.title.as_str(), score.unit.symbol()];
            let y = y.into_iter().filter(|part| !part.is_empty());
            let y = by_epoch(y.collect::<Vec<_>>().join(", "));
            figure(format!("Validation {}", score.title), y, &lines)
        })
        .collect()
}

fn teacher_level(summary: &Summary, trainings: &Trainings, pens: &Pens) -> Option<Line> {
    let (level, _) = spread(&summary.first_scores(&Role::Teacher))?;
    let epochs = trainings.values().flat_map(|h| h.epochs.keys().copied());
    let last = epochs.max()? as f64;
    Some(Line {
        name: "Teacher, test split".into(),
        dashed: true,
        // One epoch alone is drawn in the middle of half an epoch to each side.
        points: if last > 1.0 {
            vec![(1.0, level), (last, level)]
        } else {
            vec![(0.5, level), (1.5, level)]
        },
        ..pens.line(&Role::Teacher, Vec::new())
    })
}
