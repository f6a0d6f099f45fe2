//! What lies in the place of a binary file that never arrived, [pickles](pickle) as inert values, and what files call
//! the ways to resize an image ([`Interpolation`]).
//!
//! `git clone` without Git LFS leaves a pointer of three lines, a wrong link leaves a web page, and an
//! interrupted download leaves nothing. Whoever reads a binary file asks [`stand_in`] first, so that the user
//! is told this instead of what a parser makes of it.
//!
//! ```
//! let start = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
//! let found = kd_files::stand_in(start).expect("a pointer");
//! assert!(found.to_string().starts_with("is a Git LFS pointer to 12345 bytes"));
//! ```

mod interpolation;
pub mod pickle;

use std::fmt;

pub use interpolation::Interpolation;

/// Bytes of the beginning of a file that are enough for [`stand_in`].
pub const START: usize = 512;

/// What lies in the place of a binary file. Its text goes behind the file's name and says the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StandIn {
    /// Nothing.
    Empty,
    /// A pointer of Git LFS, to a file of so many bytes where it says so.
    LfsPointer(Option<u64>),
    /// A pointer of git-annex.
    AnnexPointer,
    /// A page for a browser.
    WebPage,
    /// What a server says in XML or JSON, such as that there is no such file.
    ServerAnswer,
}

/// What a file is instead of a binary file, by its first bytes ([`START`] of them, or all there are); none when
/// it may be one.
pub fn stand_in(start: &[u8]) -> Option<StandIn> {
    if start.is_empty() {
        return Some(StandIn::Empty);
    }
    let start = &start[..start.len().min(START)];
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("version https://git-lfs.github.com/spec/") {
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        let size = size.and_then(|size| size.trim().parse().ok());
        return Some(StandIn::LfsPointer(size));
    }
    if text.starts_with("/annex/objects/") {
        return Some(StandIn::AnnexPointer);
    }
    let small = text.to_ascii_lowercase();
    let begins = |marks: &[&str]| marks.iter().any(|mark| small.starts_with(mark));
    if begins(&[
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<!--",
        "<script",
    ]) || (begins(&["<?xml"]) && small.contains("<html"))
    {
        return Some(StandIn::WebPage);
    }
    let answers = [
        "<?xml",
        "<error",
        "{\"error",
        "{\"message",
        "{\"detail",
        "{\"code",
    ];
    begins(&answers).then_some(StandIn::ServerAnswer)
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "is empty: its download or copy was broken off; fetch it again",
            ),
            Self::LfsPointer(size) => {
                f.write_str("is a Git LFS pointer")?;
                if let Some(size) = size {
                    write!(f, " to {size} bytes")?;
                }
                f.write_str(", not the file itself: run `git lfs pull` in its repository, or download the file")
            }
            Self::AnnexPointer => f.write_str(
                "is a git-annex pointer, not the file itself: run `git annex get` on it, or download the file",
            ),
            Self::WebPage => f.write_str(
                "is a web page, not the file itself: its link leads to a page for browsers, such as a login; \
                 download it again by the link of the file (on GitHub: \"raw\")",
            ),
            Self::ServerAnswer => f.write_str(
                "is the answer of a server in XML or JSON, not the file itself: open it to see what the server \
                 says, and download it again",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_place_of_a_file_is_called_by_its_name() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n";
        for (start, found) in [
            ("", StandIn::Empty),
            (pointer, StandIn::LfsPointer(Some(99))),
            ("/annex/objects/SHA256E-s9--00.pth\n", StandIn::AnnexPointer),
            ("\n <!DOCTYPE html><html>", StandIn::WebPage),
            ("\u{feff}<HTML lang=en>", StandIn::WebPage),
            ("<?xml version=\"1.0\"?><html xmlns=\"\">", StandIn::WebPage),
            ("<?xml version=\"1.0\"?><Error>", StandIn::ServerAnswer),
            ("{\"message\": \"Not Found\"}", StandIn::ServerAnswer),
        ] {
            assert_eq!(stand_in(start.as_bytes()), Some(found), "{start}");
        }
    }

    #[test]
    fn binary_files_are_none_of_these() {
        for start in [
            b"PK\x03\x04".as_slice(),
            b"\x80\x02}q\x00.",
            b"\x1f\x8b\x08",
            b"\x89PNG\r\n\x1a\n",
            b"\x10\0\0\0\0\0\0\0{\"__metadata__\":",
            b"\0\0\x08\x03",
            b"\0",
            b"   ",
        ] {
            assert_eq!(stand_in(start), None, "{start:?}");
        }
    }
}
