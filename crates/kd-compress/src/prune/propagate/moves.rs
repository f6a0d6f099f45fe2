//! Operations that move values, and what they can separate.

use std::collections::{BTreeMap, BTreeSet};

use kd_export::trace::{Node, Value};

use super::super::Attention;
use super::super::axes::Axes;
use super::super::classes::{FIXED, Label};
use super::super::label_map::{LabelMap, each_place};
use super::layers::axis_of;
use super::{Labels, Pass, Propagation};

impl Propagation<'_> {
    pub(super) fn reshape(&mut self, node: &Node, x: Labels) -> Labels {
        let sizes = self.sizes(node.output);
        let map = match x {
            Labels::Axes(axes) => {
                return Labels::Axes(axes.reshaped(&sizes).unwrap_or_else(|| {
                    axes.fix(&mut self.classes);
                    fixed(&sizes)
                }));
            }
            Labels::Map(map) => map,
        };
        let whole = map.spread(|_| true);
        let moved = LabelMap {
            sizes: sizes.clone(),
            shape: sizes,
            labels: whole.labels,
        };
        let moved = moved.shrunk(&self.classes);
        if self.pass == Pass::Tie {
            self.tie(&moved, node.output);
        }
        Labels::Map(moved)
    }

    /// Joins channels until each class fills whole slices of an axis: only those can be taken out of a tensor.
    fn tie(&mut self, map: &LabelMap, value: Value) {
        let varying: Vec<usize> = (0..map.shape.len())
            .filter(|axis| map.shape[*axis] > 1)
            .collect();
        if varying.len() < 2 || !self.is_torn(map, &varying) {
            return;
        }
        let last = varying.len() - 1;
        let axis = match self.attention {
            Attention::HeadSizes => varying[last],
            _ if !self.feeds_attention(value) => varying[last],
            Attention::Heads => varying[last - 1],
            Attention::Keep => return map.fix(&mut self.classes),
        };
        self.join_across(map, axis);
    }

    /// Joins all that has the same place along an axis.
    fn join_across(&mut self, map: &LabelMap, axis: usize) {
        let mut first: BTreeMap<usize, Label> = BTreeMap::new();
        let classes = &mut self.classes;
        each_place(&map.shape, |place| {
            let label = map.at(place);
            let known = *first.entry(place[axis]).or_insert(label);
            classes.join(known, label);
        });
    }

    /// Whether a class is no union of slices.
    fn is_torn(&self, map: &LabelMap, varying: &[usize]) -> bool {
        let total = map.labels.len();
        let mut places: BTreeMap<Label, Vec<BTreeSet<usize>>> = BTreeMap::new();
        let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
        each_place(&map.shape, |place| {
            let label = self.classes.find(map.at(place));
            if self.can_go(label) {
                *counts.entry(label).or_default() += 1;
                let seen = places
                    .entry(label)
                    .or_insert_with(|| vec![BTreeSet::new(); varying.len()]);
                for (seen, axis) in seen.iter_mut().zip(varying) {
                    seen.insert(place[*axis]);
                }
            }
        });
        counts.iter().any(|(label, count)| {
            let seen = places[label].iter().zip(varying);
            let mut slices = seen.map(|(seen, axis)| seen.len() * (total / map.shape[*axis]));
            !slices.any(|cells| cells == *count)
        })
    }

    /// Whether a value goes, moved or scaled, into a product of two activations.
    fn feeds_attention(&self, value: Value) -> bool {
        let mut reached = BTreeSet::from([value]);
        for node in &self.graph.nodes {
            let reads = node
                .inputs
                .iter()
                .flatten()
                .any(|input| reached.contains(input));
            if !reads {
                continue;
            }
            match node.op {
                "MatMul" => {
                    let second = node.input(1).and_then(|input| self.labels.get(&input));
                    // A value that comes later follows from the input as well.
                    return !matches!(second, Some(Labels::Axes(_)));
                }
                "Transpose" | "Reshape" | "Slice" | "Gather" | "Mul" | "Div" => {
                    reached.insert(node.output);
                }
                _ => {}
            }
        }
        false
    }

    pub(super) fn transpose(&mut self, node: &Node, x: Labels) -> Labels {
        let sizes = self.sizes(node.output);
        let order = node.ints("perm", &[]);
        let order: Vec<usize> = order.iter().map(|axis| *axis as usize).collect();
        match x {
            Labels::Axes(axes) => Labels::Axes(Axes {
                sizes,
                labels: order
                    .iter()
                    .map(|axis| axes.labels[*axis].clone())
                    .collect(),
                // A weight that lies otherwise has its channels along other axes.
                weight: None,
            }),
            Labels::Map(map) => {
                let shape = order.iter().map(|axis| map.shape[*axis]).collect();
                let mut from = vec![0; order.len()];
                Labels::Map(LabelMap::make(&sizes, shape, |place| {
                    for (axis, place) in order.iter().zip(place) {
                        from[*axis] = *place;
                    }
                    map.at(&from)
                }))
            }
        }
    }

    pub(super) fn expand(&mut self, node: &Node, x: Labels) -> Labels {
        let sizes = self.sizes(node.output);
        match x {
            Labels::Axes(axes) => {
                let missing = sizes.len() - axes.sizes.len();
                let added = vec![None; missing];
                Labels::Axes(Axes {
                    labels: [added, axes.labels].concat(),
                    sizes,
                    weight: None,
                })
            }
            Labels::Map(map) => {
                let missing = sizes.len() - map.sizes.len();
                let repeats = (0..map.sizes.len())
                    .any(|axis| map.shape[axis] > 1 && sizes[axis + missing] != map.sizes[axis]);
                if repeats {
                    map.fix(&mut self.classes);
                    return Labels::Map(LabelMap::uniform(&sizes, FIXED));
                }
                Labels::Map(LabelMap {
                    shape: [vec![1; missing], map.shape].concat(),
                    labels: map.labels,
                    sizes,
                })
            }
        }
    }

    pub(super) fn concat(&mut self, node: &Node, known: Vec<Labels>) -> Labels {
        let sizes = self.sizes(node.output);
        let axis = axis_of(node.int("axis", 0), sizes.len());
        let mut parts = Vec::new();
        for labels in known {
            let map = match labels {
                Labels::Map(map) => map,
                Labels::Axes(axes) => axes.map(
                    &axes.sizes.clone(),
                    |place| place != axis,
                    &mut self.classes,
                ),
            };
            parts.push(map);
        }
        // Beside others, what has any size has the one that the code gives it.
        let any = |map: &LabelMap| map.labels.iter().all(|label| *label == super::ANY);
        let alone = parts.iter().all(any);
        for part in parts.iter_mut().filter(|part| any(part) && !alone) {
            *part = LabelMap::uniform(&part.sizes, FIXED);
        }
        let shape: Vec<usize> = (0..sizes.len())
            .map(|place| match place == axis {
                true => sizes[axis],
                false => parts
                    .iter()
                    .map(|part| part.shape[place])
                    .max()
                    .unwrap_or(1),
            })
            .collect();
        let starts: Vec<usize> = parts
            .iter()
            .scan(0, |start, part| {
                let own = *start;
                *start += part.sizes[axis];
                Some(own)
            })
            .collect();
        let map = LabelMap::make(&sizes, shape, |place| {
            let part = starts.partition_point(|start| *start <= place[axis]) - 1;
            let mut within = place.to_vec();
            within[axis] -= starts[part];
            parts[part].at(&within)
        });
        let map = map.shrunk(&self.classes);
        // Parts of one shape: what goes from one goes from all.
        let other = (0..sizes.len()).rfind(|place| *place != axis && map.shape[*place] > 1);
        if let (Some(other), Pass::Tie) = (other, self.pass) {
            self.join_across(&map, other);
        }
        Labels::Map(map)
    }

    pub(super) fn slice(&mut self, node: &Node, x: Labels) -> Labels {
        let sizes = self.sizes(node.output);
        let listed = |place: usize| -> Option<Vec<i64>> {
            let constant = self.graph.constants.get(&node.input(place)?)?;
            Some(constant.as_ints()?.to_vec())
        };
        let map = self.map(x.clone());
        let read = (listed(1), listed(3), listed(4));
        let (Some(starts), Some(axes), Some(steps)) = read else {
            return self.unknown(node, vec![x]);
        };
        let rank = map.shape.len();
        let axes: Vec<usize> = axes.iter().map(|axis| axis_of(*axis, rank)).collect();
        if self.pass == Pass::Slice {
            for (index, axis) in axes.iter().enumerate() {
                let part = (starts[index], sizes[*axis], steps[index]);
                if map.varies(*axis, &self.classes) && !self.equal_parts(&map, *axis, part) {
                    map.fix(&mut self.classes);
                }
            }
        }
        let shape = (0..rank)
            .map(|axis| if map.shape[axis] == 1 { 1 } else { sizes[axis] })
            .collect();
        let taken = LabelMap::make(&sizes, shape, |place| {
            let mut from = place.to_vec();
            for (index, axis) in axes.iter().enumerate() {
                let size = map.sizes[*axis] as i64;
                let start = if starts[index] < 0 {
                    starts[index] + size
                } else {
                    starts[index]
                };
                from[*axis] = (start + place[*axis] as i64 * steps[index]) as usize;
            }
            map.at(&from)
        });
        Labels::Map(taken.shrunk(&self.classes))
    }

    /// Whether a slice is one of equal parts whose channels go together, so that a code that says "a third" still does.
    fn equal_parts(
        &self,
        map: &LabelMap,
        axis: usize,
        (start, size, step): (i64, usize, i64),
    ) -> bool {
        let whole = map.sizes[axis];
        let fits = step == 1 && start >= 0 && whole.is_multiple_of(size);
        if !fits || !(start as usize).is_multiple_of(size) {
            return false;
        }
        let mut equal = true;
        each_place(&map.shape, |place| {
            let mut first = place.to_vec();
            first[axis] %= size;
            let [one, other] = [place, &first].map(|place| self.classes.find(map.at(place)));
            equal &= one == other;
        });
        equal
    }

    /// Constants choose along an axis: of channels, by number.
    pub(super) fn gather(&mut self, node: &Node, known: Vec<Labels>) -> Labels {
        let Some(table) = known.into_iter().next() else {
            unreachable!("a node has an input");
        };
        let map = self.map(table);
        let axis = axis_of(node.int("axis", 0), map.shape.len());
        let sizes = self.sizes(node.output);
        if map.varies(axis, &self.classes) || sizes.len() != map.sizes.len() {
            map.fix(&mut self.classes);
            return Labels::Map(LabelMap::uniform(&sizes, FIXED));
        }
        let map = map.shrunk(&self.classes);
        Labels::Map(LabelMap { sizes, ..map })
    }

    pub(super) fn pad(&mut self, node: &Node, x: Labels) -> Labels {
        let map = self.map(x);
        let sizes = self.sizes(node.output);
        let grows = (0..sizes.len())
            .any(|axis| sizes[axis] != map.sizes[axis] && map.varies(axis, &self.classes));
        if grows {
            map.fix(&mut self.classes);
            return Labels::Map(LabelMap::uniform(&sizes, FIXED));
        }
        let map = map.shrunk(&self.classes);
        Labels::Map(LabelMap { sizes, ..map })
    }
}

fn fixed(sizes: &[usize]) -> Axes {
    let mut axes = Axes::any(sizes);
    for (size, labels) in sizes.iter().zip(&mut axes.labels) {
        *labels = (*size > 1).then(|| vec![FIXED; *size]);
    }
    axes
}
