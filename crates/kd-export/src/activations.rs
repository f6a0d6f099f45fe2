//! Memory of what passes between the nodes of a graph.

use std::collections::BTreeMap;

use crate::graph::{Dim, Graph, Node, Value};

/// Nodes whose output is their first input, seen otherwise.
const VIEWS: [&str; 7] = [
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "QuantizeLinear",
    "DequantizeLinear",
];

/// Nodes that may write over an input.
const ELEMENTWISE: [&str; 14] = [
    "Add",
    "Clip",
    "Div",
    "Elu",
    "Erf",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Max",
    "Min",
    "Mul",
    "Relu",
    "Sigmoid",
    "Sub",
];

/// Bytes of a number.
const FLOAT: u64 = 4;
const INTEGER: u64 = 1;

/// A piece of memory: its bytes, and the first and the last node that need it.
struct Piece {
    bytes: u64,
    from: usize,
    to: usize,
}

/// The most bytes that are needed at once for one example, when the nodes run in their order: an input until its last
/// reader ran, an output from its node on. Nodes that see their input otherwise need nothing, element-wise ones write over
/// an input that nobody reads later, and what only `QuantizeLinear` reads is made as integers of 8 bits. Weights are not in
/// it, nor what a node needs for itself.
pub(crate) fn peak(graph: &Graph) -> u64 {
    let mut readers: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        for value in node.inputs.iter().flatten() {
            readers.entry(*value).or_default().push(place);
        }
    }
    readers
        .entry(graph.output)
        .or_default()
        .push(graph.nodes.len());
    let last = |value: Value| readers.get(&value).and_then(|r| r.last()).copied();
    let count = |value: Value| -> u64 {
        let dims = graph.dims.get(&value).into_iter().flatten();
        dims.map(|dim: &Dim| dim.at(1) as u64).product()
    };
    let width = |value: Value| {
        let quantised = |place: &usize| {
            graph
                .nodes
                .get(*place)
                .is_some_and(|node| node.op == "QuantizeLinear")
        };
        match readers.get(&value) {
            Some(all) if all.iter().all(quantised) => INTEGER,
            _ => FLOAT,
        }
    };
    let mut pieces: Vec<Piece> = Vec::new();
    let mut piece_of: BTreeMap<Value, usize> = BTreeMap::new();
    let made = |pieces: &mut Vec<Piece>, value: Value, bytes: u64, from: usize| {
        pieces.push(Piece {
            bytes,
            from,
            to: last(value).unwrap_or(from),
        });
        pieces.len() - 1
    };
    let input = made(
        &mut pieces,
        graph.input,
        width(graph.input) * count(graph.input),
        0,
    );
    piece_of.insert(graph.input, input);
    for (place, node) in graph.nodes.iter().enumerate() {
        let of = |value: &Option<Value>| value.and_then(|value| piece_of.get(&value)).copied();
        let inputs: Vec<Option<usize>> = node.inputs.iter().map(of).collect();
        // What is made of weights alone is a weight.
        if inputs.iter().all(Option::is_none) {
            continue;
        }
        let output = node.output;
        let (items, width) = (
            count(output),
            match node.op {
                "QuantizeLinear" => INTEGER,
                _ => width(output),
            },
        );
        let shared = shared(node, &inputs, |piece| {
            let Piece { bytes, to, .. } = pieces[piece];
            bytes == width * items && to == place
        });
        let piece = match shared {
            Some(piece) => {
                let piece_to = &mut pieces[piece].to;
                *piece_to = (*piece_to).max(last(output).unwrap_or(place));
                piece
            }
            None => made(&mut pieces, output, width * items, place),
        };
        piece_of.insert(output, piece);
    }
    let at = |place: usize| {
        let alive = pieces.iter().filter(|p| p.from <= place && place <= p.to);
        alive.map(|piece| piece.bytes).sum::<u64>()
    };
    (0..graph.nodes.len()).map(at).max().unwrap_or(0)
}

/// The piece that a node's output shares with an input. `free` says whether a piece has its size and no other reader later.
fn shared(node: &Node, inputs: &[Option<usize>], free: impl Fn(usize) -> bool) -> Option<usize> {
    match node.op {
        // A float that others read too stays beside its integers.
        "QuantizeLinear" => inputs[0].filter(|piece| free(*piece)),
        op if VIEWS.contains(&op) => inputs[0],
        op if ELEMENTWISE.contains(&op) => {
            inputs.iter().flatten().copied().find(|piece| free(*piece))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constant::Constant;

    /// A graph of these nodes; each makes the value of its number, and value 0 is read.
    fn graph(nodes: &[(&'static str, &[usize])], channels: &[usize]) -> Graph {
        let mut graph = Graph::default();
        for channels in channels {
            graph.value(vec![Dim::Batch(1), Dim::Fixed(*channels), Dim::Fixed(10)]);
        }
        for (place, (op, inputs)) in nodes.iter().enumerate() {
            graph.nodes.push(Node {
                op,
                inputs: inputs.iter().map(|value| Some(*value)).collect(),
                output: place + 1,
                attributes: Vec::new(),
            });
        }
        graph.output = nodes.len();
        graph
    }

    #[test]
    fn a_residual_stays_until_it_is_added() {
        // While the second convolution runs there are its input, its output and the residual.
        let nodes: [(&str, &[usize]); 6] = [
            ("Conv", &[0]),
            ("Relu", &[1]),
            ("Conv", &[2]),
            ("Relu", &[3]),
            ("Conv", &[4]),
            ("Add", &[5, 2]),
        ];
        assert_eq!(peak(&graph(&nodes, &[3, 8, 8, 8, 8, 8, 8])), 3 * 8 * 10 * 4);
    }

    #[test]
    fn what_is_quantised_at_once_is_a_byte_and_what_others_read_too_is_not() {
        let nodes: [(&str, &[usize]); 4] = [
            ("Conv", &[0]),
            ("QuantizeLinear", &[1]),
            ("DequantizeLinear", &[2]),
            ("Conv", &[3]),
        ];
        let channels = [1, 8, 8, 8, 2];
        // The integers of eight channels, and two channels of floats.
        assert_eq!(peak(&graph(&nodes, &channels)), 80 + 80);
        let nodes: [(&str, &[usize]); 5] = [
            ("Conv", &[0]),
            ("QuantizeLinear", &[1]),
            ("DequantizeLinear", &[2]),
            ("Conv", &[3]),
            ("Add", &[4, 1]),
        ];
        // The floats, their integers, and as many floats made of these.
        let found = peak(&graph(&nodes, &[1, 8, 8, 8, 8, 8]));
        assert_eq!(found, 320 + 80 + 320);
    }

    #[test]
    fn weights_are_no_activations() {
        let mut graph = graph(&[("Reshape", &[0]), ("Gemm", &[1])], &[4, 4, 1]);
        let weight = graph.constant(Constant::floats(vec![0.0; 1000], &[1000]));
        graph.nodes[1].inputs.push(Some(weight));
        assert_eq!(peak(&graph), 160 + 40);
    }
}
