//! Each weight rounded down or up, so that the outputs of its layer move least.
//!
//! With the weights `w` of an output, `ŵ` their numbers on its grid, and `x` the layer's inputs on theirs, an output moves by
//! `Σ (ŵ − w) · x`, whose mean square is `d · H · dᵀ` with `d = ŵ − w` and `H = E[x xᵀ]`. Nagel and others choose for each
//! weight the number below or above so that this is least, and relax the choice to learn it
//! ([`adaround_weight`](super::adaround_weight)). Here it is made by coordinate descent: from the nearest numbers on, one
//! weight after the other is turned to its other side where that makes the mean square smaller, until none does. The result
//! is never worse than the nearest numbers, and there is nothing to tune.
//!
//! Source: M. Nagel, R. A. Amjad, M. van Baalen, C. Louizos, T. Blankevoort, "Up or Down? Adaptive Rounding for
//! Post-Training Quantization", ICML 2020.

use std::cell::RefCell;
use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kd_core::Taps;
use kd_export::trace::Node;
use kd_kernels::layers::{LayerGrid, watched};
use kd_models::{Backbone, Network};

use super::on_grid;
use crate::geometry::Geometry;
use crate::prune::{filled, parameters};

/// Pixels of an image whose outputs count, of a convolution.
const PLACES: usize = 32;
/// How often every weight of an output is looked at, at most.
const SWEEPS: usize = 20;

/// The network with the weights of its layers on the numbers that move its outputs least, for these images. `nodes` are
/// the layers, each with the name of its weight.
pub(super) fn learned(
    network: &Network,
    grids: &[Option<LayerGrid>],
    nodes: &[(String, Node)],
    images: &[Tensor<4>],
) -> Network {
    let rename = |path: &str| network.pytorch_name(path);
    let mut weights = parameters(network, &rename);
    weights.retain(|name, _| nodes.iter().any(|(known, _)| known == name));
    let layers = nodes.iter().zip(grids).map(|((name, node), grid)| {
        let shape = &weights.get(name)?.shape;
        Some((Layer::of(node, shape)?, *grid.as_ref()?))
    });
    let layers: Vec<Option<(Layer, LayerGrid)>> = layers.collect();
    let moments = moments(network, &layers, images);
    for (((name, _), layer), moments) in nodes.iter().zip(&layers).zip(moments) {
        let (Some((layer, grid)), Some(moments)) = (layer, moments) else {
            continue;
        };
        if let Some(array) = weights.get_mut(name) {
            layer.round(&mut array.values, grid.weight_high, &moments);
        }
    }
    filled(network, &weights, &rename)
}

/// What a layer reads. A linear layer is a convolution of one pixel.
struct Layer {
    outputs: usize,
    /// Of a group.
    inputs: usize,
    kernel: [usize; 2],
    geometry: Geometry,
    /// Whether outputs are the last axis of the weight.
    turned: bool,
}

impl Layer {
    /// The layer of a node, whose weight has this shape; none for convolutions along other than two axes, and such as pad one
    /// side more than the other.
    fn of(node: &Node, shape: &[usize]) -> Option<Self> {
        if let &[inputs, outputs] = shape {
            return Some(Self {
                outputs,
                inputs,
                kernel: [1; 2],
                geometry: Geometry::LINEAR,
                turned: true,
            });
        }
        let &[outputs, inputs, height, width] = shape else {
            return None;
        };
        Some(Self {
            outputs,
            inputs,
            kernel: [height, width],
            geometry: Geometry::of(node).ok()?,
            turned: false,
        })
    }

    /// Weights of an output.
    fn weights(&self) -> usize {
        self.inputs * self.kernel[0] * self.kernel[1]
    }

