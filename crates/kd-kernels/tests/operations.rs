//! The operations on `f32` tensors, which run the kernels, against the same operations on `f64`
//! tensors, which are composed of burn's: values and all gradients.

#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod activations;
mod compared;
mod convolutions;
mod gradients;
mod independence;
mod layers;
mod maps;
mod pools;
mod prepared;
mod relations;
mod rows;
mod samples;
mod views;

use burn::tensor::Tensor;
use compared::{Expected, compare, evaluate, plain};
use convolutions::options;
use kd_kernels::{
    Epilogue, Mode, add, affine, batch_norm, channels, conv2d, global_average, interleave, mode,
    on_pool, together,
};
use rayon::prelude::*;

/// Else these tests would compare burn with itself.
#[test]
fn the_kernels_are_on_unless_they_are_switched_off() {
    let off = std::env::var("KD_KERNELS").is_ok_and(|name| name == "off");
    assert_eq!(mode() == Ok(Mode::Off), off);
}

#[test]
fn batch_norm_agrees_with_its_statistics() {
    for shape in [[2, 1, 3, 3], [3, 16, 5, 4], [2, 21, 7, 7], [4, 70, 1, 1]] {
        for (residual, relu) in [(false, false), (true, false), (false, true), (true, true)] {
            let what = format!("{shape:?}, {residual} {relu}");
            let run = |maps: &[Tensor<4>], vectors: &[Tensor<1>]| {
                batch_norm(
                    maps[0].clone(),
                    vectors[0].clone(),
                    vectors[1].clone(),
                    1e-5,
                    Epilogue::default()
                        .with_residual(residual.then(|| maps[1].clone()))
                        .with_relu(relu),
                )
            };
            let sizes = [shape[1]; 2];
            let expected = Expected::gradients(if residual { &[0, 1, 2, 3] } else { &[0, 2, 3] });
            expected.compare(&what, &[shape, shape], &sizes, |m, v| run(m, v).output);
            // A loss may use them too: no gradient comes through them.
            expected.compare(&what, &[shape, shape], &sizes, |maps, vectors| {
                let found = run(maps, vectors);
                let along = |values: Tensor<1>| values.reshape([1, shape[1], 1, 1]);
                found.output * along(found.mean) + along(found.variance)
            });
        }
    }
}

#[test]
fn affine_agrees() {
    let shape = [2, 19, 4, 3];
    for (residual, relu) in [(false, false), (true, false), (false, true), (true, true)] {
        let what = format!("{residual} {relu}");
        let gradients: &[usize] = if residual { &[0, 1, 2, 3] } else { &[0, 2, 3] };
        let expected = Expected::gradients(gradients);
        expected.compare(&what, &[shape, shape], &[19, 19], |maps, vectors| {
            affine(
                maps[0].clone(),
                vectors[0].clone(),
                vectors[1].clone(),
                Epilogue::default()
                    .with_residual(residual.then(|| maps[1].clone()))
                    .with_relu(relu),
            )
        });
    }
}

#[test]
fn maps_are_cut_mixed_added_and_averaged_alike() {
    for shape in [[2, 1, 1, 1], [2, 5, 3, 4], [3, 34, 5, 5]] {
        let channel = shape[1];
        for (first, count) in [(0, channel), (channel / 2, channel - channel / 2), (0, 1)] {
            let what = format!("channels {first} + {count} of {shape:?}");
            // A view of some channels takes no kernel, its gradient does.
            let view = Expected {
                forward: [false, false],
                ..Expected::default()
            };
            view.compare(&what, &[shape], &[], |maps, _| {
                channels(maps[0].clone(), first, count)
            });
        }
        compare("interleave", &[shape, shape], &[], |maps, _| {
            interleave(maps[0].clone(), maps[1].clone())
        });
        // The gradient of a sum is passed on as it is.
        let sum = Expected {
            backward: false,
            ..Expected::default()
        };
        sum.compare("add", &[shape, shape], &[], |maps, _| {
            add(maps[0].clone(), maps[1].clone())
        });
        // One position is its own mean.
        let several = shape[2] * shape[3] > 1;
        let average = Expected {
            forward: [several; 2],
            backward: several,
            ..Expected::default()
        };
        average.compare("average", &[shape], &[], |maps, _| {
            global_average(maps[0].clone()).reshape([shape[0], channel, 1, 1])
        });
    }
}

