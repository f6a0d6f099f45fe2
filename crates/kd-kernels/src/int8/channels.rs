//! Maps put together of channels of others: concatenation, slices, shuffles, another grid, a factor of each channel.

use super::add::{PART, read, write};
use super::finish::{Finish, Term};
use super::grid::multiplier;
use super::lanes::{Lanes, Work};
use super::{Data, IntegerError, IntegerSet, Map};

/// Channels side by side that come from one source.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: usize,
    /// The first channel there and here.
    from: usize,
    to: usize,
    count: usize,
}

/// Each channel of the output is one of a source, on the output's grid: `(x − zero) · m`, or `(x − zero) · m + shift` with numbers
/// of each channel, bounded.
#[derive(Clone, Debug)]
pub struct Channels {
    set: IntegerSet,
    inputs: Vec<Map>,
    output: Map,
    runs: Vec<Run>,
    /// Where the runs are short, as a shuffle's are: they make a line of a pixel, and this is the place in it of each
    /// channel of the output.
    places: Option<Vec<usize>>,
    terms: Vec<Term>,
    /// Factor and shift of each channel of the output, in its steps.
    affine: Option<[Vec<f32>; 2]>,
    finish: Finish,
    /// Whether values of a source can be copied.
    copied: Vec<bool>,
}

/// Channels of a run, on average, from which on runs are moved one by one.
const LONG: usize = 16;

/// For short runs: the used channels of each source side by side, and where each channel of the output is among them.
fn gathered(sources: usize, taken: &[(usize, usize)]) -> (Vec<Run>, Vec<usize>) {
    let mut parts: Vec<Run> = Vec::new();
    let mut to = 0;
    for source in 0..sources {
        let channels = taken.iter().filter(|(of, _)| *of == source);
        let channels = channels.map(|(_, channel)| *channel);
        let (first, last) = (channels.clone().min(), channels.max());
        let (from, count) = match (first, last) {
            (Some(first), Some(last)) => (first, last + 1 - first),
            _ => (0, 0),
        };
        parts.push(Run {
            source,
            from,
            to,
            count,
        });
        to += count;
    }
    let place = |(source, channel): &(usize, usize)| {
        let part = parts[*source];
        part.to + channel - part.from
    };
    let places = taken.iter().map(place).collect();
    (parts, places)
}

/// Channels of a pixel from the line of its parts.
#[inline(always)]
fn pick(line: &Data, places: &[usize], y: &mut Data, to: usize) {
    match (line, y) {
        (Data::Bytes(line), Data::Bytes(y)) => {
            for (y, place) in y[to..].iter_mut().zip(places) {
                *y = line[*place];
            }
        }
        (Data::Floats(line), Data::Floats(y)) => {
            for (y, place) in y[to..].iter_mut().zip(places) {
                *y = line[*place];
            }
        }
        _ => unreachable!("a line is of the output's kind"),
    }
}

impl Channels {
    /// `taken` has source and channel of each channel of the output, whose numbers are within `clip`. With `affine` they are
    /// multiplied by the first and shifted by the second number of their channel.
    ///
    /// # Errors
    /// [`IntegerError`] for sources of other sizes, channels that are not there, and scales too far apart.
    pub fn new(
        set: IntegerSet,
        inputs: &[Map],
        output: Map,
        taken: &[(usize, usize)],
        affine: Option<[&[f32]; 2]>,
        clip: [f32; 2],
    ) -> Result<Self, IntegerError> {
        let wrong = |problem: String| Err(IntegerError(problem));
        let fits = |numbers: &&[f32]| numbers.len() == output.channels;
        if taken.len() != output.channels || !affine.iter().flatten().all(fits) {
            return wrong(format!("{} channels for {}", taken.len(), output.channels));
        }
        let mut runs: Vec<Run> = Vec::new();
        for (to, &(source, from)) in taken.iter().enumerate() {
            let there = inputs.get(source).is_some_and(|input| {
                from < input.channels
                    && [input.height, input.width] == [output.height, output.width]
            });
            if !there {
                return wrong(format!("no channel {from} of source {source}"));
            }
            match runs.last_mut() {
                Some(run) if run.source == source && run.from + run.count == from => run.count += 1,
                _ => runs.push(Run {
                    source,
                    from,
                    to,
                    count: 1,
                }),
            }
        }
        let terms = inputs.iter().map(|input| Term::new(input, &output));
        let terms: Vec<Term> = terms.collect::<Result<_, _>>()?;
        let affine = affine.map(|[factors, shifts]| {
            let factors = factors.iter().zip(taken);
            let factors = factors.map(|(by, (source, _))| multiplier(terms[*source].factor * by));
            let shifts = shifts.iter().map(|by| multiplier(by / output.scale()));
            Ok([
                factors.collect::<Result<_, _>>()?,
                shifts.collect::<Result<_, _>>()?,
            ])
        });
        let affine = affine.transpose()?;
        let mut places = None;
        if runs.len() * LONG > output.channels && affine.is_none() {
            let (parts, picked) = gathered(inputs.len(), taken);
            (runs, places) = (parts, Some(picked));
        }
        let finish = Finish::new(&output, clip);
        let whole = Finish::new(&output, [f32::NEG_INFINITY, f32::INFINITY]);
        Ok(Self {
            set,
            inputs: inputs.to_vec(),
            output,
            runs,
            places,
            terms,
            finish,
            copied: inputs
                .iter()
                .map(|input| input.grid == output.grid && finish == whole && affine.is_none())
                .collect(),
            affine,
        })
    }

