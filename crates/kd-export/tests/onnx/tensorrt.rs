//! The rules of TensorRT, each broken once.

use kd_export::check::tensorrt::check;
use kd_export::proto::{AttributeProto, GraphProto, Model, NodeProto, Opset, TensorProto, types};

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        name: Some(op.into()),
        op_type: Some(op.into()),
        attribute: Vec::new(),
    }
}

fn with_axis(mut node: NodeProto, axis: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: Some("axis".into()),
        i: Some(axis),
        r#type: Some(2),
        ..AttributeProto::default()
    });
    node
}

fn tensor(name: &str, dims: &[i64], kind: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: Some(kind),
        name: Some(name.into()),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

fn floats(name: &str, values: &[f32]) -> TensorProto {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    tensor(name, &[values.len() as i64], types::FLOAT, bytes)
}

fn findings(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<String> {
    check(&Model {
        opset_import: vec![Opset {
            domain: None,
            version: Some(17),
        }],
        graph: Some(GraphProto {
            node,
            initializer,
            ..GraphProto::default()
        }),
        ..Model::default()
    })
}

/// A weight of two outputs in a pair of nodes before a convolution.
fn quantised(scale: &[f32], zero: Vec<u8>, zero_kind: i32, axis: i64) -> Vec<String> {
    let nodes = vec![
        with_axis(node("DequantizeLinear", &["w", "s", "z"], "d"), axis),
        node("Conv", &["x", "d"], "y"),
    ];
    let zero = tensor("z", &[scale.len() as i64], zero_kind, zero);
    let weight = tensor("w", &[2, 3, 1, 1], types::INT8, vec![1; 6]);
    findings(nodes, vec![weight, floats("s", scale), zero])
}

#[test]
fn a_weight_in_the_form_that_tensorrt_takes_passes() {
    let found = quantised(&[0.5, 0.25], vec![0, 0], types::INT8, 0);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn rules_of_quantised_weights() {
    for (found, word) in [
        (
            quantised(&[0.5, 0.0], vec![0, 0], types::INT8, 0),
            "not above 0",
        ),
        (
            quantised(&[0.5, 0.25], vec![0, 1], types::INT8, 0),
            "zero point is not 0",
        ),
        (
            quantised(&[0.5, 0.25], vec![0, 0], types::UINT8, 0),
            "without a sign",
        ),
        (
            quantised(&[0.5, 0.25], vec![0, 0], types::INT8, 1),
            "one scale for each channel",
        ),
        (
            quantised(&[0.5, 0.25, 0.5], vec![0; 3], types::INT8, 1),
            "not that of the outputs",
        ),
    ] {
        assert!(
            found.len() == 1 && found[0].contains(word),
            "{word}: {found:?}"
        );
    }
    let bias = tensor("b", &[1], types::INT32, vec![0; 4]);
    let found = findings(
        vec![node("DequantizeLinear", &["b", "s"], "y")],
        vec![bias, floats("s", &[0.5])],
    );
    assert!(
        found.len() == 1 && found[0].contains("write it as floats"),
        "{found:?}"
    );
    let found = findings(vec![node("QuantizeLinear", &["x", "s"], "y")], vec![]);
    assert!(
        found.len() == 1 && found[0].contains("scale must be"),
        "{found:?}"
    );
    let found = findings(
        vec![node("QuantizeLinear", &["x", "s"], "y")],
        vec![floats("s", &[0.5, 0.5])],
    );
    assert!(
        found.len() == 1 && found[0].contains("for weights only"),
        "{found:?}"
    );
}

#[test]
fn operations_and_constants() {
    let found = findings(vec![node("QLinearConv", &["x"], "y")], vec![]);
    assert!(found[0].contains("QLinearConv is not read"), "{found:?}");
    let found = findings(vec![node("Unique", &["x"], "y")], vec![]);
    assert_eq!(found, ["Unique: Unique is not in TensorRT's table"]);
    let found = findings(
        vec![node("Slice", &["x", "a", "b", "c"], "y")],
        vec![floats("a", &[1.0])],
    );
    assert_eq!(found, ["Slice: input 3 of Slice must be an initialiser"]);
    let mut pool = node("MaxPool", &["x"], "y");
    pool.attribute = ["kernel_shape", "dilations"]
        .map(|name| AttributeProto {
            name: Some(name.into()),
            ints: vec![2, 2],
            ..AttributeProto::default()
        })
        .to_vec();
    assert_eq!(findings(vec![pool], vec![]), ["MaxPool: pooling with gaps"]);
    let old = Model {
        opset_import: vec![Opset {
            domain: None,
            version: Some(21),
        }],
        graph: Some(GraphProto::default()),
        ..Model::default()
    };
    assert_eq!(check(&old), ["opset 21: TensorRT 10.1 reads 9 to 20"]);
}
