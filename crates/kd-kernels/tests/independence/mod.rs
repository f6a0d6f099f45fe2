//! What a result must not depend on, to the last bit.

use burn::tensor::{DType, Tensor};
use kd_kernels::{Epilogue, batch_norm, conv2d, linear};

use crate::compared::{evaluate, numbers, plain};
use crate::convolutions::{convolutions, options, output};

/// An image alone gives what it gives among others: answers may be kept and asked for again.
#[test]
fn an_image_gives_the_same_in_every_batch() {
    for (x, weight, options) in convolutions() {
        let x = [64, x[1], x[2], x[3]];
        let shortcut = plain(output(x, weight, options));
        let [outputs, ..] = weight;
        let [x, weight] = [x, weight].map(plain);
        let bias: Tensor<1> = plain([outputs, 1, 1, 1]).reshape([outputs]);
        let run = |first: usize, batch: usize| {
            let [x, shortcut] = [&x, &shortcut].map(|map| map.clone().narrow(0, first, batch));
            let plain = conv2d(x.clone(), weight.clone(), options, Epilogue::default());
            let (weight, bias) = (weight.clone(), bias.clone());
            let fused = conv2d(
                x,
                weight,
                options,
                Epilogue::default()
                    .with_bias(bias)
                    .with_residual(Some(shortcut))
                    .with_relu(true),
            );
            [plain, fused]
        };
        let whole = run(0, 64);
        for (first, batch) in [(0, 1), (63, 1), (17, 2), (40, 5), (0, 63)] {
            for (found, whole) in run(first, batch).into_iter().zip(&whole) {
                let same = whole.clone().narrow(0, first, batch);
                assert_eq!(
                    numbers(found),
                    numbers(same),
                    "{options:?}, {first} + {batch}"
                );
            }
        }
    }
}

#[test]
fn a_row_of_a_classifier_gives_the_same_in_every_batch() {
    if kd_kernels::mode() == Ok(kd_kernels::Mode::Off) {
        // Only the kernels promise it.
        return;
    }
    for [batch, inputs, outputs] in [[128, 1280, 10], [64, 64, 100], [3, 5, 1]] {
        let matrix = |rows, columns| plain([rows, columns, 1, 1]).reshape([rows, columns]);
        let (x, weight) = (matrix(batch, inputs), matrix(inputs, outputs));
        let bias: Tensor<1> = plain([outputs, 1, 1, 1]).reshape([outputs]);
        let whole = linear(x.clone(), weight.clone(), bias.clone());
        let product = x.clone().matmul(weight.clone()) + bias.clone().unsqueeze();
        for (got, want) in numbers(whole.clone()).into_iter().zip(numbers(product)) {
            assert!(
                (got - want).abs() < 1e-4 * want.abs().max(1.0),
                "{got}, {want}"
            );
        }
        for (first, count) in [(0, 1), (batch - 1, 1), (1, 2), (0, batch - 1)] {
            let some = x.clone().narrow(0, first, count);
            let found = linear(some, weight.clone(), bias.clone());
            assert_eq!(
                numbers(found),
                numbers(whole.clone().narrow(0, first, count)),
                "{batch}x{inputs}x{outputs}, {first} + {count}"
            );
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = || {
        let maps = [
            [33, 16, 9, 9],
            [24, 16, 3, 3],
            [24, 1, 3, 3],
            [16, 24, 1, 1],
        ];
        let found = evaluate(DType::F32, &maps, &[16, 16], |maps, vectors| {
            let [x, first, second, third] = [0, 1, 2, 3].map(|i| maps[i].clone());
            let [gamma, beta] = [0, 1].map(|i| vectors[i].clone());
            let y = conv2d(x.clone(), first, options(1, 1, 1), Epilogue::default());
            let y = conv2d(y, second, options(1, 1, 24), Epilogue::default());
            let y = conv2d(y, third, options(1, 0, 1), Epilogue::default());
            batch_norm(
                y,
                gamma,
                beta,
                1e-5,
                Epilogue::default().with_residual(Some(x)).with_relu(true),
            )
            .output
        });
        (found.value, found.gradients)
    };
    let [one, two, three] = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(run)
    });
    assert_eq!(one, two);
    assert_eq!(one, three);
}
