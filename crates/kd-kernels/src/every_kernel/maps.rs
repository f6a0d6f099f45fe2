//! Kernels of layers that are no convolutions.

use super::{Case, Map};
use crate::nn::Activation;
use crate::nn::activation::kernel as activation;
use crate::nn::add::kernel as add;
use crate::nn::average_pool::kernel as pool;
use crate::nn::channels::kernel as channels;
use crate::nn::interleave::kernel as interleave;
use crate::nn::leaky_relu::kernel as leaky_relu;
use crate::nn::max_pool::kernel::{self as max_pool, Window};
use crate::nn::norm::{Gate, Saved};
use crate::nn::scale_channels::kernel as scale_channels;
use crate::nn::{norm, sums};
use crate::test_memory::{numbers, written};

const SHAPE: [usize; 3] = [2, 4, 6];

fn map(key: &str, channels: usize) -> Map {
    let [batch, height, width] = SHAPE;
    Map::new(key, [batch, height, width, channels])
}

pub(super) const CASES: &[(&str, Case)] = &[
    ("normalisation", |isa, channels| {
        let [x, shortcut, dy] = ["x", "shortcut", "dy"].map(|key| map(key, channels));
        let [gamma, beta] = ["gamma", "beta"].map(|key| numbers(key, channels));
        let norm::Statistics { mean, variance } = norm::statistics(isa, x.images());
        let (scale, shift) = norm::fold(&gamma, &beta, &mean, &variance, 1e-5);
        let y = written(x.size.len(), |y| {
            let residual = Some(shortcut.images());
            norm::affine(
                isa,
                x.images(),
                &scale,
                &shift,
                residual,
                Activation::Relu,
                y,
            );
        });
        let rstd = norm::reciprocal_deviation(&variance, 1e-5);
        // Another map than the output, whose values near zero fall on either side.
        let gate = map("gate", channels);
        let saved = Saved {
            x: x.images(),
            gate: Gate::Output(gate.images()),
            mean: &mean,
            rstd: &rstd,
            gamma: &gamma,
        };
        let mut found = vec![];
        let dx = written(x.size.len(), |dx| {
            let to_shortcut = written(x.size.len(), |residual| {
                let sums = norm::grad(isa, saved, dy.images(), dx, Some(residual));
                found.extend([sums.gamma, sums.beta]);
            });
            found.push(to_shortcut);
        });
        found.extend([mean, variance, y, dx]);
        found
    }),
    ("activations", |isa, channels| {
        let [x, dy] = ["x", "dy"].map(|key| map(key, channels));
        let [scale, shift] = ["scale", "shift"].map(|key| numbers(key, channels));
        let [mean, rstd] = [vec![0.5; channels], vec![2.0; channels]];
        let mut found = vec![];
        for function in Activation::ALL {
            found.push(written(x.size.len(), |y| {
                activation::activate(isa, x.images(), function, y);
            }));
            found.push(written(x.size.len(), |dx| {
                activation::grad(isa, x.images(), dy.images(), function, dx);
            }));
            let saved = Saved {
                x: x.images(),
                gate: Gate::Line {
                    scale: &scale,
                    shift: &shift,
                    activation: function,
                },
                mean: &mean,
                rstd: &rstd,
                gamma: &scale,
            };
            found.push(written(x.size.len(), |dx| {
                norm::grad(isa, saved, dy.images(), dx, None);
            }));
        }
        found
    }),
    ("pool", |isa, channels| {
        let x = map("x", channels);
        let dy = Map::new("dy", [2, 2, 3, channels]);
        let y = written(dy.size.len(), |y| {
            pool::average(isa, x.images(), dy.size, y);
        });
        let dx = written(x.size.len(), |dx| {
            pool::grad(isa, dy.images(), x.size, dx);
        });
        let whole = Map::new("whole", [2, 1, 1, channels]);
        let mean = written(whole.size.len(), |y| {
            pool::average(isa, x.images(), whole.size, y);
        });
        let spread = written(x.size.len(), |dx| {
            pool::grad(isa, whole.images(), x.size, dx);
        });
        vec![y, dx, mean, spread]
    }),
    ("largest", |isa, channels| {
        let x = map("x", channels);
        let mut found = vec![];
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1)] {
            let window = Window {
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [padding; 2],
            };
            let output = window.output(x.size);
            let mut taps = vec![0; output.len()];
            found.push(written(output.len(), |y| {
                max_pool::largest(isa, x.images(), window, y, Some(&mut taps));
            }));
            found.push(written(output.len(), |y| {
                max_pool::largest(isa, x.images(), window, y, None);
            }));
            let [batch, height, width] = [output.batch, output.height, output.width];
            let dy = Map::new("dy", [batch, height, width, channels]);
            found.push(written(x.size.len(), |dx| {
                max_pool::grad(isa, dy.images(), &taps, window, x.size, dx);
            }));
        }
        found
    }),
    ("scaled channels", |isa, channels| {
        let [x, dy] = ["x", "dy"].map(|key| map(key, channels));
        let scale = Map::new("scale", [SHAPE[0], 1, 1, channels]);
        let y = written(x.size.len(), |y| {
            scale_channels::scale(isa, x.images(), scale.images(), y);
        });
        let mut to_scale = vec![];
        let dx = written(x.size.len(), |dx| {
            to_scale = scale_channels::grad(isa, x.images(), scale.images(), dy.images(), dx);
        });
        vec![y, dx, to_scale]
    }),
    ("sums", |isa, count| {
        let [a, b] = ["a", "b"].map(|key| map(key, count));
        let sum = written(a.size.len(), |y| {
            add::add(isa, a.images(), b.images(), y);
        });
        let gated = written(a.size.len(), |dx| {
            leaky_relu::gate(isa, a.images(), b.images(), 0.1, dx);
        });
        let (a, b) = (a.images(), b.images());
        let along = sums::sum_of_products(isa, a, b);
        vec![sum, gated, along, sums::sum(isa, a)]
    }),
    ("moved channels", |_, count| {
        let [a, b, earlier] = ["a", "b", "earlier"].map(|key| map(key, count));
        let wide = map("wide", 2 * count);
        let both = written(wide.size.len(), |y| {
            interleave::interleave(a.images(), b.images(), y);
        });
        let odd = written(a.size.len(), |y| {
            interleave::every_second(wide.images(), true, y);
        });
        let half = map("half", count.div_ceil(2));
        let first = count / 2;
        let placed = written(a.size.len(), |y| {
            channels::scatter(half.images(), first, Some(earlier.images()), a.size, y);
        });
        vec![both, odd, placed]
    }),
];
