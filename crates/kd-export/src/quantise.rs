//! Layers on integer grids: pairs of `QuantizeLinear` and `DequantizeLinear`.

use std::collections::BTreeMap;

use kd_models::LayerGrid;

use crate::Error;
use crate::constant::{Constant, Values};
use crate::graph::{Attribute, Graph, Node, Value};

/// The smallest scale of a weight: that of PyTorch's observers.
const LEAST: f32 = f32::EPSILON;

/// Places of the nodes with a weight, in the order of execution.
fn places(graph: &Graph) -> Vec<usize> {
    let weighted = |node: &Node| {
        let weight = node.input(1).and_then(|value| graph.constants.get(&value));
        matches!(node.op, "Conv" | "Gemm" | "MatMul") && weight.is_some()
    };
    let nodes = graph.nodes.iter().enumerate();
    let weighted = nodes.filter(|(_, node)| weighted(node));
    weighted.map(|(place, _)| place).collect()
}

/// The nodes of all layers, in the order of execution, each with the name of its weight.
pub(crate) fn layers(graph: &Graph) -> Vec<(String, Node)> {
    let nodes = places(graph).into_iter().map(|place| &graph.nodes[place]);
    let named = nodes.map(|node| {
        let name = node.input(1).and_then(|weight| graph.names.get(&weight));
        (name.cloned().unwrap_or_default(), node.clone())
    });
    named.collect()
}

/// Puts inputs and weights of layers on grids: `QuantizeLinear` and `DequantizeLinear` before the input, 8-bit integers and
/// `DequantizeLinear` in the place of the weight, one scale for each output. Biases stay floats, which every runtime takes.
///
/// # Errors
/// [`Error::Option`] for other layers than there are grids for, and for inputs of other than 8 bits.
pub(crate) fn insert(graph: &mut Graph, grids: &[Option<LayerGrid>]) -> Result<(), Error> {
    let places = places(graph);
    if places.len() != grids.len() {
        return Err(refused(format!(
            "they are for {} layers, and the network has {}",
            grids.len(),
            places.len()
        )));
    }
    let grids: BTreeMap<usize, &LayerGrid> = places
        .into_iter()
        .zip(grids)
        .filter_map(|(place, grid)| Some((place, grid.as_ref()?)))
        .collect();
    // One pair for all that read the same numbers of the same grid.
    let mut pairs: BTreeMap<(Value, u32, i32), Value> = BTreeMap::new();
    for (place, mut node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
        if let (Some(grid), Some(x), Some(weight)) =
            (grids.get(&place), node.input(0), node.input(1))
        {
            let key = (x, grid.scale.to_bits(), grid.zero_point);
            let on_grid = match pairs.get(&key) {
                Some(known) => *known,
                None => input(graph, x, grid)?,
            };
            pairs.insert(key, on_grid);
            node.inputs[0] = Some(on_grid);
            let turned = node.op == "MatMul" || (node.op == "Gemm" && node.int("transB", 0) == 0);
            node.inputs[1] = Some(weights(graph, weight, usize::from(turned), grid)?);
        }
        graph.nodes.push(node);
    }
    graph.prune();
    Ok(())
}

fn refused(problem: String) -> Error {
    Error::Option {
        option: "grids",
        problem,
    }
}

fn node(graph: &mut Graph, op: &'static str, inputs: [Value; 3], axis: Option<usize>) -> Value {
    let dims = graph.dims[&inputs[0]].clone();
    let output = graph.value(dims);
    let axis = axis.map(|axis| ("axis", Attribute::Int(axis as i64)));
    graph.nodes.push(Node {
        op,
        inputs: inputs.map(Some).to_vec(),
        output,
        attributes: axis.into_iter().collect(),
    });
    output
}

fn input(graph: &mut Graph, x: Value, grid: &LayerGrid) -> Result<Value, Error> {
    let zero = match grid.levels {
        [0, 255] => Values::Uint8(vec![grid.zero_point as u8]),
        [-128, 127] => Values::Int8(vec![grid.zero_point as i8]),
        [low, high] => {
            return Err(refused(format!(
                "inputs of layers have the integers {low} to {high}, and ONNX has those of 8 bits, 0 to 255 or -128 to 127: \
                 quantise with 8 bits for a file"
            )));
        }
    };
    let scale = graph.constant(Constant::floats(vec![grid.scale], &[]));
    let zero = graph.constant(Constant::new(zero, &[]));
    let quantised = node(graph, "QuantizeLinear", [x, scale, zero], None);
    Ok(node(
        graph,
        "DequantizeLinear",
        [quantised, scale, zero],
        None,
    ))
}

fn weights(
    graph: &mut Graph,
    weight: Value,
    axis: usize,
    grid: &LayerGrid,
) -> Result<Value, Error> {
    let constant = &graph.constants[&weight];
    let (Some(values), Ok(high)) = (constant.as_floats(), i8::try_from(grid.weight_high)) else {
        return Err(refused(format!(
            "weights have integers up to {}, and ONNX has those of 8 bits: quantise with 8 bits or fewer for a file",
            grid.weight_high
        )));
    };
    let shape = constant.shape.clone();
    let inner: usize = shape[axis + 1..].iter().product();
    let output = |at: usize| at / inner % shape[axis];
    let mut scales = vec![0.0_f32; shape[axis]];
    for (at, value) in values.iter().enumerate() {
        let largest = &mut scales[output(at)];
        *largest = largest.max(value.abs());
    }
    for scale in &mut scales {
        *scale = (*scale / f32::from(high)).max(LEAST);
    }
    let levels = values.iter().enumerate().map(|(at, value)| {
        let level = (value / scales[output(at)]).round_ties_even();
        level.clamp(-f32::from(high), f32::from(high)) as i8
    });
    let levels = Constant::new(Values::Int8(levels.collect()), &shape);
    let name = graph.names.get(&weight).cloned();
    let quantised = graph.constant(levels);
    if let Some(name) = &name {
        graph.names.insert(quantised, name.clone());
    }
    let count = [scales.len()];
    let zeros = graph.constant(Constant::new(Values::Int8(vec![0; count[0]]), &count));
    let scales = graph.constant(Constant::floats(scales, &count));
    let numbers = node(
        graph,
        "DequantizeLinear",
        [quantised, scales, zeros],
        Some(axis),
    );
    // The layer is called after its weight.
    if let Some(name) = name {
        graph.names.insert(numbers, name);
    }
    Ok(numbers)
}
