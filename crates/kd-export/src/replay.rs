//! The comparison of a graph with its network.

use burn::tensor::{Device, Tensor, TensorData};

use crate::Error;
use crate::constant::Constant;
use crate::evaluate;
use crate::graph::Graph;

/// Numbers of images that are compared: others than those of the recordings, one of them a single image.
const BATCHES: [usize; 2] = [1, 4];

/// What is accepted, as a share of the largest output.
const TOLERANCE: f32 = 1e-4;
/// The same where numbers are rounded to integer grids on the way.
const GRIDS: f32 = 0.1;
/// What is accepted where all outputs are next to nothing.
const LEAST: f32 = 1e-6;

/// Largest absolute difference of an output, and what would be accepted.
pub(crate) struct Comparison {
    pub difference: f32,
    pub tolerance: f32,
}

impl Comparison {
    /// Refuses a graph that computes something else.
    pub fn check(&self) -> Result<(), Error> {
        self.within(self.tolerance)
    }

    /// The same of layers on integer grids, where the last bit of a number between two of a grid decides for one of them.
    pub fn check_grids(&self) -> Result<(), Error> {
        self.within(self.tolerance * (GRIDS / TOLERANCE))
    }

    fn within(&self, tolerance: f32) -> Result<(), Error> {
        // A difference that is no number is one.
        if self.difference <= tolerance {
            return Ok(());
        }
        Err(Error::Differs {
            difference: self.difference,
            tolerance,
        })
    }
}

/// Runs graph and network on the same input of the shape `[any, ...]`.
pub(crate) fn compare<const D: usize, const E: usize>(
    graph: &Graph,
    shape: [usize; D],
    network: impl Fn(Tensor<D>) -> Tensor<E>,
    device: &Device,
) -> Result<Comparison, Error> {
    let mut worst = Comparison {
        difference: 0.0,
        tolerance: LEAST,
    };
    for batch in BATCHES {
        let mut shape = shape;
        shape[0] = batch;
        let values = formula(shape.iter().product());
        let data = TensorData::new(values.clone(), shape);
        let wanted = network(Tensor::from_data(data, device));
        let dims = wanted.dims();
        let wanted: Vec<f32> = wanted.into_data().convert::<f32>().iter().collect();
        let found = evaluate::graph(graph, Constant::floats(values, &shape), device)?;
        let (Some(found), true) = (found.as_floats(), found.shape == dims) else {
            return Err(Error::Replay {
                operation: "output".into(),
                problem: format!("it has the shape {:?}, the network's {dims:?}", found.shape),
            });
        };
        for (found, wanted) in found.iter().zip(&wanted) {
            let difference = (found - wanted).abs();
            // What is no number is the worst, and stays.
            if difference.is_nan() || difference > worst.difference {
                worst.difference = difference;
            }
            worst.tolerance = worst.tolerance.max(TOLERANCE * wanted.abs());
        }
    }
    Ok(worst)
}

/// Numbers from 0 to 1 without a pattern that a stride could hit.
fn formula(count: usize) -> Vec<f32> {
    let each = (0..count as u32).map(|index| {
        let mixed = index.wrapping_add(1).wrapping_mul(2_654_435_761);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519);
        (mixed >> 8) as f32 / (1 << 24) as f32
    });
    each.collect()
}
