//! Attention of one head of one sequence a task, some queries at a time.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::OutPtr;
use crate::nn::dropout::kernel::Mask;
use crate::simd::exponential::exp_of_negative;
use crate::simd::panels::{Panels, packed};
use crate::simd::scratch::{self, Lent};
use crate::simd::{Isa, Kernel, Simd, tile};

/// Probabilities that are computed at a time, so that they stay in a second-level cache.
const VALUES: usize = 1 << 15;
/// Values that are compared side by side.
const LANES: usize = 16;

/// Queries, keys and values of all heads, `[batch, tokens, 3, heads, each]`.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    qkv: &'a [f32],
    /// What is added to the scores of each key, `[batch, tokens]`.
    added: Option<&'a [f32]>,
    /// Of probabilities.
    dropped: Option<Mask>,
    batch: usize,
    tokens: usize,
    heads: usize,
    each: usize,
}

impl<'a> Heads<'a> {
    /// # Panics
    /// When there are not so many values.
    pub fn new(qkv: &'a [f32], [batch, tokens, heads, each]: [usize; 4]) -> Self {
        assert_eq!(qkv.len(), batch * tokens * 3 * heads * each, "whole rows");
        Self {
            qkv,
            added: None,
            dropped: None,
            batch,
            tokens,
            heads,
            each,
        }
    }

    /// The same with something added to the scores of each key, `[batch, tokens]`.
    ///
    /// # Panics
    /// When there is not a number for each.
    pub fn with_added(self, added: &'a [f32]) -> Self {
        assert_eq!(
            added.len(),
            self.batch * self.tokens,
            "a number for each key"
        );
        Self {
            added: Some(added),
            ..self
        }
    }

    /// The same with a dropout of probabilities.
    pub fn with_dropped(self, dropped: Option<Mask>) -> Self {
        Self { dropped, ..self }
    }

    /// Turns scores of a sequence's keys into probabilities, in place.
    #[inline(always)]
    fn probabilities(self, sequence: usize, scores: &mut [f32]) {
        if let Some(added) = self.added {
            let added = &added[sequence * self.tokens..][..self.tokens];
            for row in scores.chunks_exact_mut(self.tokens) {
                for (score, added) in row.iter_mut().zip(added) {
                    *score += added;
                }
            }
        }
        softmax(scores, self.tokens);
    }

    /// Drops probabilities of a head's queries from this one, in place.
    #[inline(always)]
    fn drop(self, [sequence, head]: [usize; 2], first: usize, probabilities: &mut [f32]) {
        let Some(mask) = self.dropped else { return };
        let row = (sequence * self.heads + head) * self.tokens + first;
        let rows = probabilities.chunks_exact_mut(self.tokens);
        for (row, probabilities) in (row..).zip(rows) {
            let mask = mask.row(row);
            for (probability, column) in probabilities.iter_mut().zip(0..) {
                *probability *= mask.factor(column);
            }
        }
    }

    fn width(self) -> usize {
        self.heads * self.each
    }

    /// Values from a token to the next.
    fn pitch(self) -> usize {
        3 * self.width()
    }

    /// Of the output.
    pub fn shape(self) -> [usize; 3] {
        [self.batch, self.tokens, self.width()]
    }

    pub fn len(self) -> usize {
        self.shape().iter().product()
    }

    /// Where queries (0), keys (1) or values (2) of a head of a sequence begin.
    fn start(self, of: usize, [image, head]: [usize; 2]) -> usize {
        image * self.tokens * self.pitch() + of * self.width() + head * self.each
    }

    fn part(self, of: usize, at: [usize; 2]) -> &'a [f32] {
        &self.qkv[self.start(of, at)..]
    }

    /// Where a head's output for a token stands.
    fn mixed(self, [image, head]: [usize; 2], token: usize) -> usize {
        (image * self.tokens + token) * self.width() + head * self.each
    }

    /// Scores are multiplied by this.
    fn scale(self) -> f32 {
        (1.0 / (self.each as f64).sqrt()) as f32
    }

    /// Queries at a time, whole tiles of every instruction set.
    fn queries(self) -> usize {
        const TILES: usize = 24;
        (VALUES / self.tokens / TILES * TILES)
            .max(TILES)
            .min(self.tokens)
    }

    /// Runs `work([sequence, head])` for each.
    fn each_head(self, work: impl Fn([usize; 2]) + Sync) {
        if self.qkv.is_empty() {
            return;
        }
        let tasks = (0..self.batch * self.heads).into_par_iter();
        tasks.for_each(|task| work([task / self.heads, task % self.heads]));
    }
}

