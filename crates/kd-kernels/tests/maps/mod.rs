//! What losses compare of two maps, against the composed form: values and gradients.

use burn::tensor::{Device, Tensor};
use kd_kernels::{
    average_pool, blend, boundary_distance, divergence_over_positions, energy, gram_of_channels,
    gram_of_positions, leading_vectors, leaky_relu, negative_part, one_sided_distance, products,
    squared_distance, standardised_distance, unit_rows,
};

use crate::compared::{Expected, compare, numbers};

/// A batch of one, channels that fill no register, that fill some, and more than one chunk of pixels.
const SHAPES: [[usize; 4]; 5] = [
    [1, 1, 1, 2],
    [1, 5, 3, 4],
    [3, 16, 2, 5],
    [2, 37, 5, 3],
    [3, 65, 14, 9],
];

/// A vector as the map that `compare` asks for.
fn row<const D: usize>(found: Tensor<D>) -> Tensor<4> {
    found.reshape([1, 1, 1, -1])
}

/// The second map as a target: nothing of a loss reaches it.
fn target(maps: &[Tensor<4>]) -> [Tensor<4>; 2] {
    [maps[0].clone(), maps[1].clone() * 1.5]
}

#[test]
fn distances_agree() {
    for shape in SHAPES {
        let [_, channels, ..] = shape;
        // Nothing reaches the target or the margin.
        let student = Expected::gradients(&[0]);
        let margin = |vectors: &[Tensor<1>]| vectors[0].clone().abs().neg();
        student.compare(&format!("plain {shape:?}"), &[shape; 2], &[], |maps, _| {
            let [s, t] = target(maps);
            row(squared_distance(s, t))
        });
        student.compare(
            &format!("boundary {shape:?}"),
            &[shape; 2],
            &[],
            |maps, _| {
                let [s, t] = target(maps);
                row(boundary_distance(s, t, 0.3))
            },
        );
        student.compare(
            &format!("one-sided {shape:?}"),
            &[shape; 2],
            &[channels],
            |maps, v| {
                let [s, t] = target(maps);
                row(one_sided_distance(s, t, margin(v)))
            },
        );
        // Two values are always one standard deviation from their mean, whatever they are.
        if shape != SHAPES[0] {
            student.compare(
                &format!("standardised {shape:?}"),
                &[shape; 2],
                &[],
                |maps, _| {
                    let [s, t] = target(maps);
                    row(standardised_distance(s + 3.0, t - 2.0, 1e-6))
                },
            );
        }
        student.compare(
            &format!("divergence {shape:?}"),
            &[shape; 2],
            &[],
            |maps, _| {
                let [s, t] = target(maps);
                row(divergence_over_positions(s * 4.0, t * 4.0, 0.7))
            },
        );
    }
}

#[test]
fn energies_and_products_agree() {
    for shape in SHAPES {
        let [batch, channels, height, width] = shape;
        let other = [batch, channels + 3, height, width];
        compare(&format!("energy {shape:?}"), &[shape], &[], |maps, _| {
            row(energy(maps[0].clone()))
        });
        compare(
            &format!("products {shape:?}"),
            &[shape, other],
            &[],
            |maps, _| row(products(maps[0].clone(), maps[1].clone())),
        );
        compare(&format!("channels {shape:?}"), &[shape], &[], |maps, _| {
            row(gram_of_channels(maps[0].clone()))
        });
        compare(&format!("positions {shape:?}"), &[shape], &[], |maps, _| {
            row(gram_of_positions(maps[0].clone()))
        });
    }
}

#[test]
fn leaky_relus_agree() {
    for shape in SHAPES {
        compare(&format!("{shape:?}"), &[shape], &[], |maps, _| {
            leaky_relu(maps[0].clone(), 0.1)
        });
    }
}

#[test]
fn negative_parts_agree() {
    for shape in SHAPES {
        let expected = Expected {
            backward: false,
            ..Expected::default()
        };
        expected.compare(&format!("{shape:?}"), &[shape], &[], |maps, _| {
            let x = maps[0].clone() - 0.2;
            // Something that has a gradient, beside what has none.
            row(negative_part(x)) + maps[0].clone().sum().reshape([1, 1, 1, 1])
        });
    }
}

#[test]
fn rows_of_length_one_agree() {
    for shape in SHAPES {
        let [batch, channels, height, width] = shape;
        let rows = [batch * channels, height * width];
        compare(&format!("rows {rows:?}"), &[shape], &[], |maps, _| {
            let x: Tensor<2> = maps[0].clone().reshape(rows);
            row(unit_rows(x.clone(), 1e-12) + unit_rows(x * 2.0, 0.8))
        });
    }
}

