//! What the grids of a network cost, layer by layer.

use std::cell::RefCell;
use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kd_core::Taps;
use kd_kernels::layers::{LayerGrid, watched};
use kd_models::{Backbone, Network};

use super::on_grid;
use crate::Error;
use crate::prune::{filled, parameters};

/// What the grids of a layer cost, on some images.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerQuality {
    /// The layer's name.
    pub layer: String,
    /// Signal by noise of its input, rounded to its grid: `10 · log₁₀(Σ x² / Σ (x − x̂)²)` in decibels; infinite where
    /// nothing is lost.
    pub signal_db: f64,
    /// Share of its input's values beyond the ends of the grid, from 0 to 1.
    pub clipped: f64,
    /// How far the network's answers move with this layer alone on its grids: the mean divergence `KL(float ‖ grid)` of its
    /// softmax, in nats.
    pub divergence: f64,
}

/// Looks at the grids of a network and at what it was made of, with images that are normalised as it wants them. Layers that
/// compute with floats are left out.
///
/// # Errors
/// [`Error::Quantise`] for a network without grids, [`Error::Calibration`] without images, [`Error::Capture`] for one that
/// cannot be recorded.
pub fn quality(
    float: &Network,
    network: &Network,
    images: &[Tensor<4>],
) -> Result<Vec<LayerQuality>, Error> {
    let Some(grids) = network.grids().cloned() else {
        return Err(Error::Quantise {
            problem: "the network computes with floats: quantise it first".into(),
        });
    };
    if images.is_empty() {
        return Err(Error::Calibration {
            problem:
                "there are no images to look at the grids with: give it some of the training split"
                    .into(),
        });
    }
    let float = float.valid().without_grids();
    let names = kd_export::layers(&float)?;
    let noise = noise(&float, &grids, images);
    let answers = answers(&float, images);
    let rename = |path: &str| network.pytorch_name(path);
    // Weights on grids may have been rounded otherwise than to the nearest number.
    let weights = parameters(network, &rename);
    let mut found = Vec::new();
    for (place, (name, grid)) in names.iter().zip(grids.iter()).enumerate() {
        if grid.is_none() {
            continue;
        }
        let mut alone = vec![None; grids.len()];
        alone[place] = *grid;
        let weight = weights.get_key_value(name).into_iter();
        let weight = weight.map(|(name, weight)| (name.clone(), weight.clone()));
        let other = filled(&float, &weight.collect(), &rename);
        let moved = self::answers(&other.on_grids(alone), images);
        let noise = &noise[place];
        found.push(LayerQuality {
            layer: name.trim_end_matches(".weight").to_owned(),
            signal_db: 10.0 * (noise.signal / noise.error).log10(),
            clipped: noise.clipped as f64 / noise.values.max(1) as f64,
            divergence: divergence(&answers, &moved),
        });
    }
    Ok(found)
}

/// Sums over the values of an input.
#[derive(Clone, Default)]
struct Noise {
    signal: f64,
    error: f64,
    clipped: usize,
    values: usize,
}

impl Noise {
    fn add(&mut self, grid: &LayerGrid, value: f32) {
        let (rounded, clipped) = on_grid(grid, value);
        self.signal += f64::from(value).powi(2);
        self.error += f64::from(value - rounded).powi(2);
        self.clipped += usize::from(clipped);
        self.values += 1;
    }
}

/// What rounding does to the inputs of all layers of a network with floats.
fn noise(float: &Network, grids: &[Option<LayerGrid>], images: &[Tensor<4>]) -> Vec<Noise> {
    let found = Rc::new(RefCell::new(vec![Noise::default(); grids.len()]));
    for images in images {
        let (found, grids) = (found.clone(), grids.to_vec());
        let see = move |layer: usize, data: TensorData| {
            if let Some(Some(grid)) = grids.get(layer) {
                let noise = &mut found.borrow_mut()[layer];
                data.convert::<f32>()
                    .iter::<f32>()
                    .for_each(|value| noise.add(grid, value));
            }
        };
        watched(Rc::new(see), || {
            float.forward(images.clone(), &Taps::none())
        });
    }
    found.take()
}

