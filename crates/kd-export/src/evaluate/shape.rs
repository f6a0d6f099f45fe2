//! Operations that move values.

use super::Inputs;
use super::arithmetic::{common, places};
use crate::constant::{Constant, Values};
use crate::graph::Node;

/// Runs the node.
pub(super) fn shape(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let first = inputs.at(0)?;
    match node.op {
        "Shape" => Ok(Constant::ints(
            first.shape.iter().map(|&size| size as i64).collect(),
            &[first.shape.len()],
        )),
        "Reshape" => reshape(first, inputs.ints(1)?),
        "Flatten" => {
            let axis = axis(node.int("axis", 1), first.shape.len())?;
            let (rows, columns) = first.shape.split_at(axis);
            let to = [rows.iter().product(), columns.iter().product()];
            Ok(first.clone().reshaped(&to))
        }
        "Transpose" => {
            let order: Vec<usize> = node.ints("perm", &[]).iter().map(|&a| a as usize).collect();
            let to: Vec<usize> = order.iter().map(|&axis| first.shape[axis]).collect();
            let strides = strides(&first.shape);
            let strides: Vec<isize> = order.iter().map(|&axis| strides[axis]).collect();
            Ok(pick(first, &walk(0, &to, &strides), &to))
        }
        "Expand" => {
            let to: Vec<usize> = inputs.ints(1)?.iter().map(|&size| size as usize).collect();
            let to = common(&[&first.shape, &to])?;
            Ok(pick(first, &places(&first.shape, &to), &to))
        }
        "Concat" => concat(node, inputs),
        "Slice" => slice(first, inputs),
        "Gather" => gather(node, first, inputs.at(1)?),
        "GatherElements" => gather_elements(node, first, inputs.at(1)?),
        "Tile" => tile(first, inputs.ints(1)?),
        _ => pad(node, first, inputs),
    }
}

/// Counted from the end when negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(axis) if axis <= rank => Ok(axis),
        _ => Err(format!("axis {axis} of {rank}")),
    }
}

fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// The places that steps along the axes lead to.
fn walk(start: isize, to: &[usize], strides: &[isize]) -> Vec<usize> {
    let mut places = vec![start];
    for (size, stride) in to.iter().zip(strides) {
        let each = |place: isize| (0..*size).map(move |index| place + index as isize * stride);
        places = places.into_iter().flat_map(each).collect();
    }
    places.into_iter().map(|place| place as usize).collect()
}

/// The values at these places.
fn pick(from: &Constant, places: &[usize], shape: &[usize]) -> Constant {
    match &from.values {
        Values::Float(v) => Constant::floats(places.iter().map(|&i| v[i]).collect(), shape),
        Values::Int(v) => Constant::ints(places.iter().map(|&i| v[i]).collect(), shape),
        Values::Bool(v) => Constant::bools(places.iter().map(|&i| v[i]).collect(), shape),
        Values::Int8(v) => {
            let values = places.iter().map(|&i| v[i]).collect();
            Constant::new(Values::Int8(values), shape)
        }
        Values::Uint8(v) => {
            let values = places.iter().map(|&i| v[i]).collect();
            Constant::new(Values::Uint8(values), shape)
        }
    }
}

fn reshape(from: &Constant, shape: &[i64]) -> Result<Constant, String> {
    let mut to = Vec::new();
    for (axis, &size) in shape.iter().enumerate() {
        to.push(match size {
            0 => *from.shape.get(axis).ok_or("there is no size to copy")?,
            -1 => 1,
            size => size as usize,
        });
    }
    if let Some(inferred) = shape.iter().position(|&size| size == -1) {
        let known: usize = to.iter().product();
        to[inferred] = from.count() / known.max(1);
    }
    if to.iter().product::<usize>() != from.count() {
        return Err(format!("{:?} does not fill {to:?}", from.shape));
    }
    Ok(from.clone().reshaped(&to))
}

fn concat(node: &Node, inputs: &Inputs) -> Result<Constant, String> {
    let parts = inputs.all();
    let first = inputs.at(0)?;
    let axis = axis(node.int("axis", 0), first.shape.len())?;
    let mut to = first.shape.clone();
    to[axis] = parts.iter().map(|part| part.shape[axis]).sum();
    let outer: usize = to[..axis].iter().product();
    fn join<T: Copy>(parts: &[&[T]], outer: usize) -> Vec<T> {
        let mut joined = Vec::new();
        for row in 0..outer {
            for part in parts {
                let each = part.len() / outer;
                joined.extend_from_slice(&part[row * each..(row + 1) * each]);
            }
        }
        joined
    }
    match first.values {
        Values::Float(_) => {
            let parts: Option<Vec<&[f32]>> = parts.iter().map(|part| part.as_floats()).collect();
            Ok(Constant::floats(
                join(&parts.ok_or("of different types")?, outer),
                &to,
            ))
        }
        Values::Int(_) => {
            let parts: Option<Vec<&[i64]>> = parts.iter().map(|part| part.as_ints()).collect();
            Ok(Constant::ints(
                join(&parts.ok_or("of different types")?, outer),
                &to,
            ))
        }
        _ => Err("of truth values, or of 8-bit integers".into()),
    }
}

