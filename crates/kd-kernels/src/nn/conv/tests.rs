//! Every kernel, with every instruction set, against the definition.

use std::mem::MaybeUninit;

use proptest::prelude::*;
use proptest::sample::select;

use super::reference::Reference;
use super::{
    Epilogue, Geometry, Way as Kernel, depthwise, direct, weight_grad, winograd, winograd_grad,
};
use crate::images::{Images, Size};
use crate::nn::Activation;
use crate::simd::Isa;
use crate::test_memory::{numbers, with_gap, written};

mod fixed;

type InputGrad = fn(Isa, &Geometry, Images, &[f32], Epilogue, &mut [MaybeUninit<f32>]);

/// One way to compute a convolution and its gradients.
struct Way {
    name: &'static str,
    kernel: Kernel,
    input_grad: InputGrad,
    weight_grad: fn(Isa, &Geometry, Images, Images) -> Vec<f32>,
    /// Of the largest value.
    tolerance: f64,
}

const DIRECT: Way = Way {
    name: "direct",
    kernel: Kernel::Direct,
    input_grad: direct::input_grad,
    weight_grad: weight_grad::weight_grad,
    tolerance: 2e-6,
};

const DEPTHWISE: Way = Way {
    name: "depthwise",
    kernel: Kernel::Depthwise,
    input_grad: depthwise::input_grad,
    weight_grad: depthwise::weight_grad,
    tolerance: 2e-6,
};

const WINOGRAD: Way = Way {
    name: "winograd",
    kernel: Kernel::Four,
    input_grad: winograd::input_grad,
    weight_grad: winograd_grad::weight_grad,
    tolerance: 2e-5,
};

/// The filtering with small tiles, which has a forward pass only.
const WINOGRAD_TWO: Way = Way {
    name: "winograd, small tiles",
    kernel: Kernel::Two,
    tolerance: 2e-6,
    input_grad: direct::input_grad,
    weight_grad: weight_grad::weight_grad,
};

#[derive(Clone, Debug)]
struct Case {
    geometry: Geometry,
    /// Channels of another tensor behind each pixel of what is read.
    gap: usize,
    bias: bool,
    residual: bool,
    relu: bool,
}