    /// Computes the output of one image.
    ///
    /// # Panics
    /// When maps are not those that this was built for.
    pub fn run(&self, inputs: &[&Data], y: &mut Data) {
        assert_eq!(inputs.len(), self.inputs.len(), "sources");
        for (map, data) in self.inputs.iter().zip(inputs) {
            map.check(data);
        }
        self.output.check(y);
        self.set.run(Move {
            channels: self,
            inputs,
            y,
        });
    }
}

struct Move<'a> {
    channels: &'a Channels,
    inputs: &'a [&'a Data],
    y: &'a mut Data,
}

impl Work for Move<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Self {
            channels,
            inputs,
            y,
        } = self;
        let output = &channels.output;
        let values = channels.runs.iter().map(|run| run.count).sum();
        let mut line = match y {
            Data::Bytes(_) => Data::Bytes(vec![0; values]),
            Data::Floats(_) => Data::Floats(vec![0.0; values]),
        };
        for row in 0..output.height {
            for column in 0..output.width {
                let place = output.at(row, column);
                let from = |run: &Run| channels.inputs[run.source].at(row, column) + run.from;
                match &channels.places {
                    None => {
                        for run in &channels.runs {
                            channels.part(inputs, run, from(run), y, place + run.to);
                        }
                    }
                    Some(places) => {
                        for run in &channels.runs {
                            channels.part(inputs, run, from(run), &mut line, run.to);
                        }
                        pick(&line, places, y, place);
                    }
                }
            }
        }
    }
}

impl Channels {
    /// Moves the channels of a run, of one pixel, on the output's grid.
    #[inline(always)]
    fn part(&self, inputs: &[&Data], run: &Run, from: usize, y: &mut Data, to: usize) {
        let (input, count, term) = (inputs[run.source], run.count, self.terms[run.source]);
        if self.copied[run.source] {
            copy(input, y, [from, to], count);
            return;
        }
        for first in (0..count).step_by(PART) {
            let mut values = [0.0_f32; PART];
            let values = &mut values[..(count - first).min(PART)];
            read(input, from + first, values);
            match &self.affine {
                None => {
                    for value in values.iter_mut() {
                        *value = term.of(*value);
                    }
                }
                Some([factors, shifts]) => {
                    let by = factors[run.to + first..].iter();
                    let by = by.zip(&shifts[run.to + first..]);
                    for (value, (factor, shift)) in values.iter_mut().zip(by) {
                        *value = (*value - term.zero) * factor + shift;
                    }
                }
            }
            write(y, to + first, values, self.finish);
        }
    }
}

#[inline(always)]
fn copy(x: &Data, y: &mut Data, [from, to]: [usize; 2], count: usize) {
    match (x, y) {
        (Data::Bytes(x), Data::Bytes(y)) => {
            y[to..][..count].copy_from_slice(&x[from..][..count]);
        }
        (Data::Floats(x), Data::Floats(y)) => {
            y[to..][..count].copy_from_slice(&x[from..][..count]);
        }
        _ => unreachable!("values of one grid are of one kind"),
    }
}
