//! Memory and time, as engines write them.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::error::wrong;

/// Memory of a worker, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(u64);

impl Memory {
    /// What a worker gets where nothing is said.
    pub(crate) const GIB_8: Self = Self(8 << 10);

    /// How many MiB.
    pub fn mebibytes(self) -> u64 {
        self.0
    }

    /// How many bytes.
    pub fn bytes(self) -> u64 {
        self.0 << 20
    }
}

impl FromStr for Memory {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let unit = text.chars().last()?;
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            let mebibytes = match unit {
                'M' => number,
                'G' => number.checked_mul(1 << 10)?,
                'T' => number.checked_mul(1 << 20)?,
                _ => return None,
            };
            // So that it is a number of bytes, too.
            (1..1 << 43).contains(&mebibytes).then_some(Self(mebibytes))
        };
        read().ok_or_else(|| wrong("--memory", format!("`{text}`: write 512M, 16G or 1T")))
    }
}

/// For how long a job may run, in seconds. As text: `1-02:03:04`, days first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(u64);

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| {
            let digits = (1..=6).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let read = || {
            let (days, clock) = text.split_once('-').unwrap_or(("0", text));
            let parts: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>()?;
            let [hours, minutes, seconds] = parts[..] else {
                return None;
            };
            let fits = minutes < 60 && seconds < 60;
            let all = ((number(days)? * 24 + hours) * 60 + minutes) * 60 + seconds;
            (fits && all > 0).then_some(Self(all))
        };
        read().ok_or_else(|| {
            let right =
                "write hours, minutes and seconds, 12:00:00, or days before them, 2-00:00:00";
            wrong("--time", format!("`{text}`: {right}"))
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0 / 60, self.0 % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        let (days, hours) = (hours / 24, hours % 24);
        write!(f, "{days}-{hours:02}:{minutes:02}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_unit() {
        let read = |text: &str| text.parse::<Memory>();
        assert_eq!(read("512M").unwrap().mebibytes(), 512);
        assert_eq!(read("16G").unwrap().bytes(), 16 << 30);
        assert_eq!(read("1T").unwrap().mebibytes(), 1 << 20);
        for text in [
            "",
            "16",
            "16GB",
            "G",
            "0G",
            "-1G",
            "1.5G",
            "99999999999999999T",
            "16ä",
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with("--memory: "), "{message}");
        }
    }

    #[test]
    fn time_is_written_with_days() {
        let read = |text: &str| text.parse::<Time>();
        for (text, written) in [
            ("12:00:00", "0-12:00:00"),
            ("36:00:01", "1-12:00:01"),
            ("2-00:30:00", "2-00:30:00"),
        ] {
            assert_eq!(read(text).unwrap().to_string(), written);
        }
        for text in [
            "",
            "90",
            "12:00",
            "0:00:00",
            "1:60:00",
            "1:00:60",
            "a",
            "-1:00:00",
            "1-2-03:00:00",
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("12:00:00"), "{message}");
        }
    }
}
