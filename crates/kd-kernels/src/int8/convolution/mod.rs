//! Convolutions and linear layers.

mod depthwise;
mod ending;
mod pack;
mod tile;
mod tiles;

use std::ops::Range;

use self::ending::{Ending, Out};
use self::pack::{Lines, Packed};
use self::tiles::{TiledRows, Tiles};
use super::finish::{Finish, Term};
use super::grid::multiplier;
use super::lanes::{Lanes, Work};
use super::{Data, IntegerError, IntegerSet, Map};
use crate::tasks;

/// Multiply-adds of integers that take as long as one of floats.
const SPEED: usize = 4;

/// A convolution of a map on a grid. A linear layer is one of a map of one pixel.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionSpec<'a> {
    /// On a grid; its border is at least the padding.
    pub input: Map,
    /// On a grid, or floats.
    pub output: Map,
    /// What is added to each value before it is bounded: a map of the output's size, on a grid or floats.
    pub residual: Option<Map>,
    /// `[outputs, inputs / groups, height, width]`, from −127 to 127.
    pub weight: &'a [i8],
    /// The scale of each output's weights.
    pub weight_scales: &'a [f32],
    /// `[outputs]`, in units of the input's scale times the weight's.
    pub bias: &'a [i32],
    /// Height and width.
    pub kernel: [usize; 2],
    /// Down and across.
    pub stride: [usize; 2],
    /// Pixels of the number 0, above and below, left and right.
    pub padding: [usize; 2],
    /// Pixels from one weight to the next.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// The smallest and the largest number of the output: `[0, ∞]` is a ReLU, `[0, 6]` a ReLU6.
    pub clip: [f32; 2],
}

/// A convolution whose weights are packed for an instruction set.
#[derive(Clone, Debug)]
pub struct Convolution {
    set: IntegerSet,
    tiles: Option<Tiles>,
    input: Map,
    output: Map,
    residual: Option<Map>,
    stride: [usize; 2],
    /// Bytes from a map's first to the one that the first weight of the first output reads.
    corner: usize,
    /// Rows of the input that a row of the output reads.
    reach: usize,
    weights: Packed,
    /// What sums begin with, and what they are multiplied by, in the order of packed outputs.
    bias: Lines,
    factors: Lines,
    finish: Finish,
    term: Option<Term>,
    products: usize,
}

impl ConvolutionSpec<'_> {
    fn check(&self) -> Result<(), IntegerError> {
        let wrong = |problem: String| Err(IntegerError(problem));
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        let positive = [self.kernel, self.stride, self.dilation].concat();
        if positive.contains(&0) || self.groups == 0 || inputs == 0 || outputs == 0 {
            return wrong("a convolution of no size".into());
        }
        if !inputs.is_multiple_of(self.groups) || !outputs.is_multiple_of(self.groups) {
            return wrong(format!(
                "{inputs} inputs and {outputs} outputs in {} groups",
                self.groups
            ));
        }
        if self.input.grid.is_none() {
            return wrong("a convolution of floats".into());
        }
        if self.input.border < self.padding[0].max(self.padding[1]) {
            return wrong(format!(
                "a border of {} pixels for a padding of {:?}",
                self.input.border, self.padding
            ));
        }
        for (axis, [size, found]) in [
            [self.input.height, self.output.height],
            [self.input.width, self.output.width],
        ]
        .into_iter()
        .enumerate()
        {
            let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let places = (size + 2 * self.padding[axis])
                .checked_sub(reach)
                .map_or(0, |room| room / self.stride[axis] + 1);
            if places != found || found == 0 {
                return wrong(format!(
                    "{found} outputs along an axis with {places} places"
                ));
            }
        }
        if self
            .residual
            .is_some_and(|residual| !residual.is_over(&self.output))
        {
            return wrong("a residual of another size than the output".into());
        }
        let weights = outputs * (inputs / self.groups) * self.kernel[0] * self.kernel[1];
        for (what, found, wanted) in [
            ("weights", self.weight.len(), weights),
            ("scales of weights", self.weight_scales.len(), outputs),
            ("biases", self.bias.len(), outputs),
        ] {
            if found != wanted {
                return wrong(format!("{found} {what} where {wanted} are wanted"));
            }
        }
        if self.weight.contains(&-128) {
            return wrong("a weight of -128: they are from -127 to 127".into());
        }
        Ok(())
    }

    /// The weights of an output.
    fn weights_of(&self, output: usize) -> &[i8] {
        let each = self.weight.len() / self.output.channels;
        &self.weight[output * each..][..each]
    }

    /// What the sum of an output begins with, where `shift` is subtracted from each byte on the way.
    fn start(&self, output: usize, shift: i32) -> Result<i32, IntegerError> {
        let zero = self
            .input
            .grid
            .map_or(0, |grid| i64::from(grid.zero_byte()));
        let weights = || self.weights_of(output).iter().map(|w| i64::from(*w));
        let start =
            i64::from(self.bias[output]) + (i64::from(shift) - zero) * weights().sum::<i64>();
        let most: i64 = weights().map(i64::abs).sum();
        if start.abs() + 255 * most > i64::from(i32::MAX) {
            return Err(IntegerError(format!(
                "the sums of output {output} do not fit 32 bits: {} weights and the bias {}",
                self.weights_of(output).len(),
                self.bias[output]
            )));
        }
        Ok(start as i32)
    }

    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input.channels && self.groups == self.output.channels
    }
}

