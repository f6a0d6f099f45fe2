//! From a module to a file.

use std::fmt::Display;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::Taps;
use kd_models::detection::Detector;
use kd_models::{Backbone, LayerGrid, Network};

use crate::activations::peak;
use crate::batch::BATCHES;
use crate::capture::{capture, plain};
use crate::fold::fold;
use crate::graph::{Graph, Node};
use crate::lower::lower;
use crate::options::{Normalisation, Options, Output};
use crate::peephole::simplify;
use crate::replay::{Comparison, Reads, between, compare};
use crate::{Error, Onnx, half, model, nms, quantise, text};

/// Exports a network of the registry for images of `size` × `size` pixels. Weights have the names of its reference's
/// state dict. Layers on grids ([`Network::on_grids`]) have 8-bit weights, and `QuantizeLinear` and `DequantizeLinear`
/// before their inputs, for runtimes that compute them with integers.
///
/// # Errors
/// As [`export_backbone`]; [`Error::Option`] for grids of other than 8 bits, and for grids with `float16`.
pub fn export_network(network: &Network, size: usize, options: &Options) -> Result<Onnx, Error> {
    let shape = [1, channels_of(network)?, size, size];
    let forward = |network: &Network, images| network.forward(images, &Taps::none()).logits;
    let names = |path: &str| network.pytorch_name(path);
    let Some(grids) = network.grids() else {
        return images(network, shape, options, names, forward);
    };
    if options.float16 {
        return Err(Error::Option {
            option: "float16",
            problem: "the network's layers are on integer grids already; leave it out".into(),
        });
    }
    let whole = whole(options, shape[1], &forward)?;
    let graph = on_grids(network, grids, shape, &whole)?;
    let (device, quantised) = (plain(network), network.valid());
    let forward = |input| whole(&quantised, input);
    let comparison = compare(&graph, shape, Reads::Numbers, forward, &device)?;
    let larger = quantised.clone().map(&mut Larger);
    let networks: [&dyn Fn(Tensor<4>) -> Tensor<2>; 2] = [&forward, &|input| whole(&larger, input)];
    comparison.check_grids(between(shape, Reads::Numbers, networks, &device))?;
    Ok(Onnx {
        model: written(&graph, options, options.output),
        difference: comparison.difference,
        activations: peak(&graph),
        external_above: options.external_above,
    })
}

/// The graph of a network with its layers on grids; `forward` is what it does with images of this shape.
fn on_grids(
    network: &Network,
    grids: &[Option<LayerGrid>],
    shape: [usize; 4],
    forward: &impl Fn(&Network, Tensor<4>) -> Tensor<2>,
) -> Result<Graph, Error> {
    let names = |path: &str| network.pytorch_name(path);
    let float = network.clone().without_grids();
    let (mut graph, _) = checked(&float, shape, Reads::Numbers, names, forward)?;
    quantise::insert(&mut graph, grids)?;
    Ok(graph)
}

/// The graph of a network on grids for images of `size` × `size` pixels.
pub(crate) fn quantised(network: &Network, size: usize) -> Result<Graph, Error> {
    let shape = [1, channels_of(network)?, size, size];
    let forward = |network: &Network, images| network.forward(images, &Taps::none()).logits;
    match network.grids() {
        Some(grids) => on_grids(network, grids, shape, &forward),
        None => Err(Error::Option {
            option: "grids",
            problem: "the network computes with floats: quantise it first".into(),
        }),
    }
}

/// All parameters a millionth larger, as sums in another order may be.
struct Larger;

impl ModuleMapper for Larger {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor * (1.0 + 1e-6), mapper)
    }
}

/// The names of the weights of a network's convolutions and linear layers, in the order in which a forward pass comes to
/// them: what [`Network::on_grids`] counts.
///
/// # Errors
/// As [`export_backbone`].
pub fn layers(network: &Network) -> Result<Vec<String>, Error> {
    let nodes = layer_nodes(network)?.into_iter();
    Ok(nodes.map(|(name, _)| name).collect())
}

