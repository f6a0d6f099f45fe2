//! Labels followed through the forward pass.

mod elementwise;
mod layers;
mod moves;
mod product;

use std::collections::{BTreeMap, BTreeSet};

use kd_export::trace::{Dim, Graph, Node, Value, Values};

use super::axes::Axes;
use super::classes::{ANY, Classes, FIXED, Label};
use super::label_map::LabelMap;
use super::{Attention, Role};

/// Labels of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    /// Of what is made of parameters.
    Axes(Axes),
    /// Of what follows from the input.
    Map(LabelMap),
}

/// What a pass over the graph may do beside following labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Nothing.
    Follow,
    /// Joins what a reshape cannot separate.
    Tie,
    /// Keeps what a slice takes by number.
    Slice,
}

/// The labels of a network's parameters and what they say of each other.
pub(super) struct Propagation<'a> {
    pub graph: &'a Graph,
    pub classes: Classes,
    /// Labels along each axis of every parameter.
    pub parameters: BTreeMap<Value, Axes>,
    pub roles: BTreeMap<Value, Role>,
    /// Channels whose number changes a mean: those that a layer normalisation sees together.
    pub normalised: BTreeSet<Label>,
    pub attention: Attention,
    pass: Pass,
    labels: BTreeMap<Value, Labels>,
}

impl<'a> Propagation<'a> {
    pub fn new(graph: &'a Graph, attention: Attention) -> Self {
        let mut classes = Classes::new();
        let parameters = graph.names.keys().filter_map(|value| {
            let constant = graph.constants.get(value)?;
            let labels = constant.shape.iter();
            let labels = labels.map(|size| (*size > 1).then(|| classes.fresh(*size)));
            let axes = Axes {
                sizes: constant.shape.clone(),
                labels: labels.collect(),
                weight: Some(*value),
            };
            Some((*value, axes))
        });
        let parameters = parameters.collect();
        Self {
            graph,
            classes,
            parameters,
            roles: BTreeMap::new(),
            normalised: BTreeSet::new(),
            attention,
            pass: Pass::Follow,
            labels: BTreeMap::new(),
        }
    }

    /// Follows labels until nothing more is joined.
    pub fn run(&mut self) {
        let passes = [Pass::Follow, Pass::Tie, Pass::Slice];
        let mut next = 0;
        while let Some(pass) = passes.get(next) {
            next = match self.once(*pass) {
                true => 0,
                false => next + 1,
            };
        }
    }

    /// Whether something was joined.
    fn once(&mut self, pass: Pass) -> bool {
        let before = self.classes.unions();
        self.pass = pass;
        self.labels.clear();
        self.normalised.clear();
        self.start();
        let graph = self.graph;
        for node in &graph.nodes {
            if let Some(labels) = self.node(node) {
                self.labels.insert(node.output, labels);
            }
        }
        if let Some(labels) = self.labels.get(&graph.output).cloned() {
            self.fix(&labels);
        }
        self.classes.flatten();
        self.classes.unions() > before
    }

    fn start(&mut self) {
        let sizes = self.sizes(self.graph.input);
        let input = LabelMap::uniform(&sizes, FIXED);
        self.labels.insert(self.graph.input, Labels::Map(input));
        for (value, constant) in &self.graph.constants {
            let axes = match (self.parameters.get(value), &constant.values) {
                (Some(axes), _) => axes.clone(),
                (None, Values::Float(values)) => {
                    let mut axes = Axes::any(&constant.shape);
                    if values.iter().any(|value| *value != values[0]) {
                        let sizes = constant.shape.iter().zip(&mut axes.labels);
                        for (size, labels) in sizes.filter(|(size, _)| **size > 1) {
                            *labels = Some(vec![FIXED; *size]);
                        }
                    }
                    axes
                }
                // Shapes and indices.
                (None, _) => continue,
            };
            self.labels.insert(*value, Labels::Axes(axes));
        }
    }

    /// Sizes for one image.
    pub fn sizes(&self, value: Value) -> Vec<usize> {
        let dims = self.graph.dims.get(&value).into_iter().flatten();
        dims.map(|dim| match dim {
            Dim::Fixed(size) | Dim::Batch(size) => *size,
        })
        .collect()
    }

    fn node(&mut self, node: &Node) -> Option<Labels> {
        let inputs = node.inputs.iter().flatten();
        let known: Vec<Labels> = inputs
            .filter_map(|input| self.labels.get(input).cloned())
            .collect();
        let first = known.first()?.clone();
        match node.op {
            // The numbers of a shape.
            "Shape" => None,
            "Conv" => self.convolution(node, known),
            "MatMul" => self.matmul(node, known),
            "LayerNormalization" => Some(self.layer_norm(known)),
            "GlobalAveragePool" | "AveragePool" | "MaxPool" | "Resize" => {
                Some(self.pooled(node, first))
            }
            "Softmax" => Some(self.softmax(node, first)),
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" => self.reduced(node, first),
            "Reshape" => Some(self.reshape(node, first)),
            "Transpose" => Some(self.transpose(node, first)),
            "Expand" | "Tile" => Some(self.expand(node, first)),
            "Concat" => Some(self.concat(node, known)),
            "Slice" => Some(self.slice(node, first)),
            "Gather" => Some(self.gather(node, known)),
            "Pad" => Some(self.pad(node, first)),
            "Cast" | "Relu" | "Sigmoid" | "Tanh" | "Erf" | "Exp" | "Log" | "Sqrt" | "Neg"
            | "Abs" | "Reciprocal" | "Round" | "Floor" | "Ceil" | "Sign" | "Clip" | "Sin"
            | "Cos" | "Not" | "LeakyRelu" | "HardSigmoid" | "HardSwish" | "Softplus" | "Gelu" => {
                Some(first)
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Where" | "Equal" | "Greater"
            | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Max" | "Min"
            | "PRelu" => Some(self.elementwise(node, known)),
            _ => Some(self.unknown(node, known)),
        }
    }

    /// Keeps everything around an operation that is not known.
    fn unknown(&mut self, node: &Node, known: Vec<Labels>) -> Labels {
        known.iter().for_each(|labels| self.fix(labels));
        Labels::Map(LabelMap::uniform(&self.sizes(node.output), FIXED))
    }

    pub fn fix(&mut self, labels: &Labels) {
        match labels {
            Labels::Axes(axes) => axes.fix(&mut self.classes),
            Labels::Map(map) => map.fix(&mut self.classes),
        }
    }

    /// The labels of an activation; of what is made of parameters, along its last axis.
    fn map(&mut self, labels: Labels) -> LabelMap {
        match labels {
            Labels::Map(map) => map,
            Labels::Axes(axes) => axes.map(&axes.sizes.clone(), |_| true, &mut self.classes),
        }
    }

    /// Whether a label can go.
    fn can_go(&self, label: Label) -> bool {
        ![FIXED, ANY].contains(&self.classes.find(label))
    }
}