    /// What outputs of a batch read, `[groups, samples, weights]`.
    fn samples(&self, data: &TensorData, grid: &LayerGrid) -> TensorData {
        let values: Vec<f32> = data.iter::<f32>().map(|v| on_grid(grid, v).0).collect();
        let channels = self.inputs * self.geometry.groups;
        let [height, width] = match data.shape()[..] {
            [_, _, height, width] => [height, width],
            _ => [1; 2],
        };
        let images = values.len() / (channels * height * width);
        let places = |axis: usize, size: usize| {
            let reach = (self.kernel[axis] - 1) * self.geometry.dilation[axis] + 1;
            (size + 2 * self.geometry.padding[axis]).saturating_sub(reach)
                / self.geometry.stride[axis]
                + 1
        };
        let (down, across) = (places(0, height), places(1, width));
        let all = down * across;
        let count = all.min(PLACES);
        let mut samples =
            Vec::with_capacity(images * count * self.geometry.groups * self.weights());
        for group in 0..self.geometry.groups {
            for image in 0..images {
                for place in 0..count {
                    // Evenly over the map, elsewhere in each image.
                    let at = (place * all / count + image) % all;
                    let corner = [
                        at / across * self.geometry.stride[0],
                        at % across * self.geometry.stride[1],
                    ];
                    for input in 0..self.inputs {
                        let map = (image * channels + group * self.inputs + input) * height;
                        for y in 0..self.kernel[0] {
                            let row = corner[0] + y * self.geometry.dilation[0];
                            for x in 0..self.kernel[1] {
                                let column = corner[1] + x * self.geometry.dilation[1];
                                let inside = |at: usize, axis: usize, size: usize| {
                                    at.checked_sub(self.geometry.padding[axis])
                                        .filter(|at| *at < size)
                                };
                                let pixel = inside(row, 0, height).zip(inside(column, 1, width));
                                samples.push(match pixel {
                                    Some((row, column)) => values[(map + row) * width + column],
                                    None => 0.0,
                                });
                            }
                        }
                    }
                }
            }
        }
        TensorData::new(
            samples,
            [self.geometry.groups, images * count, self.weights()],
        )
    }

    /// Puts weights on their grids; `moments` are `[groups, weights, weights]`.
    fn round(&self, values: &mut [f64], high: i32, moments: &[f32]) {
        let (each, of_group) = (self.weights(), self.outputs / self.geometry.groups);
        for output in 0..self.outputs {
            let place = |weight: usize| match self.turned {
                true => weight * self.outputs + output,
                false => output * each + weight,
            };
            let weights: Vec<f64> = (0..each).map(|weight| values[place(weight)]).collect();
            let group = output / of_group;
            let moments = &moments[group * each * each..][..each * each];
            for (weight, value) in rounded(&weights, high, moments).into_iter().enumerate() {
                values[place(weight)] = value;
            }
        }
    }
}

/// `E[x xᵀ]` of each layer up to a factor, by its place in the forward pass; none for a layer that stays as it is.
fn moments(
    network: &Network,
    layers: &[Option<(Layer, LayerGrid)>],
    images: &[Tensor<4>],
) -> Vec<Option<Vec<f32>>> {
    let plain = network.valid();
    let mut sums: Vec<Option<Tensor<3>>> = vec![None; layers.len()];
    let mut counts = vec![0; layers.len()];
    for images in images {
        // Only what a pass reads is kept; products are made outside of it.
        let seen = Rc::new(RefCell::new(vec![None; layers.len()]));
        let shared = seen.clone();
        let is_there: Vec<bool> = layers.iter().map(Option::is_some).collect();
        let see = move |layer: usize, data: TensorData| {
            if is_there.get(layer) == Some(&true) {
                shared.borrow_mut()[layer] = Some(data);
            }
        };
        watched(Rc::new(see), || {
            plain.forward(images.clone(), &Taps::none())
        });
        let sums = sums.iter_mut().zip(&mut counts);
        for (((sum, count), layer), data) in sums.zip(layers).zip(seen.take()) {
            let (Some((layer, grid)), Some(data)) = (layer, data) else {
                continue;
            };
            let samples = layer.samples(&data.convert::<f32>(), grid);
            let samples = Tensor::<3>::from_data(samples, &images.device());
            *count += samples.dims()[1];
            let product = samples.clone().swap_dims(1, 2).matmul(samples);
            *sum = Some(match sum.take() {
                Some(sum) => sum + product,
                None => product,
            });
        }
    }
    let sums = sums.into_iter().zip(counts);
    sums.map(|(sum, samples)| {
        let sum = sum?;
        let [_, weights, _] = sum.dims();
        let mut moments: Vec<f32> = sum.into_data().convert::<f32>().iter().collect();
        for moments in moments.chunks_exact_mut(weights * weights) {
            shrink(moments, weights, samples);
        }
        Some(moments)
    })
    .collect()
}

/// Adds to the diagonal what few samples do not know: `weights / samples` of its mean, so that without samples only the
/// nearest numbers are left.
fn shrink(moments: &mut [f32], weights: usize, samples: usize) {
    let diagonal = || (0..weights).map(|k| k * (weights + 1));
    let mean = diagonal().map(|k| moments[k]).sum::<f32>() / weights as f32;
    let more = mean * weights as f32 / samples.max(1) as f32;
    diagonal().for_each(|k| moments[k] += more);
}

