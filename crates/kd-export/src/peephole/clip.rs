//! Bounds.

use super::only_for;
use crate::constant::Constant;
use crate::graph::Graph;

/// A bound of a bounded value is one `Clip`: ReLU6 is a ReLU and an upper bound.
pub(super) fn bounds(graph: &mut Graph) {
    for place in 0..graph.nodes.len() {
        merge(graph, place);
    }
}

fn merge(graph: &mut Graph, place: usize) -> Option<()> {
    if graph.nodes[place].op != "Clip" {
        return None;
    }
    let bound = |graph: &Graph, node: usize, at: usize| {
        let value = graph.nodes[node].input(at)?;
        graph.constants.get(&value)?.scalar()
    };
    let (min, max) = (bound(graph, place, 1)?, bound(graph, place, 2)?);
    let x = graph.nodes[place].input(0)?;
    let (before, earlier) = match only_for(graph, x, "Relu") {
        Some(relu) => (relu, (0.0, f32::MAX)),
        None => {
            let clip = only_for(graph, x, "Clip")?;
            (clip, (bound(graph, clip, 1)?, bound(graph, clip, 2)?))
        }
    };
    let (min, max) = (min.max(earlier.0), max.min(earlier.1));
    if min > max {
        return None;
    }
    let input = graph.nodes[before].input(0)?;
    let [min, max] = [min, max].map(|bound| graph.constant(Constant::floats(vec![bound], &[])));
    graph.nodes[place].inputs = vec![Some(input), Some(min), Some(max)];
    Some(())
}
