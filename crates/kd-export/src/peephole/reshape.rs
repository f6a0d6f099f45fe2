//! Reshapes.

use super::only_for;
use crate::graph::{Attribute, Dim, Graph};

/// A reshape of a reshape is one, or none where the shape is that of before. To rows, one for each image, it is
/// `Flatten`.
pub(super) fn reshapes(graph: &mut Graph) {
    for rule in [join, drop, flatten] {
        for place in 0..graph.nodes.len() {
            if graph.nodes[place].op == "Reshape" {
                rule(graph, place);
            }
        }
    }
}

/// Readers of a reshape that changes nothing read its input.
fn drop(graph: &mut Graph, place: usize) -> Option<()> {
    let node = &graph.nodes[place];
    let (input, output) = (node.input(0)?, node.output);
    if graph.dims[&input] == graph.dims[&output] {
        graph.replace(output, input);
    }
    Some(())
}

fn join(graph: &mut Graph, place: usize) -> Option<()> {
    let x = graph.nodes[place].input(0)?;
    let earlier = only_for(graph, x, "Reshape")?;
    let input = graph.nodes[earlier].input(0)?;
    // A copied size counts from the shape before.
    let shape = graph.nodes[place].input(1)?;
    let shape = graph.constants.get(&shape)?.as_ints()?;
    let front = graph.dims[&input].first() == graph.dims[&x].first();
    let copies = shape.iter().enumerate().filter(|(_, size)| **size == 0);
    if copies.clone().any(|(axis, _)| axis > 0 || !front) {
        return None;
    }
    graph.nodes[place].inputs[0] = Some(input);
    Some(())
}

fn flatten(graph: &mut Graph, place: usize) -> Option<()> {
    let node = &graph.nodes[place];
    let (from, to) = (&graph.dims[&node.input(0)?], &graph.dims[&node.output]);
    let rows = from.len() > 2 && to.len() == 2 && from[0] == to[0];
    let others = from[1..].iter().all(|dim| matches!(dim, Dim::Fixed(_)));
    if !rows || !others || !matches!(from[0], Dim::Batch(_)) {
        return None;
    }
    let node = &mut graph.nodes[place];
    node.op = "Flatten";
    node.inputs.truncate(1);
    node.attributes = vec![("axis", Attribute::Int(1))];
    Some(())
}
