//! The groups of channels of a network.

use std::collections::{BTreeMap, BTreeSet};

use kd_export::trace::{Graph, Value};

use super::classes::{FIXED, Label};
use super::cost::Layer;
use super::propagate::Propagation;
use super::{Attention, Role};

/// How groups are found.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What of attention can go.
    pub attention: Attention,
    /// Layers whose outputs stay, by name, such as `patch_embed.proj`. Those of the classifier stay anyway.
    pub keep: Vec<String>,
}

/// An axis of a parameter in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the parameter.
    pub parameter: String,
    /// The axis, as burn lays the parameter out: a linear layer's weight is `[inputs, outputs]`.
    pub axis: usize,
    /// What the parameter does.
    pub role: Role,
    /// The indices along the axis that each unit of the group takes, in order.
    pub units: Vec<Vec<usize>>,
}

impl Member {
    /// Whether these are outputs of a layer, or what goes with them.
    pub fn is_output(&self) -> bool {
        self.role.output_axis().is_none_or(|axis| axis == self.axis)
    }
}

/// Channels of the same layers. A unit is the smallest part that can go: a channel, or several that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which of the members the group is named and counted after.
    pub root: usize,
    /// All axes that lose something.
    pub members: Vec<Member>,
    /// Whether a layer normalisation sees the channels together, so that a network without them computes other means.
    pub normalised: bool,
    /// Whether its units are heads of attention.
    pub heads: bool,
}

impl Group {
    /// How many units there are.
    pub fn len(&self) -> usize {
        self.root().units.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member that the group is named after.
    pub fn root(&self) -> &Member {
        &self.members[self.root]
    }

    /// The root's parameter and axis, such as `conv1.weight:0`.
    pub fn name(&self) -> String {
        let root = self.root();
        format!("{}:{}", root.parameter, root.axis)
    }

    /// The same group with another root, which orders its units.
    #[must_use]
    pub fn rooted_at(mut self, parameter: &str, axis: usize) -> Self {
        let found = self
            .members
            .iter()
            .position(|member| member.parameter == parameter && member.axis == axis);
        self.root = found.unwrap_or(self.root);
        self.sort();
        self
    }

    /// Orders the units by the root's indices.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|unit| self.root().units[*unit][0]);
        for member in &mut self.members {
            member.units = order
                .iter()
                .map(|unit| member.units[*unit].clone())
                .collect();
        }
    }
}

/// A network as pruning sees it.
#[derive(Clone, Debug)]
pub struct Structure {
    /// What can go.
    pub groups: Vec<Group>,
    /// Shape of every parameter, by name.
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub(super) layers: Vec<Layer>,
    pub(super) linear: BTreeSet<String>,
}

impl Structure {
    /// The structure of a forward pass, such as [`trace_network`](kd_export::trace::trace_network) records.
    pub fn of(graph: &Graph, options: &Options) -> Self {
        let mut labels = Propagation::new(graph, options.attention);
        labels.run();
        roles_by_name(&mut labels);
        let kept = kept(&labels, &options.keep);
        if !kept.is_empty() {
            kept.into_iter().for_each(|label| labels.classes.fix(label));
            labels.run();
            roles_by_name(&mut labels);
        }
        let shapes = labels.parameters.iter();
        let shapes = shapes.map(|(value, axes)| (graph.names[value].clone(), axes.sizes.clone()));
        let linear = labels
            .roles
            .iter()
            .filter(|(_, role)| **role == Role::Linear);
        Self {
            linear: linear
                .map(|(value, _)| graph.names[value].clone())
                .collect(),
            groups: groups(&labels),
            shapes: shapes.collect(),
            layers: Layer::all(&labels),
        }
    }

    /// Whether a parameter is the weight of a linear layer, which PyTorch lays out the other way.
    pub fn is_linear(&self, parameter: &str) -> bool {
        self.linear.contains(parameter)
    }

    /// The group with a parameter's axis, if it can lose something.
    pub fn group_of(&self, parameter: &str, axis: usize) -> Option<usize> {
        self.groups.iter().position(|group| {
            let mut members = group.members.iter();
            members.any(|member| member.parameter == parameter && member.axis == axis)
        })
    }
}

/// Batch normalisation leaves no operation of its own: its statistics name it.
fn roles_by_name(labels: &mut Propagation) {
    let names: BTreeSet<&String> = labels.graph.names.values().collect();
    for (value, name) in &labels.graph.names {
        let Some(layer) = name.strip_suffix(".weight") else {
            continue;
        };
        if names.contains(&format!("{layer}.running_var")) {
            labels.roles.insert(*value, Role::BatchNorm);
        }
    }
}

fn kept(labels: &Propagation, layers: &[String]) -> Vec<Label> {
    let mut kept = Vec::new();
    for (value, axes) in &labels.parameters {
        let name = &labels.graph.names[value];
        let layer = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(layer, _)| layer);
        let axis = labels.roles.get(value).and_then(|role| role.output_axis());
        if let (Some(axis), true) = (axis, layers.iter().any(|known| known == layer)) {
            kept.extend(axes.labels[axis].iter().flatten());
        }
    }
    kept
}

fn groups(labels: &Propagation) -> Vec<Group> {
    // Where each class is: by parameter and axis, in the network's order.
    let mut places: BTreeMap<Label, BTreeMap<(Value, usize), Vec<usize>>> = BTreeMap::new();
    for (value, axes) in &labels.parameters {
        for (axis, own) in axes.labels.iter().enumerate() {
            for (index, label) in own.iter().flatten().enumerate() {
                let class = labels.classes.find(*label);
                if class != FIXED {
                    let members = places.entry(class).or_default();
                    members.entry((*value, axis)).or_default().push(index);
                }
            }
        }
    }
    let mut by_members: BTreeMap<Vec<(Value, usize)>, Vec<Label>> = BTreeMap::new();
    for (class, members) in &places {
        let axes = members.keys().copied().collect();
        by_members.entry(axes).or_default().push(*class);
    }
    let groups = by_members
        .into_iter()
        .filter(|(_, classes)| classes.len() > 1);
    let normalised: BTreeSet<Label> = labels
        .normalised
        .iter()
        .map(|label| labels.classes.find(*label))
        .collect();
    groups
        .map(|(axes, classes)| {
            let members = axes.iter().map(|(value, axis)| Member {
                parameter: labels.graph.names[value].clone(),
                axis: *axis,
                role: labels.roles.get(value).copied().unwrap_or(Role::Other),
                units: classes
                    .iter()
                    .map(|class| places[class][&(*value, *axis)].clone())
                    .collect(),
            });
            let members: Vec<Member> = members.collect();
            let fewest = |member: &Member| member.units[0].len();
            // The first layer that makes them, with as few channels a unit as there are.
            let root = (0..members.len()).min_by_key(|index| {
                let member = &members[*index];
                let weight = member.role.output_axis().is_some();
                (fewest(member), !weight, !member.is_output(), *index)
            });
            let mut group = Group {
                root: root.unwrap_or(0),
                members,
                normalised: classes.iter().any(|class| normalised.contains(class)),
                heads: false,
            };
            group.sort();
            group.heads = labels.attention == Attention::Heads && group.root().units[0].len() > 1;
            group
        })
        .collect()
}
