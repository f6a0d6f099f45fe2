//! Layers on rows.

use super::{only_for, with_constant};
use crate::graph::{Attribute, Graph};

/// A product with a constant matrix and a constant sum are a `Gemm`, whose weight is `[outputs, inputs]` as in a
/// state dict of PyTorch.
pub(super) fn products(graph: &mut Graph) {
    let mut place = 0;
    while place < graph.nodes.len() {
        if merge(graph, place).is_none() {
            place += 1;
        }
    }
}

fn merge(graph: &mut Graph, place: usize) -> Option<()> {
    let node = &graph.nodes[place];
    if node.op != "Add" {
        return None;
    }
    let output = node.output;
    let (x, bias) = with_constant(graph, node)?;
    let product = only_for(graph, x, "MatMul")?;
    let (rows, weight) = with_constant(graph, &graph.nodes[product])?;
    let weights = graph.constants.get(&weight)?;
    let [_, outputs] = weights.shape[..] else {
        return None;
    };
    let biases = graph.constants.get(&bias)?;
    let row = biases.count() == outputs && biases.shape.last() == Some(&outputs);
    if graph.dims[&rows].len() != 2 || biases.shape.len() > 2 || !row {
        return None;
    }
    let (turned, flat) = (weights.transposed(), biases.clone().reshaped(&[outputs]));
    let names = [weight, bias].map(|value| graph.names.get(&value).cloned());
    let values = [turned, flat].map(|constant| graph.constant(constant));
    for (value, name) in values.iter().zip(names) {
        if let Some(name) = name {
            graph.names.insert(*value, name);
        }
    }
    let node = &mut graph.nodes[product];
    node.op = "Gemm";
    node.inputs = vec![Some(rows), Some(values[0]), Some(values[1])];
    node.attributes = vec![("transB", Attribute::Int(1))];
    graph.replace(output, x);
    graph.nodes.remove(place);
    Some(())
}
