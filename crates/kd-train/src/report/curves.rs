//! Which plots a run gets.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::RGBColor;

use crate::Arm;
use crate::error::Error;
use crate::summary::Summary;

use super::lines::Line;
use super::plots::{Axes, Figure, PALETTE, Scale, figure};
use super::read::History;
use super::table::title;
use super::words::spread;

type Trainings = BTreeMap<(Arm, u64), History>;

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
            .map(|((arm, _), history)| (arm.clone(), moments(history)))
            .collect(),
        pens: Pens::new(trainings),
    };
    let mut all = validation(summary, trainings, &curves.pens)?;
    all.push(curves.plot("Loss, weighted sum", wide("loss"), |m| Some(m.loss))?);
    let arms: BTreeSet<&Arm> = trainings.keys().map(|(arm, _)| arm).collect();
    for arm in arms {
        all.push(curves.contributions(arm)?);
        all.push(curves.component_norms(arm)?);
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
fn wide(y: &'static str) -> Axes {
    Axes {
        x: "step",
        y,
        scale: Scale::Wide,
    }
}

fn by_epoch(y: &'static str) -> Axes {
    Axes {
        x: "epoch",
        y,
        scale: Scale::Linear,
    }
}

struct Curves {
    moments: Vec<(Arm, Vec<Moment>)>,
    pens: Pens,
}

/// A colour for every network of a run.
struct Pens {
    /// Networks beside teacher, student alone and student distilled.
    others: Vec<Arm>,
}

impl Pens {
    fn new(trainings: &Trainings) -> Self {
        let usual = [Arm::Teacher, Arm::Alone, Arm::Distilled];
        let mut others: Vec<Arm> = trainings.keys().map(|(arm, _)| arm.clone()).collect();
        others.dedup();
        others.retain(|arm| !usual.contains(arm));
        Self { others }
    }

    fn line(&self, arm: &Arm, points: Vec<(f64, f64)>) -> Line {
        Line {
            name: title(arm),
            color: self.color(arm),
            dashed: false,
            points,
        }
    }

    fn color(&self, arm: &Arm) -> RGBColor {
        match arm {
            Arm::Distilled => PALETTE[0],
            Arm::Alone => PALETTE[1],
            Arm::Teacher => PALETTE[6],
            other => {
                let place = self.others.iter().position(|arm| arm == other);
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
        let lines = self.moments.iter().map(|(arm, moments)| {
            let points = moments
                .iter()
                .filter_map(|m| Some((m.step as f64, pick(m)?)));
            self.pens.line(arm, points.collect())
        });
        figure(heading, axes, &lines.collect::<Vec<_>>())
    }

    /// Weight times value of every component of an arm, unless that is just its loss.
    fn contributions(&self, arm: &Arm) -> Result<Option<Figure>, Error> {
        let is_the_loss = |m: &Moment| matches!(m.components.as_slice(), [(_, _, Some(1.0))]);
        if self.of(arm).flatten().all(is_the_loss) {
            return Ok(None);
        }
        let heading = format!("{}: weight × value of each component", title(arm));
        self.by_component(arm, &heading, "contribution", |m, name| {
            let (_, value, weight) = m.components.iter().find(|c| c.0 == *name)?;
            Some(value * (*weight)?)
        })
    }

    /// The gradient norm of every component of an arm, where it was measured.
    fn component_norms(&self, arm: &Arm) -> Result<Option<Figure>, Error> {
        let title = title(arm);
        let heading = format!("{title}: gradient norm of each component, before weighting");
        self.by_component(arm, &heading, "norm", |m, name| {
            let norm = m.component_norms.iter().find(|c| c.0 == *name)?;
            Some(norm.1)
        })
    }

    /// The trainings of an arm.
    fn of(&self, arm: &Arm) -> impl Iterator<Item = &Vec<Moment>> {
        let trainings = self.moments.iter().filter(move |(a, _)| a == arm);
        trainings.map(|(_, moments)| moments)
    }

    /// A line for every component and training of an arm.
    fn by_component(
        &self,
        arm: &Arm,
        heading: &str,
        y: &'static str,
        pick: impl Fn(&Moment, &String) -> Option<f64>,
    ) -> Result<Option<Figure>, Error> {
        let mut lines = Vec::new();
        for (at, name) in names(self.of(arm).flatten()).iter().enumerate() {
            for moments in self.of(arm) {
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
    match history.steps.is_empty() {
        true => epochs.collect(),
        false => steps.collect(),
    }
}

fn validation(
    summary: &Summary,
    trainings: &Trainings,
    pens: &Pens,
) -> Result<Vec<Option<Figure>>, Error> {
    let mut top1 = Vec::new();
    let mut loss = Vec::new();
    for ((arm, _), history) in trainings {
        let points = |pick: fn(&crate::records::EpochRecord) -> Option<f64>| {
            let epochs = history.epochs.values();
            epochs
                .filter_map(|e| Some((e.epoch as f64, pick(e)?)))
                .collect()
        };
        top1.push(pens.line(arm, points(|e| e.validation_top1)));
        loss.push(pens.line(arm, points(|e| e.validation_loss)));
    }
    // A teacher that was loaded has no epochs to show: its level is what the student is after.
    if trainings.keys().all(|(arm, _)| *arm != Arm::Teacher)
        && top1.iter().any(|line| !line.points.is_empty())
    {
        top1.extend(teacher_level(summary, trainings, pens));
    }
    Ok(vec![
        figure("Validation top-1", by_epoch("top-1, %"), &top1)?,
        figure("Validation cross-entropy", by_epoch("cross-entropy"), &loss)?,
    ])
}

fn teacher_level(summary: &Summary, trainings: &Trainings, pens: &Pens) -> Option<Line> {
    let teachers = summary.arms.iter().filter(|a| a.arm == Arm::Teacher);
    let (level, _) = spread(&teachers.map(|a| a.test.top1).collect::<Vec<_>>())?;
    let epochs = trainings.values().flat_map(|h| h.epochs.keys().copied());
    let last = epochs.max()? as f64;
    Some(Line {
        name: "Teacher, test split".into(),
        dashed: true,
        // One epoch alone is drawn in the middle of half an epoch to each side.
        points: match last > 1.0 {
            true => vec![(1.0, level), (last, level)],
            false => vec![(0.5, level), (1.5, level)],
        },
        ..pens.line(&Arm::Teacher, Vec::new())
    })
}
