//! Means over real tokens.

use burn::tensor::{Bool, Tensor};

use crate::{Error, Pair};

/// Which tokens are no padding, `[batch, tokens]`; none when all are real.
pub(super) type Real<'a> = Option<&'a Tensor<2, Bool>>;

/// What is added to the score of padding, so that its probability is 0 and no score is infinite.
const NEVER: f64 = -1e4;

/// The mask of a pair, which student and teacher share.
pub(super) fn real_tokens<'a>(pair: &Pair<'a>) -> Real<'a> {
    let of_teacher = || {
        pair.teacher
            .and_then(|teacher| teacher.real_tokens.as_ref())
    };
    pair.student.real_tokens.as_ref().or_else(of_teacher)
}

/// Refuses a mask of another shape than the sequences'.
pub(super) fn mask_fits(loss: &'static str, real: Real, shape: [usize; 2]) -> Result<(), Error> {
    match real.map(Tensor::dims) {
        Some(mask) if mask != shape => Err(Error::Shape {
            loss,
            problem: format!("a mask of shape {mask:?} for sequences of shape {shape:?}"),
        }),
        _ => Ok(()),
    }
}

/// Mean of `[batch, tokens]` over real tokens; 0 where there is none.
pub(super) fn mean_of_tokens(values: Tensor<2>, real: Real) -> Tensor<1> {
    match real {
        None => values.mean(),
        Some(real) => mean_where(values, real.clone()),
    }
}

/// Mean of `[batch, heads, tokens, tokens]` over heads and pairs of real tokens; 0 where there is none.
pub(super) fn mean_of_pairs(values: Tensor<4>, real: Real) -> Tensor<1> {
    match real {
        None => values.mean(),
        Some(real) => {
            let shape = values.dims();
            let [rows, columns] = [2, 3].map(|axis| beside_heads(real, axis).expand(shape));
            mean_where(values, rows.bool_and(columns))
        }
    }
}

/// The mask beside `[batch, heads, tokens, tokens]`, along its axis 2 or 3.
pub(super) fn beside_heads(real: &Tensor<2, Bool>, axis: usize) -> Tensor<4, Bool> {
    let [batch, tokens] = real.dims();
    let mut shape = [batch, 1, 1, 1];
    shape[axis] = tokens;
    real.clone().reshape(shape)
}

fn mean_where<const D: usize>(values: Tensor<D>, counted: Tensor<D, Bool>) -> Tensor<1> {
    let share = counted.clone().float().mean();
    let none = share.clone().equal_elem(0.0);
    // Only the share's precision matters, which no sum of half precision can lose.
    let share = share.mask_fill(none, 1.0).cast(values.dtype());
    values.mask_fill(counted.bool_not(), 0.0).mean() / share
}

/// Scores `[batch, heads, tokens, tokens]` whose keys are real tokens only.
pub(super) fn of_real_keys(scores: Tensor<4>, real: Real) -> Tensor<4> {
    match real {
        None => scores,
        Some(real) => {
            let padding = beside_heads(real, 3).bool_not().float() * NEVER;
            let padding = padding.cast(scores.dtype());
            scores + padding
        }
    }
}
