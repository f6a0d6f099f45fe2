//! Operations on two or three tensors, broadcast against each other.

use super::Inputs;
use crate::constant::{Constant, Values};
use crate::graph::Node;
use crate::lower::{BOOL, FLOAT, INT64};

/// The shape that all broadcast to.
pub(super) fn common(shapes: &[&[usize]]) -> Result<Vec<usize>, String> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut common = vec![1; rank];
    for shape in shapes {
        for (size, &own) in common[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*size, own) {
                (1, own) => *size = own,
                (_, 1) => {}
                (size, own) if size == own => {}
                _ => return Err(format!("shapes {shapes:?} do not broadcast")),
            }
        }
    }
    Ok(common)
}

/// Where a tensor's value for each position of `to` lies.
pub(super) fn places(shape: &[usize], to: &[usize]) -> Vec<usize> {
    let added = to.len() - shape.len();
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for axis in (0..shape.len()).rev() {
        if shape[axis] != 1 {
            strides[added + axis] = stride;
        }
        stride *= shape[axis];
    }
    let mut places = vec![0];
    for (size, stride) in to.iter().zip(strides) {
        let each = |place: usize| (0..*size).map(move |index| place + index * stride);
        places = places.into_iter().flat_map(each).collect();
    }
    places
}

/// `value(a, b)` for every pair of broadcast values.
fn zip<T: Copy, U>(
    (a, a_shape): (&[T], &[usize]),
    (b, b_shape): (&[T], &[usize]),
    value: impl Fn(T, T) -> U,
) -> Result<(Vec<U>, Vec<usize>), String> {
    if a_shape == b_shape {
        let values = a.iter().zip(b).map(|(&a, &b)| value(a, b));
        return Ok((values.collect(), a_shape.to_vec()));
    }
    let to = common(&[a_shape, b_shape])?;
    if let [b] = b
        && to == a_shape
    {
        return Ok((a.iter().map(|&a| value(a, *b)).collect(), to));
    }
    let (left, right) = (places(a_shape, &to), places(b_shape, &to));
    let values = left.into_iter().zip(right);
    Ok((values.map(|(i, j)| value(a[i], b[j])).collect(), to))
}

/// Runs the node.
pub(super) fn broadcast(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let first = inputs.at(0)?;
    match node.op {
        "Cast" => return cast(first, node.int("to", FLOAT)),
        "Where" => return choose(inputs),
        "Not" => {
            let values = truths(first)?.iter().map(|value| !value).collect();
            return Ok(Constant::bools(values, &first.shape));
        }
        "And" | "Or" => {
            let second = inputs.at(1)?;
            let of = |a: bool, b: bool| if node.op == "And" { a && b } else { a || b };
            let (values, shape) = zip(
                (truths(first)?, &first.shape),
                (truths(second)?, &second.shape),
                of,
            )?;
            return Ok(Constant::bools(values, &shape));
        }
        _ => {}
    }
    let second = inputs.at(1)?;
    let shapes = (&first.shape[..], &second.shape[..]);
    match (&first.values, &second.values) {
        (Values::Float(a), Values::Float(b)) => floats(node.op, (a, shapes.0), (b, shapes.1)),
        (Values::Int(a), Values::Int(b)) => ints(node.op, (a, shapes.0), (b, shapes.1)),
        (Values::Bool(a), Values::Bool(b)) if node.op == "Equal" => {
            let (values, shape) = zip((a, shapes.0), (b, shapes.1), |a, b| a == b)?;
            Ok(Constant::bools(values, &shape))
        }
        _ => Err("of different types".into()),
    }
}

