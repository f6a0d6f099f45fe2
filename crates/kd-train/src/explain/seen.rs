//! What a network shows of some samples, in the form in which networks of any shapes can be compared.

use burn::tensor::Tensor;
use kd_core::{Levels, Output, Part, Taps};
use kd_diagnose::Gram;
use kd_models::Backbone;

use super::kernel::distances;
use crate::Error;

/// A network as it sees the samples.
pub(super) struct Seen {
    /// By level of maps.
    pub maps: Vec<Gram>,
    /// Of all pairs of samples, in the embedding.
    pub distances: Vec<f64>,
}

/// Runs a network on batches and compares the samples with each other, at these levels of its maps.
pub(super) fn see<N: Backbone>(
    network: &N,
    batches: &[N::Input],
    levels: &[usize],
) -> Result<Seen, Error> {
    let taps = Taps::levels(Part::Maps, levels.iter().copied().collect());
    let taps = taps.with(Part::Embedding, Levels::All);
    let mut maps: Vec<Vec<Tensor<2>>> = vec![Vec::new(); levels.len()];
    let (mut embedding, mut width) = (Vec::new(), 0);
    for batch in batches {
        let output: Output = network.forward(batch.clone(), &taps);
        for (rows, level) in maps.iter_mut().zip(levels) {
            rows.push(output.map(*level)?.flatten(1, 3));
        }
        let of_batch = output.embedding()?;
        width = of_batch.dims()[1];
        embedding.extend(of_batch.into_data().iter::<f32>());
    }
    Ok(Seen {
        maps: maps.into_iter().map(gram).collect(),
        distances: distances(&embedding, width),
    })
}

/// Products of all pairs of rows, less the mean row: the alignment does not change, and keeps more digits.
pub(crate) fn gram(rows: Vec<Tensor<2>>) -> Gram {
    let rows = Tensor::cat(rows, 0);
    let [samples, _] = rows.dims();
    let rows = rows.clone() - rows.mean_dim(0);
    let products = rows.clone().matmul(rows.transpose());
    Gram::new(products.into_data().iter::<f64>().collect(), samples)
}

/// At most `most` levels of `count`, evenly from the first to the last.
pub(super) fn spread_levels(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let step = (count - 1) as f64 / (most - 1) as f64;
    (0..most)
        .map(|place| (place as f64 * step).round() as usize)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread_levels(13, 5), [0, 3, 6, 9, 12]);
        assert_eq!(spread_levels(4, 5), [0, 1, 2, 3]);
    }
}
