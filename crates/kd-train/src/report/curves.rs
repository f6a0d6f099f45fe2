//! Which plots a run gets.

use std::collections::{BTreeMap, BTreeSet};

use crate::Role;
use crate::error::Error;
use crate::records::EpochRecord;
use crate::summary::Summary;

use super::axis::Scale;
use super::downsample::Line;
use super::moments::{Moment, Over, moments, rates};
use super::palette::Pens;
use super::plots::{Axes, Figure, figure};
use super::read::History;
use super::seeds::{Points, over_seeds};
use super::table::title;
use super::words::spread;

type Trainings = BTreeMap<(Role, u64), History>;

pub(super) fn figures(
    summary: Option<&Summary>,
    trainings: &Trainings,
) -> Result<Vec<Figure>, Error> {
    let over = Over::of(trainings.values());
    let mut of_roles: BTreeMap<&Role, Vec<&History>> = BTreeMap::new();
    for ((role, _), history) in trainings {
        of_roles.entry(role).or_default().push(history);
    }
    let runs: BTreeMap<&Role, Vec<Vec<Moment>>> = of_roles
        .iter()
        .map(|(role, seeds)| {
            let seeds = seeds.iter().map(|history| moments(history, over));
            (*role, seeds.collect())
        })
        .collect();
    let components = names(runs.values().flatten().flatten());
    let curves = Curves {
        pens: Pens::new(of_roles.keys().copied(), components.clone()),
        of_roles,
        runs,
        over,
    };
    let mut all = curves.validation(summary)?;
    all.push(curves.plot("Loss, weighted sum", curves.wide("loss"), |m| Some(m.loss))?);
    for role in curves.runs.keys() {
        all.push(curves.contributions(role)?);
        all.push(curves.component_norms(role)?);
    }
    for name in &components {
        let heading = format!("Component {name}, before weighting");
        all.push(curves.plot(&heading, curves.wide("value"), |m| {
            m.components.iter().find(|c| c.0 == *name).map(|c| c.1)
        })?);
    }
    all.push(curves.rate()?);
    let norm = |m: &Moment| m.gradient_norm;
    all.push(curves.plot("Gradient norm, before clipping", curves.wide("norm"), norm)?);
    let speed = |m: &Moment| Some(m.images_per_second);
    let axes = Axes {
        scale: Scale::FromZero,
        ..curves.wide("images / s")
    };
    all.push(curves.plot("Training speed", axes, speed)?);
    Ok(all.into_iter().flatten().collect())
}

struct Curves<'a> {
    /// The trainings of each network, a seed after the other.
    of_roles: BTreeMap<&'a Role, Vec<&'a History>>,
    runs: BTreeMap<&'a Role, Vec<Vec<Moment>>>,
    pens: Pens,
    over: Over,
}

