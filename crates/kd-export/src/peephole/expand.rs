//! Repetitions that broadcasting makes needless.

use super::only_for;
use crate::graph::Graph;

/// What is repeated only to be added or multiplied need not be.
pub(super) fn broadcast(graph: &mut Graph) {
    for place in 0..graph.nodes.len() {
        for side in [0, 1] {
            shorten(graph, place, side);
        }
    }
}

fn shorten(graph: &mut Graph, place: usize, side: usize) -> Option<()> {
    let node = &graph.nodes[place];
    if !matches!(node.op, "Add" | "Sub" | "Mul" | "Div") {
        return None;
    }
    let (repeated, other) = (node.input(side)?, node.input(1 - side)?);
    let expand = only_for(graph, repeated, "Expand")?;
    if graph.dims[&other] != graph.dims[&repeated] {
        return None;
    }
    graph.nodes[place].inputs[side] = graph.nodes[expand].inputs[0];
    Some(())
}
