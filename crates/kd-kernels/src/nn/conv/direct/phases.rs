//! The phases of a strided convolution's gradient.

use crate::nn::conv::Geometry;

/// Which taps along an axis meet the inputs of each phase of the stride, and at which gradient.
///
/// Input `i = stride · q + phase` is read by output `o` at tap `t` when
/// `o · stride + t = i + padding`, so `o = q + (phase + padding − t) / stride`.
pub(super) struct Phases {
    /// For every phase, taps and the row of the padded gradient they read when `q = 0`.
    pub taps: Vec<Vec<(usize, usize)>>,
    /// Zeros needed before the gradient.
    pub before: usize,
    /// Zeros needed after it.
    pub after: usize,
}

impl Phases {
    pub fn new(geometry: &Geometry, axis: usize) -> Self {
        let (stride, padding) = (geometry.stride[axis], geometry.padding[axis]);
        let input = [geometry.input.height, geometry.input.width][axis];
        let output = geometry.output();
        let output = [output.height, output.width][axis] as isize;
        let met: Vec<Vec<(usize, isize)>> = (0..stride.min(input))
            .map(|phase| {
                (0..geometry.kernel[axis])
                    .filter(|tap| (phase + padding).abs_diff(*tap).is_multiple_of(stride))
                    .map(|tap| {
                        let distance = (phase + padding) as isize - tap as isize;
                        (tap, distance / stride as isize)
                    })
                    .collect()
            })
            .collect();
        let (mut before, mut after) = (0, 0);
        for (phase, taps) in met.iter().enumerate() {
            let last = ((input - 1 - phase) / stride) as isize;
            for (_, shift) in taps {
                before = before.max(-shift);
                after = after.max(last + shift - (output - 1));
            }
        }
        Self {
            taps: met
                .into_iter()
                .map(|taps| {
                    taps.into_iter()
                        .map(|(tap, shift)| (tap, (shift + before) as usize))
                        .collect()
                })
                .collect(),
            before: before as usize,
            after: after as usize,
        }
    }
}
