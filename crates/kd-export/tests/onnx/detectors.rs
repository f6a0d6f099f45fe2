//! Detectors of one stage: boxes and scores as the network says them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::detection::nms;
use kd_core::draw;
use kd_export::{Error, Onnx, Options, export_detections, export_detector};
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
        ("retinanet_resnet18_quarter_fpn_small", 160, 4842),
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

/// What a file with suppression finds in images: class, score and box in 0..1, for each image.
///
/// rten's `NonMaxSuppression` is another than ONNX's: it knows one class of a box, and divides by the area of both boxes'
/// hull. So rten computes what goes into it and what follows from it, and in between stands the definition.
fn found(onnx: &Onnx, values: &[f32], shape: [usize; 4]) -> Vec<Vec<(usize, f32, [f32; 4])>> {
    let model = rten::Model::load(onnx.bytes()).unwrap();
    let id = |name: &str| model.node_id(name).unwrap();
    let input = rten::Value::from_shape(shape, values.to_vec()).unwrap();
    let image = (id("images"), input.into());
    let nodes = &onnx.model().graph.as_ref().unwrap().node;
    let suppression = nodes.iter().find(|n| n.op_type() == "NonMaxSuppression");
    let suppression = suppression.unwrap();
    let into = [&suppression.input[0], &suppression.input[1]].map(|name| id(name));
    let [boxes, scores] = model.run_n(vec![image], into, None).unwrap();
    let places = kept(onnx, &boxes, &scores);
    let places = rten::Value::from_shape([places.len() / 3, 3], places).unwrap();
    let given = vec![
        (into[0], boxes.into()),
        (into[1], scores.into()),
        (id(&suppression.output[0]), places.into()),
    ];
    let outputs = ["boxes", "scores", "classes"].map(id);
    let [boxes, scores, classes] = model.run_n(given, outputs, None).unwrap();
    let ([batch, most, 4], boxes) = boxes.into_shape_vec::<f32, 3>().unwrap() else {
        panic!("boxes have four sides");
    };
    let (_, scores) = scores.into_shape_vec::<f32, 2>().unwrap();
    let (_, classes) = classes.into_shape_vec::<i32, 2>().unwrap();
    assert_eq!(scores.len(), batch * most);
    let (sides, _) = boxes.as_chunks::<4>();
    let all = (0..batch * most).map(|at| (classes[at] as usize, scores[at], sides[at]));
    let all: Vec<_> = all.collect();
    let images = all.chunks(most).map(|image| {
        let found = image.iter().copied().take_while(|found| found.1 > 0.0);
        found.collect()
    });
    images.collect()
}

/// Image, class and box of all that `NonMaxSuppression` keeps, by its definition.
fn kept(onnx: &Onnx, boxes: &rten::Value, scores: &rten::Value) -> Vec<i32> {
    let graph = onnx.model().graph.as_ref().unwrap();
    let constant = |name: &str| {
        let name = format!("/suppression/{name}");
        let found = graph.initializer.iter().find(|t| t.name() == name);
        found.unwrap().raw_data().to_vec()
    };
    let most = i64::from_le_bytes(constant("most_of_a_class").try_into().unwrap()) as usize;
    let [overlap, least] = ["overlap", "score"]
        .map(|name| f64::from(f32::from_le_bytes(constant(name).try_into().unwrap())));
    let ([batch, classes, count], scores) = scores.clone().into_shape_vec::<f32, 3>().unwrap();
    let (_, boxes) = boxes.clone().into_shape_vec::<f32, 3>().unwrap();
    let (boxes, _) = boxes.as_chunks::<4>();
    let mut kept = Vec::new();
    for (image, class) in (0..batch).flat_map(|i| (0..classes).map(move |c| (i, c))) {
        let first = (image * classes + class) * count;
        let scores: Vec<f64> = scores[first..first + count]
            .iter()
            .map(|s| f64::from(*s))
            .collect();
        let above: Vec<usize> = (0..count).filter(|i| scores[*i] > least).collect();
        let corners = above
            .iter()
            .map(|i| boxes[image * count + i].map(f64::from));
        let corners: Vec<[f64; 4]> = corners.collect();
        let scores: Vec<f64> = above.iter().map(|i| scores[*i]).collect();
        for at in nms(&corners, &scores, overlap).into_iter().take(most) {
            kept.extend([image, class, above[at]].map(|number| number as i32));
        }
    }
    kept
}

#[test]
fn a_file_with_suppression_tells_what_the_network_finds() {
    for (name, size) in [
        ("ssd300_vgg16_eighth", 300),
        ("ssd300_resnet18_quarter", 300),
    ] {
        let network = measured(name, size);
        let onnx = export_detections(&network, size, &Options::default()).unwrap();
        assert!(onnx.tensorrt().is_empty(), "{name}: {:?}", onnx.tensorrt());
        let shape = [2, 3, size, size];
        let values: Vec<f32> = images(shape).iter().map(|v| v.abs().min(1.0)).collect();
        let wanted = network.detect(tensor(&values, shape)).unwrap();
        let found = found(&onnx, &values, shape);
        assert_eq!(found.len(), 2);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found.len(), wanted.len(), "{name}");
            assert!(found.len() > 50, "{name}: {}", found.len());
            assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "{name}");
            // Scores that are all but equal may change places.
            let mut left: Vec<_> = wanted.iter().collect();
            for (class, score, sides) in found {
                let same = left.iter().position(|want| {
                    let edges = sides.iter().zip(want.corners);
                    *class == want.class
                        && (f64::from(*score) - want.score).abs() < 1e-4
                        && edges.into_iter().all(|(side, edge)| {
                            (f64::from(*side) * size as f64 - edge).abs() < 0.05
                        })
                });
                let at = same.unwrap_or_else(|| panic!("{name}: {class} {score} {sides:?}"));
                left.remove(at);
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