#[test]
fn nan_stays_visible_after_a_relu() {
    let spoilt = |x: &Tensor<4>| x.clone().slice_fill([0..1, 0..1, 0..1, 0..1], f32::NAN);
    let shape = [1, 16, 4, 4];
    let normalized = evaluate(
        burn::tensor::DType::F32,
        &[shape],
        &[16, 16],
        |maps, vectors| {
            let [gamma, beta] = [0, 1].map(|i| vectors[i].clone());
            batch_norm(spoilt(&maps[0]), gamma, beta, 1e-5, Epilogue::relu()).output
        },
    );
    // The statistics spread it over its channel.
    assert_eq!(normalized.value.iter().filter(|v| v.is_nan()).count(), 16);
    for (weight, options) in [
        ([16, 16, 1, 1], options(1, 0, 1)),
        ([16, 1, 3, 3], options(1, 1, 16)),
    ] {
        let [x, weight, zero] = [shape, weight, shape].map(plain);
        let bias = zero.clone().slice([0..1, 0..16, 0..1, 0..1]).reshape([16]);
        let y = conv2d(
            spoilt(&x),
            weight,
            options,
            Epilogue::default()
                .with_bias(bias)
                .with_residual(Some(zero))
                .with_relu(true),
        );
        let first = y.slice([0..1, 0..1, 0..1, 0..1]).into_scalar::<f32>();
        assert!(first.is_nan(), "{first}");
    }
}

/// Before a kernel reads or writes where it may not.
#[test]
fn what_does_not_fit_is_refused() {
    if mode() == Ok(Mode::Off) {
        return;
    }
    let map = || plain([1, 8, 4, 4]);
    let vector = |count| plain([count, 1, 1, 1]).reshape([count]);
    let square = |outputs, inputs, kernel| plain([outputs, inputs, kernel, kernel]);
    let fused = |bias, residual| {
        conv2d(
            map(),
            square(8, 8, 3),
            options(1, 1, 1),
            Epilogue::default()
                .with_bias(vector(bias))
                .with_residual(Some(plain(residual)))
                .with_relu(true),
        )
    };
    let normalized = |channels, residual| {
        let [gamma, beta] = [vector(channels), vector(channels)];
        batch_norm(
            map(),
            gamma,
            beta,
            1e-5,
            Epilogue::default()
                .with_residual(Some(plain(residual)))
                .with_relu(true),
        )
        .output
    };
    let refused: [(&str, &dyn Fn() -> Tensor<4>); 13] = [
        ("only a map of the same size can be added", &|| {
            fused(8, [1, 8, 4, 3])
        }),
        ("one bias for each channel", &|| fused(7, [1, 8, 4, 4])),
        ("only a map of the same size can be added", &|| {
            normalized(8, [1, 8, 1, 1])
        }),
        ("one scale and shift for each channel", &|| {
            normalized(7, [1, 8, 4, 4])
        }),
        ("cannot be divided into 2 groups", &|| {
            conv2d(
                map(),
                square(5, 4, 3),
                options(1, 1, 2),
                Epilogue::default(),
            )
        }),
        ("the weight has 3 channels", &|| {
            conv2d(
                map(),
                square(5, 3, 3),
                options(1, 1, 1),
                Epilogue::default(),
            )
        }),
        ("is larger than the padded input", &|| {
            conv2d(
                map(),
                square(8, 8, 7),
                options(1, 1, 1),
                Epilogue::default(),
            )
        }),
        ("only equal maps can be added", &|| {
            add(map(), plain([1, 8, 4, 3]))
        }),
        ("only maps of one size can be compared", &|| {
            let distance = kd_kernels::squared_distance(map(), plain([1, 8, 4, 3]));
            distance.reshape([1, 8, 1, 1])
        }),
        ("only maps of one size have products", &|| {
            let products = kd_kernels::products(map(), plain([1, 8, 4, 3]));
            products.reshape([1, 1, 8, 8])
        }),
        ("one map is the other's size or divides it", &|| {
            kd_kernels::blend(map(), plain([1, 8, 3, 4]), plain([1, 2, 4, 4]))
        }),
        ("one factor for each channel of an image", &|| {
            kd_kernels::scale_channels(map(), plain([1, 8, 4, 4]))
        }),
        ("only equal maps can be interleaved", &|| {
            interleave(map(), plain([1, 8, 4, 3]))
        }),
    ];
    for (message, call) in refused {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        let panic = panic.expect_err(message);
        let said = match panic.downcast_ref::<String>() {
            Some(said) => said.as_str(),
            None => panic.downcast_ref::<&str>().copied().unwrap_or_default(),
        };
        assert!(said.contains(message), "{said}");
    }
}

/// Passes by many threads, and passes within passes, neither wait for each other nor lose a task.
#[test]
fn passes_end_whoever_runs_them() {
    let x = plain([2, 16, 24, 24]);
    let weight = plain([16, 16, 3, 3]);
    let layer = || {
        let options = options(1, 1, 1);
        let y = conv2d(x.clone(), weight.clone(), options, Epilogue::relu());
        y.into_data().iter::<f32>().collect::<Vec<f32>>()
    };
    let want = layer();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..20 {
                    assert!(together(layer) == want);
                    assert!(
                        together(|| (together(layer), layer())) == (want.clone(), want.clone())
                    );
                    let side_by_side = on_pool(|| {
                        let parts = (0..4).into_par_iter();
                        parts.map(|_| together(layer)).collect::<Vec<_>>()
                    });
                    assert!(side_by_side.iter().all(|found| *found == want));
                }
            });
        }
    });
}
