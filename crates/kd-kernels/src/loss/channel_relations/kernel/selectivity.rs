//! The maximum mean discrepancy of channels under the square of their cosine.
//!
//! Sums of squared products of channels are also those of positions: the form with less work is taken.

use std::mem::MaybeUninit;

use super::Maps;
use crate::images::{Images, Size};
use crate::loss::products::kernel::{pixels, runs};
use crate::loss::unit_rows::kernel::sum;
use crate::simd::Simd;
use crate::simd::panels::{Panels, packed};
use crate::simd::scratch;
use crate::simd::tile::{self, RUN};
use crate::simd::transpose::mirror;

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

#[inline(always)]
pub(super) fn distance<S: Simd>(
    s: S,
    maps: &Maps,
    image: usize,
    zero: f32,
    saved: &mut [f32],
) -> f32 {
    match by_positions(maps.student.size, maps.target.size) {
        true => of_positions(s, maps, image, zero, saved),
        false => of_channels(s, maps, image, zero, saved),
    }
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
    match by_positions(maps.student.size, maps.target.size) {
        true => grad_of_positions(s, &maps.student, image, saved, grad, dx),
        false => grad_of_channels(s, maps, image, saved, grad, dx),
    }
}

/// Saves what the pixels of the student, and those of the target, are multiplied by.
#[inline(always)]
fn of_channels<S: Simd>(
    s: S,
    Maps { student, target }: &Maps,
    image: usize,
    zero: f32,
    saved: &mut [f32],
) -> f32 {
    let area = student.size.area();
    let [own, other] = [student.size.channels, target.size.channels];
    let scale = 1.0 / area as f32;
    let run = RUN.min(area);
    let parts = [
        packed(S::LANES, run, own),
        packed(S::LANES, run, other),
        own * own,
        other * other,
        other * own,
    ];
    let parts = parts.map(|len| len.next_multiple_of(S::LANES));
    let mut memory = scratch::lend(parts.iter().sum());
    let mut rest = memory.aligned();
    let [of_own, of_other, ss, tt, ts] = parts.map(|len| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        part
    });
    for run in runs(area) {
        let more = run.start > 0;
        let of_own = pixels(s, student, image, run.clone(), of_own);
        let of_other = pixels(s, target, image, run, of_other);
        tile::outer(s, of_own, of_own, scale, true, more, ss);
        tile::outer(s, of_other, of_other, scale, true, more, tt);
        tile::outer(s, of_other, of_own, scale, false, more, ts);
    }
    let (ss, tt) = (&mut ss[..own * own], &mut tt[..other * other]);
    let ts = &mut ts[..other * own];
    mirror(ss, own);
    mirror(tt, other);
    let [of_own, of_other] = [(&*ss, own), (&*tt, other)].map(|(products, channels)| {
        let squares = (0..channels).map(|i| products[i * channels + i]);
        let squares = squares.map(|square| match square <= zero {
            true => 0.0,
            false => 1.0 / square.sqrt(),
        });
        squares.collect::<Vec<f32>>()
    });
    let (alone, across) = (1.0 / (own * own) as f32, 1.0 / (own * other) as f32);
    let of_student = cosines(ss, &of_own, &of_own, 4.0 * alone * scale);
    let of_target = cosines(tt, &of_other, &of_other, 0.0);
    let of_both = cosines(ts, &of_other, &of_own, -4.0 * across * scale);
    for i in 0..own {
        // What the student's lengths have to do with it.
        let length = alone * of_student[i] - across * of_both[i];
        ss[i * own + i] -= 4.0 * scale * of_own[i] * of_own[i] * length;
    }
    let (to, rest) = saved.split_at_mut(packed(S::LANES, own, own));
    Panels::of_rows(s, ss, own, [own, own], to);
    Panels::of_rows(s, ts, own, [other, own], rest);
    let sums = [
        (of_student, own * own),
        (of_target, other * other),
        (of_both, own * other),
    ];
    let [student, target, both] =
        sums.map(|(squares, count)| squares.into_iter().map(f64::from).sum::<f64>() / count as f64);
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

#[inline(always)]
fn grad_of_channels<S: Simd>(
    s: S,
    Maps { student, target }: &Maps,
    image: usize,
    saved: &[f32],
    grad: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    let channels = student.size.channels;
    let (own, others) = saved.split_at(packed(S::LANES, channels, channels));
    let panels = |data, map: &Images| Panels {
        data,
        rows: map.size.channels,
        columns: channels,
    };
    let (own, others) = (panels(own, student), panels(others, target));
    // While both parts of a run of pixels are in a cache.
    let runs = runs(student.size.area()).zip(dx.chunks_mut(RUN * channels));
    for (run, dx) in runs {
        let [x, y] = [student, target].map(|map| map.position(image, run.start));
        let dx = tile::apply(s, x, student.pitch, own, grad, dx);
        tile::apply_more(s, y, target.pitch, others, grad, dx);
    }
}

/// Saves the difference of both products of positions, and one by the lengths of the student's channels.
#[inline(always)]
fn of_positions<S: Simd>(
    s: S,
    Maps { student, target }: &Maps,
    image: usize,
    zero: f32,
    saved: &mut [f32],
) -> f32 {
    let area = student.size.area();
    let channels = student.size.channels.max(target.size.channels);
    let (difference, lengths) = saved.split_at_mut(area * area);
    let mut memory = scratch::lend(packed(S::LANES, channels, area));
    let room = memory.aligned();
    for (map, sign, more) in [(student, 1.0, false), (target, -1.0, true)] {
        let channels = map.size.channels;
        let of_map = reciprocal_lengths(map, image, zero);
        let (from, shape) = (map.image(image), [channels, area]);
        let x = Panels::of_columns(s, from, map.pitch, shape, |i| of_map[i], room);
        tile::outer(s, x, x, sign / channels as f32, true, more, difference);
        if !more {
            lengths.copy_from_slice(&of_map);
        }
    }
    mirror(difference, area);

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

#[inline(always)]
fn grad_of_positions<S: Simd>(
    s: S,
    x: &Images,
    image: usize,
    saved: &[f32],
    grad: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    let (area, channels) = (x.size.area(), x.size.channels);
    let (difference, lengths) = saved.split_at(area * area);
    let mut memory = scratch::lend(packed(S::LANES, area, channels));
    let of_pixels = pixels(s, x, image, 0..area, memory.aligned());
    let dx = tile::apply(s, difference, area, of_pixels, 1.0, dx);

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
