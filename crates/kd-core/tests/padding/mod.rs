//! Padding changes no loss of tokens: not its value, nor the gradient of a real token, and padding gets none.

use burn::tensor::{Bool, Distribution, Int, Tensor, TensorData};
use kd_core::{ObjectiveConfig, Output, Pair, Part, Step, Taps, Targets, draw, methods};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::device;

const LAYERS: usize = 3;
const HEADS: usize = 2;
const WIDTH: usize = 96;
const CLASSES: usize = 4;

/// Sequences of some lengths, padded to a common one by values of another seed.
struct Sequences<'a> {
    lengths: &'a [usize],
    longest: usize,
    /// Of what stands in the padding.
    noise: u64,
}

type Leaves = Vec<Tensor<4>>;

impl Sequences<'_> {
    fn real(&self) -> Tensor<2, Bool> {
        let of = |length: &usize| (0..self.longest).map(|at| at < *length).collect::<Vec<_>>();
        let mask: Vec<bool> = self.lengths.iter().flat_map(of).collect();
        let shape = [self.lengths.len(), self.longest];
        Tensor::from_data(TensorData::new(mask, shape), &device())
    }

    /// Numbers `[batch, outer, tokens, inner]` that are the same for real tokens whatever the padding; `pairs` for tokens
    /// in both of the last axes.
    fn values(&self, outer: usize, inner: usize, pairs: bool, seed: u64) -> Tensor<4> {
        let inner = if pairs { self.longest } else { inner };
        let mut values = Vec::new();
        for (sample, &length) in self.lengths.iter().enumerate() {
            for row in 0..outer {
                for at in 0..self.longest {
                    for place in 0..inner {
                        let real = at < length && (!pairs || place < length);
                        let noise = if real { 0 } else { self.noise };
                        let place =
                            [sample, row, at, place]
                                .iter()
                                .fold(seed + noise, |key, at| {
                                    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                                        .wrapping_add(*at as u64 + 1)
                                });
                        let mut generator = StdRng::seed_from_u64(place);
                        let normal = Distribution::Normal(0.0, if real { 1.0 } else { 30.0 });
                        let data = TensorData::random::<f32, _, _>([1], normal, &mut generator);
                        values.extend(data.iter::<f32>());
                    }
                }
            }
        }
        let shape = [self.lengths.len(), outer, self.longest, inner];
        Tensor::from_data(TensorData::new(values, shape), &device())
    }

    fn output(&self, layers: usize, width: usize, seed: u64) -> (Output, Leaves) {
        let (all, batch) = (Taps::all(), self.lengths.len());
        let mut leaves = Vec::new();
        let mut leaf = |outer, inner, pairs, seed| {
            let leaf = self.values(outer, inner, pairs, seed).require_grad();
            leaves.push(leaf.clone());
            leaf
        };
        // A row of logits for each token.
        let logits = leaf(1, CLASSES, false, seed);
        let mut output = Output::new(logits.reshape([batch * self.longest, CLASSES]));
        output.counted = Some(self.real().reshape([batch * self.longest]));
        output.real_tokens = Some(self.real());
        for level in 0..=layers {
            let tokens = leaf(1, width, false, seed + 10 + level as u64);
            output.push(Part::Tokens, &tokens.squeeze_dim::<3>(1), &all);
        }
        for layer in 0..layers {
            let scores = leaf(HEADS, 0, true, seed + 20 + layer as u64);
            output.push(Part::Scores, &scores, &all);
            for (at, part) in [Part::Queries, Part::Keys, Part::Values]
                .into_iter()
                .enumerate()
            {
                let heads = leaf(
                    HEADS,
                    width / HEADS,
                    false,
                    seed + 30 + (10 * at + layer) as u64,
                );
                output.push(part, &heads, &all);
            }
        }
        (output, leaves)
    }

    /// The loss, and the gradients of real tokens; those of padding must be 0.
    fn found(&self, objective: &str, layers: usize, width: usize) -> (f32, Vec<Vec<f32>>) {
        draw::seed(5);
        let config: ObjectiveConfig = serde_json::from_str(objective).unwrap();
        let (student, leaves) = self.output(layers, width, 1);
        let (teacher, _) = self.output(LAYERS, WIDTH, 1000);
        let objective = config.init(&student, Some(&teacher), &device()).unwrap();
        let rows = self.lengths.len() * self.longest;
        let labels = Tensor::<1, Int>::zeros([rows], &device());
        let targets = Targets::labels(labels);
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: None,
        };
        let step = Step {
            epoch: 1,
            epochs: 1,
            index: 0,
        };
        let total = objective.forward(&pair, &step).unwrap().total;
        let gradients = total.backward();
        let mut found = Vec::new();
        for leaf in leaves {
            let Some(gradient) = leaf.grad(&gradients) else {
                continue;
            };
            let [batch, outer, tokens, inner] = gradient.dims();
            let values: Vec<f32> = gradient.into_data().iter().collect();
            let pairs = inner == tokens && outer == HEADS;
            let mut real = Vec::new();
            for (index, value) in values.into_iter().enumerate() {
                let sample = index / (outer * tokens * inner);
                let (at, place) = (index / inner % tokens, index % inner);
                let length = self.lengths[sample];
                if at < length && (!pairs || place < length) {
                    real.push(value);
                } else {
                    assert_eq!(value, 0.0, "the gradient of padding");
                }
            }
            assert_eq!(batch, self.lengths.len());
            found.push(real);
        }
        (total.into_scalar(), found)
    }
}

/// Losses of tokens, and of rows of logits that are tokens.
fn of_tokens() -> Vec<String> {
    let methods = methods().into_iter();
    let reads_tokens = |parts: &[Part]| {
        let tokens = [Part::Tokens, Part::Scores, Part::Queries, Part::Values];
        parts.iter().any(|part| tokens.contains(part))
    };
    let chosen = methods.filter(|method| {
        let of_logits = method.group == "logits" && method.reads.is_empty();
        of_logits || reads_tokens(method.reads)
    });
    chosen.map(|method| method.name.to_owned()).collect()
}

#[test]
fn every_loss_of_tokens_is_among_those_that_padding_must_not_change() {
    let found = of_tokens();
    for name in [
        "kd",
        "gjsd",
        "topk_kl",
        "uld",
        "cosine_hidden",
        "minilm",
        "minilm_relation",
        "tinybert_attention",
        "tinybert_hidden",
        "pkd_bert",
    ] {
        assert!(found.iter().any(|known| known == name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn padding_changes_nothing(
        lengths in prop::collection::vec(2..6_usize, 2..4),
        more in 1..4_usize,
        narrow in prop::bool::ANY,
    ) {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let (layers, width) = if narrow { (2, 48) } else { (LAYERS, WIDTH) };
        let short = Sequences { lengths: &lengths, longest, noise: 7 };
        let long = Sequences { lengths: &lengths, longest: longest + more, noise: 8 };
        for name in of_tokens() {
            let objective = format!(r#"{{ "{name}": {{}} }}"#);
            let (value, gradients) = short.found(&objective, layers, width);
            let (other, others) = long.found(&objective, layers, width);
            prop_assert!((value - other).abs() <= 1e-4 * value.abs().max(1e-3), "{name}: {value} {other}");
            prop_assert_eq!(gradients.len(), others.len());
            for (one, other) in gradients.iter().zip(&others) {
                let largest = one.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
                prop_assert_eq!(one.len(), other.len());
                for (a, b) in one.iter().zip(other) {
                    prop_assert!((a - b).abs() <= 2e-4 * largest, "{}: {} {}", name, a, b);
                }
            }
        }
    }
}
