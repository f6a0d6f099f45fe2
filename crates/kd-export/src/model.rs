//! A graph as the messages of a file.

use std::collections::{BTreeMap, BTreeSet};

use crate::constant::{Constant, Values};
use crate::graph::{Attribute, Dim, Graph, Node, Value};
use crate::half::bytes_of_halves;
use crate::names::layer;
use crate::proto::{
    AttributeProto, DimProto, Entry, GraphProto, Model, NodeProto, Opset, ShapeProto, TensorProto,
    TensorType, TypeProto, ValueInfo, types,
};

/// The version of the operations that are written.
pub const OPSET: i64 = 17;
/// The version of the format that is written.
pub const IR_VERSION: i64 = 8;

/// The name of the input.
fn input(graph: &Graph) -> &'static str {
    match graph.integers {
        true => "input_ids",
        false => "images",
    }
}

/// The file of a graph.
pub(crate) fn model(
    graph: &Graph,
    name: &str,
    output: &str,
    halves: bool,
    metadata: &[(String, String)],
) -> Model {
    let names = Names::of(graph, output);
    let scales = scales(graph);
    let initializer = used(graph).into_iter().map(|value| {
        let halves = halves && !scales.contains(&value);
        tensor(names.of_value(value), &graph.constants[&value], halves)
    });
    let nodes = graph.nodes.iter().zip(&names.nodes);
    let io = |name: &str, value: Value, integers: bool| ValueInfo {
        name: Some(name.into()),
        r#type: Some(tensors(&graph.dims[&value], integers)),
    };
    Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("kd".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(GraphProto {
            node: nodes
                .map(|(node, name)| message(node, name, &names))
                .collect(),
            name: Some(name.into()),
            initializer: initializer.collect(),
            input: vec![io(input(graph), graph.input, graph.integers)],
            output: vec![io(output, graph.output, false)],
        }),
        opset_import: vec![Opset {
            domain: Some(String::new()),
            version: Some(OPSET),
        }],
        metadata_props: metadata
            .iter()
            .map(|(key, value)| Entry::new(key, value))
            .collect(),
    }
}

/// Scales of `Resize`, which are 32-bit floats in a file of any precision.
pub(crate) fn scales(graph: &Graph) -> BTreeSet<Value> {
    let resizes = graph.nodes.iter().filter(|node| node.op == "Resize");
    resizes.filter_map(|node| node.input(2)).collect()
}

/// Constants in the order of their first use.
fn used(graph: &Graph) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let read = graph.nodes.iter().flat_map(|node| &node.inputs).flatten();
    let constants = read.filter(|value| graph.constants.contains_key(value));
    constants
        .copied()
        .filter(|value| seen.insert(*value))
        .collect()
}

/// A name for each node and value.
struct Names {
    nodes: Vec<String>,
    values: BTreeMap<Value, String>,
}

impl Names {
    /// Constants have their names of the state dict, nodes those of their layer.
    fn of(graph: &Graph, output: &str) -> Self {
        let mut taken = BTreeSet::from([input(graph).to_owned(), output.to_owned()]);
        let mut unique = |wanted: String| {
            let mut name = wanted.clone();
            let mut count = 1;
            while !taken.insert(name.clone()) {
                name = format!("{wanted}_{count}");
                count += 1;
            }
            name
        };
        let mut wanted = graph.names.clone();
        // The bias that a normalisation left belongs to the layer with the weight.
        for node in graph
            .nodes
            .iter()
            .filter(|node| matches!(node.op, "Conv" | "Gemm"))
        {
            let weight = node.input(1).and_then(|weight| wanted.get(&weight));
            let module = weight.and_then(|name| name.strip_suffix(".weight"));
            if let (Some(module), Some(bias)) = (module, node.input(2)) {
                let name = format!("{module}.bias");
                wanted.insert(bias, name);
            }
        }
        let mut values = BTreeMap::new();
        for value in used(graph) {
            let name = wanted.get(&value).cloned();
            let name = name.unwrap_or_else(|| "/constant".into());
            values.insert(value, unique(name));
        }
        let mut nodes = Vec::new();
        for node in &graph.nodes {
            let named = node
                .inputs
                .iter()
                .flatten()
                .find_map(|value| wanted.get(value));
            let name = match named {
                Some(parameter) => format!("/{}/{}", layer(parameter), node.op),
                None => format!("/{}", node.op),
            };
            let name = unique(name);
            values.insert(node.output, format!("{name}_output_0"));
            nodes.push(name);
        }
        values.insert(graph.input, input(graph).into());
        values.insert(graph.output, output.into());
        Self { nodes, values }
    }

    fn of_value(&self, value: Value) -> String {
        self.values.get(&value).cloned().unwrap_or_default()
    }
}

fn message(node: &Node, name: &str, names: &Names) -> NodeProto {
    let inputs = node.inputs.iter();
    NodeProto {
        input: inputs
            .map(|input| input.map_or_else(String::new, |value| names.of_value(value)))
            .collect(),
        output: vec![names.of_value(node.output)],
        name: Some(name.into()),
        op_type: Some(node.op.into()),
        attribute: node.attributes.iter().map(attribute).collect(),
    }
}

pub(crate) fn attribute((name, value): &(&'static str, Attribute)) -> AttributeProto {
    let mut message = AttributeProto {
        name: Some((*name).into()),
        ..AttributeProto::default()
    };
    message.r#type = Some(match value {
        Attribute::Float(value) => {
            message.f = Some(*value);
            1
        }
        Attribute::Int(value) => {
            message.i = Some(*value);
            2
        }
        Attribute::Text(value) => {
            message.s = Some(value.as_bytes().to_vec());
            3
        }
        Attribute::Ints(values) => {
            message.ints.clone_from(values);
            7
        }
    });
    message
}

pub(crate) fn tensor(name: String, constant: &Constant, halves: bool) -> TensorProto {
    let (kind, bytes) = match &constant.values {
        Values::Float(values) if halves => (types::FLOAT16, bytes_of_halves(values)),
        Values::Float(values) => {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            (types::FLOAT, bytes.collect())
        }
        Values::Int(values) => {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            (types::INT64, bytes.collect())
        }
        Values::Bool(values) => (
            types::BOOL,
            values.iter().map(|&value| value.into()).collect(),
        ),
        Values::Int8(values) => {
            let bytes = values.iter().map(|value| value.cast_unsigned());
            (types::INT8, bytes.collect())
        }
        Values::Uint8(values) => (types::UINT8, values.clone()),
    };
    TensorProto {
        dims: constant.shape.iter().map(|&size| size as i64).collect(),
        data_type: Some(kind),
        name: Some(name),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// The type of a tensor of floats, or of integers.
pub(crate) fn tensors(dims: &[Dim], integers: bool) -> TypeProto {
    let dim = dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => DimProto {
            dim_value: Some(*size as i64),
            dim_param: None,
        },
        Dim::Batch(1) => named("batch".into()),
        Dim::Batch(times) => named(format!("{times} * batch")),
    });
    TypeProto {
        tensor_type: Some(TensorType {
            elem_type: Some(if integers { types::INT64 } else { types::FLOAT }),
            shape: Some(ShapeProto { dim: dim.collect() }),
        }),
    }
}

fn named(name: String) -> DimProto {
    DimProto {
        dim_value: None,
        dim_param: Some(name),
    }
}
