//! What of a network is kept, and how it is found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Cost, Cuts, Data, Group, Parameters, Ranking, Score, Structure};
use crate::Error;

/// Kept channels of every group that loses some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Kept indices of the root, such as `conv1.weight:0`, by its parameter and axis.
    pub kept: BTreeMap<String, Vec<usize>>,
}

impl Plan {
    /// The units of each group that go.
    ///
    /// # Errors
    /// [`Error::Prune`] for a root that no group has, an index that it lacks, a unit of which only a part is kept, and a
    /// group that loses everything.
    pub fn removed(&self, structure: &Structure) -> Result<Vec<Vec<usize>>, Error> {
        let wrong = |problem: String| Error::Prune { problem };
        let mut removed = vec![Vec::new(); structure.groups.len()];
        for (name, kept) in &self.kept {
            let found = structure
                .groups
                .iter()
                .position(|group| group.name() == *name);
            let Some(index) = found else {
                let known: Vec<String> = structure.groups.iter().map(|g| g.name()).collect();
                let known = known.join(", ");
                return Err(wrong(format!(
                    "no group is called `{name}`; there are {known}"
                )));
            };
            let units = &structure.groups[index].root().units;
            if let Some(other) = kept
                .iter()
                .find(|i| !units.iter().flatten().any(|u| u == *i))
            {
                return Err(wrong(format!(
                    "`{name}` has no channel {other} that can go"
                )));
            }
            for (unit, own) in units.iter().enumerate() {
                let of = own.iter().filter(|channel| kept.contains(channel)).count();
                match of {
                    0 => removed[index].push(unit),
                    of if of < own.len() => {
                        return Err(wrong(format!(
                            "channels {own:?} of `{name}` go together, and {of} of them are kept"
                        )));
                    }
                    _ => {}
                }
            }
            if removed[index].len() == units.len() {
                return Err(wrong(format!("`{name}` would lose all of its channels")));
            }
        }
        Ok(removed)
    }

    /// What is left of every parameter.
    ///
    /// # Errors
    /// As [`Plan::removed`].
    pub fn cuts(&self, structure: &Structure) -> Result<Cuts, Error> {
        Ok(Cuts::of(structure, &self.removed(structure)?))
    }

    /// What the pruned network costs.
    ///
    /// # Errors
    /// As [`Plan::removed`].
    pub fn cost(&self, structure: &Structure) -> Result<Cost, Error> {
        let shapes = self.cuts(structure)?.shapes(&structure.shapes);
        Ok(structure.cost_of(&shapes))
    }

    fn of(structure: &Structure, left: &[Vec<usize>]) -> Self {
        let groups = structure.groups.iter().zip(left);
        let kept = groups.filter(|(group, left)| left.len() < group.len());
        let kept = kept.map(|(group, left)| {
            let units = left.iter().flat_map(|unit| &group.root().units[*unit]);
            let mut channels: Vec<usize> = units.copied().collect();
            channels.sort_unstable();
            (group.name(), channels)
        });
        Self {
            kept: kept.collect(),
        }
    }
}

/// How far a network is pruned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This share of channels goes.
    Ratio(f64),
    /// At most this share of the multiply-accumulates is left.
    Macs(f64),
    /// At most this share of the parameters is left.
    Parameters(f64),
}

/// Chooses what to keep: this share of channels goes, those with the lowest scores. `gradients` computes the gradients of
/// the parameters that are left, for criteria that look at them.
///
/// # Errors
/// [`Error::Option`] for a ratio that is not from 0 to below 1 and a bad ranking, [`Error::Prune`] when no group can
/// lose a channel.
pub fn plan(
    structure: &Structure,
    parameters: &Parameters,
    score: &Score,
    ranking: &Ranking,
    ratio: f64,
    mut gradients: impl FnMut(&Parameters, &Cuts) -> Option<Parameters>,
) -> Result<Plan, Error> {
    ranking.check()?;
    let begin = Begin::new(structure, parameters, score, &mut gradients)?;
    begin.plan(score, ranking, ratio, &mut gradients)
}

/// Scores of every group; none for a group of which nothing counts.
type Scores = Vec<Option<Vec<f64>>>;

/// A network before its first step, with its scores, which no ratio changes.
struct Begin<'a> {
    structure: &'a Structure,
    parameters: &'a Parameters,
    scores: Scores,
}

impl<'a> Begin<'a> {
    fn new(
        structure: &'a Structure,
        parameters: &'a Parameters,
        score: &Score,
        gradients: &mut impl FnMut(&Parameters, &Cuts) -> Option<Parameters>,
    ) -> Result<Self, Error> {
        if structure.groups.is_empty() {
            return Err(Error::Prune {
                problem: "no channel of this network can go: all reach its output, its input, or what its code takes \
                          by number"
                    .into(),
            });
        }
        let scores = scored(structure, parameters, score, &Cuts::default(), gradients)?;
        Ok(Self {
            structure,
            parameters,
            scores,
        })
    }

