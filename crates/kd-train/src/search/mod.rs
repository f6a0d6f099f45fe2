//! Searches: settings of a recipe tried one after the other, chosen by the validation split.
//!
//! A search is a TOML file of a recipe and the keys that may vary. Every trial is a run whose trainings are kept, as those of
//! a study are, in the folder `finished` of the search. With ASHA a trial pauses at its rung as an interrupted run does, and
//! goes on from there to the last bit when it is among the best; its learning rate is that of the whole training from the start.
//! No trial reads the test split.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::tensor::Device;
//! use kd_train::search::{self, Options, Search, Workers};
//!
//! # fn main() -> Result<(), kd_train::Error> {
//! let search = Search::load(Path::new("recipes/search/quick.toml"), &[])?;
//! let options = Options {
//!     out: Path::new("runs/quick").into(),
//!     device_name: "default".into(),
//!     workers: Workers::Here,
//!     shared: None,
//! };
//! let found = search::run(&search, &options, &Device::default(), &mut kd_train::Silent)?;
//! println!("{}", found.to_text());
//! # Ok(())
//! # }
//! ```

mod beside;
mod file;
mod run;
pub(crate) mod trial;
mod work;

pub use beside::Start;
pub use file::{Halving, Search};
pub use kd_search::{Found, Trial};
pub use run::{Options, SearchObserver, Workers, run};
pub use trial::{TrialOptions, train_trial};
pub use work::work;
