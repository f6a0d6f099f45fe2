//! The whole procedure for a student that does not improve: check, diagnose, change, compare, and measure once.
//!
//! Every training is kept in the folder `finished`, so that nothing is trained twice, and the procedure follows from what they
//! gave: started again after an interruption, it comes to the same place without training again. The test split is read once,
//! at the end. What is decided and why stands in the crate `kd-improve`.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::tensor::Device;
//! use kd_train::improve::{self, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options {
//!     out: Path::new("runs/quickstart-improve").into(),
//!     device_name: "default".into(),
//!     budget: "2h".parse()?,
//!     seeds: 5,
//! };
//! let recipe = Path::new("recipes/quickstart.toml");
//! let found = improve::run(recipe, &[], &options, &Device::default(), &mut kd_train::Silent)?;
//! println!("{}", found.verdict());
//! # Ok(())
//! # }
//! ```

mod baseline;
mod finish;
mod ideas;
mod run;
mod steps;
mod trainer;

pub use kd_improve::{Budget, Improved};
pub use run::{ImproveObserver, Options, run};
