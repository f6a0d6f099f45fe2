//! Maximum pooling and scaled channels, against the composed form: values and gradients.

use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_kernels::{max_pool, scale_channels};

use crate::compared::{Expected, compare, numbers, plain, weighted};

fn window(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> MaxPoolOptions<2> {
    MaxPoolOptions::new(kernel)
        .with_stride(stride)
        .with_padding(padding)
}

#[test]
fn the_largest_values_agree() {
    for shape in [[1, 1, 3, 3], [2, 5, 7, 8], [3, 64, 9, 6], [2, 70, 14, 14]] {
        for window in [
            window([3, 3], [2, 2], [1, 1]),
            window([2, 2], [2, 2], [0, 0]),
            window([3, 2], [1, 3], [2, 0]),
            window([3, 3], [3, 3], [0, 1]),
        ] {
            let what = format!("{window:?} of {shape:?}");
            compare(&what, &[shape], &[], |maps, _| {
                max_pool(maps[0].clone(), window.clone())
            });
        }
    }
}

#[test]
fn windows_that_the_kernel_does_not_serve_are_burns() {
    let composed = Expected {
        forward: [false, false],
        backward: false,
        ..Expected::default()
    };
    for window in [
        window([3, 3], [2, 2], [1, 1]).with_dilation([2, 1]),
        window([2, 2], [2, 2], [0, 0]).with_ceil_mode(true),
        window([2, 2], [2, 2], [0, 0]).with_padding_pairs([(0, 1), (0, 0)]),
        window([17, 16], [1, 1], [0, 0]),
    ] {
        let what = format!("{window:?}");
        composed.compare(&what, &[[2, 5, 17, 19]], &[], |maps, _| {
            max_pool(maps[0].clone(), window.clone())
        });
    }
}

/// Values and gradient of a pooling.
fn pooled(x: &Tensor<4>, pool: impl FnOnce(Tensor<4>) -> Tensor<4>) -> [Vec<f64>; 2] {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::from_data(x.to_data(), &device).require_grad();
    let y = pool(x.clone());
    let values = numbers(y.clone());
    let gradients = weighted(y).backward();
    [values, numbers(x.grad(&gradients).expect("a gradient"))]
}

#[test]
fn equal_values_infinities_and_nan_are_as_burn_has_them() {
    let shape = [2, 19, 9, 10];
    let whole = (plain(shape) * 2.0).round();
    let nan = whole
        .clone()
        .mask_fill(whole.clone().equal_elem(-2.0), f32::NAN);
    let infinite = whole
        .clone()
        .mask_fill(whole.clone().lower_elem(1.0), f32::NEG_INFINITY);
    for (what, x) in [("equal", whole), ("NaN", nan), ("infinite", infinite)] {
        for window in [
            window([3, 3], [2, 2], [1, 1]),
            window([2, 2], [2, 2], [0, 0]),
        ] {
            let ours = pooled(&x, |x| max_pool(x, window.clone()));
            let theirs = pooled(&x, |x| max_pool2d(x, window.clone()));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours.len(), theirs.len(), "{what}");
                for (ours, theirs) in ours.iter().zip(theirs) {
                    let same = ours == theirs || (ours.is_nan() && theirs.is_nan());
                    // Gradients are summed in another order.
                    let near = (ours - theirs).abs() < 1e-6;
                    assert!(same || near, "{what}: {ours} is not {theirs}");
                }
            }
        }
    }
}

#[test]
fn scaled_channels_agree() {
    for shape in [[1, 1, 1, 1], [2, 5, 3, 4], [3, 64, 9, 6], [2, 70, 14, 14]] {
        let [batch, channels, ..] = shape;
        let scale = [batch, channels, 1, 1];
        compare(&format!("{shape:?}"), &[shape, scale], &[], |maps, _| {
            scale_channels(maps[0].clone(), maps[1].clone())
        });
        // As squeeze and excitation has it: the scale follows from the map.
        compare(
            &format!("{shape:?} by its mean"),
            &[shape],
            &[],
            |maps, _| {
                let x = maps[0].clone();
                let mean = kd_kernels::average_pool(x.clone(), [1, 1]);
                scale_channels(x, mean.exp())
            },
        );
    }
}
