//! What cannot be exported, and what is said.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use kd_export::{Error, Options, export_module, export_network};

use crate::network;

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    scale: Param<Tensor<2>>,
}

fn net() -> Net {
    let device = Device::flex();
    Net {
        first: LinearConfig::new(4, 4).init(&device),
        scale: Param::from_tensor(Tensor::ones([1, 4], &device)),
    }
}

fn refused(forward: impl Fn(&Net, Tensor<2>) -> Tensor<2>) -> String {
    let error = export_module(&net(), [1, 4], &Options::default(), forward).unwrap_err();
    error.to_string()
}

#[test]
fn an_operation_that_onnx_lacks_is_named_with_its_layer() {
    let message = refused(|net, x| net.first.forward(x).cumprod(1));
    assert_eq!(
        message,
        "ONNX has no operation for `CumProd` (after layer `first`)"
    );
    let message = refused(|_, x| x.sort(1));
    assert!(
        message.contains("`Sort` (before the first layer)"),
        "{message}"
    );
}

#[test]
fn a_network_that_mixes_images_is_refused() {
    let message = refused(|net, x| {
        let y = net.first.forward(x);
        y.clone() - y.mean_dim(0)
    });
    assert!(
        message.starts_with(
            "`MeanDim` (after layer `first`) depends on the number of images: it goes along"
        ),
        "{message}"
    );
    let message = refused(|net, x| {
        let batch = x.dims()[0];
        net.first.forward(x) / batch as f64
    });
    assert!(
        message.contains("`DivScalar`") && message.contains("other arguments"),
        "{message}"
    );
    let message = refused(|net, x| {
        let batch = x.dims()[0];
        let padded = Tensor::cat(
            vec![x, Tensor::zeros([batch + 1, 4], &net.scale.val().device())],
            0,
        );
        padded.narrow(0, 0, batch) * net.scale.val()
    });
    assert!(
        message.contains("depends on the number of images"),
        "{message}"
    );
    let message = refused(|net, x| match x.dims()[0] {
        2 => net.first.forward(x),
        _ => net.first.forward(net.first.forward(x)),
    });
    assert!(
        message.contains("depends on the number of images"),
        "{message}"
    );
}

#[test]
fn data_that_follow_the_images_are_refused() {
    let message = refused(|net, x| {
        let batch = x.dims()[0] as f32;
        x * Tensor::from_floats([[batch; 4]], &net.scale.val().device())
    });
    assert!(message.contains("from_data"), "{message}");
}

#[test]
fn statistics_of_other_channels_are_refused() {
    let normalise = Some(kd_export::Normalisation {
        mean: vec![0.5],
        std: vec![0.5],
    });
    let options = Options {
        normalise,
        ..Options::default()
    };
    let error = export_network(&network("resnet8", 32), 32, &options).unwrap_err();
    assert!(error.to_string().contains("each of 3 channels"), "{error}");
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = export_network(&network("resnet8", 32), 32, &Options::default()).unwrap();
    let missing = folder.path().join("none/student.onnx");
    let error = onnx.save(&missing).unwrap_err();
    assert!(matches!(error, Error::Write { .. }));
    assert!(error.to_string().contains("none/student.onnx"), "{error}");
    // A folder in the place of the file.
    let taken = folder.path().join("taken.onnx");
    std::fs::create_dir(&taken).unwrap();
    assert!(onnx.save(&taken).is_err());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