/// The weights of an output on their grid, whose end is the largest of them.
fn rounded(weights: &[f64], high: i32, moments: &[f32]) -> Vec<f64> {
    let count = weights.len();
    let largest = weights.iter().fold(0.0_f64, |most, w| most.max(w.abs()));
    let step = f64::from(largest as f32 / high as f32);
    if step == 0.0 {
        return weights.to_vec();
    }
    let high = f64::from(high);
    let mut levels: Vec<f64> = weights
        .iter()
        .map(|w| (w / step).round_ties_even().clamp(-high, high))
        .collect();
    let off = |level: f64, weight: f64| level * step - weight;
    // H · d, kept up to date.
    let mut slopes = vec![0.0; count];
    for (k, (level, weight)) in levels.iter().zip(weights).enumerate() {
        add(
            &mut slopes,
            off(*level, *weight),
            &moments[k * count..][..count],
        );
    }
    for _ in 0..SWEEPS {
        let mut turned = false;
        for k in 0..count {
            let distance = off(levels[k], weights[k]);
            let other = levels[k] - distance.signum();
            // A weight on a level has no other side, and the largest stays the end of the grid.
            if distance.abs() < 1e-6 * step || other.abs() > high {
                continue;
            }
            let change = (other - levels[k]) * step;
            let row = &moments[k * count..][..count];
            if change * (2.0 * slopes[k] + change * f64::from(row[k])) < 0.0 {
                add(&mut slopes, change, row);
                levels[k] = other;
                turned = true;
            }
        }
        if !turned {
            break;
        }
    }
    levels.into_iter().map(|level| level * step).collect()
}

fn add(slopes: &mut [f64], factor: f64, row: &[f32]) {
    for (slope, moment) in slopes.iter_mut().zip(row) {
        *slope += factor * f64::from(*moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `d · H · dᵀ`.
    fn moved(weights: &[f64], rounded: &[f64], moments: &[f32]) -> f64 {
        let count = weights.len();
        let off: Vec<f64> = rounded.iter().zip(weights).map(|(a, b)| a - b).collect();
        let row = |k: usize| -> f64 {
            let row = &moments[k * count..][..count];
            let sum: f64 = row.iter().zip(&off).map(|(h, d)| f64::from(*h) * d).sum();
            off[k] * sum
        };
        (0..count).map(row).sum()
    }

    #[test]
    fn independent_inputs_leave_the_nearest_numbers() {
        let weights = [0.31, -0.72, 3.0, 1.55, -2.49];
        let mut moments = vec![0.0; 25];
        for k in 0..5 {
            moments[6 * k] = 1.0 + k as f32;
        }
        assert_eq!(rounded(&weights, 3, &moments), [0.0, -1.0, 3.0, 2.0, -2.0]);
    }

    #[test]
    fn inputs_that_are_alike_let_weights_make_up_for_each_other() {
        // Two inputs that are always the same: only the sum of their weights counts.
        let weights = [0.4, 0.4, 3.0];
        let moments = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let found = rounded(&weights, 3, &moments);
        assert_eq!(found[0] + found[1], 1.0);
        assert_eq!(found[2], 3.0);
        let nearest = [0.0, 0.0, 3.0];
        assert!(moved(&weights, &found, &moments) < moved(&weights, &nearest, &moments));
    }

    #[test]
    fn samples_are_what_a_convolution_reads() {
        // A depthwise convolution of two maps of 3 x 3 pixels, stride 2, a border of one.
        let layer = Layer {
            outputs: 2,
            inputs: 1,
            kernel: [2, 2],
            geometry: Geometry {
                stride: [2; 2],
                padding: [1; 2],
                dilation: [1; 2],
                groups: 2,
            },
            turned: false,
        };
        let grid = LayerGrid {
            scale: 1.0,
            zero_point: 0,
            levels: [0, 255],
            weight_high: 7,
        };
        let values: Vec<f32> = (1..19).map(|v| v as f32).collect();
        let samples = layer.samples(&TensorData::new(values, [1, 2, 3, 3]), &grid);
        assert_eq!(samples.shape()[..], [2, 4, 4]);
        let samples: Vec<f32> = samples.iter().collect();
        assert_eq!(samples[..4], [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(samples[4..8], [0.0, 0.0, 2.0, 3.0]);
        assert_eq!(samples[12..20], [5.0, 6.0, 8.0, 9.0, 0.0, 0.0, 0.0, 10.0]);
    }
}
