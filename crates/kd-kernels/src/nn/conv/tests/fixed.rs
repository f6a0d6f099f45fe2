//! Convolutions of chosen sizes.

use super::{Case, DEPTHWISE, DIRECT, WINOGRAD, WINOGRAD_TWO};
use crate::images::{Images, Size};
use crate::nn::Activation;
use crate::nn::conv::{Epilogue, Geometry};
use crate::simd::Isa;
use crate::test_memory::{numbers, written};

/// A square convolution: batch, size, input and output channels, kernel, stride, groups.
fn square([batch, size, inputs, outputs, kernel, stride, groups]: [usize; 7]) -> Geometry {
    Geometry {
        input: Size {
            batch,
            height: size,
            width: size,
            channels: inputs,
        },
        outputs,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        groups,
    }
}

/// Sizes that fill more than one block of channels, run of pixels, part of a batch or group of
/// tiles, and maps that are smaller than a tile.
#[test]
fn sizes_that_cross_the_borders_of_blocks() {
    for shape in [
        [5, 8, 64, 48, 3, 1, 1],
        [2, 8, 80, 72, 3, 1, 1],
        [5, 4, 64, 64, 3, 1, 1],
        [5, 2, 33, 65, 3, 1, 1],
        [5, 1, 40, 40, 3, 1, 1],
        [20, 9, 16, 16, 3, 1, 1],
        [2, 24, 8, 8, 3, 1, 1],
        [1, 4, 300, 257, 3, 1, 1],
        [230, 2, 128, 128, 3, 1, 1],
        [5, 8, 64, 96, 3, 2, 1],
        [3, 17, 80, 72, 1, 1, 1],
        [5, 9, 48, 100, 1, 2, 1],
        [19, 3, 24, 40, 5, 1, 1],
        [2, 17, 3, 64, 7, 2, 1],
        [3, 10, 96, 64, 3, 2, 4],
        [20, 5, 116, 116, 3, 1, 116],
        [5, 7, 70, 70, 3, 2, 70],
        [2, 5, 36, 36, 5, 1, 36],
        [3, 4, 35, 70, 3, 1, 35],
    ] {
        let case = Case::plain(square(shape));
        case.check(&DIRECT);
        if case.geometry.is_depthwise() {
            case.check(&DEPTHWISE);
        }
        if case.geometry.is_winograd() {
            case.check(&WINOGRAD);
            case.check(&WINOGRAD_TWO);
        }
    }
}

#[test]
fn an_activation_lets_nan_through() {
    for (way, channels, groups) in [
        (&DIRECT, 20, 1),
        (&DEPTHWISE, 20, 20),
        (&WINOGRAD, 20, 1),
        (&WINOGRAD_TWO, 20, 1),
    ] {
        let geometry = square([1, 4, channels, channels, 3, 1, groups]);
        let x = vec![f32::NAN; geometry.input.len()];
        let weight = vec![1.0; geometry.weight_len()];
        for isa in Isa::available() {
            for activation in Activation::ALL {
                let epilogue = Epilogue {
                    activation,
                    ..Epilogue::default()
                };
                let x = Images::new(&x, geometry.input);
                let y = written(geometry.output().len(), |y| {
                    let weights = way.kernel.weights(isa, &geometry, &weight);
                    weights.forward(isa, &geometry, x, epilogue, y);
                });
                let what = format!("{} and {activation:?} with {isa}", way.name);
                assert!(y.iter().all(|y| y.is_nan()), "{what}");
            }
        }
    }
}

/// An image's result does not depend on the others of its batch, nor on the threads.
#[test]
fn an_image_gives_the_same_bits_in_every_batch_and_on_every_number_of_threads() {
    let pools: Vec<rayon::ThreadPool> = (1..=3)
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().expect("a pool of threads")
        })
        .collect();
    for (way, shape) in [
        (&DIRECT, [64, 6, 9, 20, 3, 1, 1]),
        (&DIRECT, [64, 4, 64, 72, 3, 1, 1]),
        (&DIRECT, [64, 5, 24, 40, 1, 1, 1]),
        (&DIRECT, [64, 5, 12, 18, 3, 2, 3]),
        (&DEPTHWISE, [64, 5, 20, 20, 3, 2, 20]),
        (&WINOGRAD, [64, 6, 24, 40, 3, 1, 1]),
        (&WINOGRAD_TWO, [64, 6, 24, 40, 3, 1, 1]),
    ] {
        let geometry = square(shape);
        let (input, output) = (geometry.input, geometry.output());
        let x = numbers("x", input.len());
        let weight = numbers("weight", geometry.weight_len());
        let dy = numbers("dy", output.len());
        for isa in Isa::available() {
            let forward = |first: usize, batch: usize| {
                let part = Geometry {
                    input: Size { batch, ..input },
                    ..geometry
                };
                let x = &x[first * input.len() / 64..];
                let x = Images::new(x, part.input);
                written(part.output().len(), |y| {
                    let weights = way.kernel.weights(isa, &part, &weight);
                    weights.forward(isa, &part, x, Epilogue::default(), y);
                })
            };
            let all = || {
                let (x, dy) = (Images::new(&x, input), Images::new(&dy, output));
                let dx = written(input.len(), |dx| {
                    (way.input_grad)(isa, &geometry, dy, &weight, Epilogue::default(), dx);
                });
                [forward(0, 64), dx, (way.weight_grad)(isa, &geometry, x, dy)]
            };
            let whole = pools[0].install(all);
            for pool in &pools {
                assert_eq!(pool.install(all), whole, "{} with {isa}", way.name);
                for (first, batch) in [(0, 1), (63, 1), (30, 2), (7, 5), (0, 63)] {
                    let part = &whole[0][first * output.len() / 64..][..batch * output.len() / 64];
                    let found = pool.install(|| forward(first, batch));
                    assert_eq!(found, part, "{} with {isa}, {first} + {batch}", way.name);
                }
            }
        }
    }
}
