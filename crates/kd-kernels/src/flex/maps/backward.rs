//! Their gradients, and operations that keep something for them.

use burn::backend::{Flex, TensorMetadata};
use burn_flex::FlexTensor;

use super::{MapGrads, compare, inverse, share};
use crate::flex::tensor::{Dense, Map, build, dense, values};
use crate::images::Size;
use crate::isa;
use crate::loss::blend::{self, Blend};
use crate::loss::distance::{self, Rule};
use crate::loss::divergence::{self, Softmax};
use crate::loss::power_iteration::{self, Iterations, Trace};
use crate::loss::products::{self, Along};
use crate::loss::{energy, normalise_rows, standardised};
use crate::nn::{channels, pool};

/// A map whose pixels are those of `x` times `matrices` `[batch, channels of x, channels]`, by the number of
/// positions: the gradient of a factor of [`outer`].
fn apply(x: FlexTensor, matrices: FlexTensor, channels: usize) -> FlexTensor {
    let x = Map::new(x);
    let x = x.images();
    let output = Size { channels, ..x.size };
    let scale = inverse(x.size.area());
    let matrices = Dense::new(matrices);
    build(output, |y| {
        products::apply(isa(), x, matrices.values(), channels, scale, y);
    })
}

impl MapGrads for Flex {
    fn distance_grad(
        maps: [FlexTensor; 2],
        margin: Option<FlexTensor>,
        rule: Rule,
        grad: FlexTensor,
    ) -> FlexTensor {
        let grad = Dense::new(grad);
        compare(maps, margin, rule, |compared| {
            build(compared.student.size, |dx| {
                distance::grad(isa(), compared, grad.values(), dx);
            })
        })
    }

    fn pearson(
        student: FlexTensor,
        target: FlexTensor,
        epsilon: f64,
    ) -> (FlexTensor, standardised::Saved) {
        let [student, target] = [student, target].map(Map::new);
        let (distance, saved) =
            standardised::distance(isa(), student.images(), target.images(), epsilon);
        let channels = distance.len();
        (dense(distance, [channels]), saved)
    }

    fn pearson_grad(
        maps: [FlexTensor; 2],
        saved: standardised::Saved,
        grad: FlexTensor,
    ) -> FlexTensor {
        let [student, target] = maps.map(Map::new);
        let [student, target] = [student.images(), target.images()];
        let grad = Dense::new(grad);
        build(student.size, |dx| {
            standardised::grad(isa(), student, target, &saved, grad.values(), dx);
        })
    }

    fn divergence(
        student: FlexTensor,
        target: FlexTensor,
        temperature: f64,
    ) -> (FlexTensor, [Softmax; 2]) {
        let [student, target] = [student, target].map(Map::new);
        let [student, target] = [student.images(), target.images()];
        let (value, saved) = divergence::divergence(isa(), student, target, temperature);
        let shape = [student.size.batch, student.size.channels];
        (dense(value, shape), saved)
    }

    fn divergence_grad(
        maps: [FlexTensor; 2],
        temperature: f64,
        saved: [Softmax; 2],
        grad: FlexTensor,
    ) -> FlexTensor {
        let [student, target] = maps.map(Map::new);
        let [student, target] = [student.images(), target.images()];
        let grad = Dense::new(grad);
        let grad = grad.values();
        build(student.size, |dx| {
            divergence::grad(isa(), student, target, temperature, &saved, grad, dx);
        })
    }

    fn energy_grad(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (x, grad) = (Map::new(x), Dense::new(grad));
        let x = x.images();
        build(x.size, |dx| energy::grad(isa(), x, grad.values(), dx))
    }

    fn products_grad(other: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let channels = grad.shape()[2];
        apply(other, grad, channels)
    }

    fn gram_grad(x: FlexTensor, along: Along, grad: FlexTensor) -> FlexTensor {
        let (x, grad) = (Map::new(x), Dense::new(grad));
        let x = x.images();
        build(x.size, |dx| {
            products::gram_grad(isa(), x, along, grad.values(), share(x, along), dx);
        })
    }

    fn average_pool_grad(grad: FlexTensor, input: [usize; 4]) -> FlexTensor {
        let input = Size::of(input);
        let grad = Map::new(grad);
        build(input, |dx| pool::grad(isa(), grad.images(), input, dx))
    }

    fn blend_grad(maps: [FlexTensor; 3], grad: FlexTensor) -> [FlexTensor; 3] {
        let [a, b, shares] = maps.map(Map::new);
        let grad = Map::new(grad);
        let blend = Blend {
            a: a.images(),
            b: b.images(),
            shares: shares.images(),
        };
        let (mut of_b, mut of_shares) = (None, None);
        let of_a = build(blend.a.size, |a| {
            of_b = Some(build(blend.b.size, |b| {
                of_shares = Some(build(blend.shares.size, |shares| {
                    let to = blend::Grads { a, b, shares };
                    blend::grad(isa(), blend, grad.images(), to);
                }));
            }));
        });
        [Some(of_a), of_b, of_shares].map(|grad| grad.expect("each was built"))
    }

    fn leaky_relu_grad(output: FlexTensor, grad: FlexTensor, slope: f64) -> FlexTensor {
        let (grad, output) = (Map::new(grad), Map::new(output));
        let (grad, output) = (grad.images(), output.images());
        build(grad.size, |dx| {
            channels::gate(isa(), grad, output, slope as f32, dx);
        })
    }

    fn unit_rows(x: FlexTensor, zero: f64) -> (FlexTensor, Vec<f32>) {
        let shape = x.shape();
        let x = Dense::new(x);
        let mut factors = Vec::new();
        let y = values(x.values().len(), |y| {
            factors = normalise_rows::unit(isa(), x.values(), shape[1], zero as f32, y);
        });
        (dense(y, shape), factors)
    }

    fn unit_rows_grad(y: FlexTensor, factors: &[f32], grad: FlexTensor) -> FlexTensor {
        let shape = y.shape();
        let (y, grad) = (Dense::new(y), Dense::new(grad));
        let (y, grad) = (y.values(), grad.values());
        let dx = values(y.len(), |dx| {
            normalise_rows::grad(isa(), y, factors, grad, dx)
        });
        dense(dx, shape)
    }

    fn leading_vectors(
        matrices: FlexTensor,
        start: FlexTensor,
        iterations: Iterations,
    ) -> (FlexTensor, Vec<Trace>) {
        let shape = start.shape();
        assert_eq!(
            matrices.shape().to_vec(),
            [shape[0], shape[1], shape[1]],
            "a square matrix for each start"
        );
        let (matrices, start) = (Dense::new(matrices), Dense::new(start));
        let (matrices, start) = (matrices.values(), start.values());
        let traces = power_iteration::find(isa(), matrices, start, shape[1], iterations);
        let found: Vec<&[f32]> = traces.iter().map(Trace::vector).collect();
        (dense(found.concat(), shape), traces)
    }

    fn leading_vectors_grad(
        matrices: FlexTensor,
        traces: &[Trace],
        grad: FlexTensor,
    ) -> FlexTensor {
        let shape = matrices.shape();
        let (matrices, grad) = (Dense::new(matrices), Dense::new(grad));
        let gradient = power_iteration::grad(isa(), matrices.values(), traces, grad.values());
        dense(gradient, shape)
    }
}
