//! What stands in a file besides the graph.

use kd_core::Taps;
use kd_export::proto::Model;
use kd_export::{Normalisation, Options, Output, export_network};
use kd_models::Backbone;
use prost::Message;

use crate::{images, near, network, rten, tensor};

#[test]
fn versions_names_and_metadata() {
    let options = Options {
        name: "resnet8".into(),
        metadata: vec![("classes".into(), "[\"cat\",\"dog\"]".into())],
        ..Options::default()
    };
    let onnx = export_network(&network("resnet8", 32), 32, &options).unwrap();
    let model = Model::decode(&onnx.bytes()[..]).unwrap();
    assert_eq!(model, *onnx.model());
    assert_eq!(
        (model.ir_version(), model.opset_import[0].version()),
        (8, 17)
    );
    assert_eq!(model.metadata_props[0].key(), "classes");
    let graph = model.graph.unwrap();
    assert_eq!(graph.name(), "resnet8");
    assert_eq!(
        (graph.input[0].name(), graph.output[0].name()),
        ("images", "logits")
    );
    let shape = graph.input[0]
        .r#type
        .as_ref()
        .unwrap()
        .tensor_type
        .as_ref()
        .unwrap();
    let dims = &shape.shape.as_ref().unwrap().dim;
    assert_eq!(dims[0].dim_param(), "batch");
    assert_eq!([1, 2, 3].map(|axis| dims[axis].dim_value()), [3, 32, 32]);
    let weights: Vec<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name())
        .collect();
    assert_eq!(weights[..2], ["conv1.weight", "conv1.bias"]);
    assert!(weights.contains(&"layer1.0.conv1.weight") && weights.contains(&"fc.weight"));
    let nodes: Vec<&str> = graph.node.iter().map(|node| node.name()).collect();
    assert_eq!(nodes[..2], ["/conv1/Conv", "/Relu"]);
    let mut unique = nodes.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(
        unique.len(),
        nodes.len(),
        "every node has a name of its own"
    );
}

#[test]
fn normalisation_and_softmax_inside() {
    let network = network("resnet8", 32);
    let (mean, std) = (vec![0.5, 0.4, 0.3], vec![0.2, 0.25, 0.3]);
    let options = Options {
        normalise: Some(Normalisation {
            mean: mean.clone(),
            std: std.clone(),
        }),
        output: Output::Probabilities,
        ..Options::default()
    };
    let onnx = export_network(&network, 32, &options).unwrap();
    let shape = [3, 3, 32, 32];
    let pixels = images(shape);
    let normalised: Vec<f32> = pixels
        .iter()
        .enumerate()
        .map(|(index, pixel)| {
            let channel = index / (32 * 32) % 3;
            (pixel - mean[channel]) / std[channel]
        })
        .collect();
    let logits = network
        .forward(tensor(&normalised, shape), &Taps::none())
        .logits;
    let wanted = burn::tensor::activation::softmax(logits, 1);
    let wanted: Vec<f32> = wanted.into_data().iter().collect();
    near("inside", &rten(&onnx, &pixels, shape).0, &wanted, 1e-5);
    let graph = onnx.model().graph.as_ref().unwrap();
    assert_eq!(graph.output[0].name(), "probabilities");
}

#[test]
fn large_weights_lie_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.onnx");
    let network = network("resnet8", 32);
    let whole = export_network(&network, 32, &Options::default()).unwrap();
    let options = Options {
        external_above: 10_000,
        ..Options::default()
    };
    export_network(&network, 32, &options)
        .unwrap()
        .save(&path)
        .unwrap();
    let model = Model::decode(&std::fs::read(&path).unwrap()[..]).unwrap();
    let data = std::fs::read(folder.path().join("student.onnx.data")).unwrap();
    let outside = model.graph.unwrap().initializer;
    let inside = &whole.model().graph.as_ref().unwrap().initializer;
    let mut moved = 0;
    for (outside, inside) in outside.iter().zip(inside) {
        let wanted = inside.raw_data();
        if outside.data_location() == 0 {
            assert!(wanted.len() < 1024);
            assert_eq!(outside.raw_data(), wanted);
            continue;
        }
        moved += 1;
        let value = |key: &str| {
            let found = outside
                .external_data
                .iter()
                .find(|entry| entry.key() == key);
            found.unwrap().value().to_owned()
        };
        assert_eq!(value("location"), "student.onnx.data");
        let [start, length] = ["offset", "length"].map(|key| value(key).parse::<usize>().unwrap());
        assert_eq!(start % 4096, 0);
        assert_eq!(&data[start..start + length], wanted);
    }
    assert_eq!(moved, 10, "nine convolutions and the classifier, no bias");
    // With room for the weights there is one file.
    let alone = folder.path().join("alone.onnx");
    whole.save(&alone).unwrap();
    assert!(!folder.path().join("alone.onnx.data").exists());
    assert_eq!(std::fs::read(alone).unwrap(), whole.bytes());
}
