//! Which taps of a kernel meet a place, along an axis.

use std::ops::Range;

use crate::nn::conv::Geometry;

/// A tap, and what it meets.
#[derive(Clone, Copy)]
pub(super) struct Meeting {
    pub tap: usize,
    pub met: usize,
}

/// For each place along an axis the taps that meet something, place by place in one list.
pub(super) struct Meetings {
    list: Vec<Meeting>,
    /// Where the meetings of each place begin, and the end.
    starts: Vec<usize>,
}

impl Meetings {
    /// What the taps of each output meet of the input: `i = output · stride + tap − padding`, where there is such a
    /// place.
    pub fn of_outputs(geometry: &Geometry, axis: usize) -> Self {
        Self::collect(outputs(geometry, axis), |output| {
            meet(geometry, axis, output)
        })
    }

    /// What meets each input.
    pub fn of_inputs(geometry: &Geometry, axis: usize) -> Self {
        let (stride, kernel) = (geometry.stride[axis], geometry.kernel[axis]);
        let outputs = outputs(geometry, axis);
        Self::collect(inputs(geometry, axis), |input| {
            let place = input + geometry.padding[axis];
            let first = (place + 1).saturating_sub(kernel).div_ceil(stride);
            let end = outputs.min(place / stride + 1);
            (first..end).map(move |met| Meeting {
                tap: place - met * stride,
                met,
            })
        })
    }

    fn collect<I: Iterator<Item = Meeting>>(places: usize, of: impl Fn(usize) -> I) -> Self {
        let mut starts = Vec::with_capacity(places + 1);
        let mut list = Vec::new();
        for place in 0..places {
            starts.push(list.len());
            list.extend(of(place));
        }
        starts.push(list.len());
        Self { list, starts }
    }

    /// With taps and what they meet so many values apart.
    pub fn scaled(mut self, taps: usize, met: usize) -> Self {
        for meeting in &mut self.list {
            meeting.tap *= taps;
            meeting.met *= met;
        }
        self
    }

    /// Places along the axis.
    pub fn places(&self) -> usize {
        self.starts.len() - 1
    }

    /// The taps that meet something at a place.
    #[inline(always)]
    pub fn at(&self, place: usize) -> &[Meeting] {
        &self.list[self.starts[place]..self.starts[place + 1]]
    }

    /// The first run of places that meet `taps` taps each.
    pub fn inner(&self, taps: usize) -> Range<usize> {
        let whole = |place: &usize| self.at(*place).len() == taps;
        let first = (0..self.places()).find(whole).unwrap_or(0);
        let run = (first..self.places()).take_while(whole);
        first..first + run.count()
    }
}

fn inputs(geometry: &Geometry, axis: usize) -> usize {
    [geometry.input.height, geometry.input.width][axis]
}

fn outputs(geometry: &Geometry, axis: usize) -> usize {
    let output = geometry.output();
    [output.height, output.width][axis]
}

/// What the taps of an output meet, in the order of the taps.
fn meet(geometry: &Geometry, axis: usize, output: usize) -> impl Iterator<Item = Meeting> {
    let (stride, padding) = (geometry.stride[axis], geometry.padding[axis]);
    let inputs = inputs(geometry, axis);
    (0..geometry.kernel[axis]).filter_map(move |tap| {
        let met = (output * stride + tap).checked_sub(padding)?;
        (met < inputs).then_some(Meeting { tap, met })
    })
}
