//! Sums of two maps.

use super::finish::{Finish, Term};
use super::lanes::{Lanes, Work};
use super::{Data, IntegerError, IntegerSet, Map};

/// Values of a pixel that are taken at a time.
pub(super) const PART: usize = 64;

/// `(a − zero of a) · m + (b − zero of b) · n`, bounded, of two maps on grids of their own or of floats.
#[derive(Clone, Debug)]
pub struct Add {
    set: IntegerSet,
    inputs: [Map; 2],
    output: Map,
    terms: [Term; 2],
    finish: Finish,
}

impl Add {
    /// A sum of maps of one size; numbers of the output are within `clip`.
    ///
    /// # Errors
    /// [`IntegerError`] for maps of other sizes, and for scales too far apart.
    pub fn new(
        set: IntegerSet,
        inputs: [Map; 2],
        output: Map,
        clip: [f32; 2],
    ) -> Result<Self, IntegerError> {
        if inputs.iter().any(|input| !input.is_over(&output)) {
            return Err(IntegerError("a sum of maps of other sizes".into()));
        }
        let [a, b] = inputs.map(|input| Term::new(&input, &output));
        Ok(Self {
            set,
            inputs,
            output,
            terms: [a?, b?],
            finish: Finish::new(&output, clip),
        })
    }

    /// Computes the output of one image.
    ///
    /// # Panics
    /// When maps are not those that this was built for.
    pub fn run(&self, inputs: [&Data; 2], y: &mut Data) {
        for (map, data) in self.inputs.iter().zip(inputs) {
            map.check(data);
        }
        self.output.check(y);
        self.set.run(Sum {
            add: self,
            inputs,
            y,
        });
    }
}

struct Sum<'a> {
    add: &'a Add,
    inputs: [&'a Data; 2],
    y: &'a mut Data,
}

impl Work for Sum<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Add {
            inputs: maps,
            output,
            terms,
            finish,
            ..
        } = self.add;
        each_part(output, |row, column, channel, count| {
            let place = |map: &Map| map.at(row, column) + channel;
            let mut values = [[0.0_f32; PART]; 2];
            for side in 0..2 {
                let values = &mut values[side][..count];
                read(self.inputs[side], place(&maps[side]), values);
                for value in values {
                    *value = terms[side].of(*value);
                }
            }
            let [mut sums, others] = values;
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum += other;
            }
            write(&mut *self.y, place(output), &sums[..count], *finish);
        });
    }
}

/// Runs `work(row, column, channel, count)` for all channels of all pixels, some at a time.
#[inline(always)]
pub(super) fn each_part(map: &Map, mut work: impl FnMut(usize, usize, usize, usize)) {
    for row in 0..map.height {
        for column in 0..map.width {
            for channel in (0..map.channels).step_by(PART) {
                work(row, column, channel, (map.channels - channel).min(PART));
            }
        }
    }
}

/// Values as floats; integers as their bytes.
#[inline(always)]
pub(super) fn read(data: &Data, place: usize, to: &mut [f32]) {
    match data {
        Data::Bytes(bytes) => {
            for (to, byte) in to.iter_mut().zip(&bytes[place..]) {
                *to = f32::from(*byte);
            }
        }
        Data::Floats(floats) => to.copy_from_slice(&floats[place..][..to.len()]),
    }
}

/// Numbers in steps of the output, bounded and stored.
#[inline(always)]
pub(super) fn write(data: &mut Data, place: usize, from: &[f32], finish: Finish) {
    match data {
        Data::Bytes(bytes) => {
            for (byte, v) in bytes[place..].iter_mut().zip(from) {
                *byte = finish.byte(*v);
            }
        }
        Data::Floats(floats) => {
            for (float, v) in floats[place..].iter_mut().zip(from) {
                *float = finish.float(*v);
            }
        }
    }
}
