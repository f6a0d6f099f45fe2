//! Relations of tokens, compared without keeping them.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Tensor};

use super::real::{Real, of_real_keys};

/// Relations that are computed at a time, as numbers.
const AT_A_TIME: usize = 1 << 21;

/// The mean over heads and real tokens `i` of `Σ_j p_t · (log p_t − log p_s)`, with `p` the softmax over real tokens `j`
/// of `x_i · x_j / √d`, of token vectors `[batch, tokens, width]` that are split into heads of `d` numbers.
///
/// The loss's own gradient is computed beside its value, some sequences at a time, so that what is kept until the
/// backward pass is as large as the student's vectors, and no `[batch, heads, tokens, tokens]`. It cannot be
/// differentiated twice.
pub(super) fn relation_divergence(
    student: Tensor<3>,
    teacher: Tensor<3>,
    heads: usize,
    real: Real,
) -> Tensor<1> {
    let [batch, tokens, _] = student.dims();
    let plain = [&student, &teacher].map(|x| x.clone().without_autodiff());
    let real = real.map(|real| real.clone().without_autodiff());
    let (weights, device) = (weights(real.as_ref(), &plain[0]), student.device());
    let step = (AT_A_TIME / (heads * tokens * tokens)).clamp(1, batch);
    let mut value: Option<Tensor<1>> = None;
    let mut gradients = Vec::with_capacity(batch.div_ceil(step));
    for first in (0..batch).step_by(step) {
        let count = step.min(batch - first);
        let part = |x: &Tensor<3>| x.clone().narrow(0, first, count);
        let (some, gradient) = of_some(
            part(&plain[0]),
            part(&plain[1]),
            heads,
            real.as_ref()
                .map(|real| real.clone().narrow(0, first, count)),
            weights.clone().narrow(0, first, count),
        );
        value = Some(match value {
            Some(sum) => sum + some,
            None => some,
        });
        gradients.push(gradient);
    }
    let value = value.unwrap_or_else(|| Tensor::zeros([1], &plain[0].device()));
    if !device.is_autodiff() {
        return value;
    }
    let gradient = Tensor::from_inner(Tensor::cat(gradients, 0));
    let slope = (student * gradient).sum();
    // Exactly the value, with exactly the gradient.
    slope.clone() - slope.detach() + Tensor::from_inner(value)
}

/// What each token counts, `[batch, tokens]`; all together 1, or 0 where none is real.
fn weights(real: Option<&Tensor<2, Bool>>, x: &Tensor<3>) -> Tensor<2> {
    let [batch, tokens, _] = x.dims();
    match real {
        None => Tensor::ones([batch, tokens], (&x.device(), x.dtype())) / (batch * tokens) as f64,
        Some(real) => {
            let real = real.clone().float();
            let count = real.clone().sum().clamp_min(1.0);
            (real / count.unsqueeze()).cast(x.dtype())
        }
    }
}

/// Value and gradient of some sequences.
fn of_some(
    student: Tensor<3>,
    teacher: Tensor<3>,
    heads: usize,
    real: Option<Tensor<2, Bool>>,
    weights: Tensor<2>,
) -> (Tensor<1>, Tensor<3>) {
    let shape = student.dims();
    let [batch, tokens, width] = shape;
    let (own, theirs) = (split(student, heads), split(teacher, heads));
    let [log_own, log_theirs] = [&own, &theirs].map(|x| {
        let scores = x.clone().matmul(x.clone().transpose());
        log_softmax(of_real_keys(scores, real.as_ref()), 3)
    });
    let weights = weights.reshape([batch, 1, tokens, 1]) / heads as f64;
    let shares = log_theirs.clone().exp();
    let apart = shares.clone() * (log_theirs - log_own.clone());
    let value = (apart.sum_dim(3) * weights.clone()).sum();
    let slope = (log_own.exp() - shares) * weights;
    let slope = slope.clone() + slope.transpose();
    let gradient = slope.matmul(own) / scale(width / heads);
    (value, gradient.swap_dims(1, 2).reshape(shape))
}

/// Both factors of a product get their share of the scale, so that it stays in range.
fn scale(depth: usize) -> f64 {
    (depth as f64).powf(0.25)
}

/// Heads of scaled vectors, `[batch, heads, tokens, depth]`.
fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    let depth = width / heads;
    let x = (x / scale(depth)).reshape([batch, tokens, heads, depth]);
    x.swap_dims(1, 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    /// As many sequences as do not go into one step, so that steps end in their middle.
    #[test]
    fn steps_change_nothing_and_gradients_are_those_of_the_formula() {
        let device = Device::flex().autodiff();
        let (batch, tokens, heads) = (5, 300, 12);
        assert!(AT_A_TIME / (heads * tokens * tokens) < batch);
        let draw = |width| {
            let normal = Distribution::Normal(0.0, 1.0);
            Tensor::<3>::random([batch, tokens, width], normal, &device).detach()
        };
        let student = draw(24).require_grad();
        let teacher = draw(48);
        let real = Tensor::<2>::random([batch, tokens], Distribution::Uniform(0.0, 1.0), &device);
        let real = real.greater_elem(0.3);
        let formula = |real: Real| {
            let logs = [student.clone(), teacher.clone()].map(|x| {
                let x = split(x, heads);
                log_softmax(of_real_keys(x.clone().matmul(x.transpose()), real), 3)
            });
            let [own, theirs] = logs;
            let apart: Tensor<3> = (theirs.clone().exp() * (theirs - own))
                .sum_dim(3)
                .squeeze_dim(3);
            super::super::real::mean_of_tokens(apart.mean_dim(1).squeeze_dim(1), real)
        };
        for real in [None, Some(&real)] {
            let want = formula(real);
            let found = relation_divergence(student.clone(), teacher.clone(), heads, real);
            let slopes = [&want, &found].map(|loss| {
                let gradients = loss.backward();
                student.grad(&gradients).unwrap()
            });
            let apart: f32 = (want - found.clone()).abs().into_scalar();
            assert!(apart < 1e-5 * found.into_scalar::<f32>(), "{apart}");
            let [want, found] = slopes;
            let largest: f32 = want.clone().abs().max().into_scalar();
            let apart: f32 = (want - found).abs().max().into_scalar();
            assert!(apart < 1e-4 * largest, "{apart} of {largest}");
        }
    }
}
