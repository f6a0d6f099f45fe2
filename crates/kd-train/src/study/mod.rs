//! Studies: variants of a recipe, each with the same seeds, and which differences are shown.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::tensor::Device;
//! use kd_train::{
//!     Silent,
//!     study::{self, Study},
//! };
//!
//! # fn main() -> Result<(), kd_train::Error> {
//! let study = Study::load(Path::new("recipes/studies/methods.toml"), &[], Some(5))?;
//! let out = Path::new("runs/methods");
//! let results = study::run(&study, out, &Device::default(), "default", &mut Silent)?;
//! println!("{}", results.to_markdown());
//! # Ok(())
//! # }
//! ```

mod check;
mod dots;
mod fair;
pub(crate) mod file;
pub(crate) mod folder;
mod of_runs;
mod page;
mod results;
mod run;
mod shared;
mod words;
pub(crate) mod work;

pub use file::{Study, Variant};
pub use of_runs::of_runs;
pub(crate) use page::STYLE;
pub use results::{NetworkResult, PairedDifference, Results, StudyData, VariantResult};
pub use run::{Earlier, StudyObserver, Turn, from, run};
pub use shared::{Shard, Shared};
pub use work::{Worked, work};
