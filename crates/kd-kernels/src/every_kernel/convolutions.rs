//! Kernels of convolutions.

use std::mem::MaybeUninit;

use super::{Case, Map};
use crate::images::Images;
use crate::nn::Activation;
use crate::nn::conv::{
    Epilogue, Geometry, Way, depthwise, direct, weight_grad, winograd, winograd_grad,
};
use crate::simd::Isa;
use crate::test_memory::{numbers, written};

type InputGrad = fn(Isa, &Geometry, Images, &[f32], Epilogue, &mut [MaybeUninit<f32>]);
type WeightGrad = fn(Isa, &Geometry, Images, Images) -> Vec<f32>;

/// Output, gradient of the input and gradient of the weight.
fn convolved(
    isa: Isa,
    geometry: &Geometry,
    way: Way,
    input_grad: InputGrad,
    weight_grad: WeightGrad,
) -> Vec<Vec<f32>> {
    let sides = |size: crate::images::Size| [size.batch, size.height, size.width, size.channels];
    let (input, output) = (sides(geometry.input), sides(geometry.output()));
    let (x, earlier) = (Map::new("x", input), Map::new("earlier", input));
    let (dy, shortcut) = (Map::new("dy", output), Map::new("shortcut", output));
    let weight = numbers("weight", geometry.weight_len());
    let bias = numbers("bias", geometry.outputs);
    let finish = |activation| Epilogue {
        bias: Some(&bias),
        residual: Some(shortcut.images()),
        activation,
    };
    let add = Epilogue {
        residual: Some(earlier.images()),
        ..Epilogue::default()
    };
    let y = |activation| {
        written(dy.size.len(), |y| {
            let finish = finish(activation);
            let weights = way.weights(isa, geometry, &weight);
            weights.forward(isa, geometry, x.images(), finish, y);
        })
    };
    let dx = written(x.size.len(), |dx| {
        input_grad(isa, geometry, dy.images(), &weight, add, dx);
    });
    vec![
        y(Activation::Relu),
        y(Activation::Silu),
        dx,
        weight_grad(isa, geometry, x.images(), dy.images()),
    ]
}

fn geometry(
    [inputs, outputs]: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
) -> Geometry {
    Geometry {
        input: Map::new("", [2, 5, 6, inputs]).size,
        outputs,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        groups,
    }
}

pub(super) const CASES: &[(&str, Case)] = &[
    ("direct", |isa, channels| {
        let mut found = vec![];
        for (inputs, kernel, stride) in [(6, 3, 1), (6, 3, 2), (6, 1, 1)] {
            let there = geometry([inputs, channels], kernel, stride, 1);
            let back = geometry([channels, inputs], kernel, stride, 1);
            for geometry in [there, back, self_grouped(channels, kernel, stride)] {
                found.extend(convolved(
                    isa,
                    &geometry,
                    Way::Direct,
                    direct::input_grad,
                    weight_grad::weight_grad,
                ));
            }
        }
        found
    }),
    ("depthwise", |isa, channels| {
        let channels = channels.max(2);
        let mut found = vec![];
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1)] {
            found.extend(convolved(
                isa,
                &geometry([channels; 2], kernel, stride, channels),
                Way::Depthwise,
                depthwise::input_grad,
                depthwise::weight_grad,
            ));
        }
        found
    }),
    ("winograd", |isa, channels| {
        let channels = channels.max(8);
        let mut found = vec![];
        for both in [[9, channels], [channels, 9]] {
            let geometry = geometry(both, 3, 1, 1);
            for way in [Way::Two, Way::Four] {
                found.extend(convolved(
                    isa,
                    &geometry,
                    way,
                    winograd::input_grad,
                    winograd_grad::weight_grad,
                ));
            }
        }
        found
    }),
];

/// Two groups of so many channels each.
fn self_grouped(channels: usize, kernel: usize, stride: usize) -> Geometry {
    geometry([2 * channels, 2 * channels], kernel, stride, 2)
}
