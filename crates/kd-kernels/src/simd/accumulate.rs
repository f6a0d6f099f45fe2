//! The inner loop of every product: sums of a few rows and a few registers of columns stay in registers while all
//! terms pass by.

use super::Simd;
use super::blocks::Block;

/// `$call` with the constant `$rows`: how many rows of two registers of sums the registers of a processor hold,
/// beside what they are summed from, given the lanes of one.
macro_rules! with_tile_rows {
    ($lanes:expr, |$rows:ident| $call:expr) => {
        match $lanes {
            16 => {
                const $rows: usize = 8;
                $call
            }
            8 => {
                const $rows: usize = 6;
                $call
            }
            _ => {
                const $rows: usize = 4;
                $call
            }
        }
    };
}
pub(crate) use with_tile_rows;

/// Adds `rows[r][along] · panel[down + column]` to the sum of each row `r` and each column of `Z` registers, for all
/// `(along, down)` of `terms`, one after the other.
///
/// Of the columns, `columns` are there: the sums of the others get nothing added, and what would be theirs in the
/// panel is not read.
///
/// # Safety
/// For each of the terms, the value `along` of each row and `columns` values, or `Z` registers of more, from `down`
/// on in the panel can be read. `columns` reaches into the last register.
#[inline(always)]
pub(crate) unsafe fn accumulate<S: Simd, const R: usize, const Z: usize>(
    s: S,
    mut sums: [[S::V; Z]; R],
    rows: [*const f32; R],
    panel: *const f32,
    columns: usize,
    terms: impl Iterator<Item = (usize, usize)>,
) -> [[S::V; Z]; R] {
    let full = columns >= Z * S::LANES;
    for (along, down) in terms {
        let mut column = [s.zero(); Z];
        for z in 0..Z {
            // SAFETY: the caller has these columns at each of the terms; no register but the last is partly there.
            column[z] = unsafe {
                let from = panel.add(down + z * S::LANES);
                if full {
                    s.load(from)
                } else {
                    s.load_up_to(from, columns - z * S::LANES)
                }
            };
        }
        for r in 0..R {
            // SAFETY: the caller has this value of each row at each of the terms.
            let value = s.splat(unsafe { *rows[r].add(along) });
            for z in 0..Z {
                sums[r][z] = s.fma(value, column[z], sums[r][z]);
            }
        }
    }
    sums
}

/// Where the sums of a tile are kept between two runs of terms: whole registers, row by row.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    pub to: *mut f32,
    /// Rows that are there; of the others nothing is read or written.
    pub rows: usize,
}

impl Sums {
    /// # Safety
    /// `Z` registers for each of the rows can be read.
    #[inline(always)]
    pub unsafe fn load<S: Simd, const R: usize, const Z: usize>(self, s: S) -> [[S::V; Z]; R] {
        let mut sums = [[s.zero(); Z]; R];
        for r in 0..R {
            if r < self.rows {
                for z in 0..Z {
                    // SAFETY: the caller has this row.
                    sums[r][z] = unsafe { s.load(self.to.add((r * Z + z) * S::LANES)) };
                }
            }
        }
        sums
    }

    /// # Safety
    /// `Z` registers for each of the rows can be written.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const R: usize, const Z: usize>(self, s: S, sums: [[S::V; Z]; R]) {
        // Constant bounds keep the sums in registers.
        for r in 0..R {
            if r < self.rows {
                for z in 0..Z {
                    // SAFETY: the caller has this row.
                    unsafe { s.store(self.to.add((r * Z + z) * S::LANES), sums[r][z]) };
                }
            }
        }
    }
}

/// Work whose results are a matrix that is made in tiles of `R` rows and a block of `Z` registers of columns.
pub(crate) trait Tiled {
    /// The tile of the rows from `row` on, as far as they are there.
    ///
    /// # Safety
    /// `row` is below the number of rows of the work, and the block is one of its blocks, of `Z` registers of `S`.
    unsafe fn tile<S: Simd, const R: usize, const Z: usize>(&self, s: S, row: usize, block: &Block);
}

/// Makes every tile of the blocks: as many rows at a time as the processor has registers for.
///
/// # Safety
/// `work` has so many rows and these blocks, which are of registers of `S`.
#[inline(always)]
pub(crate) unsafe fn each_tile<S: Simd>(
    s: S,
    work: &impl Tiled,
    rows: usize,
    blocks: impl Iterator<Item = Block>,
) {
    for block in blocks {
        // SAFETY: the rows and blocks are those that the caller has, and a block has one or two registers.
        unsafe {
            with_tile_rows!(S::LANES, |R| match block.registers {
                2 => {
                    for row in (0..rows).step_by(R) {
                        work.tile::<S, R, 2>(s, row, &block);
                    }
                }
                _ => {
                    for row in (0..rows).step_by(2 * R) {
                        work.tile::<S, { 2 * R }, 1>(s, row, &block);
                    }
                }
            });
        }
    }
}
