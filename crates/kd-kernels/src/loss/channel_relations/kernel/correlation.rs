//! The distance between products of channels, each row of them brought to length 1.

use std::mem::MaybeUninit;

use super::Maps;
use crate::images::Size;
use crate::loss::gram_of_maps::kernel::{gram_of_channels, plus_transposed};
use crate::loss::products::kernel::runs;
use crate::loss::unit_rows::kernel::{largest, sum};
use crate::simd::Simd;
use crate::simd::scratch;
use crate::simd::tile::{self, Panels, RUN, packed};

pub(super) fn saved(lanes: usize, student: Size) -> usize {
    packed(lanes, student.channels, student.channels)
}

/// Saves what the student's pixels are multiplied by.
///
/// # Safety
/// The processor has the instructions of `S`, the maps fit and have the image, and `saved` has the length of
/// [`saved`].
#[inline(always)]
pub(super) unsafe fn distance<S: Simd>(
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
    let first = memory.aligned();
    // SAFETY: the parts follow each other, the pixels are there, and the matrices are.
    unsafe {
        let room = first.add(2 * square);
        let products = [0, 1].map(|index| {
            let (x, to) = (maps[index], first.add(index * square));
            gram_of_channels::<S>(x, image, 1.0 / x.size.area() as f32, room, to);
            tile::mirror(to, channels);
            std::slice::from_raw_parts_mut(to, channels * channels)
        });
        let [student, target] = products;
        let rows = student.chunks_exact_mut(channels);
        let rows = rows.zip(target.chunks_exact_mut(channels));
        let value: f64 = rows.map(|(s, t)| f64::from(row(s, t, zero))).sum();
        plus_transposed(student.as_ptr(), channels, room);
        Panels::of_rows::<S>(room, channels, [channels; 2], saved.as_mut_ptr());
        (value / channels as f64) as f32
    }
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

/// # Safety
/// As [`distance`], which wrote `saved`, and `dx` has the length of an image of the student's.
#[inline(always)]
pub(super) unsafe fn grad<S: Simd>(
    maps: &Maps,
    image: usize,
    saved: &[f32],
    grad: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    let x = &maps.student;
    let (area, channels) = (x.size.area(), x.size.channels);
    let m = Panels {
        data: saved.as_ptr(),
        rows: channels,
        columns: channels,
    };
    for run in runs(area) {
        // SAFETY: the pixels are there, and room for them in `dx`.
        unsafe {
            let from = x.image(image).add(run.start * x.pitch);
            let to = dx.as_mut_ptr().cast::<f32>().add(run.start * channels);
            tile::apply::<S>(
                from,
                x.pitch,
                run.len(),
                m,
                grad / (area * channels) as f32,
                false,
                to,
            );
        }
    }
}
