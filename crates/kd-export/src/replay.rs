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
/// How far a graph on grids may be from the network in the mean, by what the last bits do in the network itself.
const TIMES: f64 = 2.0;
/// What is accepted where all outputs are next to nothing.
const LEAST: f32 = 1e-6;

/// Largest absolute difference of an output, and what would be accepted.
pub(crate) struct Comparison {
    pub difference: f32,
    pub tolerance: f32,
    /// Mean absolute difference.
    pub mean: f64,
}

impl Comparison {
    /// Refuses a graph that computes something else.
    pub fn check(&self) -> Result<(), Error> {
        self.within(self.tolerance)
    }

    /// The same of layers on integer grids, where the last bit of a number between two of a grid decides for one of them,
    /// and the layers behind it see that. `sensitive` is the mean difference that the last bits make in the network itself.
    pub fn check_grids(&self, sensitive: f64) -> Result<(), Error> {
        match self.mean <= TIMES * sensitive {
            true => Ok(()),
            false => self.within(self.tolerance * (GRIDS / TOLERANCE)),
        }
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

/// What a network reads.
#[derive(Clone, Copy)]
pub(crate) enum Reads {
    /// Numbers, such as those of images.
    Numbers,
    /// Numbers of so many words, of which one is padding.
    Ids { words: usize, padding: usize },
}

impl Reads {
    /// An input of this shape. Every second sequence ends with padding.
    fn values(self, shape: &[usize]) -> Vec<f32> {
        let numbers = formula(shape.iter().product());
        let Self::Ids { words, padding } = self else {
            return numbers;
        };
        let tokens = shape[1];
        let places = numbers.iter().zip(0..);
        let ids = places.map(|(number, place)| {
            let padded = place / tokens % 2 == 1 && 3 * (place % tokens) > 2 * tokens;
            match (number * words as f32) as usize {
                _ if padded => padding,
                id if id == padding => (padding + 1) % words,
                id => id,
            }
        });
        ids.map(|id| id as f32).collect()
    }
}

/// Runs graph and network on the same input of the shape `[any, ...]`.
pub(crate) fn compare<const D: usize, const E: usize>(
    graph: &Graph,
    shape: [usize; D],
    reads: Reads,
    network: impl Fn(Tensor<D>) -> Tensor<E>,
    device: &Device,
) -> Result<Comparison, Error> {
    let mut worst = Comparison {
        difference: 0.0,
        tolerance: LEAST,
        mean: 0.0,
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for batch in BATCHES {
        let mut shape = shape;
        shape[0] = batch;
        let values = reads.values(&shape);
        let data = TensorData::new(values.clone(), shape);
        let wanted = network(Tensor::from_data(data, device));
        let dims = wanted.dims();
        let wanted: Vec<f32> = wanted.into_data().convert::<f32>().iter().collect();
        let input = match graph.integers {
            true => Constant::ints(values.iter().map(|value| *value as i64).collect(), &shape),
            false => Constant::floats(values, &shape),
        };
        let found = evaluate::graph(graph, input, device)?;
        let (Some(found), true) = (found.as_floats(), found.shape == dims) else {
            return Err(Error::Replay {
                operation: "output".into(),
                problem: format!("it has the shape {:?}, the network's {dims:?}", found.shape),
            });
        };
        for (found, wanted) in found.iter().zip(&wanted) {
            let difference = (found - wanted).abs();
            (sum, count) = (sum + f64::from(difference), count + 1.0);
            // What is no number is the worst, and stays.
            if difference.is_nan() || difference > worst.difference {
                worst.difference = difference;
            }
            worst.tolerance = worst.tolerance.max(TOLERANCE * wanted.abs());
        }
    }
    worst.mean = sum / f64::max(count, 1.0);
    Ok(worst)
}

/// Mean absolute difference between two networks on the inputs of [`compare`].
pub(crate) fn between<const D: usize, const E: usize>(
    shape: [usize; D],
    reads: Reads,
    networks: [&dyn Fn(Tensor<D>) -> Tensor<E>; 2],
    device: &Device,
) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for batch in BATCHES {
        let mut shape = shape;
        shape[0] = batch;
        let data = TensorData::new(reads.values(&shape), shape);
        let input: Tensor<D> = Tensor::from_data(data, device);
        let [one, other] = networks.map(|network| {
            let output = network(input.clone()).into_data().convert::<f32>();
            output.iter::<f32>().collect::<Vec<_>>()
        });
        for (one, other) in one.iter().zip(&other) {
            (sum, count) = (sum + f64::from((one - other).abs()), count + 1.0);
        }
    }
    sum / f64::max(count, 1.0)
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
