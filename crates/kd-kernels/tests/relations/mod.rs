//! What losses compare of what goes together in maps, against the composed form: values and gradients.

use burn::tensor::{Device, Tensor};
use kd_kernels::{
    correlation_distance, fsp_distance, gram_of_channels, gram_of_positions, nst_mmd, products,
    singular_vector_distance,
};

use crate::compared::{Expected, compare, numbers, plain};

const ZERO: f64 = 1e-12;

/// Channels of student and target, height and width: channels that fill no register and more than one panel, fewer
/// positions than channels and more, and more positions than are taken at a time.
const PAIRS: [([usize; 2], [usize; 2]); 6] = [
    ([1, 1], [1, 2]),
    ([5, 7], [3, 4]),
    ([40, 33], [2, 5]),
    ([16, 70], [3, 3]),
    ([18, 35], [12, 13]),
    ([70, 20], [5, 8]),
];

/// A vector as the map that `compare` asks for.
fn row<const D: usize>(found: Tensor<D>) -> Tensor<4> {
    found.reshape([1, 1, 1, -1])
}

fn shapes([student, target]: [usize; 2], [height, width]: [usize; 2]) -> [[usize; 4]; 2] {
    [student, target].map(|channels| [3, channels, height, width])
}

#[test]
fn products_of_more_positions_than_a_run_agree() {
    for (channels, size) in PAIRS {
        let maps = shapes(channels, size);
        compare(&format!("products {maps:?}"), &maps, &[], |maps, _| {
            row(products(maps[0].clone(), maps[1].clone()))
        });
        compare(&format!("channels {maps:?}"), &maps[..1], &[], |maps, _| {
            row(gram_of_channels(maps[0].clone()))
        });
        compare(
            &format!("positions {maps:?}"),
            &maps[..1],
            &[],
            |maps, _| row(gram_of_positions(maps[0].clone())),
        );
    }
}

#[test]
fn selectivities_agree() {
    // The cosine of one channel with itself has no gradient but rounding.
    for (channels, size) in &PAIRS[1..] {
        let maps = shapes(*channels, *size);
        Expected::gradients(&[0]).compare(&format!("{maps:?}"), &maps, &[], |maps, _| {
            row(nst_mmd(maps[0].clone(), maps[1].clone().detach(), ZERO))
        });
    }
}

#[test]
fn correlations_agree() {
    for (channels, size) in PAIRS {
        let [student, _] = shapes(channels, size);
        let [batch, channels, height, width] = student;
        let target = [batch, channels, height + 1, width];
        let expected = Expected {
            // The one product of one channel is brought to 1.
            zero: channels == 1,
            ..Expected::gradients(&[0])
        };
        expected.compare(
            &format!("{student:?}"),
            &[student, target],
            &[],
            |maps, _| {
                let [student, target] = [maps[0].clone(), maps[1].clone()];
                row(correlation_distance(student, target.detach(), ZERO))
            },
        );
    }
}

#[test]
fn flows_agree() {
    for (channels, size) in PAIRS {
        let [from, to] = shapes(channels, size);
        // The networks' sizes may differ.
        let [target_from, target_to] = shapes(channels, [size[0], size[1] + 1]);
        let maps = [from, to, target_from, target_to];
        Expected::gradients(&[0, 1]).compare(&format!("{maps:?}"), &maps, &[], |maps, _| {
            let [from, to] = [maps[0].clone(), maps[1].clone()];
            let target = [maps[2].clone().detach(), maps[3].clone().detach()];
            row(fsp_distance([from, to], target))
        });
    }
}

#[test]
fn turns_agree() {
    for ([from, to], _) in PAIRS {
        let maps = [
            [3, from, 1, 1],
            [3, to, 1, 1],
            [3, from, 1, 1],
            [3, to, 1, 1],
        ];
        Expected::gradients(&[0, 1]).compare(&format!("{from} to {to}"), &maps, &[], |maps, _| {
            let vector = |index: usize| maps[index].clone().flatten::<2>(1, 3);
            let student = [vector(0), vector(1)];
            let target = [vector(2).detach(), vector(3).detach()];
            row(singular_vector_distance(student, target))
        });
    }
}

/// A channel of zeros has no direction: it adds nothing, and gets no gradient.
#[test]
fn a_silent_channel_has_no_selectivity() {
    let device = Device::flex().autodiff();
    for [height, width] in [[1, 3], [5, 5]] {
        let loud = Tensor::from_inner(plain([2, 4, height, width]));
        let silent = Tensor::<4>::zeros([2, 1, height, width], &device);
        let student = Tensor::cat(vec![loud.clone(), silent], 1).require_grad();
        let target = Tensor::from_inner(plain([2, 6, height, width]));
        let distance = nst_mmd(student.clone(), target, ZERO);
        let gradients = distance.clone().sum().backward();
        assert!(numbers(distance).iter().all(|found| found.is_finite()));
        let gradient = student.grad(&gradients).unwrap();
        let of_silent = numbers(gradient.clone().narrow(1, 4, 1));
        assert!(of_silent.iter().all(|slope| *slope == 0.0), "{of_silent:?}");
        assert!(numbers(gradient).iter().all(|slope| slope.is_finite()));
    }
}

/// What no kernel may hide.
#[test]
fn nan_stays_visible() {
    let fine = || plain([2, 6, 2, 2]);
    let spoilt = || fine().slice_fill([0..1, 1..2, 0..1, 0..1], f32::NAN);
    for (student, target) in [(spoilt(), fine()), (fine(), spoilt())] {
        let maps = [student.clone(), target.clone()];
        let vectors = maps.clone().map(|map| map.flatten::<2>(1, 3));
        let [of_student, of_target] = vectors;
        for found in [
            nst_mmd(student.clone(), target.clone(), ZERO),
            correlation_distance(student.clone(), target.clone(), ZERO),
            fsp_distance([student.clone(), student], [target.clone(), target]),
            singular_vector_distance(
                [of_student.clone(), of_student],
                [of_target.clone(), of_target],
            ),
        ] {
            let found = numbers(found);
            assert!(found[0].is_nan() && found[1].is_finite(), "{found:?}");
        }
    }
}
