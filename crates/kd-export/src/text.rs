//! Networks that read text.

use burn::tensor::Tensor;
use kd_core::Taps;
use kd_models::{Backbone, TextNetwork, TokenBatch};

use crate::activations::peak;
use crate::export::{checked, finished, written};
use crate::graph::{Attribute, Graph};
use crate::lower::INT64;
use crate::options::Options;
use crate::replay::Reads;
use crate::{Error, Onnx};

/// Exports a text network for sequences of so many tokens. The file reads `input_ids`, `[batch, tokens]`, where shorter
/// sequences are filled up with the padding of the network's tokenizer: it is no token to the network, so that no mask is
/// read. Weights have the paths of the module as names.
///
/// # Errors
/// As [`export_backbone`](crate::export_backbone); [`Error::Option`] for no token or more than the network has positions,
/// for `normalise`, and for `float16`.
pub fn export_text(network: &TextNetwork, tokens: usize, options: &Options) -> Result<Onnx, Error> {
    let refuse = |option, problem: String| Err(Error::Option { option, problem });
    let config = network.config();
    if !(1..=config.positions).contains(&tokens) {
        let most = config.positions;
        return refuse(
            "tokens",
            format!("{tokens} tokens: the network has positions for 1 to {most}"),
        );
    }
    if options.normalise.is_some() {
        return refuse("normalise", "text has no pixels; leave it out".into());
    }
    if options.float16 {
        let problem = "the numbers of words are integers, which a float16 file does not read yet; leave it out";
        return refuse("float16", problem.into());
    }
    let padding = config.padding;
    let forward = |network: &TextNetwork, ids: Tensor<2>| {
        let ids = ids.int();
        let mask = ids.clone().not_equal_elem(padding as i64);
        let logits = network
            .forward(TokenBatch::new(ids, mask), &Taps::none())
            .logits;
        finished(options, logits)
    };
    let reads = Reads::Ids {
        words: config.vocabulary,
        padding,
    };
    let (graph, comparison) = checked(network, [1, tokens], reads, str::to_owned, &forward)?;
    Ok(Onnx {
        model: written(&graph, options, options.output),
        difference: comparison.difference,
        activations: peak(&graph),
        external_above: options.external_above,
    })
}

/// Lets a graph read integers that so far makes them of floats.
pub(crate) fn read_integers(graph: &mut Graph) {
    let to_integers = ("to", Attribute::Int(INT64));
    let casts = graph.nodes.iter().filter(|node| {
        node.op == "Cast"
            && node.input(0) == Some(graph.input)
            && node.attributes.contains(&to_integers)
    });
    let casts: Vec<usize> = casts.map(|node| node.output).collect();
    for value in casts {
        graph.replace(value, graph.input);
    }
    graph.integers = true;
    graph.prune();
}