impl Curves<'_> {
    /// Values that may span decades.
    fn wide(&self, y: &str) -> Axes {
        Axes {
            x: self.over.label(),
            y: y.into(),
            scale: Scale::Wide,
        }
    }

    /// The seeds of a network as one line.
    fn line(&self, role: &Role, seeds: &[Points]) -> Line {
        let (points, band) = over_seeds(seeds);
        let several = seeds.iter().filter(|points| !points.is_empty()).count();
        Line {
            name: match several {
                0 | 1 => title(role),
                several => format!("{}, {several} seeds", title(role)),
            },
            color: self.pens.network(role),
            dashed: false,
            points,
            band,
        }
    }

    fn plot(
        &self,
        heading: &str,
        axes: Axes,
        pick: impl Fn(&Moment) -> Option<f64>,
    ) -> Result<Option<Figure>, Error> {
        let lines = self.runs.iter().map(|(role, seeds)| {
            let seeds: Vec<Points> = seeds.iter().map(|run| points(run, &pick)).collect();
            self.line(role, &seeds)
        });
        figure(heading, axes, &lines.collect::<Vec<_>>())
    }

    fn rate(&self) -> Result<Option<Figure>, Error> {
        let lines = self.of_roles.iter().map(|(role, seeds)| {
            let seeds: Vec<Points> = seeds.iter().map(|h| rates(h, self.over)).collect();
            self.line(role, &seeds)
        });
        let lines: Vec<_> = lines.collect();
        figure("Learning rate", self.wide("learning rate"), &lines)
    }

    /// Weight times value of every component of a role, unless that is just its loss.
    fn contributions(&self, role: &Role) -> Result<Option<Figure>, Error> {
        let is_the_loss = |m: &Moment| matches!(m.components.as_slice(), [(_, _, Some(1.0))]);
        if self.runs[role].iter().flatten().all(is_the_loss) {
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

    /// A line for every component of a role.
    fn by_component(
        &self,
        role: &Role,
        heading: &str,
        y: &str,
        pick: impl Fn(&Moment, &String) -> Option<f64>,
    ) -> Result<Option<Figure>, Error> {
        let seeds = &self.runs[role];
        let of_component = |name: String| {
            let pick = |m: &Moment| pick(m, &name);
            let seeds: Vec<Points> = seeds.iter().map(|run| points(run, &pick)).collect();
            let color = self.pens.component(&name);
            Line {
                name: name.clone(),
                color,
                ..self.line(role, &seeds)
            }
        };
        let names = names(seeds.iter().flatten()).into_iter();
        let lines: Vec<Line> = names.map(of_component).collect();
        figure(heading, self.wide(y), &lines)
    }

    /// A figure for every score of the validation split.
    fn validation(&self, summary: Option<&Summary>) -> Result<Vec<Option<Figure>>, Error> {
        let histories = || self.of_roles.values().flatten();
        let mut epochs = histories().flat_map(|h| h.epochs.values());
        let Some(first) = epochs.find(|epoch| !epoch.validation.is_empty()) else {
            return Ok(Vec::new());
        };
        let scores = first.validation.iter().enumerate();
        scores
            .map(|(place, score)| {
                let value = |e: &EpochRecord| {
                    let own = e.validation.iter().find(|own| own.key == score.key)?;
                    Some((e.epoch as f64, own.value))
                };
                let mut lines: Vec<Line> = self
                    .of_roles
                    .iter()
                    .map(|(role, seeds)| {
                        let seeds = seeds.iter();
                        let seeds: Vec<Points> = seeds
                            .map(|h| h.epochs.values().filter_map(value).collect())
                            .collect();
                        self.line(role, &seeds)
                    })
                    .collect();
                // A teacher that was loaded has no epochs to show: its level is what the student is after.
                if place == 0 && !self.of_roles.contains_key(&Role::Teacher) {
                    lines.extend(summary.and_then(|summary| self.teacher_level(summary)));
                }
                let y = [score.title.as_str(), score.unit.symbol()];
                let y = y.into_iter().filter(|part| !part.is_empty());
                let axes = Axes {
                    x: "epoch",
                    y: y.collect::<Vec<_>>().join(", "),
                    scale: Scale::Linear,
                };
                figure(format!("Validation {}", score.title), axes, &lines)
            })
            .collect()
    }

    fn teacher_level(&self, summary: &Summary) -> Option<Line> {
        let (level, _) = spread(&summary.first_scores(&Role::Teacher))?;
        let histories = self.of_roles.values().flatten();
        let last = histories.flat_map(|h| h.epochs.keys().copied()).max()? as f64;
        Some(Line {
            name: "Teacher, test split".into(),
            dashed: true,
            // One epoch alone is drawn in the middle of half an epoch to each side.
            points: if last > 1.0 {
                vec![(1.0, level), (last, level)]
            } else {
                vec![(0.5, level), (1.5, level)]
            },
            ..self.line(&Role::Teacher, &[])
        })
    }
}

fn points(run: &[Moment], pick: &impl Fn(&Moment) -> Option<f64>) -> Points {
    run.iter().filter_map(|m| Some((m.at, pick(m)?))).collect()
}

fn names<'m>(moments: impl Iterator<Item = &'m Moment>) -> BTreeSet<String> {
    moments
        .flat_map(|m| m.components.iter().map(|c| c.0.clone()))
        .collect()
}
