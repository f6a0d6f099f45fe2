//! Weights that are kept from one forward pass to the next.

use burn::module::{Param, RunningState};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{BatchNorm, conv, conv_bn};
use kd_kernels::{PreparedWeights, linear, on_pool};

use crate::compared::{numbers, plain};

/// A convolution for each kernel: channels, kernel size, stride and groups.
const KINDS: [[usize; 5]; 4] = [
    [16, 24, 3, 1, 1],
    [16, 24, 3, 2, 1],
    [24, 24, 3, 1, 24],
    [16, 24, 1, 1, 1],
];

fn layer([inputs, outputs, kernel, stride, groups]: [usize; 5]) -> (Conv2d, BatchNorm) {
    let device = Device::flex();
    let half = kernel / 2;
    let mut conv = Conv2dConfig::new([inputs, outputs], [kernel; 2])
        .with_stride([stride; 2])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(half, half, half, half))
        .init(&device);
    conv.weight = Param::from_tensor(plain([outputs, inputs / groups, kernel, kernel]));
    conv.bias = Some(Param::from_tensor(vector(outputs, 1)));
    let mut bn = BatchNorm::new(outputs, &device);
    bn.gamma = Param::from_tensor(vector(outputs, 2));
    bn.beta = Param::from_tensor(vector(outputs, 3));
    bn.running_mean = RunningState::new(vector(outputs, 4));
    bn.running_var = RunningState::new(vector(outputs, 5).abs() + 0.5);
    (conv, bn)
}

fn vector(count: usize, key: usize) -> Tensor<1> {
    plain([count, key, 1, 1]).narrow(1, 0, 1).reshape([count])
}

fn forward((layer, bn): &(Conv2d, BatchNorm), x: &Tensor<4>) -> [Vec<f64>; 2] {
    let folded = conv_bn(layer, bn, x.clone(), None, true);
    [numbers(folded), numbers(conv(layer, x.clone()))]
}

#[test]
fn a_forward_pass_gives_the_same_bits_and_makes_everything_once() {
    for kind in KINDS {
        let layer = layer(kind);
        let prepared = PreparedWeights::new();
        for [batch, side] in [[1, 9], [3, 9], [1, 12]] {
            let x = plain([batch, kind[0], side, side]);
            let want = forward(&layer, &x);
            let run = || prepared.run(|| forward(&layer, &x));
            assert_eq!(run(), want, "{kind:?}");
            assert_eq!(run(), want, "{kind:?}");
            assert_eq!(on_pool(run), want, "{kind:?}");
            // They serve maps of every size.
            assert_eq!(prepared.made(), made(), "{kind:?}");
        }
        assert!(prepared.bytes() > 0);
    }
}

/// One map of 4×4 pixels is summed directly by weights that would outgrow the cache, and more of them are not.
#[test]
fn weights_for_few_and_for_many_pixels_are_kept_beside_each_other() {
    let kind = [128, 128, 3, 1, 1];
    let layer = layer(kind);
    let prepared = PreparedWeights::new();
    for batch in [1, 4, 1, 4] {
        let x = plain([batch, kind[0], 4, 4]);
        let want = forward(&layer, &x);
        assert_eq!(prepared.run(|| forward(&layer, &x)), want, "{batch}");
    }
    let folded = 1;
    assert_eq!(prepared.made(), folded + 2 * (made() - folded));
}

/// A folded weight, and two weights for the kernels, if there are any.
fn made() -> u64 {
    match kd_kernels::mode() {
        Ok(kd_kernels::Mode::Off) => 1,
        _ => 3,
    }
}

#[test]
fn a_classifier_gives_the_same_bits_and_is_made_once() {
    if kd_kernels::mode() == Ok(kd_kernels::Mode::Off) {
        // Then it is a product of matrices.
        return;
    }
    let weight = plain([24, 10, 1, 1]).reshape([24, 10]);
    let bias = vector(10, 1);
    let run = |batch: usize| {
        let x = plain([batch, 24, 1, 1]).reshape([batch, 24]);
        numbers(linear(x, weight.clone(), bias.clone()))
    };
    let prepared = PreparedWeights::new();
    for batch in [1, 5, 1] {
        assert_eq!(prepared.run(|| run(batch)), run(batch));
    }
    assert_eq!(prepared.made(), 2);
}

type Change = fn(&mut (Conv2d, BatchNorm));

/// A change of each tensor that a layer has, as an optimiser makes it: in place, where no other holds the tensor.
const CHANGES: [(&str, Change); 6] = [
    ("weight", |(conv, _)| {
        let weight = std::mem::replace(&mut conv.weight, Param::from_tensor(plain([1; 4])));
        conv.weight = weight.map(|weight| weight.mul_scalar(1.5));
    }),
    ("bias", |(conv, _)| {
        conv.bias = conv.bias.take().map(|bias| bias.map(changed));
    }),
    ("scale", |(_, bn)| {
        let gamma = std::mem::replace(&mut bn.gamma, Param::from_tensor(vector(1, 1)));
        bn.gamma = gamma.map(changed);
    }),
    ("shift", |(_, bn)| {
        let beta = std::mem::replace(&mut bn.beta, Param::from_tensor(vector(1, 1)));
        bn.beta = beta.map(changed);
    }),
    ("running mean", |(_, bn)| {
        bn.running_mean = RunningState::new(changed(bn.running_mean.value()));
    }),
    ("running variance", |(_, bn)| {
        bn.running_var = RunningState::new(changed(bn.running_var.value()));
    }),
];

fn changed(values: Tensor<1>) -> Tensor<1> {
    values.mul_scalar(1.5)
}

#[test]
fn what_was_made_of_a_tensor_does_not_outlive_its_change() {
    for kind in KINDS {
        for (what, change) in CHANGES {
            let mut layer = layer(kind);
            let x = plain([2, kind[0], 9, 9]);
            let prepared = PreparedWeights::new();
            let mut last = prepared.run(|| forward(&layer, &x));
            let bytes = prepared.bytes();
            // Several times: the memory of the tensor before is free for the next one.
            for _ in 0..4 {
                change(&mut layer);
                let want = forward(&layer, &x);
                assert_ne!(want, last, "{what} of {kind:?}");
                for _ in 0..2 {
                    let found = prepared.run(|| forward(&layer, &x));
                    assert_eq!(found, want, "{what} of {kind:?}");
                }
                last = want;
            }
            // What was made of the tensors before is gone, but for what they leave until something else is made.
            let after = prepared.bytes();
            assert!(after <= 2 * bytes, "{what} of {kind:?}: {bytes}, {after}");
        }
    }
}

/// Two forward passes of one thread, one within the other, each keep what they made.
#[test]
fn the_inner_of_two_forward_passes_ends_first() {
    let (outer, inner) = (PreparedWeights::new(), PreparedWeights::new());
    let (a, b) = (layer(KINDS[0]), layer(KINDS[1]));
    let x = plain([1, 16, 9, 9]);
    outer.run(|| {
        inner.run(|| forward(&a, &x));
        forward(&b, &x);
    });
    assert_eq!([outer.made(), inner.made()], [made(); 2]);
}
