//! Which settings to try next, and which trials to go on with.
//!
//! Nothing here trains. A [`Space`] says what may vary, a [`Sampler`] gives points of it, [`Asha`] says how long a trial may
//! train, [`pareto_front`] and [`importance`] read the results. All of it follows from a seed and from what is finished, so that a
//! search that is started again gives the same points without having kept any state.
//!
//! ```
//! use kd_search::{Method, Sampler, Space};
//!
//! # fn main() -> Result<(), kd_search::Error> {
//! let mut space = Space::default();
//! space.float("objective.kd.temperature", 1.0, 16.0, true)?;
//! space.float("objective.kd.weight", 0.0, 1.0, false)?;
//! let sampler = Sampler::new(space, Method::Tpe, 7)?;
//! let mut finished = Vec::new();
//! for number in 0..20 {
//!     let point = sampler.point(number, &finished).expect("TPE has no end");
//!     let score = -(point.number(0).ln() - 1.4).powi(2) - (point.number(1) - 0.8).powi(2);
//!     finished.push((point, score));
//! }
//! # Ok(())
//! # }
//! ```

mod asha;
mod found;
mod page;
mod parameters;
mod results;
mod sampler;
mod space;
mod svg;

pub use asha::{Asha, Job};
pub use found::{Found, Trial};
pub use results::{importance, pareto_front};
pub use sampler::{Method, Sampler};
pub use space::{Parameter, Point, Space, Value, Values};

/// What is wrong with a space or a scheduler, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(crate) String);
