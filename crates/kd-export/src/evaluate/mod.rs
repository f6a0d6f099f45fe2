//! What nodes compute, as the ONNX standard defines them.
//!
//! It serves two ends: nodes with known inputs become constants, and a graph is run and compared with its network
//! before it is written. Convolutions and products of matrices are burn's; the rest are plain loops.

mod arithmetic;
mod elementwise;
mod normalise;
mod pool;
mod product;
mod quantise;
mod reduce;
mod resize;
mod shape;

use std::collections::BTreeMap;

use burn::tensor::Device;

use crate::Error;
use crate::constant::Constant;
use crate::graph::{Graph, Node, Value};

/// The inputs of a node.
pub(crate) struct Inputs<'a>(Vec<Option<&'a Constant>>);

impl<'a> Inputs<'a> {
    /// An input that must be there.
    pub fn at(&self, place: usize) -> Result<&'a Constant, String> {
        self.get(place)
            .ok_or_else(|| format!("input {place} is missing"))
    }

    pub fn get(&self, place: usize) -> Option<&'a Constant> {
        self.0.get(place).copied().flatten()
    }

    /// Float values of an input that must be there.
    pub fn floats(&self, place: usize) -> Result<&'a [f32], String> {
        let values = self.at(place)?.as_floats();
        values.ok_or_else(|| format!("input {place} holds no floats"))
    }

    /// Integers of an input that must be there.
    pub fn ints(&self, place: usize) -> Result<&'a [i64], String> {
        let values = self.at(place)?.as_ints();
        values.ok_or_else(|| format!("input {place} holds no integers"))
    }

    fn all(&self) -> Vec<&'a Constant> {
        self.0.iter().flatten().copied().collect()
    }
}

/// The output of a node.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn node(
    node: &Node,
    inputs: Vec<Option<&Constant>>,
    device: &Device,
) -> Result<Constant, String> {
    let inputs = Inputs(inputs);
    match node.op {
        "Conv" | "ConvTranspose" => product::conv(node, &inputs, device),
        "MatMul" => product::matmul(&inputs, device),
        "Gemm" => product::gemm(node, &inputs, device),
        "MaxPool" | "AveragePool" | "GlobalAveragePool" => pool::pool(node, &inputs),
        "LayerNormalization" => normalise::layer_norm(node, &inputs),
        "Softmax" | "LogSoftmax" => normalise::softmax(node, &inputs),
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" => reduce::reduce(node, &inputs),
        "Resize" => resize::resize(node, &inputs),
        "QuantizeLinear" | "DequantizeLinear" => quantise::quantise(node, &inputs),
        "Reshape" | "Flatten" | "Transpose" | "Expand" | "Concat" | "Slice" | "Gather"
        | "GatherElements" | "Shape" | "Tile" | "Pad" => shape::shape(node, &inputs),
        "Cast" | "Where" | "Not" | "And" | "Or" | "Equal" | "Greater" | "GreaterOrEqual"
        | "Less" | "LessOrEqual" | "Add" | "Sub" | "Mul" | "Div" | "Pow" | "PRelu" => {
            arithmetic::broadcast(node, &inputs)
        }
        _ => elementwise::elementwise(node, &inputs),
    }
}

/// Runs the graph for an input.
///
/// # Errors
/// [`Error::Replay`].
pub(crate) fn graph(graph: &Graph, input: Constant, device: &Device) -> Result<Constant, Error> {
    let mut left = graph.readers();
    let mut values: BTreeMap<Value, Constant> = BTreeMap::from([(graph.input, input)]);
    for each in &graph.nodes {
        let known = |value: Value| values.get(&value).or_else(|| graph.constants.get(&value));
        let inputs = each.inputs.iter().map(|input| input.and_then(known));
        let output = node(each, inputs.collect(), device).map_err(|problem| Error::Replay {
            operation: each.op.into(),
            problem,
        })?;
        for input in each.inputs.iter().flatten() {
            if let Some(readers) = left.get_mut(input) {
                *readers -= 1;
                if *readers == 0 {
                    values.remove(input);
                }
            }
        }
        values.insert(each.output, output);
    }
    let output = values.remove(&graph.output);
    output
        .or_else(|| graph.constants.get(&graph.output).cloned())
        .ok_or_else(|| Error::Replay {
            operation: "output".into(),
            problem: "nothing computes it".into(),
        })
}
