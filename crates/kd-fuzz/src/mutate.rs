//! Changes of bytes that parsers stumble over.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Numbers at the edges of what fields hold.
const EDGES: [u64; 18] = [
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Words that mean something to a text format.
const WORDS: [&str; 30] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "=",
    ",",
    "\n",
    "\0",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "-1e308",
    "NaN",
    "inf",
    "18446744073709551616",
    "9223372036854775807",
    "0.0",
    "\\u0000",
    "[[",
    "]]",
    "{}",
    "[]",
    "..",
    "/",
    "é",
    "\u{feff}",
];

/// Draws changes.
pub struct Mutator {
    random: StdRng,
}

impl Mutator {
    /// The same changes for the same seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// A number below `end`, or 0 when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        match end {
            0 => 0,
            end => self.random.random_range(0..end),
        }
    }

    /// Changes `bytes` in one to eight places. `words` are those of the format, and `other` is another file to take
    /// pieces of.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, words: &[&[u8]], other: &[u8]) {
        // Few changes reach deep, many reach odd places.
        let changes = 1 << self.below(4);
        for _ in 0..changes {
            self.change(bytes, words, other);
        }
    }

    fn change(&mut self, bytes: &mut Vec<u8>, words: &[&[u8]], other: &[u8]) {
        let at = self.place(bytes.len());
        match self.below(12) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.below(256) as u8;
                }
            }
            3 | 4 => self.number(bytes, at),
            5 => {
                let end = at + self.length(bytes.len() - at);
                bytes.drain(at..end);
            }
            6 => {
                let end = at + self.length(bytes.len() - at);
                let piece = bytes[at..end].to_vec();
                let to = self.place(bytes.len());
                bytes.splice(to..to, piece);
            }
            7 => bytes.truncate(at),
            8 => {
                let from = self.place(other.len());
                let end = from + self.length(other.len() - from);
                let over = (at + end - from).min(bytes.len());
                bytes.splice(at..over, other[from..end].iter().copied());
            }
            9 => self.digits(bytes, at),
            _ => {
                let all = WORDS.len() + words.len();
                let word = match self.below(all) {
                    known if known < words.len() => words[known],
                    word => WORDS[word - words.len()].as_bytes(),
                };
                // In the place of something, or between two things.
                let over = match self.below(2) {
                    0 => at,
                    _ => (at + word.len()).min(bytes.len()),
                };
                bytes.splice(at..over, word.iter().copied());
            }
        }
    }

    /// A place in a file: anywhere, or near its beginning, where headers are.
    fn place(&mut self, length: usize) -> usize {
        let end = match self.below(3) {
            0 => length.min(64),
            _ => length,
        };
        self.below(end + 1)
    }

    /// Mostly short.
    fn length(&mut self, most: usize) -> usize {
        let bits = self.below(12);
        self.below(most.min(1 << bits) + 1)
    }

    /// A number at the edge of what a field holds, in the place of one.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let edge = EDGES[self.below(EDGES.len())]
            .wrapping_add(self.below(3) as u64)
            .wrapping_sub(1);
        let width = 1 << self.below(4);
        let mut spelled = edge.to_le_bytes();
        let spelled = &mut spelled[..width];
        if self.below(2) == 0 {
            spelled.reverse();
        }
        if let Some(place) = bytes.get_mut(at..at + width) {
            place.copy_from_slice(spelled);
        }
    }

    /// Other digits in the place of some.
    fn digits(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let digit = |byte: &u8| byte.is_ascii_digit();
        let Some(at) = bytes[from..].iter().position(digit) else {
            return;
        };
        let at = from + at;
        let end = at + bytes[at..].iter().take_while(|b| digit(b)).count();
        let number = EDGES[self.below(EDGES.len())].to_string();
        bytes.splice(at..end, number.into_bytes());
    }
}
