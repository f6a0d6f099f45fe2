//! The procedure for a student that does not improve: what is tried next, what is kept, and why.
//!
//! Steps change a recipe one after the other. A step proposes candidates ([`candidates`]), of which one is chosen with a seed
//! of its own; that one is compared with the recipe so far, seed by seed, and [`decide`] says whether it stays. [`Ledger`] says
//! what a budget still allows. [`Improved`] holds what was found, and makes the sentences and the page. Everything is arithmetic
//! on plain numbers: `kd-train` trains.
//!
//! ```
//! use kd_improve::{Decision, decide};
//!
//! // Five seeds gained 1.0 point on average, give or take 0.6.
//! assert_eq!(decide(&[0.4, 1.6, 1.0, 1.1, 0.9], Some(0.6), 5), Decision::Kept);
//! // Two seeds that gained nothing are enough to stop.
//! assert_eq!(decide(&[-0.2, 0.0], Some(1.3), 5), Decision::Stopped);
//! ```

mod budget;
pub mod candidates;
mod decide;
mod found;
mod ladder;
mod page;
mod words;

pub use budget::{Budget, Ledger, Room};
pub use decide::{Decision, decide, futile};
pub use found::{Candidate, Check, Improved, Outcome, Spent, Step, TestSplit, Tested};

/// What is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(crate) String);
