//! Tensors that several operations use: their gradients add up, in whatever order they come.

use burn::tensor::{DType, Device, Tensor};
use kd_kernels::{
    Epilogue, add, batch_norm, channels, conv2d, energy, global_average, gram_of_channels,
    interleave, products, squared_distance,
};

use crate::compared::{Expected, compare, evaluate, numbers, plain, weighted};
use crate::convolutions::options;

const CHANNELS: usize = 8;
const SHAPE: [usize; 4] = [2, CHANNELS, 3, 4];

/// Maps and vectors beside the tensor that is used.
struct Others<'a> {
    maps: &'a [Tensor<4>],
    vectors: &'a [Tensor<1>],
}

/// Something that uses a map, and gives its values in one row.
type Consumer = fn(Tensor<4>, &Others) -> Tensor<1>;

fn row(x: Tensor<4>) -> Tensor<1> {
    x.flatten(0, 3)
}

/// One of each kind, and operations of burn among them.
const CONSUMERS: [Consumer; 13] = [
    |x, with| {
        row(conv2d(
            x,
            with.maps[1].clone(),
            options(1, 1, 1),
            Epilogue::default(),
        ))
    },
    |x, with| {
        row(conv2d(
            x,
            with.maps[2].clone(),
            options(2, 0, 1),
            Epilogue::default(),
        ))
    },
    |x, with| {
        row(conv2d(
            x,
            with.maps[3].clone(),
            options(1, 1, CHANNELS),
            Epilogue::default(),
        ))
    },
    |x, with| row(normalized(x, None, with)),
    |x, with| row(normalized(with.maps[4].clone(), Some(x), with)),
    |x, with| row(normalized(x.clone(), Some(x), with)),
    |x, _| row(channels(x, 3, 4)),
    |x, _| row(interleave(add(x.clone(), x.clone()), x)),
    |x, _| global_average(x).flatten(0, 1),
    |x, _| row(x.clone() * x),
    |x, with| {
        let bias = Some(with.vectors[0].clone());
        row(conv2d(
            x,
            with.maps[1].clone(),
            options(1, 1, 1),
            Epilogue::default().with_bias(bias).with_relu(true),
        ))
    },
    |x, with| {
        let distance = squared_distance(x.clone(), with.maps[4].clone());
        Tensor::cat(vec![distance, energy(x).flatten(0, 1)], 0)
    },
    |x, with| {
        gram_of_channels(x.clone()).flatten::<1>(0, 2)
            + products(x, with.maps[4].clone()).flatten(0, 2)
    },
];

/// What all consumers give, in one row.
fn consumed(x: Tensor<4>, uses: &[usize], with: &Others) -> Tensor<4> {
    let values: Vec<Tensor<1>> = uses
        .iter()
        .map(|&i| CONSUMERS[i](x.clone(), with))
        .collect();
    Tensor::cat(values, 0).reshape([1, 1, 1, -1])
}

fn normalized(x: Tensor<4>, residual: Option<Tensor<4>>, with: &Others) -> Tensor<4> {
    let [gamma, beta] = [0, 1].map(|i| with.vectors[i].clone());
    batch_norm(
        x,
        gamma,
        beta,
        1e-3,
        Epilogue::default().with_residual(residual).with_relu(true),
    )
    .output
}

/// What each consumer uses beside the tensor: maps, then vectors, which are 5 and 6.
const USED: [&[usize]; 13] = [
    &[1],
    &[2],
    &[3],
    &[5, 6],
    &[4, 5, 6],
    &[5, 6],
    &[],
    &[],
    &[],
    &[],
    &[1, 5],
    &[],
    &[4],
];
/// The consumer that takes a view of channels, for which only the gradient needs a kernel.
const VIEW: usize = 6;
/// The consumer that is burn's alone.
const COMPOSED: usize = 9;

/// How the tensor that is used comes to be.
type Node = fn(Tensor<4>, &Others) -> Tensor<4>;

const NODES: [Node; 4] = [
    |x, _| x,
    |x, _| x * 1.5,
    |x, with| {
        conv2d(
            x,
            with.maps[1].clone(),
            options(1, 1, 1),
            Epilogue::default(),
        )
    },
    |x, with| normalized(x, None, with),
];

/// What each node uses beside the first map, as in [`USED`].
const MADE_OF: [&[usize]; 4] = [&[], &[], &[1], &[5, 6]];

