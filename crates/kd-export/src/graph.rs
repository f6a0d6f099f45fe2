//! A network as ONNX nodes, before it is bytes.

use std::collections::BTreeMap;

use crate::constant::Constant;

/// A tensor of the graph.
pub type Value = usize;

/// A size along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// The same for every number of images.
    Fixed(usize),
    /// So many times the number of images.
    Batch(usize),
}

impl Dim {
    /// The size for so many images.
    pub fn at(self, batch: usize) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Batch(times) => times * batch,
        }
    }
}

/// An attribute of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A number.
    Float(f32),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A word.
    Text(&'static str),
}

/// The attributes of a node by name.
pub type Attributes = Vec<(&'static str, Attribute)>;

/// An ONNX operation. All that are written here have one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// ONNX's name of the operation.
    pub op: &'static str,
    /// `None` for an optional input that is not given.
    pub inputs: Vec<Option<Value>>,
    /// What it makes.
    pub output: Value,
    /// By name.
    pub attributes: Attributes,
}

impl Node {
    /// The integer attribute of this name, or ONNX's default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attribute(name) {
            Some(Attribute::Int(value)) => *value,
            _ => default,
        }
    }

    /// The float attribute of this name, or ONNX's default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attribute(name) {
            Some(Attribute::Float(value)) => *value,
            _ => default,
        }
    }

    /// The list of this name, or ONNX's default.
    pub fn ints(&self, name: &str, default: &[i64]) -> Vec<i64> {
        match self.attribute(name) {
            Some(Attribute::Ints(values)) => values.clone(),
            _ => default.to_vec(),
        }
    }

    /// The text of this name; empty when there is none.
    pub fn text(&self, name: &str) -> &'static str {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => text,
            _ => "",
        }
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        let mut found = self.attributes.iter();
        found.find_map(|(key, value)| (*key == name).then_some(value))
    }

    /// The input at a place, which must be given.
    pub fn input(&self, place: usize) -> Option<Value> {
        self.inputs.get(place).copied().flatten()
    }
}

/// Nodes in the order of execution, with one input and one output.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In the order of execution.
    pub nodes: Vec<Node>,
    /// Tensors whose values are known.
    pub constants: BTreeMap<Value, Constant>,
    /// Sizes of every value.
    pub dims: BTreeMap<Value, Vec<Dim>>,
    /// State-dict names of the constants that have one.
    pub names: BTreeMap<Value, String>,
    /// What the network reads.
    pub input: Value,
    /// Whether it reads integers, such as the numbers of words, and not floats.
    pub integers: bool,
    /// What it gives.
    pub output: Value,
    next: Value,
}

impl Graph {
    /// A new value of these sizes.
    pub(crate) fn value(&mut self, dims: Vec<Dim>) -> Value {
        let value = self.next;
        self.next += 1;
        self.dims.insert(value, dims);
        value
    }

    /// A new constant.
    pub(crate) fn constant(&mut self, constant: Constant) -> Value {
        let dims = constant
            .shape
            .iter()
            .map(|&size| Dim::Fixed(size))
            .collect();
        let value = self.value(dims);
        self.constants.insert(value, constant);
        value
    }

    /// How many inputs of nodes, and the graph's output, read each value.
    pub fn readers(&self) -> BTreeMap<Value, usize> {
        let mut readers = BTreeMap::new();
        let read = self.nodes.iter().flat_map(|node| &node.inputs).flatten();
        for value in read.chain([&self.output]) {
            *readers.entry(*value).or_insert(0) += 1;
        }
        readers
    }

    /// The node that makes each value, by its place.
    pub fn makers(&self) -> BTreeMap<Value, usize> {
        let places = self.nodes.iter().enumerate();
        places.map(|(place, node)| (node.output, place)).collect()
    }

    /// Lets every reader of `old` read `new`.
    pub(crate) fn replace(&mut self, old: Value, new: Value) {
        let inputs = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        for input in inputs.flatten().filter(|input| **input == old) {
            *input = new;
        }
        if self.output == old {
            self.output = new;
        }
    }

    /// Removes nodes and constants that the output does not need.
    pub(crate) fn prune(&mut self) {
        let mut needed = std::collections::BTreeSet::from([self.output]);
        for node in self.nodes.iter().rev() {
            if needed.contains(&node.output) {
                needed.extend(node.inputs.iter().flatten());
            }
        }
        self.nodes.retain(|node| needed.contains(&node.output));
        self.constants.retain(|value, _| needed.contains(value));
        self.names.retain(|value, _| needed.contains(value));
    }
}
