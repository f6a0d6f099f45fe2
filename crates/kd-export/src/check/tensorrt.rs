//! Rules of TensorRT 10.1, from the table and the importers of onnx-tensorrt (10.1 GA, `docs/operators.md` and
//! `onnxOpImporters.cpp`). A file that passes is one that TensorRT's parser has importers for; only TensorRT can
//! say more.

use std::collections::BTreeMap;

use crate::proto::{GraphProto, Model, NodeProto, TensorProto, types};

/// Operations with an importer, of those that networks for images have.
const KNOWN: &[&str] = &[
    "Abs",
    "Acos",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "Asin",
    "Atan",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "Cos",
    "CumSum",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GridSample",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "NonMaxSuppression",
    "Not",
    "Or",
    "Pad",
    "Pow",
    "PRelu",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "ScatterND",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Tile",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Inputs of operations that must be constants, by place.
const CONSTANT: &[(&str, &[usize])] = &[
    ("Clip", &[1, 2]),
    ("NonMaxSuppression", &[2, 3, 4]),
    ("Pad", &[1]),
    ("ReduceSum", &[1]),
    ("Resize", &[2, 3]),
    ("Slice", &[3, 4]),
    ("Squeeze", &[1]),
    ("Unsqueeze", &[1]),
    ("Tile", &[1]),
    ("TopK", &[1]),
];

/// What TensorRT would refuse, one sentence each with the node's name; none when nothing is known against the file.
pub fn check(model: &Model) -> Vec<String> {
    let mut findings = Vec::new();
    let opset = model
        .opset_import
        .iter()
        .find(|opset| opset.domain().is_empty());
    if let Some(version) = opset.map(|opset| opset.version())
        && !(9..=20).contains(&version)
    {
        findings.push(format!("opset {version}: TensorRT 10.1 reads 9 to 20"));
    }
    let Some(graph) = &model.graph else {
        return vec!["the file holds no graph".into()];
    };
    let rules = Rules::new(graph);
    for node in &graph.node {
        rules.operation(node, &mut findings);
        rules.constants(node, &mut findings);
        match node.op_type() {
            "MaxPool" | "AveragePool" => rules.pool(node, &mut findings),
            "LayerNormalization" if node.output.len() > 1 => {
                findings.push(format!("{}: more outputs than the first", node.name()));
            }
            "QuantizeLinear" | "DequantizeLinear" => rules.scale(node, &mut findings),
            _ => {}
        }
    }
    findings
}

struct Rules<'a> {
    constants: BTreeMap<&'a str, &'a TensorProto>,
    graph: &'a GraphProto,
}

impl<'a> Rules<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let named = graph
            .initializer
            .iter()
            .map(|tensor| (tensor.name(), tensor));
        Self {
            constants: named.collect(),
            graph,
        }
    }

    fn operation(&self, node: &NodeProto, findings: &mut Vec<String>) {
        let op = node.op_type();
        if matches!(
            op,
            "QLinearConv"
                | "QLinearMatMul"
                | "ConvInteger"
                | "MatMulInteger"
                | "DynamicQuantizeLinear"
        ) {
            findings.push(format!(
                "{}: {op} is not read; write QuantizeLinear and DequantizeLinear around the float operation",
                node.name()
            ));
        } else if !KNOWN.contains(&op) {
            findings.push(format!("{}: {op} is not in TensorRT's table", node.name()));
        }
    }

    fn constants(&self, node: &NodeProto, findings: &mut Vec<String>) {
        let wanted = CONSTANT.iter().find(|(op, _)| *op == node.op_type());
        for &place in wanted.map_or(&[][..], |(_, places)| places) {
            let Some(input) = node.input.get(place).filter(|input| !input.is_empty()) else {
                continue;
            };
            if !self.constants.contains_key(input.as_str()) {
                findings.push(format!(
                    "{}: input {place} of {} must be an initialiser",
                    node.name(),
                    node.op_type()
                ));
            }
        }
    }

    fn pool(&self, node: &NodeProto, findings: &mut Vec<String>) {
        let ints = |name: &str| {
            let found = node
                .attribute
                .iter()
                .find(|attribute| attribute.name() == name);
            found.map_or(&[][..], |attribute| &attribute.ints)
        };
        if !matches!(ints("kernel_shape").len(), 2 | 3) {
            findings.push(format!(
                "{}: pooling over other than 2 or 3 axes",
                node.name()
            ));
        }
        if ints("dilations").iter().any(|&dilation| dilation != 1) {
            findings.push(format!("{}: pooling with gaps", node.name()));
        }
        if node.output.len() > 1 {
            findings.push(format!("{}: pooling with indices", node.name()));
        }
    }

    /// Scales constant and above 0, zero points 0, bytes with a sign, and an axis of outputs.
    fn scale(&self, node: &NodeProto, findings: &mut Vec<String>) {
        let mut find = |problem: &str| findings.push(format!("{}: {problem}", node.name()));
        let constant = |place: usize| {
            let name = node.input.get(place)?;
            self.constants.get(name.as_str()).copied()
        };
        let Some(scale) = constant(1) else {
            find("the scale must be an initialiser");
            return;
        };
        let raw = scale.raw_data();
        let (words, _) = raw.as_chunks::<4>();
        if words.iter().any(|word| f32::from_le_bytes(*word) <= 0.0) {
            find("a scale is not above 0");
        }
        if let Some(zero) = constant(2) {
            if zero.data_type() == types::UINT8 {
                find("bytes without a sign; TensorRT takes INT8");
            }
            if zero.raw_data().iter().any(|byte| *byte != 0) {
                find("a zero point is not 0");
            }
            if zero.dims != scale.dims {
                find("zero point and scale have different shapes");
            }
        }
        let input = constant(0);
        if input.is_some_and(|input| input.data_type() == types::INT32) {
            find("a bias of 32-bit integers; write it as floats");
        }
        let count: i64 = scale.dims.iter().product();
        if count <= 1 {
            return;
        }
        let axis = node
            .attribute
            .iter()
            .find(|attribute| attribute.name() == "axis");
        let axis = axis.map_or(1, |attribute| attribute.i());
        match input {
            None => find("a scale of each channel is for weights only"),
            Some(weight) if weight.dims.get(axis as usize) != Some(&count) => {
                find("there is not one scale for each channel of the axis");
            }
            Some(_) if self.outputs(node) != Some(axis) => {
                find("the axis is not that of the outputs");
            }
            Some(_) => {}
        }
    }

    /// The axis of the outputs in the weight of the operation that reads this node, through one more node of a pair.
    fn outputs(&self, node: &NodeProto) -> Option<i64> {
        let output = node.output.first()?;
        let reader = self
            .graph
            .node
            .iter()
            .find(|other| other.input.contains(output))?;
        match reader.op_type() {
            "DequantizeLinear" => self.outputs(reader),
            "Conv" => Some(0),
            "ConvTranspose" => Some(1),
            "MatMul" => Some(1),
            "Gemm" => {
                let turned = reader
                    .attribute
                    .iter()
                    .any(|a| a.name() == "transB" && a.i() == 1);
                Some(if turned { 0 } else { 1 })
            }
            _ => None,
        }
    }
}