impl Convolution {
    /// Packs the weights.
    ///
    /// # Errors
    /// [`IntegerError`] where sizes do not fit each other, and for sums that could leave 32 bits.
    pub fn new(set: IntegerSet, spec: &ConvolutionSpec) -> Result<Self, IntegerError> {
        spec.check()?;
        let (weights, tiles) = Packed::new(set, spec);
        let shift = match weights.depthwise {
            true => 0,
            false => set.form().2,
        };
        let scale = spec.input.scale();
        let (mut bias, mut factors) = (Vec::new(), Vec::new());
        for output in weights.order() {
            bias.push(match output {
                Some(output) => spec.start(output, shift)?,
                None => 0,
            });
            factors.push(match output {
                Some(output) => {
                    multiplier(scale * spec.weight_scales[output] / spec.output.scale())?
                }
                None => 0.0,
            });
        }
        let term = spec
            .residual
            .map(|map| Term::new(&map, &spec.output))
            .transpose()?;
        let [above, left] = spec.padding.map(|padding| spec.input.border - padding);
        Ok(Self {
            set,
            tiles,
            input: spec.input,
            output: spec.output,
            residual: spec.residual,
            stride: spec.stride,
            corner: above * spec.input.row() + left * spec.input.pitch(),
            reach: (spec.kernel[0] - 1) * spec.dilation[0] + 1,
            weights,
            bias: Lines::of(bias.iter().flat_map(|bias| bias.to_ne_bytes())),
            factors: Lines::of(factors.iter().flat_map(|factor| factor.to_ne_bytes())),
            finish: Finish::new(&spec.output, spec.clip),
            term,
            products: spec.output.height * spec.output.width * spec.weight.len(),
        })
    }

    /// Computes the output of one image, on several threads where that is worth it and `spread` allows it.
    ///
    /// # Panics
    /// When maps are not those that this was built for.
    pub fn run(&self, x: &Data, residual: Option<&Data>, y: &mut Data, spread: bool) {
        self.input.check(x);
        self.output.check(y);
        assert_eq!(residual.is_some(), self.residual.is_some(), "a residual");
        if let (Some(map), Some(data)) = (&self.residual, residual) {
            map.check(data);
        }
        let height = self.output.height;
        let count = match spread {
            true => tasks::worth(self.products / SPEED).min(height),
            false => 1,
        };
        let (x, y) = (x.bytes(), Out::of(y));
        tasks::each(count, |task| {
            let rows = |task: usize| task * height / count;
            let rows = Rows {
                convolution: self,
                x,
                ending: Ending { residual, y },
                rows: rows(task)..rows(task + 1),
            };
            match (self.set.amx(), &self.tiles) {
                (Some(amx), Some(tiles)) => amx.run(&tiles.shapes(), TiledRows { rows, tiles }),
                _ => self.set.run(rows),
            }
        });
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }
}

/// Some rows of the output.
struct Rows<'a> {
    convolution: &'a Convolution,
    x: &'a [u8],
    ending: Ending<'a>,
    rows: Range<usize>,
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        // SAFETY: the maps were seen to be those of the convolution, whose sizes fit each other, and rows are its own; no
        // other task has the same ones.
        unsafe {
            match self.convolution.weights.depthwise {
                true => depthwise::rows(s, &self),
                false => tile::rows(s, &self),
            }
        }
    }
}
