//! Which units go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Group, Structure};
use crate::Error;

/// Who competes with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Units of one group: every group loses the same share.
    Local,
    /// All units.
    #[default]
    Global,
    /// Units of groups of the same structure (G. Fang, X. Ma, M. B. Mi, X. Wang, "Isomorphic Pruning for Vision Models",
    /// ECCV 2024).
    Isomorphic,
}

/// How units are chosen by their scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// Who competes with whom.
    #[serde(default)]
    pub scope: Scope,
    /// Kept channels are a multiple of this, rounded down; a group that has too few loses nothing.
    #[serde(default = "one")]
    pub round_to: usize,
    /// The most that a group may lose, as a share.
    #[serde(default = "whole")]
    pub at_most: f64,
    /// In so many steps, with scores taken anew in each.
    #[serde(default = "one")]
    pub steps: usize,
    /// The share of heads that goes, where whole heads can; they compete with heads alone then.
    #[serde(default)]
    pub heads: Option<f64>,
}

fn one() -> usize {
    1
}

fn whole() -> f64 {
    1.0
}

impl Ranking {
    /// In one step, without rounding or bounds.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            round_to: 1,
            at_most: 1.0,
            steps: 1,
            heads: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |option: &'static str, problem: String| Err(Error::Option { option, problem });
        match *self {
            Self { round_to: 0, .. } => wrong("round_to", "0 has no multiples: at least 1".into()),
            Self { steps: 0, .. } => wrong("steps", "0 steps prune nothing: at least 1".into()),
            Self {
                heads: Some(share), ..
            } if !(0.0..1.0).contains(&share) => wrong(
                "heads",
                format!("{share} of the heads cannot go: it is from 0 to below 1"),
            ),
            Self { at_most, .. } if !(at_most > 0.0 && at_most <= 1.0) => {
                wrong("at_most", format!("{at_most} is not above 0 and up to 1"))
            }
            _ => Ok(()),
        }
    }

    /// Units that go from each group, where `scores` has those of each group, and `first` its number of units before the
    /// first step, at a `share` of the way. Groups without scores lose nothing.
    pub(super) fn choose(
        &self,
        structure: &Structure,
        scores: &[Option<Vec<f64>>],
        first: &[usize],
        (ratio, share): (f64, f64),
    ) -> Vec<Vec<usize>> {
        let mut chosen = vec![Vec::new(); scores.len()];
        for competing in self.competing(structure, scores) {
            let heads = competing.iter().all(|group| structure.groups[*group].heads);
            let ratio = share * self.heads.filter(|_| heads).unwrap_or(ratio);
            let left = |count: usize| (count as f64 * (1.0 - ratio)) as usize;
            let now: usize = competing
                .iter()
                .map(|group| structure.groups[*group].len())
                .sum();
            let before: usize = competing.iter().map(|group| first[*group]).sum();
            let goes = now.saturating_sub(left(before));
            let all = competing
                .iter()
                .flat_map(|group| scores[*group].iter().flatten());
            let mut all: Vec<f64> = all.copied().collect();
            all.sort_by(f64::total_cmp);
            let Some(threshold) = goes.checked_sub(1).and_then(|place| all.get(place)) else {
                continue;
            };
            for group in competing {
                let own = scores[group].as_deref().unwrap_or_default();
                let count = match self.scope {
                    Scope::Local => goes,
                    _ => own.iter().filter(|score| *score <= threshold).count(),
                };
                let count = self.bounded(&structure.groups[group], count, first[group]);
                let mut order: Vec<usize> = (0..own.len()).collect();
                order.sort_by(|one, other| own[*one].total_cmp(&own[*other]));
                order.truncate(count);
                order.sort_unstable();
                chosen[group] = order;
            }
        }
        chosen
    }

    /// So many units, rounded and within the bound; never all. A group that would keep less than `round_to` channels loses
    /// nothing.
    fn bounded(&self, group: &Group, count: usize, first: usize) -> usize {
        let now = group.len();
        // Channels of the root that a unit has: rounding counts channels.
        let each = group.root().units[0].len();
        let least = first - (first as f64 * self.at_most) as usize;
        let kept = now.saturating_sub(count).max(least).max(1);
        let rounded = (kept * each) / self.round_to * self.round_to;
        match rounded {
            0 => 0,
            // A bound that is no multiple is rounded up.
            rounded => {
                let rounded = rounded.div_ceil(each);
                let up = if rounded < least {
                    self.round_to.div_ceil(each)
                } else {
                    0
                };
                now.saturating_sub((rounded + up).min(now))
            }
        }
    }

    fn competing(&self, structure: &Structure, scores: &[Option<Vec<f64>>]) -> Vec<Vec<usize>> {
        let scored = (0..scores.len()).filter(|group| scores[*group].is_some());
        match self.scope {
            Scope::Local => scored.map(|group| vec![group]).collect(),
            Scope::Global => {
                let alone = |group: &usize| self.heads.is_some() && structure.groups[*group].heads;
                let (heads, others): (Vec<usize>, Vec<usize>) = scored.partition(alone);
                [heads, others]
                    .into_iter()
                    .filter(|groups| !groups.is_empty())
                    .collect()
            }
            Scope::Isomorphic => {
                let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
                for group in scored {
                    let kind = kind(structure, &structure.groups[group]);
                    alike.entry(kind).or_default().push(group);
                }
                alike.into_values().collect()
            }
        }
    }
}

/// What the members do and how large they are, which groups of the same structure share.
fn kind(structure: &Structure, group: &Group) -> String {
    let members = group.members.iter().map(|member| {
        let shape = &structure.shapes[&member.parameter];
        format!("{:?} {} {:?}", member.role, member.axis, shape)
    });
    members.collect::<Vec<_>>().join("; ")
}
