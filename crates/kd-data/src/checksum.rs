//! Whether a file is the one that its publisher names.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::Error;
use crate::sets::hex;

/// What is known of a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// MD5, in hexadecimal.
    Md5(String),
    /// SHA-256, in hexadecimal.
    Sha256(String),
    /// The number of its bytes, where that is all that is known.
    Bytes(u64),
}

impl Checksum {
    /// What is wrong with a file; none when it is the right one.
    pub(crate) fn problem_of(&self, path: &Path) -> Result<Option<String>, Error> {
        let found = match self {
            Self::Md5(_) => Self::Md5(digest::<Md5>(path)?),
            Self::Sha256(_) => Self::Sha256(digest::<Sha256>(path)?),
            Self::Bytes(_) => {
                let data = std::fs::metadata(path).map_err(Error::io("reading", path))?;
                Self::Bytes(data.len())
            }
        };
        Ok((found != *self).then(|| format!("wrong checksum: {found} where {self} is right")))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(text) => write!(f, "MD5 {text}"),
            Self::Sha256(text) => write!(f, "SHA-256 {text}"),
            Self::Bytes(count) => write!(f, "{count} bytes"),
        }
    }
}

fn digest<D: Digest + io::Write>(path: &Path) -> Result<String, Error> {
    let read = |source| Error::io("reading", path)(source);
    let mut file = BufReader::new(File::open(path).map_err(read)?);
    let mut hash = D::new();
    io::copy(&mut file, &mut hash).map_err(read)?;
    Ok(hex(&hash.finalize()))
}
