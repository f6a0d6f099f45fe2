//! The maximum mean discrepancy of channels under the square of their cosine.
//!
//! Sums of squared products of channels are also those of positions: the form with less work is taken.

use std::mem::MaybeUninit;

use super::Maps;
use crate::images::{Images, Size};
use crate::loss::products::kernel::{pixels, runs};
use crate::loss::unit_rows::kernel::sum;
use crate::simd::Simd;
use crate::simd::scratch;
use crate::simd::tile::{self, Panels, RUN, packed};

/// Whether products of positions are less work, forward and backward, than those of channels.
fn by_positions(student: Size, target: Size) -> bool {
    let (s, t) = (student.channels, target.channels);
    student.area() * (3 * s + t) < 3 * s * s + t * t + 4 * s * t
}

pub(super) fn saved(lanes: usize, student: Size, target: Size) -> usize {
    let (s, t, area) = (student.channels, target.channels, student.area());
    match by_positions(student, target) {
        true => area * area + s,
        false => packed(lanes, s, s) + packed(lanes, t, s),
    }
}

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
    // SAFETY: the caller's promise.
    unsafe {
        match by_positions(maps.student.size, maps.target.size) {
            true => of_positions::<S>(maps, image, zero, saved),
            false => of_channels::<S>(maps, image, zero, saved),
        }
    }
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
    // SAFETY: the caller's promise.
    unsafe {
        match by_positions(maps.student.size, maps.target.size) {
            true => grad_of_positions::<S>(&maps.student, image, saved, grad, dx),
            false => grad_of_channels::<S>(maps, image, saved, grad, dx),
        }
    }
}

/// Saves what the pixels of the student, and those of the target, are multiplied by.
///
/// # Safety
/// As [`distance`], where products of channels are less work.
#[inline(always)]
unsafe fn of_channels<S: Simd>(
    Maps { student, target }: &Maps,
    image: usize,
    zero: f32,
    saved: &mut [f32],
) -> f32 {
    let (area, s, t) = (
        student.size.area(),
        student.size.channels,
        target.size.channels,
    );
    let scale = 1.0 / area as f32;
    let run = RUN.min(area);
    let parts = [
        packed(S::LANES, run, s),
        packed(S::LANES, run, t),
        s * s,
        t * t,
        t * s,
    ];
    let parts = parts.map(|len| len.next_multiple_of(S::LANES));
    let mut memory = scratch::lend(parts.iter().sum());
    let mut next = memory.aligned();
    // SAFETY: the parts follow each other in the memory, and the pixels are there.
    let [of_s, of_t, ss, tt, ts] = parts.map(|len| {
        let part = next;
        next = unsafe { next.add(len) };
        part
    });
    // SAFETY: each part has room for its panels or its matrix, no two of which overlap, and the maps have the image
    // and its pixels. The slices are of what was written before.
    let [ss, tt, ts] = unsafe {
        for run in runs(area) {
            let more = run.start > 0;
            let of_s = pixels::<S>(student, image, run.clone(), of_s);
            let of_t = pixels::<S>(target, image, run, of_t);
            tile::outer::<S>(of_s, of_s, scale, true, more, ss);
            tile::outer::<S>(of_t, of_t, scale, true, more, tt);
            tile::outer::<S>(of_t, of_s, scale, false, more, ts);
        }
        tile::mirror(ss, s);
        tile::mirror(tt, t);
        [(ss, s * s), (tt, t * t), (ts, t * s)]
            .map(|(from, len)| std::slice::from_raw_parts_mut(from, len))
    };
    let [of_s, of_t] = [(&*ss, s), (&*tt, t)].map(|(products, channels)| {
        let squares = (0..channels).map(|i| products[i * channels + i]);
        let squares = squares.map(|square| match square <= zero {
            true => 0.0,
            false => 1.0 / square.sqrt(),
        });
        squares.collect::<Vec<f32>>()
    });
    let (alone, across) = (1.0 / (s * s) as f32, 1.0 / (s * t) as f32);
    let of_student = cosines(ss, &of_s, &of_s, 4.0 * alone * scale);
    let of_target = cosines(tt, &of_t, &of_t, 0.0);
    let of_both = cosines(ts, &of_t, &of_s, -4.0 * across * scale);
    for i in 0..s {
        // What the student's lengths have to do with it.
        let length = alone * of_student[i] - across * of_both[i];
        ss[i * s + i] -= 4.0 * scale * of_s[i] * of_s[i] * length;
    }
    let (to, rest) = saved.split_at_mut(packed(S::LANES, s, s));
    // SAFETY: each has the length of its matrix in panels.
    unsafe {
        Panels::of_rows::<S>(ss.as_ptr(), s, [s, s], to.as_mut_ptr());
        Panels::of_rows::<S>(ts.as_ptr(), s, [t, s], rest.as_mut_ptr());
    }
    let [student, target, both] = [(of_student, s * s), (of_target, t * t), (of_both, s * t)]
        .map(|(squares, count)| squares.into_iter().map(f64::from).sum::<f64>() / count as f64);
    (student + target - 2.0 * both) as f32
}

