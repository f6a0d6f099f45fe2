//! Operations on whole rows.

use super::Inputs;
use super::shape::axis;
use crate::constant::Constant;
use crate::graph::Node;

/// Runs the node, which normalises along the last axis.
pub(super) fn layer_norm(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let (from, scale) = (inputs.at(0)?, inputs.floats(1)?);
    let shift = inputs.get(2).and_then(Constant::as_floats);
    let width = scale.len();
    if from.shape.last() != Some(&width) {
        return Err("only along the last axis".into());
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5));
    let mut values = inputs.floats(0)?.to_vec();
    for row in values.chunks_mut(width) {
        let count = width as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let square = |&x: &f32| (f64::from(x) - mean).powi(2);
        let deviation = (row.iter().map(square).sum::<f64>() / count + epsilon).sqrt();
        for (index, x) in row.iter_mut().enumerate() {
            let shift = shift.map_or(0.0, |shift| shift[index]);
            *x = ((f64::from(*x) - mean) / deviation) as f32 * scale[index] + shift;
        }
    }
    Ok(Constant::floats(values, &from.shape))
}

/// Runs the node.
pub(super) fn softmax(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let from = inputs.at(0)?;
    let along = axis(node.int("axis", -1), from.shape.len())?;
    let size = from.shape[along];
    let inner: usize = from.shape[along + 1..].iter().product();
    let mut values = inputs.floats(0)?.to_vec();
    for block in values.chunks_mut((size * inner).max(1)) {
        for column in 0..inner {
            let row = || (0..size).map(|index| index * inner + column);
            let most = row().map(|at| block[at]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = row().map(|at| (block[at] - most).exp()).sum();
            for at in row() {
                let shifted = block[at] - most;
                block[at] = match node.op {
                    "LogSoftmax" => shifted - sum.ln(),
                    _ => shifted.exp() / sum,
                };
            }
        }
    }
    Ok(Constant::floats(values, &from.shape))
}
