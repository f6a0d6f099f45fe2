//! What transformers run on the rows of their tokens, against the composed form: values and gradients.

mod dropout;
mod sums;

use burn::tensor::{Device, Tensor};
use kd_kernels::{RowEpilogue, layer_norm, linear_of_rows, self_attention, self_attention_masked};

use crate::compared::{compare, plain};

/// Batch and tokens: one row, fewer than a tile, more than a task.
const TOKENS: [[usize; 2]; 3] = [[1, 1], [2, 5], [3, 61]];

#[test]
fn linear_layers_agree() {
    for [batch, tokens] in TOKENS {
        for [inputs, outputs] in [[1, 1], [5, 19], [32, 64], [140, 33]] {
            let x = [batch, 1, tokens, inputs];
            let other = [batch, 1, tokens, outputs];
            let weight = [1, 1, inputs, outputs];
            let what = format!("{x:?} to {outputs}");
            let layer = |maps: &[Tensor<4>], vectors: &[Tensor<1>], epilogue| {
                let weight = maps[1].clone().reshape([inputs, outputs]);
                linear_of_rows(maps[0].clone(), weight, vectors[0].clone(), epilogue)
            };
            compare(&what, &[x, weight], &[outputs], |maps, vectors| {
                layer(maps, vectors, RowEpilogue::Nothing)
            });
            compare(
                &format!("{what}, unit"),
                &[x, weight],
                &[outputs],
                |m, v| layer(m, v, RowEpilogue::Gelu),
            );
            let maps = [x, weight, other];
            compare(&format!("{what}, sum"), &maps, &[outputs], |maps, v| {
                layer(maps, v, RowEpilogue::Add(maps[2].clone()))
            });
        }
    }
}

#[test]
fn layer_normalisations_agree() {
    for [batch, tokens] in TOKENS {
        for width in [2, 19, 64] {
            let shape = [batch, 1, tokens, width];
            compare(&format!("{shape:?}"), &[shape], &[width; 2], |maps, v| {
                layer_norm(maps[0].clone(), v[0].clone(), v[1].clone(), 1e-2)
            });
        }
    }
}

#[test]
fn attention_agrees() {
    for [batch, tokens] in [[1, 1], [2, 5], [1, 61], [1, 500]] {
        for (heads, each) in [(1, 1), (3, 5), (2, 32)] {
            let shape = [batch, 1, tokens, 3 * heads * each];
            // One token attends to itself alone, whatever its query and key.
            compare(&format!("{shape:?}"), &[shape], &[], |maps, _| {
                let [_, _, _, all] = maps[0].dims();
                let mixed =
                    self_attention(maps[0].clone().reshape([batch, tokens, all]) * 2.0, heads);
                mixed.reshape([batch, 1, tokens, all / 3])
            });
        }
    }
}

/// The last tokens of every sequence but the first are padding.
#[test]
fn masked_attention_agrees_and_does_not_see_padding() {
    for [batch, tokens] in [[1, 3], [2, 5], [3, 61], [2, 300]] {
        let (heads, each) = (3, 8);
        let shape = [batch, 1, tokens, 3 * heads * each];
        let real = |sequence: usize| {
            if sequence == 0 {
                tokens
            } else {
                tokens - tokens / 3
            }
        };
        let added = |device: &Device| {
            let of = |at: usize| {
                if at % tokens < real(at / tokens) {
                    0.0
                } else {
                    -1e4
                }
            };
            let added: Vec<f32> = (0..batch * tokens).map(of).collect();
            Tensor::<1>::from_floats(added.as_slice(), device).reshape([batch, tokens])
        };
        compare(&format!("{shape:?}"), &[shape], &[], |maps, _| {
            let [_, _, _, all] = maps[0].dims();
            let x = maps[0].clone().reshape([batch, tokens, all]) * 2.0;
            let added = added(&x.device()).cast(x.dtype());
            let mixed = self_attention_masked(x, added, heads);
            mixed.reshape([batch, 1, tokens, all / 3])
        });
        let x = plain(shape).reshape([batch, tokens, shape[3]]);
        let whole = self_attention_masked(x.clone(), added(&x.device()), heads);
        for sequence in 0..batch {
            let of = |x: &Tensor<3>| {
                let part = x.clone().narrow(0, sequence, 1);
                part.narrow(1, 0, real(sequence))
            };
            let alone = self_attention(of(&x), heads);
            let apart: f32 = (of(&whole) - alone).abs().max().into_scalar();
            assert!(apart < 1e-5, "{apart}");
        }
    }
}

/// A block's stream: it is normalised, and what comes of it is added; a loss may read it too.
#[test]
fn gradients_of_a_stream_meet() {
    let [shape, weight] = [[2, 1, 7, 24], [1, 1, 24, 24]];
    let maps = [shape, weight, shape];
    for first in [true, false] {
        compare(&format!("{first}"), &maps, &[24; 3], |maps, vectors| {
            let [scale, shift, bias] = [0, 1, 2].map(|i| vectors[i].clone());
            // Not a leaf, of which gradients are copied.
            let mut x = maps[0].clone() * 1.5;
            let weight = maps[1].clone().reshape([24, 24]);
            let early = x.clone() * maps[2].clone();
            for _ in 0..2 {
                let inner = layer_norm(x.clone(), scale.clone(), shift.clone(), 1e-2);
                let epilogue = RowEpilogue::Add(x);
                x = linear_of_rows(inner, weight.clone(), bias.clone(), epilogue);
            }
            if first { x + early } else { early + x }
        });
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let x = plain([1, 1, 100, 50]);
    let weight = plain([1, 1, 50, 40]).reshape([50, 40]);
    let bias = plain([1, 1, 1, 40]).reshape([40]);
    let layer = |x: Tensor<4>| {
        let y = linear_of_rows(x, weight.clone(), bias.clone(), RowEpilogue::Gelu);
        y.into_data().try_to_vec::<f32>().unwrap()
    };
    let all = layer(x.clone());
    for row in [0, 7, 99] {
        let alone = layer(x.clone().narrow(2, row, 1));
        assert_eq!(alone, all[row * 40..][..40]);
    }
}