const MAPS: [[usize; 4]; 5] = [
    SHAPE,
    [CHANNELS, CHANNELS, 3, 3],
    [5, CHANNELS, 1, 1],
    [CHANNELS, 1, 3, 3],
    SHAPE,
];

#[test]
fn three_uses_in_every_order() {
    let count = CONSUMERS.len();
    for (index, node) in NODES.into_iter().enumerate() {
        for order in 0..count.pow(3) {
            let uses = [order / count / count, order / count % count, order % count];
            let what = format!("node {index}, uses {uses:?}");
            let used = uses.iter().flat_map(|i| USED[*i]);
            let used: Vec<usize> = used.chain(MADE_OF[index]).copied().chain([0]).collect();
            let made = index > 1;
            let expected = Expected {
                gradients: Some(&used),
                forward: [made || uses.iter().any(|i| ![VIEW, COMPOSED].contains(i)); 2],
                backward: made || uses.iter().any(|i| *i != COMPOSED),
                ..Expected::default()
            };
            expected.compare(&what, &MAPS, &[CHANNELS; 2], |maps, vectors| {
                let with = Others { maps, vectors };
                let x = node(maps[0].clone(), &with);
                consumed(x, &uses, &with)
            });
        }
    }
}

#[test]
fn a_chain_of_residual_blocks() {
    let maps = [SHAPE, MAPS[1], MAPS[1], MAPS[1], MAPS[1]];
    compare("residual blocks", &maps, &[CHANNELS; 2], |maps, vectors| {
        let with = Others { maps, vectors };
        let mut x = maps[0].clone();
        for weights in [[1, 2], [3, 4]] {
            let [first, second] = weights.map(|i| maps[i].clone());
            let inner = normalized(
                conv2d(x.clone(), first, options(1, 1, 1), Epilogue::default()),
                None,
                &with,
            );
            let inner = conv2d(inner, second, options(1, 1, 1), Epilogue::default());
            x = normalized(inner, Some(x), &with);
        }
        x
    });
}

/// One backward pass leaves nothing behind that another could take for its own, however many there
/// were.
#[test]
fn many_backward_passes_one_after_another() {
    let run = || {
        evaluate(DType::F32, &MAPS, &[CHANNELS; 2], |maps, vectors| {
            let with = Others { maps, vectors };
            let x = NODES[2](maps[0].clone(), &with);
            consumed(x, &[5, 0, 9, 7, 1, 6, 2, 8, 3, 4], &with)
        })
        .gradients
    };
    let first = run();
    for _ in 0..800 {
        assert_eq!(run(), first);
    }
}

#[test]
fn two_losses_of_one_leaf() {
    let device = Device::flex().autodiff();
    let leaf = |shape| Tensor::from_data(plain(shape).into_data(), &device).require_grad();
    let (x, weight): (Tensor<4>, Tensor<4>) = (leaf(SHAPE), leaf(MAPS[1]));
    let loss = || {
        weighted(conv2d(
            x.clone() * 2.0,
            weight.clone(),
            options(1, 1, 1),
            Epilogue::default(),
        ))
    };
    let (one, other) = (loss(), loss() * 3.0);
    let (one, other) = (one.backward(), other.backward());
    for tensor in [&x, &weight] {
        let [one, other] = [&one, &other].map(|found| numbers(tensor.grad(found).unwrap()));
        let largest = other.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        for (one, other) in one.iter().zip(&other) {
            assert!((3.0 * one - other).abs() <= 1e-5 * largest, "{one} {other}");
        }
    }
}

/// A frozen parameter or an image without gradient costs nothing and breaks nothing.
#[test]
fn arguments_without_gradients() {
    Expected::gradients(&[1, 4, 5, 6]).compare("frozen", &MAPS, &[CHANNELS; 2], |maps, vectors| {
        let frozen: Vec<Tensor<4>> = maps.iter().map(|map| map.clone().detach()).collect();
        let with = Others {
            maps: &frozen,
            vectors,
        };
        let x = conv2d(
            frozen[0].clone(),
            maps[1].clone(),
            options(1, 1, 1),
            Epilogue::default(),
        );
        let y = normalized(x, Some(maps[4].clone()), &with);
        interleave(frozen[0].clone(), y)
    });
}