#[test]
fn leading_vectors_agree() {
    for size in [1, 3, 16, 21] {
        // A symmetric matrix with one eigenvalue that is well apart, so that both forms find its vector.
        let shapes = [[2, size, 1, 1], [2, size, 4, 1]];
        let expected = Expected {
            // A vector of one entry has one direction.
            zero: size == 1,
            ..Expected::default()
        };
        expected.compare(&format!("size {size}"), &shapes, &[], |maps, _| {
            let main: Tensor<3> = maps[0].clone().reshape([2, size, 1]) * 3.0;
            let rest: Tensor<3> = maps[1].clone().reshape([2, size, 4]);
            let matrices =
                main.clone().matmul(main.transpose()) + rest.clone().matmul(rest.transpose());
            let start = Tensor::ones([2, size], (&matrices.device(), matrices.dtype()));
            row(leading_vectors(matrices, start, [20, 5], 1e-24))
        });
    }
    let zero = leading_vectors(
        Tensor::zeros([1, 3, 3], &Device::flex()),
        Tensor::ones([1, 3], &Device::flex()),
        [2, 2],
        1e-24,
    );
    assert_eq!(numbers(zero), [0.0; 3]);
}

#[test]
fn pools_and_blends_agree() {
    for (shape, size) in [
        ([2, 5, 8, 8], [4, 4]),
        ([1, 16, 6, 4], [2, 4]),
        ([3, 18, 5, 3], [1, 1]),
        // Not a divisor: the composed form serves it.
        ([2, 4, 7, 5], [3, 2]),
    ] {
        let divides = shape[2] % size[0] == 0 && shape[3] % size[1] == 0;
        let expected = Expected {
            forward: [divides; 2],
            backward: divides,
            ..Expected::default()
        };
        expected.compare(
            &format!("{shape:?} to {size:?}"),
            &[shape],
            &[],
            |maps, _| average_pool(maps[0].clone(), size),
        );
    }
    for (shape, [height, width]) in [
        ([2, 5, 4, 6], [4, 6]),
        ([1, 16, 4, 6], [2, 3]),
        ([2, 35, 4, 4], [1, 2]),
    ] {
        let [batch, channels, rows, columns] = shape;
        let maps = [
            shape,
            [batch, channels, height, width],
            [batch, 2, rows, columns],
        ];
        compare(&format!("blend {maps:?}"), &maps, &[], |maps, _| {
            blend(maps[0].clone(), maps[1].clone(), maps[2].clone())
        });
    }
}

/// Channels of 8 values, some of which are constant.
#[test]
fn a_constant_channel_has_no_pattern() {
    let device = Device::flex().autodiff();
    let constant = Tensor::<4>::full([2, 1, 2, 2], 0.1, &device);
    let varied: Tensor<4> = Tensor::arange(0..8, &device).float().reshape([2, 1, 2, 2]);
    let student = Tensor::cat(vec![constant.clone(), varied.clone()], 1).require_grad();
    let taught = Tensor::cat(vec![varied, constant], 1);
    let distance = standardised_distance(student.clone(), taught, 1e-6);
    let gradients = distance.clone().sum().backward();
    // What is left of each is the other's variance, biased by unbiased.
    for found in numbers(distance) {
        assert!((found - 7.0 / 8.0).abs() < 1e-5, "{found}");
    }
    let gradient = numbers(student.grad(&gradients).unwrap());
    assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    assert_eq!(gradient[..4], [0.0; 4]);
}

/// What no kernel may hide.
#[test]
fn nan_stays_visible() {
    let device = Device::flex();
    let fine = Tensor::<4>::ones([1, 3, 2, 2], &device);
    let spoilt = fine.clone().slice_fill([0..1, 1..2, 0..1, 0..1], f32::NAN);
    let margin = || Tensor::<1>::zeros([3], &device);
    for (student, taught) in [(spoilt.clone(), fine.clone()), (fine, spoilt.clone())] {
        for found in [
            numbers(squared_distance(student.clone(), taught.clone())),
            numbers(one_sided_distance(
                student.clone(),
                taught.clone(),
                margin(),
            )),
            numbers(standardised_distance(student.clone(), taught.clone(), 1e-6)),
            numbers(divergence_over_positions(student.clone(), taught, 1.0)),
        ] {
            assert!(found[1].is_nan(), "{found:?}");
            assert!(found[0].is_finite() && found[2].is_finite(), "{found:?}");
        }
    }
    let [_, channels, ..] = spoilt.dims();
    let taught = Tensor::zeros([1, channels, 2, 2], &device);
    assert!(numbers(boundary_distance(spoilt.clone(), taught, 1.0))[1].is_nan());
    assert!(numbers(energy(spoilt.clone()))[0].is_nan());
    let rows: Tensor<2> = spoilt.reshape([3, 4]);
    assert!(
        numbers(unit_rows(rows, 1e-12))[4..8]
            .iter()
            .all(|v| v.is_nan())
    );
}
