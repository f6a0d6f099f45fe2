//! What a network costs, without building it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::propagate::Propagation;
use super::{Role, Structure};

/// Parameters and multiply-accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Numbers that are trained.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions and linear layers for one image.
    pub macs: u64,
}

/// A layer with a weight.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    weight: String,
    /// How often each number of the weight is multiplied for one image.
    positions: usize,
}

impl Layer {
    pub fn all(labels: &Propagation) -> Vec<Self> {
        let graph = labels.graph;
        // A weight may be folded with what follows: it is the parameter that a node's weight comes from.
        let mut sources = BTreeMap::new();
        for (value, name) in &graph.names {
            if matches!(
                labels.roles.get(value),
                Some(Role::Convolution { .. } | Role::Linear)
            ) {
                sources.insert(*value, name.clone());
            }
        }
        for node in &graph.nodes {
            let from = node
                .inputs
                .iter()
                .flatten()
                .find_map(|input| sources.get(input));
            if let (Some(from), "Mul" | "Div" | "Transpose" | "Reshape") = (from.cloned(), node.op)
            {
                sources.entry(node.output).or_insert(from);
            }
        }
        let layers = graph.nodes.iter().filter_map(|node| {
            let weight = sources.get(&node.input(1)?)?.clone();
            let sizes = labels.sizes(node.output);
            let positions = match node.op {
                "Conv" => sizes[2..].iter().product(),
                // Rows of an image may lie along the first axis.
                "MatMul" => sizes[..sizes.len() - 1].iter().product(),
                _ => return None,
            };
            Some(Self { weight, positions })
        });
        layers.collect()
    }
}

impl Structure {
    /// What it costs.
    pub fn cost(&self) -> Cost {
        self.cost_of(&self.shapes)
    }

    /// What a network of these shapes would cost.
    pub fn cost_of(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Cost {
        let count = |name: &str| shapes[name].iter().product::<usize>() as u64;
        let trained = shapes.keys().filter(|name| !name.contains("running_"));
        Cost {
            parameters: trained.map(|name| count(name)).sum(),
            macs: self
                .layers
                .iter()
                .map(|layer| count(&layer.weight) * layer.positions as u64)
                .sum(),
        }
    }
}
