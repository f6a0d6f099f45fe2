//! From a module to a file.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::Taps;
use kd_models::detection::Detector;
use kd_models::{Backbone, Network};

use crate::batch::BATCHES;
use crate::capture::{capture, plain};
use crate::fold::fold;
use crate::graph::Graph;
use crate::lower::lower;
use crate::options::{Normalisation, Options, Output};
use crate::peephole::simplify;
use crate::replay::compare;
use crate::{Error, Onnx, half, model};

/// Exports a network of the registry for images of `size` × `size` pixels. Weights have the names of its reference's
/// state dict.
///
/// # Errors
/// As [`export_backbone`].
pub fn export_network(network: &Network, size: usize, options: &Options) -> Result<Onnx, Error> {
    let channels = network
        .config()
        .channels()
        .map_err(|problem| Error::Option {
            option: "channels",
            problem: problem.to_string(),
        })?;
    let shape = [1, channels, size, size];
    let forward = |network: &Network, images| network.forward(images, &Taps::none()).logits;
    images(
        network,
        shape,
        options,
        |path| network.pytorch_name(path),
        forward,
    )
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
/// gives what [`Detector::boxes_and_scores`] does, `[batch, boxes, 4 + classes]`. Which boxes are told is up to the program
/// that runs it.
///
/// # Errors
/// As [`export_backbone`]; [`Error::Option`] for a network of two stages, and for `normalise`.
pub fn export_detector(network: &Detector, size: usize, options: &Options) -> Result<Onnx, Error> {
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
    exported(network, [1, 3, size, size], options, names, forward)
}

fn images<M: Module>(
    network: &M,
    shape: [usize; 4],
    options: &Options,
    names: impl Fn(&str) -> String,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
) -> Result<Onnx, Error> {
    if let Some(normalisation) = &options.normalise {
        normalisation.check(shape[1])?;
    }
    let whole = |network: &M, images: Tensor<4>| {
        let images = match &options.normalise {
            Some(normalisation) => normalised(images, normalisation),
            None => images,
        };
        let logits = forward(network, images);
        match options.output {
            Output::Logits => logits,
            Output::Probabilities => softmax(logits, 1),
        }
    };
    exported(network, shape, options, names, whole)
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
    exported(module, shape, options, str::to_owned, forward)
}

fn exported<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    options: &Options,
    names: impl Fn(&str) -> String,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Result<Onnx, Error> {
    let captured = BATCHES.map(|batch| {
        let mut shape = shape;
        shape[0] = batch;
        capture(module, shape, &forward)
    });
    let [first, second] = captured;
    let (first, second) = (first?, second?);
    let device = plain(module);
    let mut graph = lower([&first, &second], names)?;
    fold(&mut graph, &device)?;
    simplify(&mut graph);
    let network = module.valid();
    let run = |input| forward(&network, input);
    let mut comparison = compare(&graph, shape, run, &device)?;
    comparison.check()?;
    if options.float16 {
        half::round(&mut graph)?;
        comparison = compare(&graph, shape, run, &device)?;
        half::cast_ends(&mut graph);
    }
    Ok(Onnx {
        model: written(&graph, options),
        difference: comparison.difference,
        external_above: options.external_above,
    })
}

fn written(graph: &Graph, options: &Options) -> crate::proto::Model {
    let output = options.output.to_string();
    model::model(
        graph,
        &options.name,
        &output,
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
