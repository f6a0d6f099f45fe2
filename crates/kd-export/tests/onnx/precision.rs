//! Files of float16.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kd_export::proto::types;
use kd_export::{Options, export_module, export_network};

use crate::network;

fn halves() -> Options {
    Options {
        float16: true,
        ..Options::default()
    }
}

#[test]
fn weights_are_halves_and_the_ends_are_not() {
    let onnx = export_network(&network("mobilenet_v2", 32), 32, &halves()).unwrap();
    let graph = onnx.model().graph.as_ref().unwrap();
    for tensor in &graph.initializer {
        assert!(
            [types::FLOAT16, types::INT64].contains(&tensor.data_type()),
            "{}",
            tensor.name()
        );
    }
    let end =
        |end: &kd_export::proto::ValueInfo| end.r#type.as_ref()?.tensor_type.as_ref()?.elem_type;
    assert_eq!(end(&graph.input[0]), Some(types::FLOAT));
    assert_eq!(end(&graph.output[0]), Some(types::FLOAT));
    assert_eq!(onnx.operations()["Cast"], 2);
    let whole = export_network(&network("mobilenet_v2", 32), 32, &Options::default()).unwrap();
    assert!(onnx.bytes().len() < whole.bytes().len() * 6 / 10);
    // Rounding shows, and is small.
    assert!(onnx.difference() > whole.difference() && onnx.difference() < 0.1);
}

#[derive(Module, Debug)]
struct Wide {
    scale: Param<Tensor<2>>,
}

#[test]
fn a_weight_beyond_the_range_is_named() {
    let scale = Param::from_tensor(Tensor::from_floats([[1e5, 1.0]], &Device::flex()));
    let wide = Wide { scale };
    let forward = |wide: &Wide, x: Tensor<2>| x * wide.scale.val();
    let error = export_module(&wide, [1, 2], &halves(), forward).unwrap_err();
    assert_eq!(
        error.to_string(),
        "float16 ends at 65504, and scale has the value 1e5: export it as float32"
    );
}
