//! Job files for the engines that clusters have: Slurm, Kubernetes, Ray.
//!
//! Each starts the workers of a study (`kd study --worker`), gives an interrupted one another place, and makes the table
//! when all have ended. The files hold no secrets: credentials come from the environment of the jobs.
//!
//! ```
//! use kd_cluster::{Resources, Slurm, Work};
//!
//! # fn main() -> Result<(), kd_cluster::Error> {
//! let mut work = Work::new("methods", "recipes/studies/methods.toml", "runs/methods");
//! work.workers = 4;
//! work.resources = Resources { cpus: 8, memory: "16G".parse()?, gpu: true };
//! let slurm = Slurm { time: Some("12:00:00".parse()?), ..Slurm::default() };
//! let files = slurm.files(&work)?;
//! assert!(files[0].text.contains("#SBATCH --array=1-4\n"));
//! # Ok(())
//! # }
//! ```

mod bundle;
mod error;
mod file;
mod kubernetes;
mod quote;
mod ray;
mod slurm;
mod units;
mod work;

pub use bundle::Bundle;
pub use error::Error;
pub use file::{File, write};
pub use kubernetes::Kubernetes;
pub use ray::Ray;
pub use slurm::Slurm;
pub use units::{Memory, Time};
pub use work::{Resources, Work};
