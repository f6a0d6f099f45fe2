//! Layers with weights, and what works channel by channel.

use kd_export::trace::{Node, Value};

use super::super::Role;
use super::super::axes::Axes;
use super::super::classes::{ANY, Label};
use super::super::label_map::{LabelMap, each_place};
use super::{Labels, Propagation};

impl Propagation<'_> {
    pub(super) fn convolution(&mut self, node: &Node, known: Vec<Labels>) -> Option<Labels> {
        let mut known = known.into_iter();
        let (Some(x), Some(Labels::Axes(weight))) = (known.next(), known.next()) else {
            return None;
        };
        let x = self.map(x);
        let inputs = self.channels(&x);
        let groups = node.int("group", 1) as usize;
        let depthwise = groups > 1 && weight.sizes[1] == 1;
        self.role(weight.weight, Role::Convolution { depthwise });
        for kernel in weight.labels[2..].iter().flatten().flatten() {
            self.classes.fix(*kernel);
        }
        let outputs = weight.sizes[0];
        let labels = |axis: usize, count: usize| match &weight.labels[axis] {
            Some(labels) => labels.clone(),
            None => vec![super::FIXED; count],
        };
        let out = labels(0, outputs);
        if depthwise {
            let each = outputs / inputs.len();
            for (channel, label) in out.iter().enumerate() {
                self.classes.join(inputs[channel / each], *label);
            }
        } else {
            let within = labels(1, weight.sizes[1]);
            for (channel, label) in inputs.iter().enumerate() {
                self.classes.join(within[channel % within.len()], *label);
            }
            // The same places of every group.
            let each = outputs / groups;
            for (channel, label) in out.iter().enumerate().skip(each) {
                self.classes.join(out[channel % each], *label);
            }
        }
        if let Some(Labels::Axes(bias)) = known.next() {
            self.join_axis(&bias, 0, &out);
        }
        let sizes = self.sizes(node.output);
        Some(Labels::Map(LabelMap::along(&sizes, 1, out)))
    }

    /// The label of each channel, which must be the same at every position.
    fn channels(&mut self, x: &LabelMap) -> Vec<Label> {
        let elsewhere = (0..x.shape.len()).filter(|axis| *axis != 1);
        let elsewhere: Vec<usize> = elsewhere.collect();
        if elsewhere.iter().any(|axis| x.shape[*axis] > 1) {
            x.fix(&mut self.classes);
            return vec![super::FIXED; x.sizes[1]];
        }
        let x = x.spread(|axis| axis == 1);
        x.labels
    }

    pub(super) fn join_axis(&mut self, axes: &Axes, axis: usize, labels: &[Label]) {
        match &axes.labels[axis] {
            Some(own) => {
                for (one, other) in own.iter().zip(labels) {
                    self.classes.join(*one, *other);
                }
            }
            None if axes.weight.is_some() => labels.iter().for_each(|l| self.classes.fix(*l)),
            None => {}
        }
    }

    pub(super) fn role(&mut self, weight: Option<Value>, role: Role) {
        if let Some(weight) = weight {
            self.roles.insert(weight, role);
        }
    }

    pub(super) fn layer_norm(&mut self, known: Vec<Labels>) -> Labels {
        let mut known = known.into_iter();
        let Some(x) = known.next() else {
            unreachable!("a node has an input");
        };
        let x = self.map(x);
        let last = x.shape.len() - 1;
        for (place, parameter) in known.enumerate() {
            if let Labels::Axes(axes) = parameter {
                if place == 0 {
                    self.role(axes.weight, Role::LayerNorm);
                }
                let own = axes.labels[0].clone().unwrap_or_default();
                let classes = &mut self.classes;
                each_place(&x.spread(|axis| axis == last).shape, |place| {
                    if let Some(label) = own.get(place[last]) {
                        classes.join(*label, x.at(place));
                    }
                });
            }
        }
        let labels = x.labels.iter().map(|label| self.classes.find(*label));
        self.normalised.extend(labels);
        Labels::Map(x.shrunk(&self.classes))
    }

    pub(super) fn pooled(&mut self, node: &Node, x: Labels) -> Labels {
        let x = self.map(x);
        let labels = self.channels(&x);
        Labels::Map(LabelMap::along(&self.sizes(node.output), 1, labels))
    }

    /// Shares of all along an axis.
    pub(super) fn softmax(&mut self, node: &Node, x: Labels) -> Labels {
        let x = self.map(x);
        let axis = axis_of(node.int("axis", -1), x.shape.len());
        if x.varies(axis, &self.classes) {
            x.fix(&mut self.classes);
        }
        Labels::Map(x)
    }

    pub(super) fn reduced(&mut self, node: &Node, x: Labels) -> Option<Labels> {
        let x = self.map(x);
        let rank = x.shape.len();
        let listed = match node.input(1) {
            Some(axes) => self.graph.constants.get(&axes)?.as_ints()?.to_vec(),
            None => node.ints("axes", &[]),
        };
        let axes: Vec<usize> = match listed.is_empty() {
            true => (0..rank).collect(),
            false => listed.iter().map(|axis| axis_of(*axis, rank)).collect(),
        };
        let mixed = axes.iter().any(|axis| x.varies(*axis, &self.classes));
        let sizes = self.sizes(node.output);
        if mixed {
            // A mean over channels: their number changes it.
            let labels = x.labels.iter().map(|label| self.classes.find(*label));
            self.normalised.extend(labels);
            return Some(Labels::Map(LabelMap::uniform(&sizes, ANY)));
        }
        let kept = |axis: &usize| node.int("keepdims", 1) == 1 || !axes.contains(axis);
        let shape: Vec<usize> = (0..rank)
            .filter(kept)
            .map(|axis| {
                if axes.contains(&axis) {
                    1
                } else {
                    x.shape[axis]
                }
            })
            .collect();
        // Along the reduced axes there is one label.
        let shrunk = x.clone().shrunk(&self.classes);
        let labels = shrunk.labels;
        let shape = match shape.iter().product::<usize>() == labels.len() {
            true => shape,
            false => {
                let kept = (0..rank).filter(kept);
                kept.map(|axis| shrunk.shape[axis]).collect()
            }
        };
        Some(Labels::Map(LabelMap {
            sizes,
            shape,
            labels,
        }))
    }
}

/// An axis that may count from the end.
pub(super) fn axis_of(axis: i64, rank: usize) -> usize {
    match usize::try_from(axis) {
        Ok(axis) => axis,
        Err(_) => rank - axis.unsigned_abs() as usize,
    }
}