fn slice(from: &Constant, inputs: &Inputs) -> Result<Constant, String> {
    let (starts, ends, axes) = (inputs.ints(1)?, inputs.ints(2)?, inputs.ints(3)?);
    let steps = inputs.ints(4)?;
    let mut strides = strides(&from.shape);
    let (mut to, mut begin) = (from.shape.clone(), 0);
    for (index, &along) in axes.iter().enumerate() {
        let along = axis(along, to.len())?;
        let (size, step) = (to[along] as i64, steps[index]);
        let counted = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (start, end) = (counted(starts[index]), counted(ends[index]));
        let (start, count) = if step > 0 {
            let (start, end) = (start.clamp(0, size), end.clamp(0, size));
            (start, (end - start + step - 1) / step)
        } else {
            let (start, end) = (start.clamp(0, size - 1), end.clamp(-1, size - 1));
            (start, (start - end - step - 1) / -step)
        };
        to[along] = count.max(0) as usize;
        begin += start as isize * strides[along];
        strides[along] *= step as isize;
    }
    Ok(pick(from, &walk(begin, &to, &strides), &to))
}

fn gather(node: &Node, from: &Constant, indices: &Constant) -> Result<Constant, String> {
    let along = axis(node.int("axis", 0), from.shape.len())?;
    let size = from.shape[along];
    let wanted = indices.as_ints().ok_or("indices are no integers")?;
    let inner: usize = from.shape[along + 1..].iter().product();
    let outer: usize = from.shape[..along].iter().product();
    let mut places = Vec::new();
    for row in 0..outer {
        for &index in wanted {
            let index = axis(index, size)?;
            let start = (row * size + index) * inner;
            places.extend(start..start + inner);
        }
    }
    let to = [
        &from.shape[..along],
        &indices.shape,
        &from.shape[along + 1..],
    ]
    .concat();
    Ok(pick(from, &places, &to))
}

fn gather_elements(node: &Node, from: &Constant, indices: &Constant) -> Result<Constant, String> {
    let along = axis(node.int("axis", 0), from.shape.len())?;
    let wanted = indices.as_ints().ok_or("indices are no integers")?;
    let mut strides = strides(&from.shape);
    let stride = std::mem::take(&mut strides[along]);
    let places = walk(0, &indices.shape, &strides).into_iter().zip(wanted);
    let places =
        places.map(|(place, &index)| Ok(place + axis(index, from.shape[along])? * stride as usize));
    Ok(pick(
        from,
        &places.collect::<Result<Vec<_>, String>>()?,
        &indices.shape,
    ))
}

fn tile(from: &Constant, times: &[i64]) -> Result<Constant, String> {
    let (mut to, mut places) = (vec![], vec![0]);
    let strides = strides(&from.shape);
    for (axis, &size) in from.shape.iter().enumerate() {
        let times = *times.get(axis).ok_or("a number is missing")? as usize;
        let each = |place: usize| (0..size * times).map(move |index| (index % size, place));
        let stride = strides[axis] as usize;
        places = places
            .into_iter()
            .flat_map(each)
            .map(|(index, place)| place + index * stride)
            .collect();
        to.push(size * times);
    }
    Ok(pick(from, &places, &to))
}

fn pad(node: &Node, from: &Constant, inputs: &Inputs) -> Result<Constant, String> {
    let pads = inputs.ints(1)?;
    let rank = from.shape.len();
    let values = from.as_floats().ok_or("of no floats")?;
    let filled = inputs.get(2).and_then(Constant::scalar).unwrap_or(0.0);
    let mode = node.text("mode");
    let strides = strides(&from.shape);
    let (mut places, mut to): (Vec<Option<usize>>, _) = (vec![Some(0)], vec![]);
    for axis in 0..rank {
        let size = from.shape[axis] as i64;
        let wide = pads[axis] + size + pads[rank + axis];
        let inside = |index: i64| match (0..size).contains(&index) {
            true => Some(index),
            false if mode == "edge" => Some(index.clamp(0, size - 1)),
            false if mode == "reflect" => {
                let last = (size - 1).max(1);
                let folded = index.rem_euclid(2 * last);
                Some(folded.min(2 * last - folded))
            }
            false => None,
        };
        let stride = strides[axis] as usize;
        let next = places.iter().flat_map(|place| {
            (0..wide).map(move |index| {
                let index = inside(index - pads[axis])?;
                Some((*place)? + index as usize * stride)
            })
        });
        places = next.collect();
        to.push(wide as usize);
    }
    let padded = places
        .into_iter()
        .map(|place| place.map_or(filled, |place| values[place]));
    Ok(Constant::floats(padded.collect(), &to))
}
