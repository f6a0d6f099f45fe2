//! Float16 inside, float32 outside.

use burn::tensor::f16;

use crate::Error;
use crate::constant::{Constant, Values};
use crate::graph::{Attribute, Graph, Node, Value};
use crate::lower::FLOAT;
use crate::model::scales;

/// ONNX's number of the type.
const FLOAT16: i64 = 10;

/// Values as 16-bit floats, little-endian.
pub(crate) fn bytes_of_halves(values: &[f32]) -> Vec<u8> {
    let halves = values.iter().map(|&value| f16::from_f32(value));
    halves.flat_map(|half| half.to_le_bytes()).collect()
}

/// Rounds every constant to what float16 holds. Bounds beyond its range become its ends.
///
/// # Errors
/// [`Error::Float16`] for another constant beyond it.
pub(crate) fn round(graph: &mut Graph) -> Result<(), Error> {
    let clips = graph.nodes.iter().filter(|node| node.op == "Clip");
    let bounds: Vec<Value> = clips
        .flat_map(|node| node.inputs[1..].iter().flatten().copied())
        .collect();
    let scales = scales(graph);
    for (value, constant) in &mut graph.constants {
        let Constant {
            values: Values::Float(values),
            ..
        } = constant
        else {
            continue;
        };
        if scales.contains(value) {
            continue;
        }
        let end = f16::MAX.to_f32();
        for number in values {
            if bounds.contains(value) {
                *number = number.clamp(-end, end);
            }
            let rounded = f16::from_f32(*number);
            if rounded.is_infinite() && number.is_finite() {
                let name = graph.names.get(value).cloned();
                return Err(Error::Float16 {
                    name: name.unwrap_or_else(|| "a constant".into()),
                    value: *number,
                });
            }
            *number = rounded.to_f32();
        }
    }
    Ok(())
}

/// Puts casts at both ends, so that programs give and get float32.
pub(crate) fn cast_ends(graph: &mut Graph) {
    for node in graph.nodes.iter_mut().filter(|node| node.op == "Cast") {
        for (name, to) in &mut node.attributes {
            if (*name, &*to) == ("to", &Attribute::Int(FLOAT)) {
                *to = Attribute::Int(FLOAT16);
            }
        }
    }
    let cast = |input, output, to| Node {
        op: "Cast",
        inputs: vec![Some(input)],
        output,
        attributes: vec![("to", Attribute::Int(to))],
    };
    let [inside, outside] = [graph.input, graph.output].map(|end| {
        let dims = graph.dims[&end].clone();
        graph.value(dims)
    });
    let (input, output) = (graph.input, graph.output);
    graph.replace(input, inside);
    graph.nodes.insert(0, cast(input, inside, FLOAT16));
    graph.nodes.push(cast(output, outside, FLOAT));
    graph.output = outside;
}
