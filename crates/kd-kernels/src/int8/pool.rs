//! Largest and mean values of windows.

use super::add::{PART, each_part, write};
use super::finish::Finish;
use super::grid::multiplier;
use super::lanes::{Lanes, Work};
use super::{Data, IntegerError, IntegerSet, Map};

/// What a window gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest value; padding counts as less than any.
    Max,
    /// `Σ (x − zero) · m / count`; the sum is exact for integers, and in the order of rows for floats.
    Average {
        /// Whether padding counts as pixels of the number 0.
        count_padding: bool,
    },
}

/// Pooling of a map.
#[derive(Clone, Copy, Debug)]
pub struct PoolSpec {
    /// On a grid, or floats.
    pub input: Map,
    /// The same for [`PoolKind::Max`].
    pub output: Map,
    /// What a window gives.
    pub kind: PoolKind,
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Down and across.
    pub stride: [usize; 2],
    /// Pixels above and left.
    pub padding: [usize; 2],
}

/// Pooling that was checked.
#[derive(Clone, Debug)]
pub struct Pool {
    set: IntegerSet,
    spec: PoolSpec,
    finish: Finish,
}

impl Pool {
    /// Pooling.
    ///
    /// # Errors
    /// [`IntegerError`] where sizes do not fit each other, or the largest value would change its grid.
    pub fn new(set: IntegerSet, spec: PoolSpec) -> Result<Self, IntegerError> {
        let wrong = |problem: &str| Err(IntegerError(problem.into()));
        let PoolSpec {
            input,
            output,
            kernel,
            stride,
            padding,
            ..
        } = spec;
        if input.channels != output.channels {
            return wrong("pooling keeps the number of channels");
        }
        if spec.kind == PoolKind::Max && input.grid != output.grid {
            return wrong("the largest value has the grid of the values");
        }
        let sizes = [(input.height, output.height), (input.width, output.width)];
        for (axis, (size, found)) in sizes.into_iter().enumerate() {
            // The last window begins on the map, and the first one reaches it.
            let begins = found
                .checked_sub(1)
                .map(|last| (last * stride[axis]).saturating_sub(padding[axis]));
            if begins.is_none_or(|begins| begins >= size)
                || stride[axis] == 0
                || padding[axis] >= kernel[axis]
            {
                return wrong("windows that hold no pixel");
            }
        }
        let ratio = input.scale() / output.scale();
        multiplier(ratio)?;
        Ok(Self {
            set,
            spec,
            finish: Finish::new(&output, [f32::NEG_INFINITY, f32::INFINITY]),
        })
    }

    /// Computes the output of one image.
    ///
    /// # Panics
    /// When maps are not those that this was built for.
    pub fn run(&self, x: &Data, y: &mut Data) {
        self.spec.input.check(x);
        self.spec.output.check(y);
        self.set.run(Windows { pool: self, x, y });
    }
}

struct Windows<'a> {
    pool: &'a Pool,
    x: &'a Data,
    y: &'a mut Data,
}

impl Work for Windows<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Pool { spec, finish, .. } = self.pool;
        let PoolSpec { input, output, .. } = spec;
        let ratio = input.scale() / output.scale();
        let zero = input.zero();
        each_part(output, |row, column, channel, count| {
            let (pixels, counted) = spec.window([row, column]);
            let places = pixels.map(|[y, x]| input.at(y, x) + channel);
            let to = output.at(row, column) + channel;
            match (self.x, &mut *self.y, spec.kind) {
                (Data::Bytes(x), Data::Bytes(y), PoolKind::Max) => {
                    largest(places, x, &mut y[to..][..count], u8::max);
                }
                (Data::Floats(x), Data::Floats(y), PoolKind::Max) => {
                    largest(places, x, &mut y[to..][..count], f32::max);
                }
                (x, y, _) => {
                    let mut means = [0.0_f32; PART];
                    let means = &mut means[..count];
                    let inside = match x {
                        Data::Bytes(x) => {
                            let mut sums = [0_i32; PART];
                            let inside = total(places, x, &mut sums[..count]);
                            let zero = zero as i32 * inside as i32;
                            for (mean, sum) in means.iter_mut().zip(sums) {
                                *mean = (sum - zero) as f32;
                            }
                            inside
                        }
                        Data::Floats(x) => total(places, x, means),
                    };
                    let factor = ratio / counted.unwrap_or(inside) as f32;
                    for mean in means.iter_mut() {
                        *mean *= factor;
                    }
                    write(y, to, means, *finish);
                }
            }
        });
    }
}

#[inline(always)]
fn largest<T: Copy>(
    mut places: impl Iterator<Item = usize>,
    x: &[T],
    y: &mut [T],
    larger: impl Fn(T, T) -> T,
) {
    if let Some(first) = places.next() {
        y.copy_from_slice(&x[first..][..y.len()]);
    }
    for place in places {
        for (y, x) in y.iter_mut().zip(&x[place..]) {
            *y = larger(*y, *x);
        }
    }
}

/// Adds up pixels, and counts them.
#[inline(always)]
fn total<T: Copy + Into<A>, A: std::ops::AddAssign>(
    places: impl Iterator<Item = usize>,
    x: &[T],
    sums: &mut [A],
) -> usize {
    let mut count = 0;
    for place in places {
        for (sum, x) in sums.iter_mut().zip(&x[place..]) {
            *sum += (*x).into();
        }
        count += 1;
    }
    count
}

impl PoolSpec {
    /// The pixels of a window, and how many count where padding does.
    #[inline(always)]
    fn window(&self, at: [usize; 2]) -> (impl Iterator<Item = [usize; 2]> + use<>, Option<usize>) {
        let sizes = [self.input.height, self.input.width];
        let mut ends = [[0; 2]; 2];
        let mut counted = 1;
        for axis in 0..2 {
            let first = at[axis] * self.stride[axis];
            let (size, padding) = (sizes[axis], self.padding[axis]);
            let last = first + self.kernel[axis];
            ends[axis] = [
                first.saturating_sub(padding),
                (last - padding.min(last)).min(size),
            ];
            counted *= last.min(size + 2 * padding) - first;
        }
        let [[top, bottom], [left, right]] = ends;
        let pixels = (top..bottom).flat_map(move |y| (left..right).map(move |x| [y, x]));
        let counts = matches!(
            self.kind,
            PoolKind::Average {
                count_padding: true
            }
        );
        (pixels, counts.then_some(counted))
    }
}
