//! The integers that a quantised number may be.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The integers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// The smallest.
    pub low: i32,
    /// The largest.
    pub high: i32,
}

impl Levels {
    /// −128 to 127.
    pub const INT8: Self = Self {
        low: -128,
        high: 127,
    };
    /// −127 to 127, which is symmetric: what runtimes have for weights.
    pub const INT8_NARROW: Self = Self {
        low: -127,
        high: 127,
    };
    /// 0 to 255.
    pub const UINT8: Self = Self { low: 0, high: 255 };
    /// 0 to 127: with it no sum of two products of bytes leaves 16 bits.
    pub const UINT8_REDUCED: Self = Self { low: 0, high: 127 };

    /// Levels with two ends.
    ///
    /// # Errors
    /// [`Error::Option`] unless `low < high`, within 16 bits.
    pub fn new(low: i32, high: i32) -> Result<Self, Error> {
        if low < high && i16::try_from(low).is_ok() && u16::try_from(high).is_ok() {
            return Ok(Self { low, high });
        }
        Err(Error::Option {
            option: "levels",
            problem: format!("{low} to {high} is no range of integers of up to 16 bits"),
        })
    }

    /// All integers of so many bits with a sign.
    ///
    /// # Errors
    /// [`Error::Option`] unless there are 2 to 16 bits.
    pub fn signed(bits: u32) -> Result<Self, Error> {
        checked(bits, 2)?;
        Ok(Self {
            low: -(1 << (bits - 1)),
            high: (1 << (bits - 1)) - 1,
        })
    }

    /// All integers of so many bits without a sign.
    ///
    /// # Errors
    /// [`Error::Option`] unless there are 1 to 16 bits.
    pub fn unsigned(bits: u32) -> Result<Self, Error> {
        checked(bits, 1)?;
        Ok(Self {
            low: 0,
            high: (1 << bits) - 1,
        })
    }

    /// Steps from one end to the other.
    pub fn steps(self) -> i32 {
        self.high - self.low
    }

    /// The level of the number 0 where the grid is symmetric: 0, or the upper one of the middle where there is no sign.
    pub fn middle(self) -> i32 {
        match self.low < 0 {
            true => 0,
            false => (self.low + self.high + 1) / 2,
        }
    }
}

fn checked(bits: u32, least: u32) -> Result<(), Error> {
    if (least..=16).contains(&bits) {
        return Ok(());
    }
    Err(Error::Option {
        option: "bits",
        problem: format!("{bits} is not from {least} to 16"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_give_their_integers() {
        assert_eq!(Levels::signed(8).unwrap(), Levels::INT8);
        assert_eq!(Levels::unsigned(8).unwrap(), Levels::UINT8);
        assert_eq!(Levels::signed(4).unwrap(), Levels { low: -8, high: 7 });
        assert_eq!(Levels::UINT8.middle(), 128);
        assert_eq!(Levels::INT8.middle(), 0);
    }

    #[test]
    fn no_bits_too_many_and_turned_ends_are_refused() {
        let message = |levels: Result<Levels, Error>| levels.unwrap_err().to_string();
        assert_eq!(message(Levels::signed(1)), "bits: 1 is not from 2 to 16");
        assert_eq!(
            message(Levels::unsigned(17)),
            "bits: 17 is not from 1 to 16"
        );
        assert!(message(Levels::new(3, 3)).contains("3 to 3 is no range"));
    }
}
