//! One image in memory.

use super::ByteGrid;

/// Bytes behind a map that a register may read.
const SPARE: usize = 64;

/// Size of one image, channels last, and what its numbers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// Pixels with the number 0 on each side.
    pub border: usize,
    /// The grid of its integers; none for floats.
    pub grid: Option<ByteGrid>,
}

/// The values of a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Integers of a grid, as bytes from its [first](ByteGrid::first) on.
    Bytes(Vec<u8>),
    /// Floats.
    Floats(Vec<f32>),
}

impl Map {
    /// Values from a pixel to the next: whole words of four bytes.
    pub fn pitch(&self) -> usize {
        self.channels.next_multiple_of(4)
    }

    /// Values from a row to the next.
    pub fn row(&self) -> usize {
        (self.width + 2 * self.border) * self.pitch()
    }

    /// Values of the map, border and all.
    pub fn len(&self) -> usize {
        (self.height + 2 * self.border) * self.row()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of a pixel's first channel.
    pub fn at(&self, y: usize, x: usize) -> usize {
        (y + self.border) * self.row() + (x + self.border) * self.pitch()
    }

    /// A map whose numbers are all 0. Layers write no border, so it stays what it is.
    pub fn zeros(&self) -> Data {
        let len = self.len() + SPARE;
        match self.grid {
            Some(grid) => Data::Bytes(vec![grid.zero_byte(); len]),
            None => Data::Floats(vec![0.0; len]),
        }
    }

    /// # Panics
    /// When the values are not those of this map.
    pub(super) fn check(&self, data: &Data) {
        let (len, grid) = match data {
            Data::Bytes(bytes) => (bytes.len(), true),
            Data::Floats(floats) => (floats.len(), false),
        };
        assert_eq!(grid, self.grid.is_some(), "integers or floats");
        assert_eq!(len, self.len() + SPARE, "the values of the map");
    }

    /// The scale of its integers; 1 for floats.
    pub(super) fn scale(&self) -> f32 {
        self.grid.map_or(1.0, |grid| grid.scale())
    }

    /// The byte of the number 0, as a number; 0 for floats.
    pub(super) fn zero(&self) -> f32 {
        self.grid.map_or(0.0, |grid| f32::from(grid.zero_byte()))
    }

    /// Whether the other has the same places.
    pub(super) fn is_over(&self, other: &Self) -> bool {
        let sizes = |map: &Self| [map.height, map.width, map.channels];
        sizes(self) == sizes(other)
    }
}

impl Data {
    /// The bytes.
    ///
    /// # Panics
    /// For floats.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Floats(_) => panic!("a map of floats has no bytes"),
        }
    }
}
