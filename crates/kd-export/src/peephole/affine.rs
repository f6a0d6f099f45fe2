//! Normalisations that are not folded yet: a factor or a summand of each channel after a convolution.

use super::{only_for, with_constant};
use crate::constant::Constant;
use crate::graph::{Graph, Value};

/// Moves factors and summands of channels into the convolution before them.
pub(super) fn into_convolutions(graph: &mut Graph) {
    let mut place = 0;
    while place < graph.nodes.len() {
        if merge(graph, place).is_some() {
            graph.nodes.remove(place);
            // The next one may follow the same convolution.
            continue;
        }
        place += 1;
    }
}

fn merge(graph: &mut Graph, place: usize) -> Option<()> {
    let node = &graph.nodes[place];
    let (op, output) = (node.op, node.output);
    if !matches!(op, "Mul" | "Add") {
        return None;
    }
    let (x, by) = with_constant(graph, node)?;
    let conv = only_for(graph, x, "Conv")?;
    let weight = graph.nodes[conv].input(1)?;
    let rank = graph.dims[&x].len();
    let weights = graph.constants.get(&weight)?.clone();
    let channels = weights.shape[0];
    let by = along_channels(graph.constants.get(&by)?, channels, rank)?;
    let bias = graph.nodes[conv].input(2);
    let old = match bias {
        Some(bias) => graph.constants.get(&bias)?.as_floats()?.to_vec(),
        None => vec![0.0; channels],
    };
    let new = old.iter().zip(&by);
    let new: Vec<f32> = match op {
        "Mul" => new.map(|(old, by)| old * by).collect(),
        _ => new.map(|(old, by)| old + by).collect(),
    };
    if op == "Mul" {
        let each = weights.count() / channels;
        let values = weights.as_floats()?.chunks(each).zip(&by);
        let values = values.flat_map(|(row, by)| row.iter().map(move |value| value * by));
        let scaled = Constant::floats(values.collect(), &weights.shape);
        let scaled = renamed(graph, weight, scaled);
        graph.nodes[conv].inputs[1] = Some(scaled);
    }
    if op == "Add" || bias.is_some() {
        let new = Constant::floats(new, &[channels]);
        let new = graph.constant(new);
        graph.nodes[conv].inputs.truncate(2);
        graph.nodes[conv].inputs.push(Some(new));
    }
    graph.replace(output, x);
    Some(())
}

/// A new constant with the name of an old one.
fn renamed(graph: &mut Graph, old: Value, constant: Constant) -> Value {
    let value = graph.constant(constant);
    if let Some(name) = graph.names.get(&old).cloned() {
        graph.names.insert(value, name);
    }
    value
}

/// One number for each channel, if the constant is the same along all other axes.
fn along_channels(constant: &Constant, channels: usize, rank: usize) -> Option<Vec<f32>> {
    let values = constant.as_floats()?;
    let mut along = vec![1; rank.saturating_sub(1)];
    *along.first_mut()? = channels;
    let mut shape = &constant.shape[..];
    if shape.len() == rank {
        shape = shape.strip_prefix(&[1])?;
    }
    match values {
        [value] if constant.shape.len() <= rank => Some(vec![*value; channels]),
        values if shape == along => Some(values.to_vec()),
        _ => None,
    }
}