/// Logarithms of the softmax of all images.
fn answers(network: &Network, images: &[Tensor<4>]) -> Vec<Vec<f64>> {
    let of_batch = images.iter().flat_map(|images| {
        let logits = network.forward(images.clone(), &Taps::none()).logits;
        let classes = logits.dims()[1];
        let values: Vec<f64> = logits.into_data().iter::<f32>().map(f64::from).collect();
        let rows = values.chunks_exact(classes);
        rows.map(log_softmax).collect::<Vec<_>>()
    });
    of_batch.collect()
}

fn log_softmax(row: &[f64]) -> Vec<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|value| (value - most).exp()).sum();
    row.iter().map(|value| value - most - sum.ln()).collect()
}

fn divergence(float: &[Vec<f64>], grid: &[Vec<f64>]) -> f64 {
    let rows = float.iter().zip(grid);
    let sum: f64 = rows
        .map(|(p, q)| {
            let pairs = p.iter().zip(q);
            pairs.map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
        })
        .sum();
    sum / float.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};
    use kd_models::NetworkConfig;

    use super::*;
    use crate::quantise::QuantiseConfig;

    fn looked_at(config: &QuantiseConfig, images: &Tensor<4>) -> Vec<LayerQuality> {
        kd_core::draw::seed(3);
        let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &Device::flex()).unwrap();
        let coarse = config.quantise(&network, [images.clone()]).unwrap();
        quality(&network, &coarse, std::slice::from_ref(images)).unwrap()
    }

    #[test]
    fn fewer_bits_are_more_noise_and_move_answers_further() {
        let shape = [8, 3, 16, 16];
        let images = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
        let of_bits = |bits| {
            let config = QuantiseConfig {
                weights: bits,
                inputs: bits,
                images: 8,
                keep: vec!["fc".into()],
                ..QuantiseConfig::default()
            };
            looked_at(&config, &images)
        };
        let (eight, four) = (of_bits(8), of_bits(4));
        let names: Vec<&str> = eight.iter().map(|layer| layer.layer.as_str()).collect();
        assert_eq!(names.len(), 9);
        assert!(names[0] == "conv1" && !names.contains(&"fc"), "{names:?}");
        for (fine, coarse) in eight.iter().zip(&four) {
            // Four bits are a sixteenth of the steps: 24 decibels.
            let lost = fine.signal_db - coarse.signal_db;
            assert!((18.0..30.0).contains(&lost), "{fine:?} {coarse:?}");
            assert!(coarse.divergence > fine.divergence && fine.divergence >= 0.0);
            // The ends are those of these images.
            assert_eq!((fine.clipped, coarse.clipped), (0.0, 0.0));
        }
    }

    #[test]
    fn values_beyond_the_ends_are_counted() {
        let shape = [2, 3, 16, 16];
        let images = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
        kd_core::draw::seed(3);
        let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &Device::flex()).unwrap();
        let config = QuantiseConfig::default();
        let coarse = config.quantise(&network, [images.clone()]).unwrap();
        let found = quality(&network, &coarse, &[images.clone() * 2.0]).unwrap();
        let values: Vec<f32> = images.into_data().iter().collect();
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let beyond = values
            .iter()
            .filter(|v| **v * 2.0 < low || **v * 2.0 > high);
        let share = beyond.count() as f64 / values.len() as f64;
        // What is within half a step of an end is not clipped.
        let clipped = found[0].clipped;
        assert!(
            share > 0.0 && clipped <= share && share - clipped < 0.02,
            "{clipped} {share}"
        );
        let refused = quality(&network, &network, &[]).unwrap_err().to_string();
        assert!(refused.contains("quantise it first"), "{refused}");
        let refused = quality(&network, &coarse, &[]).unwrap_err().to_string();
        assert!(refused.contains("no images"), "{refused}");
    }
}
