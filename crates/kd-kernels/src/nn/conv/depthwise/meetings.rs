//! Which taps of a kernel meet a place, along an axis.

use crate::nn::conv::Geometry;

/// A tap, and what it meets.
#[derive(Clone, Copy)]
pub(super) struct Meeting {
    pub tap: usize,
    pub met: usize,
}

/// For each place along an axis the taps that meet something.
pub(super) struct Meetings {
    places: Vec<Vec<Meeting>>,
    /// Places of what is met.
    others: usize,
}

impl Meetings {
    /// What the taps of each output meet of the input: `i = output · stride + tap − padding`, where there is such a
    /// place.
    pub fn of_outputs(geometry: &Geometry, axis: usize) -> Self {
        let (stride, padding) = (geometry.stride[axis], geometry.padding[axis]);
        let sizes = [geometry.input, geometry.output()];
        let [inputs, outputs] = sizes.map(|size| [size.height, size.width][axis]);
        let met = |output: usize| {
            let places = (0..geometry.kernel[axis]).filter_map(|tap| {
                let met = (output * stride + tap).checked_sub(padding)?;
                (met < inputs).then_some(Meeting { tap, met })
            });
            places.collect()
        };
        Self {
            places: (0..outputs).map(met).collect(),
            others: inputs,
        }
    }

    /// What meets each input.
    pub fn turned(&self) -> Self {
        let mut places = vec![vec![]; self.others];
        for (output, meetings) in self.places.iter().enumerate() {
            for Meeting { tap, met } in meetings {
                places[*met].push(Meeting {
                    tap: *tap,
                    met: output,
                });
            }
        }
        Self {
            places,
            others: self.places.len(),
        }
    }

    /// For each place, with taps and what they meet so many values apart.
    pub fn scaled(self, taps: usize, met: usize) -> Vec<Vec<Meeting>> {
        let mut places = self.places;
        for meeting in places.iter_mut().flatten() {
            meeting.tap *= taps;
            meeting.met *= met;
        }
        places
    }
}