/// Sums over rows of the squared cosines that products of channels are, given one by the length of each.
/// Replaces the products by the cosines, divided by both lengths and times `scale`.
#[inline(always)]
fn cosines(products: &mut [f32], of_rows: &[f32], of_columns: &[f32], scale: f32) -> Vec<f32> {
    let columns = of_columns.len();
    let mut sums = vec![0.0f32; columns];
    for (row, by_row) in products.chunks_exact_mut(columns).zip(of_rows) {
        for (product, (sum, by_column)) in row.iter_mut().zip(sums.iter_mut().zip(of_columns)) {
            let cosine = *product * by_column * by_row;
            *sum += cosine * cosine;
            *product = cosine * by_column * by_row * scale;
        }
    }
    sums
}

/// # Safety
/// As [`grad`], where products of channels are less work.
#[inline(always)]
unsafe fn grad_of_channels<S: Simd>(
    Maps { student, target }: &Maps,
    image: usize,
    saved: &[f32],
    grad: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    let (s, t) = (student.size.channels, target.size.channels);
    let (own, others) = saved.split_at(packed(S::LANES, s, s));
    let factors = [(student, own), (target, others)];
    // While both parts of a run of pixels are in a cache.
    for run in runs(student.size.area()) {
        for (part, (map, saved)) in factors.into_iter().enumerate() {
            let m = Panels {
                data: saved.as_ptr(),
                rows: [s, t][part],
                columns: s,
            };
            // SAFETY: the pixels are there in both maps, and room for the student's in `dx`.
            unsafe {
                let from = map.image(image).add(run.start * map.pitch);
                let to = dx.as_mut_ptr().cast::<f32>().add(run.start * s);
                tile::apply::<S>(from, map.pitch, run.len(), m, grad, part > 0, to);
            }
        }
    }
}

/// Saves the difference of both products of positions, and one by the lengths of the student's channels.
///
/// # Safety
/// As [`distance`], where products of positions are less work.
#[inline(always)]
unsafe fn of_positions<S: Simd>(
    Maps { student, target }: &Maps,
    image: usize,
    zero: f32,
    saved: &mut [f32],
) -> f32 {
    let area = student.size.area();
    let channels = student.size.channels.max(target.size.channels);
    let (difference, lengths) = saved.split_at_mut(area * area);
    let mut memory = scratch::lend(packed(S::LANES, channels, area));
    let memory = memory.aligned();
    for (map, sign, more) in [(student, 1.0, false), (target, -1.0, true)] {
        let channels = map.size.channels;
        let of_map = reciprocal_lengths(map, image, zero);
        // SAFETY: the pixels are there, and room for them and their products.
        unsafe {
            let (from, shape) = (map.image(image), [channels, area]);
            let x = Panels::of_columns::<S>(from, map.pitch, shape, |i| of_map[i], memory);
            let to = difference.as_mut_ptr();
            tile::outer::<S>(x, x, sign / channels as f32, true, more, to);
        }
        if !more {
            lengths.copy_from_slice(&of_map);
        }
    }
    // SAFETY: it is a matrix of this size.
    unsafe { tile::mirror(difference.as_mut_ptr(), area) };

    let rows = difference.chunks_exact(area);
    let squares = rows.map(|row| f64::from(sum(row, row, |a, b| a * b)));
    squares.sum::<f64>() as f32
}

/// One by the length of each channel, and 0 for a channel without one.
#[inline(always)]
fn reciprocal_lengths(x: &Images, image: usize, zero: f32) -> Vec<f32> {
    let area = x.size.area();
    let share = 1.0 / area as f32;
    let mut lengths = vec![0.0f32; x.size.channels];
    for pixel in image * area..(image + 1) * area {
        for (sum, value) in lengths.iter_mut().zip(x.pixel(pixel)) {
            *sum += value * value * share;
        }
    }
    for length in &mut lengths {
        *length = match *length <= zero {
            true => 0.0,
            false => 1.0 / (length.sqrt() * (area as f32).sqrt()),
        };
    }
    lengths
}

/// # Safety
/// As [`grad`], where products of positions are less work.
#[inline(always)]
unsafe fn grad_of_positions<S: Simd>(
    x: &Images,
    image: usize,
    saved: &[f32],
    grad: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    let (area, channels) = (x.size.area(), x.size.channels);
    let (difference, lengths) = saved.split_at(area * area);
    let mut memory = scratch::lend(packed(S::LANES, area, channels));
    // SAFETY: the pixels are there, the difference is a matrix of positions, and `dx` has the pixels.
    unsafe {
        let x = pixels::<S>(x, image, 0..area, memory.aligned());
        let to = dx.as_mut_ptr().cast();
        tile::apply::<S>(difference.as_ptr(), area, area, x, 1.0, false, to);
    }
    // SAFETY: that wrote all pixels of the image.
    let dx = unsafe { dx.assume_init_mut() };

    let pixels = || (image * area..(image + 1) * area).map(|pixel| x.pixel(pixel));
    // How much of each channel's gradient lies along it, and so only in its length.
    let mut along = vec![0.0f32; channels];
    for (x, dx) in pixels().zip(dx.chunks_exact(channels)) {
        for (sum, ((x, dx), by)) in along.iter_mut().zip(x.iter().zip(dx).zip(lengths)) {
            *sum += (x * by) * (dx * by);
        }
    }
    let scale = 4.0 * grad / channels as f32;
    for (x, dx) in pixels().zip(dx.chunks_exact_mut(channels)) {
        let of_channels = along.iter().zip(lengths);
        for ((x, dx), (along, by)) in x.iter().zip(dx).zip(of_channels) {
            *dx = (*dx * by - x * by * along) * by * scale;
        }
    }
}
