//! burn's operations as ONNX nodes of opset 17.

mod activation;
mod base;
mod convolution;
mod module;
mod numeric;
mod pool;
mod shape;

pub(crate) use base::{BOOL, FLOAT, INT64};

use std::collections::{BTreeMap, BTreeSet};

use burn_ir::{OperationIr, ScalarIr, TensorId, TensorIr};

use crate::Error;
use crate::batch;
use crate::capture::Captured;
use crate::constant::Constant;
use crate::graph::{Attribute, Attributes, Dim, Graph, Node, Value};
use crate::names::{Places, operation_name};

/// Why an operation has no nodes.
pub(crate) enum Missing {
    /// ONNX lacks it; empty when it is the operation as such.
    Operation(String),
    /// It mixes images.
    Images(String),
}

impl<T: Into<String>> From<T> for Missing {
    fn from(problem: T) -> Self {
        Self::Operation(problem.into())
    }
}

impl Missing {
    fn of(self, operation: String, place: String) -> Error {
        match self {
            Self::Operation(problem) => Error::Unsupported {
                operation,
                place,
                problem,
            },
            Self::Images(problem) => Error::Batch {
                operation,
                place,
                problem,
            },
        }
    }
}

/// The whole of an operation's lowering.
pub(crate) type Lowered = Result<(), Missing>;

/// What is neither listed nor known.
pub(crate) fn missing<T>() -> Result<T, Missing> {
    Err(Missing::Operation(String::new()))
}

