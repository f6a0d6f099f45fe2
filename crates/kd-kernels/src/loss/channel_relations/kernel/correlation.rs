//! The distance between products of channels, each row of them brought to length 1.

use std::mem::MaybeUninit;

use super::Maps;
use crate::images::Size;
use crate::loss::gram_of_maps::kernel::gram_of_channels;
use crate::loss::products::kernel::runs;
use crate::loss::unit_rows::kernel::{largest, sum};
use crate::simd::Simd;
use crate::simd::panels::{Panels, packed};
use crate::simd::scratch;
use crate::simd::tile::{self, RUN};
use crate::simd::transpose::{mirror, plus_transposed};

pub(super) fn saved(lanes: usize, student: Size) -> usize {
    packed(lanes, student.channels, student.channels)
}

/// Saves what the student's pixels are multiplied by.
#[inline(always)]
pub(super) fn distance<S: Simd>(
    s: S,
    maps: &Maps,
    image: usize,
    zero: f32,
    saved: &mut [f32],
) -> f32 {
    let channels = maps.student.size.channels;
    let maps = [&maps.student, &maps.target];
    let area = maps[0].size.area().max(maps[1].size.area());
    let square = (channels * channels).next_multiple_of(S::LANES);
    let room = packed(S::LANES, RUN.min(area), channels);
    let mut memory = scratch::lend(2 * square + room.max(square));
    let (products, room) = memory.aligned().split_at_mut(2 * square);
    let (student, target) = products.split_at_mut(square);
    let matrices = [student, target].map(|matrix| &mut matrix[..channels * channels]);
    let [student, target] = matrices;
    for (x, to) in maps.into_iter().zip([&mut *student, &mut *target]) {
        gram_of_channels(s, x, image, 1.0 / x.size.area() as f32, room, to);
        mirror(to, channels);
    }
    let rows = student.chunks_exact_mut(channels);
    // No closure, which the compiler may leave outside of what it compiles for the instruction set.
    let mut value = 0.0f64;
    for (s, t) in rows.zip(target.chunks_exact_mut(channels)) {
        value += f64::from(row(s, t, zero));
    }
    plus_transposed(student, channels, room);
    Panels::of_rows(s, room, channels, [channels; 2], saved);
    (value / channels as f64) as f32
}

/// The distance of one row of products, which its gradient replaces. The target's is brought to its length.
#[inline(always)]
fn row(student: &mut [f32], target: &mut [f32], zero: f32) -> f32 {
    bring_to_unit(target, zero);
    let factor = bring_to_unit(student, zero);
    let value = sum(student, target, |s, t| (s - t) * (s - t));
    match factor {
        None => {
            for (s, t) in student.iter_mut().zip(&*target) {
                *s = 2.0 * (*s - t);
            }
        }
        Some(factor) => {
            let along = sum(student, target, |s, t| 2.0 * (s - t) * s);
            for (s, t) in student.iter_mut().zip(&*target) {
                *s = (2.0 * (*s - t) - *s * along) * factor;
            }
        }
    }
    value
}

/// Divides a row by its length, and says what it was multiplied by; not one without an entry above `zero`.
#[inline(always)]
fn bring_to_unit(row: &mut [f32], zero: f32) -> Option<f32> {
    let largest = largest(row);
    if largest <= zero {
        return None;
    }
    // Divided by the largest entry first, no square overflows.
    let scale = 1.0 / largest;
    let length = sum(row, row, |a, b| (a * scale) * (b * scale)).sqrt();
    for value in &mut *row {
        *value = *value * scale / length;
    }
    Some(scale / length)
}

#[inline(always)]
pub(super) fn grad<S: Simd>(
    s: S,
    maps: &Maps,
    image: usize,
    saved: &[f32],
    grad: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    let x = &maps.student;
    let (area, channels) = (x.size.area(), x.size.channels);
    let m = Panels {
        data: saved,
        rows: channels,
        columns: channels,
    };
    for (run, dx) in runs(area).zip(dx.chunks_mut(RUN * channels)) {
        let from = x.position(image, run.start);
        let scale = grad / (area * channels) as f32;
        tile::apply(s, from, x.pitch, m, scale, dx);
    }
}
