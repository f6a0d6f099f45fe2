//! Maps that lie in memory in other ways than the kernels leave them.

use burn::tensor::Tensor;
use kd_kernels::{
    Epilogue, add, average_pool, batch_norm, channels, conv2d, energy, global_average,
    gram_of_channels, gram_of_positions, interleave, squared_distance,
};

use crate::compared::{Expected, compare};
use crate::convolutions::options;

type View = fn(Tensor<4>) -> Tensor<4>;
/// Something done with maps and vectors.
type Operation<'a> = &'a dyn Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<4>;

/// Views of shape `[2, 8, 4, 6]`, of a tensor of the shape beside them.
fn views() -> Vec<(&'static str, [usize; 4], View)> {
    vec![
        ("channels first", [2, 8, 4, 6], |x| x),
        ("channels last", [2, 4, 6, 8], |x| x.permute([0, 3, 1, 2])),
        ("width last but one", [2, 8, 6, 4], |x| x.swap_dims(2, 3)),
        ("batch last", [8, 4, 6, 2], |x| x.permute([3, 0, 1, 2])),
        ("some images", [5, 8, 4, 6], |x| x.narrow(0, 2, 2)),
        ("some channels", [2, 20, 4, 6], |x| x.narrow(1, 7, 8)),
        ("some rows", [2, 8, 9, 6], |x| x.narrow(2, 3, 4)),
        ("some columns", [2, 8, 4, 9], |x| x.narrow(3, 1, 6)),
        ("some of channels last", [3, 4, 6, 20], |x| {
            x.permute([0, 3, 1, 2]).narrow(1, 9, 8).narrow(0, 1, 2)
        }),
        ("some rows of channels last", [2, 7, 6, 8], |x| {
            x.permute([0, 3, 1, 2]).narrow(2, 2, 4)
        }),
        ("some columns of channels last", [2, 4, 9, 8], |x| {
            x.permute([0, 3, 1, 2]).narrow(3, 2, 6)
        }),
        ("one channel repeated", [2, 1, 4, 6], |x| {
            x.expand([2, 8, 4, 6])
        }),
        ("one image repeated", [1, 8, 4, 6], |x| {
            x.expand([2, 8, 4, 6])
        }),
        ("mirrored", [2, 8, 4, 6], |x| x.flip([3])),
    ]
}

#[test]
fn every_operation_reads_every_view() {
    for (name, shape, view) in views() {
        let [weight, depthwise] = [[9, 8, 3, 3], [8, 1, 3, 3]];
        let maps = [shape, weight, depthwise, [2, 8, 4, 6]];
        // With the arguments that each uses.
        let operations: [(&str, &[usize], Operation); 14] = [
            ("conv2d", &[0, 1], &|m, _| {
                conv2d(
                    view(m[0].clone()),
                    m[1].clone(),
                    options(1, 1, 1),
                    Epilogue::default(),
                )
            }),
            ("strided", &[0, 1], &|m, _| {
                conv2d(
                    view(m[0].clone()),
                    m[1].clone(),
                    options(2, 1, 1),
                    Epilogue::default(),
                )
            }),
            ("depthwise", &[0, 2], &|m, _| {
                conv2d(
                    view(m[0].clone()),
                    m[2].clone(),
                    options(1, 1, 8),
                    Epilogue::default(),
                )
            }),
            ("batch_norm", &[0, 4, 5], &|m, v| {
                let [gamma, beta] = [0, 1].map(|i| v[i].clone());
                let residual = Some(view(m[0].clone()));
                batch_norm(
                    view(m[0].clone()),
                    gamma,
                    beta,
                    1e-3,
                    Epilogue::default().with_residual(residual).with_relu(true),
                )
                .output
            }),
            ("channels", &[0], &|m, _| channels(view(m[0].clone()), 2, 5)),
            ("interleave", &[0, 3], &|m, _| {
                interleave(view(m[0].clone()), add(m[3].clone(), view(m[0].clone())))
            }),
            ("biased", &[0, 1, 4], &|m, v| {
                let bias = Some(v[0].clone().mean().expand([9]));
                conv2d(
                    view(m[0].clone()),
                    m[1].clone(),
                    options(1, 1, 1),
                    Epilogue::default().with_bias(bias).with_relu(true),
                )
            }),
            ("distance", &[0], &|m, _| {
                squared_distance(view(m[0].clone()), m[3].clone()).reshape([1, 8, 1, 1])
            }),
            ("distance from it", &[3], &|m, _| {
                squared_distance(m[3].clone(), view(m[0].clone())).reshape([1, 8, 1, 1])
            }),
            ("energy", &[0], &|m, _| {
                energy(view(m[0].clone())).reshape([2, 1, 4, 6])
            }),
            ("gram", &[0], &|m, _| {
                gram_of_channels(view(m[0].clone())).reshape([2, 1, 8, 8])
            }),
            ("positions", &[0], &|m, _| {
                gram_of_positions(view(m[0].clone())).reshape([2, 1, 24, 24])
            }),
            ("pool", &[0], &|m, _| {
                average_pool(view(m[0].clone()), [2, 2])
            }),
            ("average", &[0], &|m, _| {
                global_average(view(m[0].clone())).reshape([2, 8, 1, 1])
            }),
        ];
        for (operation, used, run) in operations {
            let expected = Expected {
                gradients: Some(used),
                // A view of channels is none of a kernel's.
                forward: [operation != "channels"; 2],
                ..Expected::default()
            };
            expected.compare(&format!("{operation} of {name}"), &maps, &[8, 8], run);
        }
    }
}

/// Weights, scales and gradients may be views as well.
#[test]
fn parameters_and_gradients_that_are_views() {
    let maps = [[2, 8, 4, 6], [3, 3, 8, 12]];
    compare("views", &maps, &[20, 8], |maps, vectors| {
        let weight = maps[1].clone().permute([3, 2, 0, 1]).narrow(0, 2, 9);
        let y = conv2d(
            maps[0].clone(),
            weight,
            options(1, 1, 1),
            Epilogue::default(),
        );
        let gamma = vectors[0].clone().narrow(0, 5, 8);
        let y = channels(y, 1, 8);
        let y = batch_norm(y, gamma, vectors[1].clone(), 1e-3, Epilogue::default()).output;
        y.permute([0, 2, 3, 1]).narrow(2, 1, 4)
    });
}

/// Half of the channels of a map goes on without a copy, as in ShuffleNetV2.
#[test]
fn a_unit_that_splits_and_mixes_channels() {
    compare(
        "unit",
        &[[2, 20, 4, 4], [10, 10, 1, 1]],
        &[10, 10],
        |maps, vectors| {
            let [gamma, beta] = [0, 1].map(|i| vectors[i].clone());
            let mut x = maps[0].clone();
            for _ in 0..3 {
                let [kept, changed] = [0, 10].map(|first| channels(x.clone(), first, 10));
                let changed = conv2d(
                    changed,
                    maps[1].clone(),
                    options(1, 0, 1),
                    Epilogue::default(),
                );
                let changed =
                    batch_norm(changed, gamma.clone(), beta.clone(), 1e-3, Epilogue::relu());
                x = interleave(kept, changed.output);
            }
            x
        },
    );
}