fn floats(op: &str, a: (&[f32], &[usize]), b: (&[f32], &[usize])) -> Result<Constant, String> {
    let compare = |of: fn(f32, f32) -> bool| {
        zip(a, b, of).map(|(values, shape)| Constant::bools(values, &shape))
    };
    let compute = |of: fn(f32, f32) -> f32| {
        zip(a, b, of).map(|(values, shape)| Constant::floats(values, &shape))
    };
    match op {
        "Add" => compute(|a, b| a + b),
        "Sub" => compute(|a, b| a - b),
        "Mul" => compute(|a, b| a * b),
        "Div" => compute(|a, b| a / b),
        "Pow" => compute(f32::powf),
        "PRelu" => compute(|x, slope| if x < 0.0 { x * slope } else { x }),
        "Equal" => compare(|a, b| a == b),
        "Greater" => compare(|a, b| a > b),
        "GreaterOrEqual" => compare(|a, b| a >= b),
        "Less" => compare(|a, b| a < b),
        "LessOrEqual" => compare(|a, b| a <= b),
        _ => Err("not of floats".into()),
    }
}

fn ints(op: &str, a: (&[i64], &[usize]), b: (&[i64], &[usize])) -> Result<Constant, String> {
    let compare = |of: fn(i64, i64) -> bool| {
        zip(a, b, of).map(|(values, shape)| Constant::bools(values, &shape))
    };
    let compute = |of: fn(i64, i64) -> i64| {
        zip(a, b, of).map(|(values, shape)| Constant::ints(values, &shape))
    };
    match op {
        "Add" => compute(i64::wrapping_add),
        "Sub" => compute(i64::wrapping_sub),
        "Mul" => compute(i64::wrapping_mul),
        "Div" if !b.0.contains(&0) => compute(i64::wrapping_div),
        "Equal" => compare(|a, b| a == b),
        "Greater" => compare(|a, b| a > b),
        "GreaterOrEqual" => compare(|a, b| a >= b),
        "Less" => compare(|a, b| a < b),
        "LessOrEqual" => compare(|a, b| a <= b),
        _ => Err("not of these integers".into()),
    }
}

fn truths(of: &Constant) -> Result<&[bool], String> {
    match &of.values {
        Values::Bool(values) => Ok(values),
        _ => Err("of no truth values".into()),
    }
}

fn cast(from: &Constant, to: i64) -> Result<Constant, String> {
    let shape = &from.shape;
    Ok(match (&from.values, to) {
        (Values::Float(_), FLOAT) | (Values::Int(_), INT64) | (Values::Bool(_), BOOL) => {
            from.clone()
        }
        (Values::Int(v), FLOAT) => Constant::floats(v.iter().map(|&v| v as f32).collect(), shape),
        (Values::Bool(v), FLOAT) => {
            Constant::floats(v.iter().map(|&v| f32::from(u8::from(v))).collect(), shape)
        }
        (Values::Float(v), INT64) => Constant::ints(v.iter().map(|&v| v as i64).collect(), shape),
        (Values::Bool(v), INT64) => Constant::ints(v.iter().map(|&v| v.into()).collect(), shape),
        (Values::Float(v), BOOL) => Constant::bools(v.iter().map(|&v| v != 0.0).collect(), shape),
        (Values::Int(v), BOOL) => Constant::bools(v.iter().map(|&v| v != 0).collect(), shape),
        _ => return Err(format!("to the type {to}")),
    })
}

fn choose(inputs: &Inputs) -> Result<Constant, String> {
    let (mask, yes, no) = (inputs.at(0)?, inputs.at(1)?, inputs.at(2)?);
    let to = common(&[&mask.shape, &yes.shape, &no.shape])?;
    let [at, left, right] = [mask, yes, no].map(|tensor| places(&tensor.shape, &to));
    let mask = truths(mask)?;
    let picks = at.into_iter().zip(left.into_iter().zip(right));
    fn pick<T: Copy>(
        picks: impl Iterator<Item = (usize, (usize, usize))>,
        mask: &[bool],
        yes: &[T],
        no: &[T],
    ) -> Vec<T> {
        let each = picks.map(|(at, (i, j))| if mask[at] { yes[i] } else { no[j] });
        each.collect()
    }
    match (&yes.values, &no.values) {
        (Values::Float(yes), Values::Float(no)) => {
            Ok(Constant::floats(pick(picks, mask, yes, no), &to))
        }
        (Values::Int(yes), Values::Int(no)) => Ok(Constant::ints(pick(picks, mask, yes, no), &to)),
        _ => Err("of different types".into()),
    }
}
