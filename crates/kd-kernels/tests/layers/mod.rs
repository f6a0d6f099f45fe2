//! Layers, whose stride, padding and dilation are read, against burn's own.

use burn::module::{Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_kernels::ConvOptions;
use kd_kernels::layers::{BatchNorm, conv, conv_bn, conv_relu};

use crate::compared::{numbers, plain, weighted};

/// A layer from 8 channels to 12, and the side of its input.
fn layers() -> Vec<(&'static str, Conv2dConfig, usize)> {
    let layer = |kernel: usize| Conv2dConfig::new([8, 12], [kernel; 2]);
    let around = |side| PaddingConfig2d::Explicit(side, side, side, side);
    vec![
        ("patches", layer(16).with_stride([16; 2]), 33),
        (
            "dilated",
            layer(3).with_padding(around(6)).with_dilation([6; 2]),
            13,
        ),
        (
            "dilated across",
            layer(3).with_padding(around(1)).with_dilation([1, 2]),
            9,
        ),
        ("even kernel", layer(4).with_padding(around(1)), 9),
        (
            "even kernel, half",
            layer(2).with_padding(around(1)).with_stride([2; 2]),
            9,
        ),
        ("no padding", layer(3), 9),
        ("much padding", layer(3).with_padding(around(2)), 9),
        ("kept size", layer(3).with_padding(around(1)), 9),
        ("groups", layer(3).with_padding(around(1)).with_groups(4), 9),
        (
            "uneven padding",
            layer(3).with_padding(PaddingConfig2d::Explicit(0, 1, 2, 1)),
            9,
        ),
        (
            "same, even kernel",
            layer(4).with_padding(PaddingConfig2d::Same),
            9,
        ),
    ]
}

fn vector(count: usize, key: usize, device: &Device) -> Tensor<1> {
    on(plain([count, key, 1, 1]).narrow(1, 0, 1), device).reshape([count])
}

fn on(map: Tensor<4>, device: &Device) -> Tensor<4> {
    Tensor::from_data(map.into_data(), device)
}

fn built(config: &Conv2dConfig, device: &Device) -> Conv2d {
    let mut conv = config.init(device);
    let shape = conv.weight.dims();
    conv.weight = Param::from_tensor(on(plain(shape), device));
    conv.bias = Some(Param::from_tensor(vector(shape[0], 2, device)));
    conv
}

/// Normalisations of ours and of burn's, with the same numbers.
fn normalisations(device: &Device) -> (BatchNorm, burn::nn::BatchNorm) {
    let [gamma, beta, mean] = [3, 4, 5].map(|key| vector(12, key, device));
    let variance = vector(12, 6, device).square() + 0.5;
    let mut ours = BatchNorm::new(12, device);
    let mut theirs = BatchNormConfig::new(12).init(device);
    ours.gamma = Param::from_tensor(gamma.clone());
    theirs.gamma = Param::from_tensor(gamma);
    ours.beta = Param::from_tensor(beta.clone());
    theirs.beta = Param::from_tensor(beta);
    ours.running_mean = RunningState::new(mean.clone());
    theirs.running_mean = RunningState::new(mean);
    ours.running_var = RunningState::new(variance.clone());
    theirs.running_var = RunningState::new(variance);
    (ours, theirs)
}

/// Values of a layer, and on an autodiff device the gradients of its input and weight.
fn found(
    layer: &Conv2d,
    x: &Tensor<4>,
    run: impl FnOnce(&Conv2d, Tensor<4>) -> Tensor<4>,
) -> Vec<Vec<f64>> {
    if !x.device().is_autodiff() {
        return vec![numbers(run(layer, x.clone()))];
    }
    let x = x.clone().require_grad();
    let y = run(layer, x.clone());
    let values = numbers(y.clone());
    let gradients = weighted(y).backward();
    let of_weight = layer.weight.val().grad(&gradients).expect("a gradient");
    let of_x = x.grad(&gradients).expect("a gradient");
    vec![values, numbers(of_x), numbers(of_weight)]
}

#[track_caller]
fn assert_alike(what: &str, ours: &[Vec<f64>], theirs: &[Vec<f64>]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (part, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len(), "{what}, part {part}");
        let largest = theirs
            .iter()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        assert!(largest > 0.0, "{what}, part {part}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            let distance = (ours - theirs).abs();
            assert!(
                distance <= 3e-5 * largest,
                "{what}, part {part}: {ours} is not {theirs}"
            );
        }
    }
}

