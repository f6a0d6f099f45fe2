//! Convolutions of every kind, with what follows them.

use kd_kernels::{ConvOptions, Epilogue, conv2d};

use crate::compared::{Expected, compare};

/// Stride, padding and groups, the same along both axes.
pub fn options(stride: usize, padding: usize, groups: usize) -> ConvOptions {
    ConvOptions {
        stride: [stride; 2],
        padding: [padding; 2],
        groups,
        ..ConvOptions::default()
    }
}

/// Shapes of input and weight, and options, one for every way that a convolution is computed.
pub fn convolutions() -> Vec<([usize; 4], [usize; 4], ConvOptions)> {
    vec![
        ([2, 3, 7, 9], [16, 3, 3, 3], options(1, 1, 1)),
        ([2, 16, 7, 9], [24, 16, 3, 3], options(1, 1, 1)),
        ([2, 20, 6, 6], [9, 20, 3, 3], options(1, 0, 1)),
        ([3, 16, 8, 8], [20, 16, 3, 3], options(2, 1, 1)),
        ([2, 24, 5, 5], [17, 24, 1, 1], options(1, 0, 1)),
        ([2, 8, 9, 8], [16, 8, 1, 1], options(2, 0, 1)),
        ([2, 3, 11, 10], [8, 3, 7, 7], options(2, 3, 1)),
        ([2, 12, 6, 6], [18, 4, 3, 3], options(1, 1, 3)),
        ([2, 12, 6, 6], [6, 4, 1, 1], options(1, 0, 3)),
        ([2, 21, 6, 5], [21, 1, 3, 3], options(1, 1, 21)),
        ([2, 21, 7, 7], [21, 1, 3, 3], options(2, 1, 21)),
        ([2, 6, 7, 7], [12, 1, 5, 5], options(1, 2, 6)),
        ([1, 16, 1, 1], [16, 16, 3, 3], options(1, 1, 1)),
        (
            [2, 4, 9, 7],
            [5, 4, 1, 3],
            ConvOptions {
                stride: [2, 1],
                padding: [0, 1],
                groups: 1,
                ..ConvOptions::default()
            },
        ),
    ]
}

#[test]
fn conv2d_agrees() {
    for (x, weight, options) in convolutions() {
        let what = format!("{x:?} with {weight:?}, {options:?}");
        compare(&what, &[x, weight], &[], |maps, _| {
            conv2d(
                maps[0].clone(),
                maps[1].clone(),
                options,
                Epilogue::default(),
            )
        });
    }
}

#[test]
fn conv2d_agrees_with_a_bias_and_a_relu() {
    for (x, weight, options) in convolutions() {
        for (biased, relu) in [(true, false), (false, true), (true, true)] {
            let what = format!("{x:?} with {weight:?}, {options:?}, {biased} {relu}");
            let expected = Expected::gradients(if biased { &[0, 1, 2] } else { &[0, 1] });
            expected.compare(&what, &[x, weight], &[weight[0]], |maps, vectors| {
                let bias = biased.then(|| vectors[0].clone());
                conv2d(
                    maps[0].clone(),
                    maps[1].clone(),
                    options,
                    Epilogue::default().with_bias(bias).with_relu(relu),
                )
            });
        }
    }
}

/// Height or width of the output of a convolution.
pub fn output(x: [usize; 4], weight: [usize; 4], options: ConvOptions) -> [usize; 4] {
    let along = |axis: usize| {
        (x[2 + axis] + 2 * options.padding[axis] - weight[2 + axis]) / options.stride[axis] + 1
    };
    [x[0], weight[0], along(0), along(1)]
}

#[test]
fn conv2d_fused_agrees() {
    for (x, weight, options) in convolutions() {
        let shortcut = output(x, weight, options);
        for (residual, relu) in [(false, false), (true, false), (false, true), (true, true)] {
            let what = format!("{x:?} with {weight:?}, {options:?}, {residual} {relu}");
            let gradients: &[usize] = if residual { &[0, 1, 2, 3] } else { &[0, 1, 3] };
            let expected = Expected::gradients(gradients);
            expected.compare(
                &what,
                &[x, weight, shortcut],
                &[weight[0]],
                |maps, vectors| {
                    conv2d(
                        maps[0].clone(),
                        maps[1].clone(),
                        options,
                        Epilogue::default()
                            .with_bias(vectors[0].clone())
                            .with_residual(residual.then(|| maps[2].clone()))
                            .with_relu(relu),
                    )
                },
            );
        }
    }
}
