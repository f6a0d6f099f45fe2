//! Gates.

use super::only_for;
use crate::graph::Graph;

/// `x · hard_sigmoid(x)` with the slope 1/6 is `HardSwish`, which ONNX has since opset 14.
pub(super) fn gates(graph: &mut Graph) {
    for place in 0..graph.nodes.len() {
        merge(graph, place);
    }
}

fn merge(graph: &mut Graph, place: usize) -> Option<()> {
    let node = &graph.nodes[place];
    let (a, b) = (node.input(0)?, node.input(1)?);
    if node.op != "Mul" {
        return None;
    }
    let (x, gate) = match only_for(graph, b, "HardSigmoid") {
        Some(gate) => (a, gate),
        None => (b, only_for(graph, a, "HardSigmoid")?),
    };
    let gate = &graph.nodes[gate];
    let sixth = (gate.float("alpha", 0.2) - 1.0 / 6.0).abs() < 1e-7;
    if gate.input(0) != Some(x) || !sixth || gate.float("beta", 0.5) != 0.5 {
        return None;
    }
    let node = &mut graph.nodes[place];
    node.op = "HardSwish";
    node.inputs = vec![Some(x)];
    Some(())
}