#[test]
fn a_convolution_does_what_its_layer_says() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        for (what, config, side) in layers() {
            let layer = built(&config, &device);
            let x = on(plain([2, 8, side, side + 1]), &device);
            let theirs = found(&layer, &x, |layer, x| layer.forward(x));
            assert_alike(what, &found(&layer, &x, conv), &theirs);
            let theirs = found(&layer, &x, |layer, x| relu(layer.forward(x)));
            assert_alike(what, &found(&layer, &x, conv_relu), &theirs);
        }
    }
}

#[test]
fn a_normalised_convolution_does_what_its_layers_say() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        for (what, config, side) in layers() {
            let layer = built(&config, &device);
            let (ours, theirs) = normalisations(&device);
            let x = on(plain([2, 8, side, side + 1]), &device);
            let shape = layer.forward(x.clone()).dims();
            let shortcut = on(plain(shape), &device);
            let plainly = found(&layer, &x, |layer, x| theirs.forward(layer.forward(x)));
            let run = |layer: &Conv2d, x| conv_bn(layer, &ours, x, None, false);
            assert_alike(what, &found(&layer, &x, run), &plainly);
            let added = found(&layer, &x, |layer, x| {
                relu(theirs.forward(layer.forward(x)) + shortcut.clone())
            });
            let (ours, _) = normalisations(&device);
            let run = |layer: &Conv2d, x| conv_bn(layer, &ours, x, Some(shortcut.clone()), true);
            assert_alike(what, &found(&layer, &x, run), &added);
        }
    }
}

#[test]
fn options_are_those_of_the_layer_or_none() {
    let device = Device::flex();
    let layer = |padding| {
        let config = Conv2dConfig::new([4, 4], [3, 5]).with_padding(padding);
        let config = config.with_stride([2, 1]).with_dilation([1, 3]);
        ConvOptions::of(&config.with_groups(2).init(&device))
    };
    let read = ConvOptions {
        stride: [2, 1],
        padding: [1, 4],
        dilation: [1, 3],
        groups: 2,
    };
    assert_eq!(layer(PaddingConfig2d::Explicit(1, 4, 1, 4)), Some(read));
    let unpadded = ConvOptions {
        padding: [0; 2],
        ..read
    };
    assert_eq!(layer(PaddingConfig2d::Valid), Some(unpadded));
    assert_eq!(layer(PaddingConfig2d::Same), None);
    assert_eq!(layer(PaddingConfig2d::Explicit(1, 4, 2, 4)), None);
    assert_eq!(layer(PaddingConfig2d::Explicit(1, 4, 1, 3)), None);
}

/// Momentum and epsilon are the layer's.
#[test]
fn a_normalisation_uses_its_own_momentum_and_epsilon() {
    let device = Device::flex().autodiff();
    let layer = BatchNorm::new(1, &device)
        .with_momentum(0.5)
        .with_epsilon(3.0);
    // Mean 2, biased variance 1, unbiased 2.
    let x = Tensor::<1>::from_floats([1.0, 3.0], &device).reshape([2, 1, 1, 1]);
    let y = numbers(layer.forward(x));
    assert!(
        (y[0] + 0.5).abs() < 1e-6 && (y[1] - 0.5).abs() < 1e-6,
        "{y:?}"
    );
    let mean = numbers(layer.running_mean.value_sync());
    let variance = numbers(layer.running_var.value_sync());
    assert!((mean[0] - 1.0).abs() < 1e-6, "{mean:?}");
    assert!((variance[0] - 1.5).abs() < 1e-6, "{variance:?}");
}