/// The graph of two recordings with the numbers of images of [`batch::BATCHES`].
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Batch`].
pub(crate) fn lower(
    captured: [&Captured; 2],
    names: impl Fn(&str) -> String,
) -> Result<Graph, Error> {
    let [first, second] = captured;
    let places = Places::new(first);
    let sizes = batch::sizes(captured, &places)?;
    let recorded = &first.graph;
    let mut lowering = Lowering {
        graph: Graph::default(),
        values: BTreeMap::new(),
        sizes,
        batch: None,
    };
    let needed = needed(&recorded.graph.operations, &recorded.graph.outputs);
    let input = recorded.graph.inputs[0];
    lowering.graph.input = lowering.input(input);
    for (id, data) in &recorded.values {
        if *id == input || !needed.contains(id) {
            continue;
        }
        let constant = Constant::of(data.clone()).map_err(|problem| Error::Capture {
            problem: format!("a constant of the network has {problem}"),
        })?;
        let value = lowering.graph.constant(constant);
        if let Some(name) = first.names.get(id) {
            lowering.graph.names.insert(value, names(name));
        }
        lowering.values.insert(*id, value);
    }
    for (index, operation) in recorded.graph.operations.iter().enumerate() {
        if !operation
            .outputs()
            .any(|output| needed.contains(&output.id))
        {
            continue;
        }
        lowering
            .operation(operation)
            .map_err(|missing| missing.of(operation_name(operation), places.of(index)))?;
    }
    same_data(first, second, &needed)?;
    lowering.graph.output = lowering.values[&recorded.graph.outputs[0]];
    Ok(lowering.graph)
}

/// Data that are made in the forward pass must not follow the number of images.
fn same_data(
    first: &Captured,
    second: &Captured,
    needed: &BTreeSet<TensorId>,
) -> Result<(), Error> {
    let inputs = &first.graph.graph.inputs;
    let values = first.graph.values.iter().zip(&second.graph.values);
    for ((id, one), (_, other)) in values {
        if needed.contains(id) && !inputs.contains(id) && one != other {
            return Err(Error::Batch {
                operation: "from_data".into(),
                place: "data that the forward pass makes".into(),
                problem: "they are others for another number".into(),
            });
        }
    }
    Ok(())
}

/// Tensors that the outputs follow from.
fn needed(operations: &[OperationIr], outputs: &[TensorId]) -> BTreeSet<TensorId> {
    let mut needed: BTreeSet<TensorId> = outputs.iter().copied().collect();
    for operation in operations.iter().rev() {
        if operation
            .outputs()
            .any(|output| needed.contains(&output.id))
        {
            needed.extend(operation.inputs().map(|input| input.id));
        }
    }
    needed
}

/// A graph in the making.
pub(crate) struct Lowering {
    pub graph: Graph,
    values: BTreeMap<TensorId, Value>,
    sizes: BTreeMap<TensorId, Vec<Dim>>,
    /// The number of images as a vector of one, once it is needed.
    batch: Option<Value>,
}

impl Lowering {
    fn operation(&mut self, operation: &OperationIr) -> Lowered {
        match operation {
            OperationIr::BaseFloat(base)
            | OperationIr::BaseInt(base)
            | OperationIr::BaseBool(base) => self.base(base),
            OperationIr::NumericFloat(dtype, numeric) => self.numeric(numeric, dtype.is_float()),
            OperationIr::NumericInt(_, numeric) => self.numeric(numeric, false),
            OperationIr::Float(_, float) => self.float(float),
            OperationIr::Bool(bool) => self.boolean(bool),
            OperationIr::Int(int) => self.integer(int),
            OperationIr::Module(module) => self.module(module),
            OperationIr::Activation(activation) => self.activation(activation),
            OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
            _ => missing(),
        }
    }

    fn input(&mut self, id: TensorId) -> Value {
        let dims = self.sizes[&id].clone();
        let value = self.graph.value(dims);
        self.values.insert(id, value);
        value
    }

    /// The value of a tensor that was made before.
    pub fn read(&self, tensor: &TensorIr) -> Value {
        self.values[&tensor.id]
    }

    pub fn dims(&self, tensor: &TensorIr) -> Vec<Dim> {
        self.sizes[&tensor.id].clone()
    }

    /// A node with an output of these sizes.
    pub fn node(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: Attributes,
        dims: Vec<Dim>,
    ) -> Value {
        let inputs = inputs.iter().copied().map(Some).collect();
        self.node_with(op, inputs, attributes, dims)
    }

    /// A node, some of whose inputs are not given.
    pub fn node_with(
        &mut self,
        op: &'static str,
        inputs: Vec<Option<Value>>,
        attributes: Attributes,
        dims: Vec<Dim>,
    ) -> Value {
        let output = self.graph.value(dims);
        self.graph.nodes.push(Node {
            op,
            inputs,
            output,
            attributes,
        });
        output
    }

    /// A node whose output is this tensor.
    pub fn emit(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: Attributes,
        out: &TensorIr,
    ) {
        let dims = self.dims(out);
        let value = self.node(op, inputs, attributes, dims);
        self.values.insert(out.id, value);
    }

    /// This tensor is that value.
    pub fn is(&mut self, out: &TensorIr, value: Value) {
        self.values.insert(out.id, value);
    }

    pub fn scalar(&mut self, value: f32) -> Value {
        self.graph.constant(Constant::floats(vec![value], &[]))
    }

    /// A constant of a float or an integer.
    pub fn number(&mut self, value: ScalarIr, float: bool) -> Value {
        match float {
            true => self.scalar(value.elem()),
            false => self.graph.constant(Constant::ints(vec![value.elem()], &[])),
        }
    }

    pub fn ints(&mut self, values: Vec<i64>) -> Value {
        let count = values.len();
        self.graph.constant(Constant::ints(values, &[count]))
    }

    /// The number of images, as a vector of one.
    fn batch(&mut self) -> Value {
        if let Some(batch) = self.batch {
            return batch;
        }
        let input = self.graph.input;
        let rank = self.graph.dims[&input].len();
        let shape = self.node("Shape", &[input], vec![], vec![Dim::Fixed(rank)]);
        let first = self.ints(vec![0]);
        let axis = vec![("axis", Attribute::Int(0))];
        let batch = self.node("Gather", &[shape, first], axis, vec![Dim::Fixed(1)]);
        self.batch = Some(batch);
        batch
    }
}

/// Integers of sizes.
pub(crate) fn longs(sizes: impl IntoIterator<Item = usize>) -> Vec<i64> {
    sizes.into_iter().map(|size| size as i64).collect()
}