/// Parts of lent memory, one after the other.
fn divided<const N: usize>(memory: &mut Lent, lens: [usize; N]) -> [&mut [f32]; N] {
    let mut rest = memory.aligned();
    lens.map(|len| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        part
    })
}

/// Memory whose values are written over.
fn over(to: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same memory, over which products write nothing but values.
    unsafe { &mut *(std::ptr::from_mut(to) as *mut [MaybeUninit<f32>]) }
}

/// The softmax of rows of so many scores, in place.
#[inline(always)]
fn softmax(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let (blocks, rest) = row.as_chunks::<LANES>();
        let mut largest = [f32::NEG_INFINITY; LANES];
        for block in blocks {
            for lane in 0..LANES {
                largest[lane] = if block[lane] > largest[lane] {
                    block[lane]
                } else {
                    largest[lane]
                };
            }
        }
        let largest = largest
            .iter()
            .chain(rest)
            .fold(f32::NEG_INFINITY, |most, v| most.max(*v));
        let mut sums = [0.0f32; LANES];
        let (blocks, rest) = row.as_chunks_mut::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                block[lane] = exp_of_negative(block[lane] - largest);
                sums[lane] += block[lane];
            }
        }
        let mut sum: f32 = sums.iter().sum();
        for v in rest {
            *v = exp_of_negative(*v - largest);
            sum += *v;
        }
        let share = 1.0 / sum;
        for v in row {
            *v *= share;
        }
    }
}

/// What attention mixes, `[batch, tokens, heads, each]`, written over `y`.
///
/// # Panics
/// When there is not a place for each value.
pub(crate) fn attention(isa: Isa, heads: Heads, y: &mut [MaybeUninit<f32>]) {
    let y = OutPtr::new(y, heads.len());
    heads.each_head(|at| isa.run(Mix { heads, at, y }));
}

struct Mix<'a> {
    heads: Heads<'a>,
    at: [usize; 2],
    y: OutPtr,
}

impl Kernel for Mix<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { heads, at, y } = self;
        let (tokens, each, pitch) = (heads.tokens, heads.each, heads.pitch());
        let [query, key, value] = [0, 1, 2].map(|of| heads.part(of, at));
        let step = heads.queries();
        let lens = [
            packed(S::LANES, each, tokens),
            packed(S::LANES, tokens, each),
            step * tokens,
            step * each,
        ];
        let mut memory = scratch::lend(lens.iter().sum());
        let [of_keys, of_values, of_scores, of_mixed] = divided(&mut memory, lens);
        let keys = Panels::of_columns(s, key, pitch, [each, tokens], |_| 1.0, of_keys);
        let values = Panels::of_rows(s, value, pitch, [tokens, each], of_values);
        for first in (0..tokens).step_by(step) {
            let count = (tokens - first).min(step);
            let scores = over(&mut of_scores[..count * tokens]);
            let query = &query[first * pitch..];
            let scores = tile::apply(s, query, pitch, keys, heads.scale(), scores);
            heads.probabilities(at[0], scores);
            heads.drop(at, first, scores);
            let mixed = over(&mut of_mixed[..count * each]);
            let mixed = tile::apply(s, scores, tokens, values, 1.0, mixed);
            for (token, mixed) in mixed.chunks_exact(each).enumerate() {
                // SAFETY: this task alone has this head of this sequence, which the output has room for.
                unsafe {
                    let to = y.at(heads.mixed(at, first + token));
                    to.copy_from_nonoverlapping(mixed.as_ptr(), each);
                }
            }
        }
    }
}

/// The gradient of queries, keys and values, given that of [`attention`], written over `dx`.
///
/// # Panics
/// When there is not a gradient, or a place, for each value.
pub(crate) fn grad(isa: Isa, heads: Heads, dy: &[f32], dx: &mut [MaybeUninit<f32>]) {
    assert_eq!(dy.len(), heads.len(), "one gradient for each value");
    let dx = OutPtr::new(dx, heads.qkv.len());
    heads.each_head(|at| isa.run(Slopes { heads, at, dy, dx }));
}

