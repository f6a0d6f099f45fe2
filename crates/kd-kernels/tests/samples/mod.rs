//! What losses compare of samples, against the composed form: values and gradients.

use burn::tensor::{Int, Tensor};
use kd_kernels::{RowContrast, Samples, gram_of_rows};

use crate::compared::{Expected, compare, evaluate};

/// A map as rows.
fn rows(map: &Tensor<4>) -> Tensor<2> {
    let [_, _, rows, width] = map.dims();
    map.clone().reshape([rows, width])
}

#[test]
fn products_of_rows_agree() {
    // Rows that fill no tile, widths that fill no register, no run and more than a run of each task.
    for [count, width] in [
        [1, 1],
        [2, 7],
        [5, 33],
        [4, 1024],
        [13, 1025],
        [65, 70],
        [7, 8400],
    ] {
        let what = format!("{count} rows of {width}");
        compare(&what, &[[1, 1, count, width]], &[], |maps, _| {
            gram_of_rows(rows(&maps[0])).reshape([1, 1, count, count])
        });
        // As a view of a map that lies channels last.
        compare(&what, &[[1, 1, width, count]], &[], |maps, _| {
            gram_of_rows(rows(&maps[0]).transpose()).reshape([1, 1, count, count])
        });
    }
}

/// What an embedding is compared with.
struct Case {
    batch: usize,
    width: usize,
    others: usize,
    bank: usize,
    /// Classes of the bank's rows.
    classes: usize,
}

/// The constant and the means of rows of `maps[0]` with those of a bank, `maps[1]`.
fn contrasted(maps: &[Tensor<4>], case: &Case, known: [f64; 2]) -> Tensor<4> {
    let (embeddings, bank) = (
        rows(&maps[0]) * 3.0,
        rows(&maps[1]).without_autodiff() * 2.0,
    );
    let device = bank.device();
    let samples = |count: usize, step: usize| {
        let found: Vec<i64> = (0..count).map(|i| (i * step % case.bank) as i64).collect();
        let found = Tensor::<1, Int>::from_ints(found.as_slice(), &device);
        let classes = found.clone().remainder_scalar(case.classes as i64).float();
        Samples {
            rows: found,
            classes: classes.cast(bank.dtype()),
        }
    };
    let contrast = RowContrast {
        bank: bank.clone(),
        own: samples(case.batch, 3),
        others: samples(case.others, 5),
    };
    let own = embeddings.clone().sum_dim(1).reshape([case.batch]) * 0.1;
    let known = Tensor::from_data(known, (&device, bank.dtype()));
    let found = contrast.compare(embeddings, own, known, -1.5);
    // The constant has no gradient, and so lies on the plain device.
    let constant = match found.noise.device().is_autodiff() {
        true => Tensor::from_inner(found.constant),
        false => found.constant,
    };
    Tensor::cat(vec![constant, found.noise], 0).reshape([1, 1, 1, case.batch + 1])
}

const CASES: [Case; 6] = [
    case([1, 1, 1], 4, 4),
    case([5, 7, 40], 11, 3),
    case([3, 16, 67], 200, 17),
    case([37, 130, 200], 211, 10),
    // More rows than a block in each task.
    case([9, 20, 1300], 1000, 100),
    // None that counts.
    case([4, 9, 21], 30, 1),
];

const fn case([batch, width, others]: [usize; 3], bank: usize, classes: usize) -> Case {
    Case {
        batch,
        width,
        others,
        bank,
        classes,
    }
}

#[test]
fn contrasts_with_rows_agree() {
    for (index, case) in CASES.iter().enumerate() {
        let shapes = [
            [1, 1, case.batch, case.width],
            [1, 1, case.bank, case.width],
        ];
        for known in [[0.0, 7.0], [1.0, 0.4]] {
            let expected = Expected {
                // Where the one row is the embedding's own, or all are of its class.
                zero: [0, 5].contains(&index),
                // The slopes come with the values.
                backward: false,
                ..Expected::gradients(&[0])
            };
            expected.compare(
                &format!("{shapes:?}, known {known:?}"),
                &shapes,
                &[],
                |maps, _| contrasted(maps, case, known),
            );
        }
    }
}

#[test]
fn where_no_row_counts_there_is_no_noise() {
    let case = &CASES[5];
    let shapes = [
        [1, 1, case.batch, case.width],
        [1, 1, case.bank, case.width],
    ];
    let dtype = burn::tensor::DType::F32;
    let found = evaluate(dtype, &shapes, &[], |maps, _| {
        contrasted(maps, case, [1.0, 0.4])
    });
    assert_eq!(found.value[1..], [0.0; 4]);
    assert!(found.gradient(0).iter().all(|slope| *slope == 0.0));
}

#[test]
fn contrasts_survive_any_score() {
    let case = case([3, 4, 5], 20, 20);
    let shapes = [
        [1, 1, case.batch, case.width],
        [1, 1, case.bank, case.width],
    ];
    let dtype = burn::tensor::DType::F32;
    for size in [1e-20, 1e8] {
        let found = evaluate(dtype, &shapes, &[], |maps, _| {
            let maps = [maps[0].clone() * size, maps[1].clone() * size];
            contrasted(&maps, &case, [0.0, 0.0])
        });
        let gradients = found.gradient(0).iter();
        assert!(found.value.iter().chain(gradients).all(|v| v.is_finite()));
    }
}
