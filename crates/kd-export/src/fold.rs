//! What can be computed once is computed once.

use burn::tensor::Device;

use crate::Error;
use crate::constant::Constant;
use crate::evaluate;
use crate::graph::{Graph, Value};

/// Replaces every node whose inputs are constants by its output, and removes what the output does not need.
///
/// A folded constant keeps the name of the first parameter of its size that it is made of: a convolution's weight
/// times a normalisation's factor is still that weight.
///
/// # Errors
/// [`Error::Replay`].
pub(crate) fn fold(graph: &mut Graph, device: &Device) -> Result<(), Error> {
    graph.prune();
    for node in std::mem::take(&mut graph.nodes) {
        let inputs: Vec<Option<&Constant>> = node
            .inputs
            .iter()
            .map(|input| input.and_then(|value| graph.constants.get(&value)))
            .collect();
        let known = node.inputs.iter().zip(&inputs);
        if known
            .clone()
            .any(|(input, value)| input.is_some() && value.is_none())
        {
            graph.nodes.push(node);
            continue;
        }
        let output = evaluate::node(&node, inputs, device).map_err(|problem| Error::Replay {
            operation: node.op.into(),
            problem,
        })?;
        let alike = |value: &Value| graph.constants[value].count() == output.count();
        let named = node.inputs.iter().flatten().filter(|value| alike(value));
        let name = named
            .filter_map(|value| graph.names.get(value))
            .next()
            .cloned();
        if let Some(name) = name {
            graph.names.insert(node.output, name);
        }
        graph.constants.insert(node.output, output);
    }
    graph.prune();
    Ok(())
}
