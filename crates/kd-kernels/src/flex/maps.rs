//! Operations of losses on maps.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, TensorMetadata, backend_extension};
use burn_flex::FlexTensor;

use super::Maybe;
use super::tensor::{Dense, Map, build, dense, from_matrices, size, values};
use crate::blend::{self, Blend};
use crate::distance::{self, Compared, Rule};
use crate::divergence::{self, Softmax};
use crate::images::Size;
use crate::leading::{self, Iterations, Trace};
use crate::{channels, energy, isa, pearson, pool, products, unit};

/// What a Gram matrix compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    /// Channels, by their products over positions.
    Channels,
    /// Positions, by their products over channels.
    Positions,
}

/// Operations that have gradients. No gradient reaches a `target`.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait MapOps: Backend {
    /// Mean over batch and positions of squared differences, `[channels]`.
    fn kernel_distance(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        #[extension_type] margin: Maybe<Self>,
        rule: Rule,
    ) -> FloatTensor<Self>;

    /// [`kernel_distance`](Self::kernel_distance) of standardised channels.
    fn kernel_pearson(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// Divergence of softmaxes over positions, `[batch, channels]`.
    fn kernel_divergence(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        temperature: f64,
    ) -> FloatTensor<Self>;

    /// Means of negative parts and how often there is one, `[2, channels]`; no gradient.
    fn kernel_negative_part(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Mean over channels of squares, `[batch, positions]`.
    fn kernel_energy(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Means over positions of products of channels, `[batch, channels of a, channels of b]`.
    fn kernel_products(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Products of a map's channels, or positions, with each other, averaged over the other of both.
    fn kernel_gram(x: FloatTensor<Self>, along: Along) -> FloatTensor<Self>;

    /// Means of blocks that divide the map.
    fn kernel_average_pool(x: FloatTensor<Self>, size: [usize; 2]) -> FloatTensor<Self>;

    /// `a · share₀ + b · share₁`, `b` repeated to the size of `a`.
    fn kernel_blend(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        shares: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x`, and `slope · x` where it is not above zero.
    fn kernel_leaky_relu(x: FloatTensor<Self>, slope: f64) -> FloatTensor<Self>;

    /// Rows `[rows, width]` divided by their length, where one is above `zero`.
    fn kernel_unit_rows(x: FloatTensor<Self>, zero: f64) -> FloatTensor<Self>;

    /// Leading eigenvectors of matrices `[batch, size, size]`, `[batch, size]`.
    fn kernel_leading_vectors(
        matrices: FloatTensor<Self>,
        start: FloatTensor<Self>,
        search: usize,
        steps: usize,
        zero: f64,
    ) -> FloatTensor<Self>;
}

/// What the backward passes of [`MapOps`] compute, and forward passes that keep something for them.
pub(crate) trait MapGrads: Backend {
    fn distance_grad(
        maps: [FloatTensor<Self>; 2],
        margin: Option<FloatTensor<Self>>,
        rule: Rule,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn pearson(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, pearson::Saved);

    fn pearson_grad(
        maps: [FloatTensor<Self>; 2],
        saved: pearson::Saved,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn divergence(
        student: FloatTensor<Self>,
        target: FloatTensor<Self>,
        temperature: f64,
    ) -> (FloatTensor<Self>, [Softmax; 2]);

    fn divergence_grad(
        maps: [FloatTensor<Self>; 2],
        temperature: f64,
        saved: [Softmax; 2],
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn energy_grad(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of one factor, given the other and `grad` `[batch, other's channels, own]`.
    fn products_grad(other: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;

    fn gram_grad(x: FloatTensor<Self>, along: Along, grad: FloatTensor<Self>) -> FloatTensor<Self>;

    fn average_pool_grad(grad: FloatTensor<Self>, input: [usize; 4]) -> FloatTensor<Self>;

    /// The gradients of both maps and the shares.
    fn blend_grad(maps: [FloatTensor<Self>; 3], grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3];

    /// The gradient before a leaky ReLU of positive slope, given its output.
    fn leaky_relu_grad(
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        slope: f64,
    ) -> FloatTensor<Self>;

    /// Rows of length 1, and what each was multiplied by.
    fn unit_rows(x: FloatTensor<Self>, zero: f64) -> (FloatTensor<Self>, Vec<f32>);

    /// The gradient of rows, given what [`unit_rows`](Self::unit_rows) made of them.
    fn unit_rows_grad(
        unit: FloatTensor<Self>,
        factors: &[f32],
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn leading_vectors(
        matrices: FloatTensor<Self>,
        start: FloatTensor<Self>,
        iterations: Iterations,
    ) -> (FloatTensor<Self>, Vec<Trace>);

    fn leading_vectors_grad(
        matrices: FloatTensor<Self>,
        traces: &[Trace],
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Runs `work` on a comparison of two maps.
fn compare<R>(
    [student, target]: [FlexTensor; 2],
    margin: Option<FlexTensor>,
    rule: Rule,
    work: impl FnOnce(Compared) -> R,
) -> R {
    let [student, target] = [student, target].map(Map::new);
    let channels = student.images().size.channels;
    let none = vec![0.0; channels];
    let margin = margin.map(Dense::new);
    work(Compared {
        student: student.images(),
        target: target.images(),
        margin: margin.as_ref().map_or(&none, Dense::values),
        rule,
    })
}

/// Means over positions of products of channels.
fn outer(a: &Map, b: &Map) -> FlexTensor {
    let (a, b) = (a.images(), b.images());
    let shape = [a.size.batch, a.size.channels, b.size.channels];
    let scale = inverse(a.size.area()) as f32;
    dense(products::outer(isa(), a, b, scale), shape)
}

/// A map whose pixels are those of `x` times `matrices` `[batch, channels of x, channels]`, by the number of
/// positions: the gradient of a factor of [`outer`].
fn apply(x: FlexTensor, matrices: FlexTensor, channels: usize) -> FlexTensor {
    let x = Map::new(x);
    let x = x.images();
    let output = Size { channels, ..x.size };
    let scale = inverse(x.size.area()) as f32;
    let matrices = Dense::new(matrices);
    build(output, |y| {
        products::apply(isa(), x, matrices.values(), channels, scale, y);
    })
}

fn transposed(matrices: FlexTensor) -> FlexTensor {
    Flex::float_swap_dims(matrices, 1, 2)
}

fn inverse(count: usize) -> f64 {
    1.0 / count as f64
}

impl MapOps for Flex {
    fn kernel_distance(
        student: FlexTensor,
        target: FlexTensor,
        margin: Maybe<Self>,
        rule: Rule,
    ) -> FlexTensor {
        compare([student, target], margin.into_option(), rule, |compared| {
            let channels = compared.student.size.channels;
            dense(distance::mean_squares(isa(), compared), [channels])
        })
    }

    fn kernel_pearson(student: FlexTensor, target: FlexTensor, epsilon: f64) -> FlexTensor {
        Self::pearson(student, target, epsilon).0
    }

    fn kernel_divergence(student: FlexTensor, target: FlexTensor, temperature: f64) -> FlexTensor {
        Self::divergence(student, target, temperature).0
    }

    fn kernel_negative_part(x: FlexTensor) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        dense(channels::negative_part(isa(), x), [2, x.size.channels])
    }

    fn kernel_energy(x: FlexTensor) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        let energy = values(x.size.pixels(), |y| energy::energy(isa(), x, y));
        dense(energy, [x.size.batch, x.size.area()])
    }

    fn kernel_products(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        outer(&Map::new(a), &Map::new(b))
    }

    fn kernel_gram(x: FlexTensor, along: Along) -> FlexTensor {
        let x = Map::new(x);
        match along {
            Along::Channels => {
                let x = x.images();
                let shape = [x.size.batch, x.size.channels, x.size.channels];
                let scale = inverse(x.size.area()) as f32;
                dense(products::gram(isa(), x, scale), shape)
            }
            Along::Positions => {
                let scale = inverse(x.images().size.channels);
                let x = x.matrices();
                Flex::float_mul_scalar(Flex::float_matmul(x.clone(), transposed(x)), scale.into())
            }
        }
    }

    fn kernel_average_pool(x: FlexTensor, [height, width]: [usize; 2]) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        let output = Size {
            height,
            width,
            ..x.size
        };
        build(output, |y| pool::average(isa(), x, output, y))
    }

    fn kernel_blend(a: FlexTensor, b: FlexTensor, shares: FlexTensor) -> FlexTensor {
        let [a, b, shares] = [a, b, shares].map(Map::new);
        let blend = Blend {
            a: a.images(),
            b: b.images(),
            shares: shares.images(),
        };
        build(blend.a.size, |y| blend::blend(isa(), blend, y))
    }

    fn kernel_leaky_relu(x: FlexTensor, slope: f64) -> FlexTensor {
        Self::leaky_relu_grad(x.clone(), x, slope)
    }

    fn kernel_unit_rows(x: FlexTensor, zero: f64) -> FlexTensor {
        Self::unit_rows(x, zero).0
    }

    fn kernel_leading_vectors(
        matrices: FlexTensor,
        start: FlexTensor,
        search: usize,
        steps: usize,
        zero: f64,
    ) -> FlexTensor {
        let iterations = Iterations::new(search, steps, zero);
        Self::leading_vectors(matrices, start, iterations).0
    }
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
    ) -> (FlexTensor, pearson::Saved) {
        let [student, target] = [student, target].map(Map::new);
        let (distance, saved) =
            pearson::distance(isa(), student.images(), target.images(), epsilon);
        let channels = distance.len();
        (dense(distance, [channels]), saved)
    }

    fn pearson_grad(maps: [FlexTensor; 2], saved: pearson::Saved, grad: FlexTensor) -> FlexTensor {
        let [student, target] = maps.map(Map::new);
        let [student, target] = [student.images(), target.images()];
        let grad = Dense::new(grad);
        build(student.size, |dx| {
            pearson::grad(isa(), student, target, &saved, grad.values(), dx);
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
        let size = size(x.layout());
        let shape = grad.shape();
        let both = products::plus_transposed(Dense::new(grad).values(), shape[1]);
        let both = dense(both, shape);
        match along {
            Along::Channels => apply(x, both, size.channels),
            Along::Positions => {
                let scaled = Flex::float_mul_scalar(both, inverse(size.channels).into());
                from_matrices(Flex::float_matmul(scaled, Map::new(x).matrices()), size)
            }
        }
    }

    fn average_pool_grad(grad: FlexTensor, input: [usize; 4]) -> FlexTensor {
        let [batch, channels, height, width] = input;
        let input = Size {
            batch,
            height,
            width,
            channels,
        };
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
            factors = unit::unit(isa(), x.values(), shape[1], zero as f32, y);
        });
        (dense(y, shape), factors)
    }

    fn unit_rows_grad(y: FlexTensor, factors: &[f32], grad: FlexTensor) -> FlexTensor {
        let shape = y.shape();
        let (y, grad) = (Dense::new(y), Dense::new(grad));
        let (y, grad) = (y.values(), grad.values());
        let dx = values(y.len(), |dx| unit::grad(isa(), y, factors, grad, dx));
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
        let traces = leading::find(isa(), matrices, start, shape[1], iterations);
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
        let gradient = leading::grad(isa(), matrices.values(), traces, grad.values());
        dense(gradient, shape)
    }
}