    fn plan(
        &self,
        score: &Score,
        ranking: &Ranking,
        ratio: f64,
        gradients: &mut impl FnMut(&Parameters, &Cuts) -> Option<Parameters>,
    ) -> Result<Plan, Error> {
        if !(0.0..1.0).contains(&ratio) {
            return Err(Error::Option {
                option: "ratio",
                problem: format!("{ratio} of the channels cannot go: it is from 0 to below 1"),
            });
        }
        let first: Vec<usize> = self.structure.groups.iter().map(Group::len).collect();
        let mut left: Vec<Vec<usize>> = first.iter().map(|count| (0..*count).collect()).collect();
        let (mut current, mut values) = (self.structure.clone(), None);
        for step in 1..=ranking.steps {
            let again;
            let scores = match &values {
                None => &self.scores,
                Some(values) => {
                    let cuts = Cuts::of(self.structure, &gone(&first, &left));
                    again = scored(&current, values, score, &cuts, gradients)?;
                    &again
                }
            };
            let share = step as f64 / ranking.steps as f64;
            let removed = ranking.choose(&current, scores, &first, (ratio, share));
            if step < ranking.steps {
                let cuts = Cuts::of(&current, &removed);
                values = Some(cuts.apply(values.as_ref().unwrap_or(self.parameters)));
                current = cuts.structure(&current, &removed);
            }
            for (left, removed) in left.iter_mut().zip(&removed) {
                let mut place = 0;
                left.retain(|_| {
                    place += 1;
                    !removed.contains(&(place - 1))
                });
            }
        }
        Ok(Plan::of(self.structure, &left))
    }
}

fn scored(
    structure: &Structure,
    parameters: &Parameters,
    score: &Score,
    cuts: &Cuts,
    gradients: &mut impl FnMut(&Parameters, &Cuts) -> Option<Parameters>,
) -> Result<Scores, Error> {
    let found = match score.criterion.wants_gradients() {
        true => gradients(parameters, cuts),
        false => None,
    };
    let data = Data {
        parameters,
        gradients: found.as_ref(),
    };
    let scores: Scores = structure
        .groups
        .iter()
        .map(|group| score.units(group, data))
        .collect();
    match scores.iter().all(Option::is_none) {
        true => Err(Error::Prune {
            problem: "no group has a score: the criterion looks at layers, or gradients, that are not there".into(),
        }),
        false => Ok(scores),
    }
}

fn gone(first: &[usize], left: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let groups = first.iter().zip(left);
    groups
        .map(|(count, left)| (0..*count).filter(|unit| !left.contains(unit)).collect())
        .collect()
}

/// The plan with the smallest ratio that reaches a goal, by bisection.
///
/// # Errors
/// As [`plan`], and [`Error::Prune`] for a goal that no ratio reaches.
pub fn plan_for(
    structure: &Structure,
    parameters: &Parameters,
    score: &Score,
    ranking: &Ranking,
    goal: Goal,
    mut gradients: impl FnMut(&Parameters, &Cuts) -> Option<Parameters>,
) -> Result<Plan, Error> {
    let (share, of): (f64, fn(Cost) -> u64) = match goal {
        Goal::Ratio(ratio) => {
            return plan(structure, parameters, score, ranking, ratio, gradients);
        }
        Goal::Macs(share) => (share, |cost| cost.macs),
        Goal::Parameters(share) => (share, |cost| cost.parameters),
    };
    if !(share > 0.0 && share <= 1.0) {
        return Err(Error::Option {
            option: "goal",
            problem: format!("{share} of what the network costs is not above 0 and up to 1"),
        });
    }
    let whole = of(structure.cost());
    let wanted = (whole as f64 * share) as u64;
    let (mut low, mut high) = (0.0, 1.0);
    let mut best = None;
    ranking.check()?;
    let begin = Begin::new(structure, parameters, score, &mut gradients)?;
    // To a millionth, where a channel is a larger share of any layer.
    for _ in 0..20 {
        let ratio = (low + high) / 2.0;
        let found = begin.plan(score, ranking, ratio, &mut gradients)?;
        if of(found.cost(structure)?) <= wanted {
            high = ratio;
            best = Some(found);
        } else {
            low = ratio;
        }
    }
    best.ok_or_else(|| Error::Prune {
        problem: format!(
            "{share} of what the network costs cannot be reached: groups keep at least a channel, and `at_most` and \
             `round_to` bind"
        ),
    })
}
