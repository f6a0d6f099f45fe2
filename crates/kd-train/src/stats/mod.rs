//! What a few seeds and a limited number of test images can show.

mod spread;
mod verdict;
mod words;

pub use spread::Spread;
pub(crate) use spread::quantile;
pub use verdict::{Evidence, Pair, Verdict};
