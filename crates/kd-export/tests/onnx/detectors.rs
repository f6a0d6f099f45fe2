//! Detectors of one stage: boxes and scores as the network says them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::draw;
use kd_export::{Error, Options, export_detector};
use kd_models::detection::Detector;

use crate::{images, rten_of, tensor};

/// A network whose normalisations have the statistics of images. With those that it is built with, values grow from layer to
/// layer, and the rounding of boxes with them.
fn measured(name: &str, size: usize) -> Detector {
    draw::seed(5);
    let network = Detector::new(name, 4, &Device::flex().autodiff()).unwrap();
    let shape = [2, 3, size, size];
    let values: Vec<f32> = images(shape).iter().map(|v| v.abs().min(1.0)).collect();
    for _ in 0..10 {
        let images = Tensor::from_inner(tensor(&values, shape));
        network.boxes_and_scores(images).unwrap();
    }
    network.valid()
}

#[test]
fn a_detector_gives_its_boxes_and_scores() {
    for (name, size, boxes) in [
        ("ssd300_vgg16_eighth", 300, 8732),
        ("ssd300_resnet18_quarter", 300, 8732),
        ("ssd300_mobilenet_v2", 300, 8732),
        ("ssdlite320_mobilenet_v3_large", 320, 3234),
    ] {
        let network = measured(name, size);
        let onnx = export_detector(&network, size, &Options::default()).unwrap();
        assert!(onnx.difference() < 1e-4, "{name}: {}", onnx.difference());
        assert!(onnx.tensorrt().is_empty(), "{name}: {:?}", onnx.tensorrt());
        for batch in [1, 2] {
            let shape = [batch, 3, size, size];
            let values: Vec<f32> = images(shape).iter().map(|v| v.abs().min(1.0)).collect();
            let (got, shape_of_output) = rten_of(&onnx, &values, shape);
            assert_eq!(shape_of_output, [batch, boxes, 8], "{name}");
            let wanted: Tensor<3> = network.boxes_and_scores(tensor(&values, shape)).unwrap();
            let wanted: Vec<f32> = wanted.into_data().iter().collect();
            for (got, want) in got.iter().zip(&wanted) {
                assert!((got - want).abs() < 1e-4, "{name}: {got} instead of {want}");
            }
        }
    }
}

#[test]
fn a_network_of_two_stages_is_refused() {
    let network = Detector::new("fasterrcnn_resnet18_fpn_small", 4, &Device::flex()).unwrap();
    let refused = export_detector(&network, 300, &Options::default()).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Option {
                option: "model",
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("two stages"));
}
