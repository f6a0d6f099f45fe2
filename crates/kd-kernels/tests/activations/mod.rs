//! Activations by themselves and behind what computes them in the same pass, against the composed form.

use burn::tensor::Tensor;
use kd_kernels::{Activation, Epilogue, activate, affine, batch_norm, conv2d};

use crate::compared::{Expected, compare, evaluate};
use crate::convolutions::options;

/// All but the one that is nothing.
fn functions() -> impl Iterator<Item = Activation> {
    let all = Activation::ALL.into_iter();
    all.filter(|function| *function != Activation::Identity)
}

#[test]
fn activations_agree() {
    for shape in [[1, 1, 1, 2], [3, 16, 2, 5], [2, 37, 5, 3], [3, 65, 14, 9]] {
        for function in functions() {
            // Values on both sides of every corner.
            compare(
                &format!("{function:?} {shape:?}"),
                &[shape],
                &[],
                |maps, _| activate(maps[0].clone() * 8.0, function),
            );
        }
    }
}

#[test]
fn convolutions_end_in_every_activation() {
    // Pointwise, direct, by both of Winograd's ways, and each channel by itself.
    for (channels, outputs, kernel, groups) in [
        (5, 19, 1, 1),
        (5, 34, 3, 1),
        (66, 65, 3, 1),
        (21, 21, 3, 21),
    ] {
        let [x, weight] = [
            [2, channels, 5, 6],
            [outputs, channels / groups, kernel, kernel],
        ];
        let y = [2, outputs, 5, 6];
        for function in functions() {
            for residual in [false, true] {
                let what = format!("{function:?} after {weight:?}, {residual}");
                let gradients: &[usize] = if residual { &[0, 1, 2, 3] } else { &[0, 1, 3] };
                let expected = Expected::gradients(gradients);
                expected.compare(&what, &[x, weight, y], &[outputs], |maps, vectors| {
                    let epilogue = Epilogue::default()
                        .with_bias(vectors[0].clone())
                        .with_residual(residual.then(|| maps[2].clone() * 4.0))
                        .with_activation(function);
                    let (x, weight) = (maps[0].clone(), maps[1].clone());
                    conv2d(x, weight, options(1, kernel / 2, groups), epilogue)
                });
            }
        }
    }
}

#[test]
fn normalisations_end_in_every_activation() {
    for shape in [[2, 1, 3, 3], [3, 16, 5, 4], [4, 70, 7, 7]] {
        for function in functions() {
            for residual in [false, true] {
                let what = format!("{function:?} of {shape:?}, {residual}");
                let gradients: &[usize] = if residual { &[0, 1, 2, 3] } else { &[0, 2, 3] };
                let expected = Expected::gradients(gradients);
                let epilogue = |maps: &[Tensor<4>]| {
                    Epilogue::default()
                        .with_residual(residual.then(|| maps[1].clone()))
                        .with_activation(function)
                };
                let sizes = [shape[1]; 2];
                expected.compare(&what, &[shape; 2], &sizes, |maps, vectors| {
                    let [gamma, beta] = [&vectors[0], &vectors[1]].map(|v| v.clone() * 4.0);
                    batch_norm(maps[0].clone(), gamma, beta, 1e-5, epilogue(maps)).output
                });
                expected.compare(&what, &[shape; 2], &sizes, |maps, vectors| {
                    let [scale, shift] = [&vectors[0], &vectors[1]].map(|v| v.clone() * 4.0);
                    affine(maps[0].clone() * 4.0, scale, shift, epilogue(maps))
                });
            }
        }
    }
}

#[test]
fn large_values_give_finite_slopes() {
    for function in functions() {
        for size in [1e-20, 1e8, 1e30] {
            let dtype = burn::tensor::DType::F32;
            let found = evaluate(dtype, &[[1, 5, 2, 2]], &[], |maps, _| {
                activate(maps[0].clone() * size, function)
            });
            let gradients = found.gradient(0).iter();
            let finite = found.value.iter().chain(gradients).all(|v| v.is_finite());
            assert!(finite, "{function:?} of {size}");
        }
    }
}