/// Largest distance, over `largest`.
fn distance(got: &[f32], want: &[f64], largest: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    let far = |(got, want): (&f32, &f64)| match (f64::from(*got) - want).abs() {
        distance if distance.is_nan() => f64::INFINITY,
        distance => distance,
    };
    let distance = got.iter().zip(want).map(far).fold(0.0, f64::max);
    if distance == 0.0 {
        0.0
    } else {
        distance / largest
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

impl Case {
    fn plain(geometry: Geometry) -> Self {
        Self {
            geometry,
            gap: 0,
            bias: false,
            residual: false,
            relu: false,
        }
    }

    /// Compares all three results of `way` with the definition.
    fn check(&self, way: &Way) {
        let geometry = &self.geometry;
        let (input, output) = (geometry.input, geometry.output());
        let x = numbers("x", input.len());
        let weight = numbers("weight", geometry.weight_len());
        let dy = numbers("dy", output.len());
        let bias = numbers("bias", output.channels);
        let shortcut = numbers("shortcut", output.len());
        let earlier = numbers("earlier", input.len());
        let mut want = Reference::new(geometry, &x, &weight, &dy);
        let scales = [&want.y, &want.dx, &want.dw].map(|values| largest(values));
        for (index, y) in want.y.iter_mut().enumerate() {
            if self.bias {
                *y += f64::from(bias[index % output.channels]);
            }
            if self.residual {
                *y += f64::from(shortcut[index]);
            }
            if self.relu {
                *y = y.max(0.0);
            }
        }
        if self.residual {
            for (dx, earlier) in want.dx.iter_mut().zip(&earlier) {
                *dx += f64::from(*earlier);
            }
        }

        let x = with_gap(&x, input, self.gap);
        let [dy, shortcut] = [dy, shortcut].map(|values| with_gap(&values, output, self.gap));
        let earlier = with_gap(&earlier, input, self.gap);
        let view = |values, size: Size| Images::with_pitch(values, size, size.channels + self.gap);
        let (x, dy) = (view(&x, input), view(&dy, output));
        let forward = Epilogue {
            bias: self.bias.then_some(&bias),
            residual: self.residual.then(|| view(&shortcut, output)),
            activation: match self.relu {
                true => Activation::Relu,
                false => Activation::Identity,
            },
        };
        let backward = Epilogue {
            residual: self.residual.then(|| view(&earlier, input)),
            ..Epilogue::default()
        };
        for isa in Isa::available() {
            let y = written(output.len(), |y| {
                let weights = way.kernel.weights(isa, geometry, &weight);
                weights.forward(isa, geometry, x, forward, y);
            });
            let dx = written(input.len(), |dx| {
                (way.input_grad)(isa, geometry, dy, &weight, backward, dx);
            });
            let dw = (way.weight_grad)(isa, geometry, x, dy);
            for (what, got, want, scale) in [
                ("output", y, &want.y, scales[0]),
                ("input gradient", dx, &want.dx, scales[1]),
                ("weight gradient", dw, &want.dw, scales[2]),
            ] {
                let distance = distance(&got, want, scale.max(largest(want)));
                assert!(
                    distance <= way.tolerance,
                    "{} {what} with {isa}: {distance:e} for {self:?}",
                    way.name,
                );
            }
        }
    }
}

/// Kernel, padding, stride and size along an axis that fit each other.
fn axis(kernels: Vec<usize>, strides: Vec<usize>) -> impl Strategy<Value = [usize; 4]> {
    (select(kernels), select(strides)).prop_flat_map(|(kernel, stride)| {
        let most = if kernel == 3 { 2 } else { kernel / 2 };
        (0..=most).prop_flat_map(move |padding| {
            let least = kernel.saturating_sub(2 * padding).max(1);
            (least..least + 9).prop_map(move |size| [kernel, padding, stride, size])
        })
    })
}

/// Groups, input channels and output channels.
fn any_channels() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![
        (1_usize..=40, 1_usize..=40).prop_map(|(inputs, outputs)| [1, inputs, outputs]),
        (2_usize..=4, 1_usize..=10, 1_usize..=10).prop_map(|(groups, inputs, outputs)| [
            groups,
            groups * inputs,
            groups * outputs
        ]),
        depthwise_channels(),
    ]
}

fn depthwise_channels() -> impl Strategy<Value = [usize; 3]> {
    (2_usize..=40).prop_map(|channels| [channels; 3])
}

fn winograd_channels() -> impl Strategy<Value = [usize; 3]> {
    (8_usize..=40, 8_usize..=40).prop_map(|(inputs, outputs)| [1, inputs, outputs])
}

fn cases(
    axis: impl Strategy<Value = [usize; 4]> + Clone,
    channels: impl Strategy<Value = [usize; 3]>,
) -> impl Strategy<Value = Case> {
    let switches = (select(vec![0_usize, 1, 5]), any::<[bool; 3]>());
    ([axis.clone(), axis], channels, 1_usize..=3, switches).prop_map(
        |([rows, columns], [groups, inputs, outputs], batch, (gap, [bias, residual, relu]))| {
            let both = |index: usize| [rows[index], columns[index]];
            Case {
                geometry: Geometry {
                    input: Size {
                        batch,
                        height: rows[3],
                        width: columns[3],
                        channels: inputs,
                    },
                    outputs,
                    kernel: both(0),
                    stride: both(2),
                    padding: both(1),
                    groups,
                },
                gap,
                bias,
                residual,
                relu,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_direct_kernels_do_every_convolution(
        case in cases(axis(vec![1, 3, 5, 7], vec![1, 2]).boxed(), any_channels()),
    ) {
        case.check(&DIRECT);
    }

    #[test]
    fn the_depthwise_kernels_do_every_depthwise_convolution(
        case in cases(axis(vec![1, 3, 5, 7], vec![1, 2]).boxed(), depthwise_channels()),
    ) {
        prop_assert!(case.geometry.is_depthwise());
        case.check(&DEPTHWISE);
    }

    #[test]
    fn the_winograd_kernels_do_3x3_convolutions_of_stride_1(
        case in cases(axis(vec![3], vec![1]).boxed(), winograd_channels()),
    ) {
        prop_assert!(case.geometry.is_winograd());
        case.check(&WINOGRAD);
        case.check(&WINOGRAD_TWO);
    }
}
