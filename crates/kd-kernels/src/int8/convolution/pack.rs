//! Weights in the order in which tiles read them.

use super::super::IntegerSet;
use super::{ConvolutionSpec, Tiles};

/// Bytes that begin where a line of the cache does.
#[derive(Clone, Debug)]
pub(super) struct Lines(Vec<Line>);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Lines {
    pub fn of(bytes: impl IntoIterator<Item = u8>) -> Self {
        let mut lines = Vec::new();
        for (place, byte) in bytes.into_iter().enumerate() {
            if place % 64 == 0 {
                lines.push(Line([0; 64]));
            }
            if let Some(line) = lines.last_mut() {
                line.0[place % 64] = byte;
            }
        }
        Self(lines)
    }

    pub fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    pub fn len(&self) -> usize {
        64 * self.0.len()
    }
}

/// One or two registers of outputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Its first output, and how many there are.
    pub output: usize,
    pub outputs: usize,
    /// Its place in the packed order of outputs.
    pub place: usize,
    /// Registers.
    pub registers: usize,
    /// The group's first input.
    pub input: usize,
    /// Where its weights begin.
    pub weights: usize,
}

/// Packed weights.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub depthwise: bool,
    pub blocks: Vec<Block>,
    /// Offsets in the input of what lies side by side, from the first weight's.
    pub runs: Vec<usize>,
    /// Words of a run.
    pub words: usize,
    /// The kernel's width where a row of it may slide over neighbours.
    pub slides: bool,
    lanes: usize,
    values: Lines,
}

impl Packed {
    /// The weights, and how they are cut where they are for tiles.
    pub fn new(set: IntegerSet, spec: &ConvolutionSpec) -> (Self, Option<Tiles>) {
        let (lanes, wide, _) = set.form();
        let (pitch, row) = (spec.input.pitch(), spec.input.row());
        let inputs = spec.input.channels / spec.groups;
        let [down, across] = spec.kernel;
        let depthwise = spec.is_depthwise();
        // All pixels of a row of the kernel lie side by side.
        let whole = !depthwise && spec.groups == 1 && spec.dilation[1] == 1;
        let mut runs = Vec::new();
        let mut taps = Vec::new();
        for y in 0..down {
            for x in (0..across).step_by(if whole { across } else { 1 }) {
                runs.push(y * spec.dilation[0] * row + x * spec.dilation[1] * pitch);
                taps.push([y, x]);
            }
        }
        // Inputs of a word, and of a run.
        let each = if wide { 2 } else { 4 };
        let length = if whole { across * pitch } else { inputs };
        let words = length.div_ceil(each);
        let tiles = Tiles::of(set, spec, words);
        let words = tiles.as_ref().map_or(words, Tiles::padded);
        let mut blocks = Self::blocks(spec, lanes, depthwise);
        let mut values = Vec::new();
        for block in &mut blocks {
            block.weights = values.len();
            let weight = |lane: usize, input: usize, [y, x]: [usize; 2]| -> i8 {
                match lane < block.outputs && input < inputs {
                    true => {
                        let weights = spec.weights_of(block.output + lane);
                        weights[(input * down + y) * across + x]
                    }
                    false => 0,
                }
            };
            for &[y, x] in &taps {
                if depthwise {
                    let lanes = (0..lanes).map(|lane| i32::from(weight(lane, 0, [y, x])));
                    values.extend(lanes.flat_map(i32::to_ne_bytes));
                    continue;
                }
                for word in 0..words {
                    for lane in 0..block.registers * lanes {
                        for place in word * each..(word + 1) * each {
                            let (x, input) = match whole {
                                true => (place / pitch, place % pitch),
                                false => (x, place),
                            };
                            let value = match x < across {
                                true => weight(lane, input, [y, x]),
                                false => 0,
                            };
                            match wide {
                                true => values.extend(i16::from(value).to_ne_bytes()),
                                false => values.push(value as u8),
                            }
                        }
                    }
                }
            }
        }
        let packed = Self {
            depthwise,
            blocks,
            runs,
            words,
            slides: across == 3 && spec.stride[1] == 1 && spec.dilation[1] == 1,
            lanes,
            values: Lines::of(values),
        };
        (packed, tiles)
    }

    fn blocks(spec: &ConvolutionSpec, lanes: usize, depthwise: bool) -> Vec<Block> {
        let (groups, most) = match depthwise {
            true => (1, 1),
            false => (spec.groups, 2),
        };
        let (inputs, outputs) = (spec.input.channels / groups, spec.output.channels / groups);
        let mut blocks = Vec::new();
        let mut place = 0;
        for group in 0..groups {
            let mut first = 0;
            while first < outputs {
                let left = outputs - first;
                let registers = left.div_ceil(lanes).min(most);
                let output = group * outputs + first;
                blocks.push(Block {
                    output,
                    outputs: left.min(registers * lanes),
                    place,
                    registers,
                    input: match depthwise {
                        true => output,
                        false => group * inputs,
                    },
                    weights: 0,
                });
                first += registers * lanes;
                place += registers * lanes;
            }
        }
        blocks
    }

    /// The outputs in the order of the packed ones; none where a register has no more.
    pub fn order(&self) -> impl Iterator<Item = Option<usize>> {
        self.blocks.iter().flat_map(|block| {
            let lanes = 0..block.registers * self.lanes;
            lanes.map(|lane| (lane < block.outputs).then_some(block.output + lane))
        })
    }

    /// The weights of a block.
    pub fn of(&self, block: &Block) -> *const u8 {
        debug_assert!(block.weights < self.values.len());
        self.values.as_ptr().wrapping_add(block.weights)
    }

    pub fn bytes(&self) -> usize {
        self.values.len()
    }
}
