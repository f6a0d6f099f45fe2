//! Kernels of losses.

use super::{Case, Map};
use crate::loss::blend::kernel::{self as blend, Blend, Grads};
use crate::loss::channel_relations::kernel::{self as channel_relations, Relation};
use crate::loss::distance::kernel::{self as distance, DistanceArgs, Rule};
use crate::loss::divergence::kernel as divergence;
use crate::loss::energy::kernel as energy;
use crate::loss::flow::kernel::{self as flow, Flow};
use crate::loss::gram_of_maps::kernel::{self as gram_of_maps, Along};
use crate::loss::gram_of_rows::kernel::{self as gram_of_rows, Rows};
use crate::loss::leading_vectors::kernel::{self as leading_vectors, Iterations};
use crate::loss::negative_part::kernel as negative_part;
use crate::loss::products::kernel as products;
use crate::loss::row_contrast::kernel::{self as row_contrast, Contrast, Samples};
use crate::loss::standardised::kernel as standardised;
use crate::loss::unit_rows::kernel as unit_rows;
use crate::test_memory::{numbers, written};

fn map(key: &str, channels: usize) -> Map {
    Map::new(key, [2, 4, 6, channels])
}

pub(super) const CASES: &[(&str, Case)] = &[
    ("distance", |isa, channels| {
        let [student, target] = ["student", "target"].map(|key| map(key, channels));
        let [margin, grad] = ["margin", "grad"].map(|key| numbers(key, channels));
        let mut found = vec![];
        for rule in [Rule::Plain, Rule::Boundary, Rule::OneSided] {
            let args = DistanceArgs {
                student: student.images(),
                target: target.images(),
                margin: &margin,
                rule,
            };
            found.push(distance::mean_squares(isa, args));
            found.push(written(student.size.len(), |dx| {
                distance::grad(isa, args, &grad, dx);
            }));
        }
        found
    }),
    ("standardised", |isa, channels| {
        let [student, target] = ["student", "target"].map(|key| map(key, channels));
        let (s, t) = (student.images(), target.images());
        let grad = numbers("grad", channels);
        let (value, saved) = standardised::distance(isa, s, t, 1e-6);
        let dx = written(s.size.len(), |dx| {
            standardised::grad(isa, s, t, &saved, &grad, dx);
        });
        vec![value, dx]
    }),
    ("divergence", |isa, channels| {
        let [student, target] = ["student", "target"].map(|key| map(key, channels));
        let (s, t) = (student.images(), target.images());
        let grad = numbers("grad", 2 * channels);
        let (value, softmaxes) = divergence::divergence(isa, s, t, 0.7);
        let dx = written(s.size.len(), |dx| {
            divergence::grad(isa, s, t, 0.7, &softmaxes, &grad, dx);
        });
        vec![value, dx]
    }),
    ("negative part", |isa, channels| {
        vec![negative_part::negative_part(
            isa,
            map("x", channels).images(),
        )]
    }),
    ("energy", |isa, channels| {
        let x = map("x", channels);
        let grad = numbers("grad", x.size.pixels());
        let y = written(x.size.pixels(), |y| energy::energy(isa, x.images(), y));
        let dx = written(x.size.len(), |dx| energy::grad(isa, x.images(), &grad, dx));
        vec![y, dx]
    }),
    ("products", |isa, channels| {
        let [a, b] = [map("a", channels), map("b", channels + 3)];
        let mut found = vec![products::outer(isa, a.images(), b.images(), 0.5)];
        for along in [Along::Channels, Along::Positions] {
            let gram = gram_of_maps::gram(isa, a.images(), along, 0.5);
            let grad = numbers("grad", gram.len());
            found.push(written(a.size.len(), |dx| {
                gram_of_maps::gram_grad(isa, a.images(), along, &grad, 0.5, dx);
            }));
            found.push(gram);
        }
        let matrices = numbers("matrices", 2 * channels * 5);
        found.push(written(a.size.pixels() * 5, |y| {
            products::apply(isa, a.images(), &matrices, 5, 0.5, y);
        }));
        found
    }),
    ("relations", |isa, channels| {
        let mut found = vec![];
        // With few positions and with many.
        for [height, width] in [[1, 3], [9, 8]] {
            let map = |key| Map::new(key, [2, height, width, channels]);
            let (student, target) = (map("student"), map("target"));
            let maps = channel_relations::Maps {
                student: student.images(),
                target: target.images(),
            };
            let zero = 1e-12;
            for relation in [
                Relation::Selectivity { zero },
                Relation::Correlation { zero },
            ] {
                let (value, saved) = channel_relations::distance(isa, maps, relation);
                found.push(written(student.size.len(), |dx| {
                    channel_relations::grad(isa, maps, relation, &saved, &[0.5, 2.0], dx);
                }));
                found.push(value);
            }
        }
        found
    }),
    ("flow", |isa, channels| {
        let mut found = vec![];
        for (flow, side) in [(Flow::Products, 4), (Flow::SingularVectors, 1)] {
            let map = |key, channels| Map::new(key, [2, side, side, channels]);
            let student = [map("from", channels), map("to", channels + 2)];
            let target = [map("other from", channels), map("other to", channels + 2)];
            let maps = flow::Maps {
                student: student.each_ref().map(Map::images),
                target: target.each_ref().map(Map::images),
            };
            let (value, saved) = flow::distance(isa, maps, flow);
            let mut to_later = vec![];
            let to_earlier = written(student[0].size.len(), |earlier| {
                to_later = written(student[1].size.len(), |later| {
                    let dx = [earlier, later];
                    flow::grad(isa, maps.student, flow, &saved, &[0.5, 2.0], dx);
                });
            });
            found.extend([value, to_earlier, to_later]);
        }
        found
    }),
    ("blend", |isa, channels| {
        let [a, grad] = ["a", "grad"].map(|key| map(key, channels));
        let (b, shares) = (Map::new("b", [2, 2, 3, channels]), map("shares", 2));
        let args = Blend {
            a: a.images(),
            b: b.images(),
            shares: shares.images(),
        };
        let y = written(a.size.len(), |y| blend::blend(isa, args, y));
        let [mut to_b, mut to_shares] = [vec![], vec![]];
        let to_a = written(a.size.len(), |of_a| {
            to_b = written(b.size.len(), |of_b| {
                to_shares = written(shares.size.len(), |of_shares| {
                    let to = Grads {
                        a: of_a,
                        b: of_b,
                        shares: of_shares,
                    };
                    blend::grad(isa, args, grad.images(), to);
                });
            });
        });
        vec![y, to_a, to_b, to_shares]
    }),
    ("rows of length one", |isa, width| {
        let x = numbers("x", 7 * width);
        let grad = numbers("grad", x.len());
        let mut factors = vec![];
        let y = written(x.len(), |y| {
            factors = unit_rows::unit(isa, &x, width, 1e-12, y);
        });
        let dx = written(x.len(), |dx| {
            unit_rows::grad(isa, &y, &factors, &grad, dx);
        });
        vec![y, dx, factors]
    }),
    ("products of rows", |isa, count| {
        let mut found = vec![];
        for width in [1, 7, 40] {
            let x = numbers("x", count * width);
            let x = Rows::new(&x, [count, width]);
            let gram = gram_of_rows::gram(isa, x, 0.5);
            let grad = numbers("grad", gram.len());
            found.push(written(count * width, |dx| {
                gram_of_rows::gram_grad(isa, x, 0.5, &grad, dx);
            }));
            found.push(gram);
        }
        found
    }),
    ("power iterations", |isa, size| {
        let rows = numbers("rows", size * (size + 1));
        // Symmetric, with one eigenvalue that is well apart.
        let main = |i: usize| rows[i] * 0.5 + 1.0;
        let matrices: Vec<f32> = (0..size * size)
            .map(|at| {
                let (i, j) = (at / size, at % size);
                main(i) * main(j) + 0.1 * (rows[size + i] + rows[size + j])
            })
            .collect();
        let start = vec![1.0; size];
        let iterations = Iterations::new(20, 5, 1e-24);
        let traces = leading_vectors::find(isa, &matrices, &start, size, iterations);
        let grad = leading_vectors::grad(isa, &matrices, &traces, &numbers("grad", size));
        vec![traces[0].vector().to_vec(), grad]
    }),
    ("contrast", |isa, width| {
        let mut found = vec![];
        for batch in [1, 9, 33] {
            let bank = numbers("bank", 50 * width);
            let embeddings = numbers("embeddings", batch * width);
            let samples = |count: usize, step: usize| Samples {
                rows: (0..count).map(|i| (i * step % 50) as u32).collect(),
                classes: (0..count).map(|i| (i * step % 50 % 7) as f32).collect(),
            };
            let (own, others) = (samples(batch, 3), samples(70, 11));
            let contrast = Contrast {
                embeddings: &embeddings,
                bank: &bank,
                width,
                own: &own,
                others: &others,
            };
            let noise = row_contrast::noise(isa, contrast, -1.5);
            let constant = row_contrast::log_mean_exp(isa, contrast, &[0.5, -3.0]);
            found.extend([noise.means, noise.slopes, vec![constant]]);
        }
        found
    }),
];
