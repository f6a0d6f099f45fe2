//! Operations of losses on maps.

mod backward;
mod forward;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn_flex::FlexTensor;

use super::Maybe;
use super::tensor::{Dense, Map};
use crate::images::Images;
use crate::loss::distance::{DistanceArgs, Rule};
use crate::loss::divergence::Softmax;
use crate::loss::power_iteration::{Iterations, Trace};
use crate::loss::products::Along;
use crate::loss::standardised;

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
    ) -> (FloatTensor<Self>, standardised::Saved);

    fn pearson_grad(
        maps: [FloatTensor<Self>; 2],
        saved: standardised::Saved,
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
    work: impl FnOnce(DistanceArgs) -> R,
) -> R {
    let [student, target] = [student, target].map(Map::new);
    let channels = student.images().size.channels;
    let none = vec![0.0; channels];
    let margin = margin.map(Dense::new);
    work(DistanceArgs {
        student: student.images(),
        target: target.images(),
        margin: margin.as_ref().map_or(&none, Dense::values),
        rule,
    })
}

/// What a sum of products is multiplied by to be a mean.
fn share(x: Images, along: Along) -> f32 {
    match along {
        Along::Channels => inverse(x.size.area()),
        Along::Positions => inverse(x.size.channels),
    }
}

fn inverse(count: usize) -> f32 {
    (1.0 / count as f64) as f32
}
