//! Kernels of transformers, whose tokens are rows.

use super::Case;
use crate::nn::dropout::kernel::{self as dropout, Mask};
use crate::nn::gelu::kernel as gelu;
use crate::nn::layer_norm::kernel::{self as layer_norm, Normalised};
use crate::nn::linear_of_rows::kernel::{self as linear_of_rows, After, Matrix};
use crate::nn::row_sums::{RowSums, kernel as row_sums};
use crate::nn::self_attention::kernel::{self as self_attention, Heads};
use crate::test_memory::{numbers, written};

pub(super) const CASES: &[(&str, Case)] = &[
    ("linear layer", |isa, outputs| {
        let mut found = vec![];
        // With one task and several, with one run of terms and several.
        for [rows, inputs] in [[1, 5], [9, 33], [80, 130], [300, 3]] {
            let [x, dy, other] = [inputs, outputs, outputs].map(|width| rows * width);
            let x = numbers("x", x);
            let [dy, other] = [numbers("dy", dy), numbers("other", other)];
            let matrix = numbers("matrix", inputs * outputs);
            let bias = numbers("bias", outputs);
            for (gelu, other) in [(false, None), (true, None), (false, Some(&*other))] {
                let after = After {
                    bias: Some(&bias),
                    other,
                    gelu,
                };
                let matrix = Matrix::new(&matrix, [inputs, outputs]);
                let mut before = vec![];
                found.push(written(dy.len(), |y| {
                    before = written(dy.len(), |before| {
                        linear_of_rows::product(isa, &x, matrix, after, Some(before), y);
                    });
                }));
                found.push(before);
            }
            found.push(written(x.len(), |dx| {
                let matrix = Matrix::transposed(&matrix, [inputs, outputs]);
                linear_of_rows::product(isa, &dy, matrix, After::default(), None, dx);
            }));
            let sides = [inputs, outputs];
            let (of_weight, of_bias) = linear_of_rows::parameter_grads(isa, &x, &dy, sides);
            found.extend([of_weight, of_bias]);
        }
        found
    }),
    ("unit", |isa, count| {
        let [x, dy] = ["x", "dy"].map(|key| numbers(key, count));
        let x: Vec<f32> = x.into_iter().map(|x| 4.0 * x).collect();
        vec![written(count, |dx| gelu::grad(isa, &x, &dy, dx))]
    }),
    ("dropout", |isa, width| {
        let mut found = vec![];
        // Of one task and of several.
        for rows in [1, 7, 600] {
            let [x, added] = ["x", "added"].map(|key| numbers(key, rows * width));
            for added in [None, Some(&*added)] {
                let mask = Mask::new(&[0.5], 0.3);
                found.push(written(x.len(), |y| {
                    dropout::drop(isa, mask, &x, added, width, y);
                }));
            }
        }
        found
    }),
    ("sums of rows", |isa, width| {
        // Every third row is in no sum, and sums have as many as their number.
        let entries: Vec<[usize; 2]> = (0..40)
            .flat_map(|sum| (0..sum).map(move |k| [sum, (7 * sum + k * k) % 30 / 3 * 3]))
            .collect();
        let places = RowSums::new(entries.iter().copied(), [40, 30]);
        let lists = places.by_sum();
        let [x, dy] = [("x", 30), ("dy", 40)].map(|(key, rows)| numbers(key, rows * width));
        let weights = numbers("weights", entries.len());
        let sums = row_sums::sums(isa, lists, &x, &weights, width);
        vec![sums, row_sums::products(isa, lists, &x, &dy, width)]
    }),
    ("layer normalisation", |isa, width| {
        let mut found = vec![];
        // Of one value nothing is left but its bias.
        for rows in [1, 7] {
            let [x, dy, earlier] = ["x", "dy", "earlier"].map(|key| numbers(key, rows * width));
            let [weight, bias] = ["weight", "bias"].map(|key| numbers(key, width));
            let mut statistics = vec![];
            found.push(written(x.len(), |y| {
                statistics = layer_norm::normalise(isa, &x, [&weight, &bias], 1e-2, y);
            }));
            let rows = Normalised {
                x: &x,
                weight: &weight,
                statistics: &statistics,
            };
            for earlier in [None, Some(&*earlier)] {
                let mut sums = [vec![], vec![]];
                found.push(written(x.len(), |dx| {
                    sums = layer_norm::grad(isa, rows, &dy, earlier, dx);
                }));
                found.extend(sums);
            }
            found.push(statistics.into_iter().flatten().collect());
        }
        found
    }),
    ("attention", |isa, each| {
        let mut found = vec![];
        // With queries of one task and several.
        for shape @ [batch, tokens, heads] in [[2, 1, 1], [2, 5, 3], [1, 700, 2]] {
            if tokens > 100 && each > 17 {
                continue;
            }
            let len = shape.into_iter().product::<usize>() * each;
            let qkv: Vec<f32> = numbers("qkv", 3 * len);
            let heads = Heads::new(&qkv, [batch, tokens, heads, each]);
            let dy = numbers("dy", len);
            found.push(written(len, |y| self_attention::attention(isa, heads, y)));
            found.push(written(3 * len, |dx| {
                self_attention::grad(isa, heads, &dy, dx);
            }));
            let added = numbers("added", batch * tokens);
            let masked = heads.with_added(&added);
            found.push(written(len, |y| self_attention::attention(isa, masked, y)));
            let dropped = masked.with_dropped(Some(Mask::new(&[0.5], 0.3)));
            found.push(written(len, |y| self_attention::attention(isa, dropped, y)));
            found.push(written(3 * len, |dx| {
                self_attention::grad(isa, dropped, &dy, dx);
            }));
        }
        found
    }),
];
