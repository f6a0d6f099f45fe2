//! Maps put together of channels of others: concatenation, slices, shuffles, and another grid.

use super::finish::{Finish, Term};
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

/// Each channel of the output is one of a source, on the output's grid: `(x − zero) · m`, bounded.
#[derive(Clone, Debug)]
pub struct Channels {
    set: IntegerSet,
    inputs: Vec<Map>,
    output: Map,
    runs: Vec<Run>,
    terms: Vec<Term>,
    finish: Finish,
    /// Whether values of a source can be copied.
    copied: Vec<bool>,
}

impl Channels {
    /// `taken` has source and channel of each channel of the output, whose numbers are within `clip`.
    ///
    /// # Errors
    /// [`IntegerError`] for sources of other sizes, channels that are not there, and scales too far apart.
    pub fn new(
        set: IntegerSet,
        inputs: &[Map],
        output: Map,
        taken: &[(usize, usize)],
        clip: [f32; 2],
    ) -> Result<Self, IntegerError> {
        let wrong = |problem: String| Err(IntegerError(problem));
        if taken.len() != output.channels {
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
        let finish = Finish::new(&output, clip);
        let whole = Finish::new(&output, [f32::NEG_INFINITY, f32::INFINITY]);
        Ok(Self {
            set,
            inputs: inputs.to_vec(),
            output,
            runs,
            terms: terms.collect::<Result<_, _>>()?,
            finish,
            copied: inputs
                .iter()
                .map(|input| input.grid == output.grid && finish == whole)
                .collect(),
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
        let channels = self.channels;
        let (output, finish) = (&channels.output, channels.finish);
        for row in 0..output.height {
            for column in 0..output.width {
                for run in &channels.runs {
                    let from = channels.inputs[run.source].at(row, column) + run.from;
                    let to = output.at(row, column) + run.to;
                    let (count, term) = (run.count, channels.terms[run.source]);
                    match (self.inputs[run.source], &mut *self.y) {
                        (Data::Bytes(x), Data::Bytes(y)) if channels.copied[run.source] => {
                            y[to..][..count].copy_from_slice(&x[from..][..count]);
                        }
                        (Data::Bytes(x), Data::Bytes(y)) => {
                            moved(&x[from..][..count], &mut y[to..], |x| {
                                finish.byte(term.of(f32::from(x)))
                            });
                        }
                        (Data::Bytes(x), Data::Floats(y)) => {
                            moved(&x[from..][..count], &mut y[to..], |x| {
                                finish.float(term.of(f32::from(x)))
                            });
                        }
                        (Data::Floats(x), Data::Bytes(y)) => {
                            moved(&x[from..][..count], &mut y[to..], |x| {
                                finish.byte(term.of(x))
                            });
                        }
                        (Data::Floats(x), Data::Floats(y)) => {
                            moved(&x[from..][..count], &mut y[to..], |x| {
                                finish.float(term.of(x))
                            });
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn moved<A: Copy, B>(from: &[A], to: &mut [B], value: impl Fn(A) -> B) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = value(*from);
    }
}
