//! Nodes that runtimes have one kernel for.

mod affine;
mod clip;
mod expand;
mod gemm;
mod hard_swish;
mod reshape;

use crate::graph::{Graph, Node, Value};

/// Replaces what stands for one node.
pub(crate) fn simplify(graph: &mut Graph) {
    for rule in [
        affine::into_convolutions,
        gemm::products,
        clip::bounds,
        hard_swish::gates,
        expand::broadcast,
        reshape::reshapes,
    ] {
        rule(graph);
        graph.prune();
    }
}

/// The place of the node of this operation that alone makes `value` for a single reader.
fn only_for(graph: &Graph, value: Value, op: &str) -> Option<usize> {
    let place = *graph.makers().get(&value)?;
    let alone = graph.readers().get(&value) == Some(&1);
    (alone && graph.nodes[place].op == op).then_some(place)
}

/// A node's two inputs, the constant one last, where it has one.
fn with_constant(graph: &Graph, node: &Node) -> Option<(Value, Value)> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let known = |value: &Value| graph.constants.contains_key(value);
    match (known(&a), known(&b)) {
        (false, true) => Some((a, b)),
        (true, false) if matches!(node.op, "Add" | "Mul") => Some((b, a)),
        _ => None,
    }
}