struct Slopes<'a> {
    heads: Heads<'a>,
    at: [usize; 2],
    dy: &'a [f32],
    dx: OutPtr,
}

impl Slopes<'_> {
    /// Writes rows of a head's queries, keys or values.
    #[inline(always)]
    fn store(&self, of: usize, first: usize, rows: &[f32]) {
        let Heads { each, .. } = self.heads;
        let start = self.heads.start(of, self.at) + first * self.heads.pitch();
        for (row, values) in rows.chunks_exact(each).enumerate() {
            // SAFETY: this task alone has this head of this sequence, and the gradient is as large as what it is of.
            unsafe {
                let to = self.dx.at(start + row * self.heads.pitch());
                to.copy_from_nonoverlapping(values.as_ptr(), each);
            }
        }
    }
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { heads, at, dy, .. } = self;
        let (tokens, each, pitch) = (heads.tokens, heads.each, heads.pitch());
        let (width, scale) = (heads.width(), heads.scale());
        let [query, key, value] = [0, 1, 2].map(|of| heads.part(of, at));
        let step = heads.queries();
        let lens = [
            packed(S::LANES, each, tokens),
            packed(S::LANES, each, tokens),
            packed(S::LANES, tokens, each),
            packed(S::LANES, step, tokens),
            packed(S::LANES, step, each),
            step * tokens,
            step * tokens,
            heads.dropped.map_or(0, |_| step * tokens),
            step * each,
            tokens * each,
            tokens * each,
        ];
        let mut memory = scratch::lend(lens.iter().sum());
        let [
            of_keys,
            of_values,
            of_key_rows,
            of_left,
            of_right,
            rest @ ..,
        ] = divided(&mut memory, lens);
        let [
            of_scores,
            of_slopes,
            of_kept,
            of_queries,
            to_keys,
            to_values,
        ] = rest;
        let keys = Panels::of_columns(s, key, pitch, [each, tokens], |_| 1.0, of_keys);
        let values = Panels::of_columns(s, value, pitch, [each, tokens], |_| 1.0, of_values);
        let key_rows = Panels::of_rows(s, key, pitch, [tokens, each], of_key_rows);
        for first in (0..tokens).step_by(step) {
            let (count, more) = ((tokens - first).min(step), first > 0);
            let query = &query[first * pitch..];
            let dy = &dy[heads.mixed(at, first)..];
            let p = over(&mut of_scores[..count * tokens]);
            let p = tile::apply(s, query, pitch, keys, scale, p);
            heads.probabilities(at[0], p);
            let kept: &[f32] = match heads.dropped {
                None => p,
                Some(_) => {
                    let kept = &mut of_kept[..count * tokens];
                    kept.copy_from_slice(p);
                    heads.drop(at, first, kept);
                    kept
                }
            };
            let left = Panels::of_rows(s, kept, tokens, [count, tokens], &mut *of_left);
            let right = Panels::of_rows(s, dy, width, [count, each], &mut *of_right);
            tile::outer(s, left, right, 1.0, false, more, to_values);
            let slopes = over(&mut of_slopes[..count * tokens]);
            let slopes = tile::apply(s, dy, width, values, 1.0, slopes);
            let rows = p.chunks_exact(tokens).zip(kept.chunks_exact(tokens));
            for (slopes, (p, kept)) in slopes.chunks_exact_mut(tokens).zip(rows) {
                let along = crate::loss::unit_rows::kernel::sum(slopes, kept, |slope, p| slope * p);
                for (slope, (p, kept)) in slopes.iter_mut().zip(p.iter().zip(kept)) {
                    *slope = kept * *slope - p * along;
                }
            }
            let to_queries = over(&mut of_queries[..count * each]);
            let to_queries = tile::apply(s, slopes, tokens, key_rows, scale, to_queries);
            self.store(0, first, to_queries);
            let left = Panels::of_rows(s, slopes, tokens, [count, tokens], &mut *of_left);
            let right = Panels::of_rows(s, query, pitch, [count, each], &mut *of_right);
            tile::outer(s, left, right, scale, false, more, to_keys);
        }
        self.store(1, 0, to_keys);
        self.store(2, 0, to_values);
    }
}
