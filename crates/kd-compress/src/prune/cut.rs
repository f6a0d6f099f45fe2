//! What is kept of every parameter.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, Parameters, Structure};

/// Kept indices by parameter and axis; an axis that loses nothing is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts(pub BTreeMap<String, BTreeMap<usize, Vec<usize>>>);

impl Cuts {
    /// What is left without these units of each group.
    pub fn of(structure: &Structure, removed: &[Vec<usize>]) -> Self {
        let mut gone: BTreeMap<(&str, usize), BTreeSet<usize>> = BTreeMap::new();
        for (group, removed) in structure.groups.iter().zip(removed) {
            for member in group.members.iter().filter(|_| !removed.is_empty()) {
                let key = (member.parameter.as_str(), member.axis);
                let gone = gone.entry(key).or_default();
                gone.extend(removed.iter().flat_map(|unit| &member.units[*unit]));
            }
        }
        let mut cuts = Self::default();
        for ((parameter, axis), gone) in gone {
            let size = structure.shapes[parameter][axis];
            let kept = (0..size).filter(|index| !gone.contains(index)).collect();
            cuts.0
                .entry(parameter.to_owned())
                .or_default()
                .insert(axis, kept);
        }
        cuts
    }

    /// The parameters that are left.
    pub fn apply(&self, parameters: &Parameters) -> Parameters {
        let cut = parameters.iter().map(|(name, array)| {
            let axes = self.0.get(name).into_iter().flatten();
            let array = axes.fold(array.clone(), |array, (axis, kept)| array.kept(*axis, kept));
            (name.clone(), array)
        });
        cut.collect()
    }

    /// The shapes that are left.
    pub fn shapes(&self, shapes: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Vec<usize>> {
        let cut = shapes.iter().map(|(name, shape)| {
            let mut shape = shape.clone();
            for (axis, kept) in self.0.get(name).into_iter().flatten() {
                shape[*axis] = kept.len();
            }
            (name.clone(), shape)
        });
        cut.collect()
    }

    /// The structure that is left.
    pub fn structure(&self, structure: &Structure, removed: &[Vec<usize>]) -> Structure {
        let groups = structure
            .groups
            .iter()
            .zip(removed)
            .map(|(group, removed)| {
                let mut left = Group {
                    members: group.members.clone(),
                    ..*group
                };
                for member in &mut left.members {
                    let axes = self.0.get(&member.parameter);
                    let kept = axes.and_then(|axes| axes.get(&member.axis));
                    let place = |index: &usize| match kept {
                        Some(kept) => kept.partition_point(|kept| kept < index),
                        None => *index,
                    };
                    let units = member.units.iter().enumerate();
                    let units = units.filter(|(unit, _)| !removed.contains(unit));
                    member.units = units
                        .map(|(_, own)| own.iter().map(place).collect())
                        .collect();
                }
                left
            });
        Structure {
            groups: groups.collect(),
            shapes: self.shapes(&structure.shapes),
            layers: structure.layers.clone(),
            linear: structure.linear.clone(),
        }
    }
}