/// The same with the nodes that they are in the file.
pub(crate) fn layer_nodes(network: &Network) -> Result<Vec<(String, Node)>, Error> {
    let size = network.config().image_size();
    let size = size.map_err(|problem| Error::Option {
        option: "size",
        problem: problem.to_string(),
    })?;
    let shape = [1, channels_of(network)?, size, size];
    let forward = |network: &Network, images| network.forward(images, &Taps::none()).logits;
    let names = |path: &str| network.pytorch_name(path);
    let (graph, _) = checked(
        &network.clone().without_grids(),
        shape,
        Reads::Numbers,
        names,
        &forward,
    )?;
    Ok(quantise::layers(&graph))
}

fn channels_of(network: &Network) -> Result<usize, Error> {
    let channels = network.config().channels();
    channels.map_err(|problem| Error::Option {
        option: "channels",
        problem: problem.to_string(),
    })
}

/// Exports a network of your own that reads images: `[channels, height, width]` of one. Weights have the paths of the
/// module as names.
///
/// # Errors
/// [`Error::Unsupported`] for an operation that ONNX lacks, [`Error::Batch`] for a network that does not treat each
/// image by itself, [`Error::Differs`] when the graph computes something else, [`Error::Option`].
pub fn export_backbone<B: Backbone<Input = Tensor<4>>>(
    network: &B,
    [channels, height, width]: [usize; 3],
    options: &Options,
) -> Result<Onnx, Error> {
    let forward = |network: &B, images| network.forward(images, &Taps::none()).logits;
    let shape = [1, channels, height, width];
    images(network, shape, options, str::to_owned, forward)
}

/// Exports a detector of one stage for images of `size` × `size` pixels, RGB in 0..1: the file normalises them itself, and
/// gives as `boxes` what [`Detector::boxes_and_scores`] does, `[batch, boxes, 4 + classes]`. Which of them are told is up to the
/// program that runs it.
///
/// # Errors
/// As [`export_backbone`]; [`Error::Option`] for a network of two stages, and for `normalise`.
pub fn export_detector(network: &Detector, size: usize, options: &Options) -> Result<Onnx, Error> {
    detector(network, size, options, "boxes")
}

/// As [`export_detector`], with non-maximum suppression in the file, which tells what [`Detector::detect`] finds, best first:
/// `boxes` `[batch, most, 4]`, x1, y1, x2, y2 in 0..1 of the image; `scores` `[batch, most]`, 0 where nothing more was found;
/// `classes` `[batch, most]`, from 1 on. What is compared with the network is what the suppression reads.
///
/// # Errors
/// As [`export_detector`].
pub fn export_detections(
    network: &Detector,
    size: usize,
    options: &Options,
) -> Result<Onnx, Error> {
    let mut onnx = detector(network, size, options, "all_boxes")?;
    nms::append(&mut onnx.model, &network.filter());
    Ok(onnx)
}

fn detector(
    network: &Detector,
    size: usize,
    options: &Options,
    output: &str,
) -> Result<Onnx, Error> {
    let refuse = |option, problem: &str| {
        Err(Error::Option {
            option,
            problem: problem.into(),
        })
    };
    if matches!(network, Detector::FasterRcnn(_)) {
        return refuse(
            "model",
            "a network of two stages chooses its boxes while it runs, which a graph of fixed shapes cannot; export the \
             student of one stage",
        );
    }
    if options.normalise.is_some() {
        return refuse(
            "normalise",
            "a detector normalises its images itself; leave it out",
        );
    }
    let nothing = |images: Tensor<4>| Tensor::zeros([0, 0, 0], &images.device());
    // Other networks than those were refused.
    let forward = |network: &Detector, images: Tensor<4>| {
        let said = network.boxes_and_scores(images.clone());
        said.unwrap_or_else(|_| nothing(images))
    };
    let names = |path: &str| network.pytorch_name(path);
    let shape = [1, 3, size, size];
    exported(network, shape, options, output, names, forward)
}

fn images<M: Module>(
    network: &M,
    shape: [usize; 4],
    options: &Options,
    names: impl Fn(&str) -> String,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
) -> Result<Onnx, Error> {
    let whole = whole(options, shape[1], &forward)?;
    exported(network, shape, options, options.output, names, whole)
}

/// What a file computes of images of so many channels: the network with what `options` puts around it.
fn whole<M>(
    options: &Options,
    channels: usize,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
) -> Result<impl Fn(&M, Tensor<4>) -> Tensor<2>, Error> {
    if let Some(normalisation) = &options.normalise {
        normalisation.check(channels)?;
    }
    Ok(move |network: &M, images: Tensor<4>| {
        let images = match &options.normalise {
            Some(normalisation) => normalised(images, normalisation),
            None => images,
        };
        finished(options, forward(network, images))
    })
}

/// What a file gives of logits.
pub(crate) fn finished(options: &Options, logits: Tensor<2>) -> Tensor<2> {
    match options.output {
        Output::Logits => logits,
        Output::Probabilities => softmax(logits, 1),
    }
}

/// Exports any module and what it does with one tensor, whose first axis counts examples. Of `options`, what concerns
/// images is up to `forward`: `normalise` and `output` only name things.
///
/// # Errors
/// As [`export_backbone`].
pub fn export_module<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    options: &Options,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Result<Onnx, Error> {
    exported(
        module,
        shape,
        options,
        options.output,
        str::to_owned,
        forward,
    )
}

fn exported<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    options: &Options,
    output: impl Display,
    names: impl Fn(&str) -> String,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Result<Onnx, Error> {
    let (mut graph, mut comparison) = checked(module, shape, Reads::Numbers, names, &forward)?;
    if options.float16 {
        half::round(&mut graph)?;
        let network = module.valid();
        let run = |input| forward(&network, input);
        comparison = compare(&graph, shape, Reads::Numbers, run, &plain(module))?;
        half::cast_ends(&mut graph);
    }
    Ok(Onnx {
        model: written(&graph, options, output),
        difference: comparison.difference,
        activations: peak(&graph),
        external_above: options.external_above,
    })
}

/// The graph of a module in float32, compared with it.
pub(crate) fn checked<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    reads: Reads,
    names: impl Fn(&str) -> String,
    forward: &impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Result<(Graph, Comparison), Error> {
    let captured = BATCHES.map(|batch| {
        let mut shape = shape;
        shape[0] = batch;
        capture(module, shape, forward)
    });
    let [first, second] = captured;
    let (first, second) = (first?, second?);
    let device = plain(module);
    let mut graph = lower([&first, &second], names)?;
    fold(&mut graph, &device)?;
    simplify(&mut graph);
    if matches!(reads, Reads::Ids { .. }) {
        text::read_integers(&mut graph);
    }
    let network = module.valid();
    let run = |input| forward(&network, input);
    let comparison = compare(&graph, shape, reads, run, &device)?;
    comparison.check()?;
    Ok((graph, comparison))
}

/// The file of a graph whose output has this name.
pub(crate) fn written(
    graph: &Graph,
    options: &Options,
    output: impl Display,
) -> crate::proto::Model {
    model::model(
        graph,
        &options.name,
        &output.to_string(),
        options.float16,
        &options.metadata,
    )
}

/// `(x - mean) / std`, channel by channel.
fn normalised(images: Tensor<4>, normalisation: &Normalisation) -> Tensor<4> {
    let device = images.device();
    let [mean, std] = [&normalisation.mean, &normalisation.std].map(|v| channels(v, &device));
    (images - mean) / std
}

fn channels(values: &[f32], device: &Device) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [1, values.len(), 1, 1]);
    Tensor::from_data(data, device)
}
