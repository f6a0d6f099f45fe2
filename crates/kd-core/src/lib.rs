//! Distillation losses on [burn] tensors, and how they combine.
//!
//! Three layers, each usable without the next:
//! - **functions** such as [`terms::kd::kd`]: tensors in, a scalar tensor out;
//! - **terms** ([`Term`]): a configured loss that knows which parts of the networks it reads
//!   and owns the adapters it needs;
//! - the **objective** ([`Objective`]): a weighted sum of terms that reports every component.
//!
//! Nothing here knows files, networks or data.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use kd_core::terms::kd::kd;
//!
//! # fn main() -> Result<(), kd_core::Error> {
//! let device = Device::flex().autodiff();
//! let student = Tensor::<2>::from_floats([[2.0, 0.0, -1.0]], &device).require_grad();
//! let teacher = Tensor::<2>::from_floats([[4.0, 1.0, -3.0]], &device);
//!
//! let loss = kd(student.clone(), teacher, 4.0)?;
//! let gradients = loss.backward();
//!
//! assert!(loss.into_scalar::<f32>() > 0.0);
//! assert_eq!(student.grad(&gradients).map(|g| g.dims()), Some([1, 3]));
//! # Ok(())
//! # }
//! ```
//!
//! An objective is spelled in a recipe and built from one dry run of each network, from which it
//! reads channels, sizes and widths:
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use kd_core::{ObjectiveConfig, Output, Pair, Step, Targets};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config: ObjectiveConfig = serde_json::from_str(
//!     r#"{
//!         "cross_entropy": { "weight": 0.1 },
//!         "kd": { "weight": { "schedule": "linear_warmup", "to": 0.9, "epochs": 20 } },
//!         "hot": { "term": "kd", "temperature": 8.0 }
//!     }"#,
//! )?;
//!
//! let device = Device::flex().autodiff();
//! let student = Output::new(Tensor::from_floats([[2.0, 0.0, -1.0]], &device));
//! let teacher = Output::new(Tensor::from_floats([[4.0, 1.0, -3.0]], &device));
//! let objective = config.init(&student, Some(&teacher), &device)?;
//!
//! let targets = Targets::labels(Tensor::<1, Int>::from_ints([0], &device));
//! let pair = Pair { student: &student, teacher: Some(&teacher), targets: &targets, indices: None };
//! let step = Step { epoch: 1, epochs: 240, index: 0 };
//! let evaluation = objective.forward(&pair, &step)?;
//!
//! let names: Vec<_> = evaluation.components.iter().map(|c| c.name.as_str()).collect();
//! assert_eq!(names, ["cross_entropy", "kd", "hot"]);
//! # Ok(())
//! # }
//! ```

pub mod balance;
mod combine;
mod config;
pub mod detection;
pub mod draw;
mod error;
mod objective;
mod output;
mod pair;
mod part;
mod schedule;
mod suggest;
mod taps;
pub mod terms;

pub use balance::{Balance, GradientNorm};
pub use combine::{Combine, CombineRule};
pub use config::{ObjectiveConfig, TermEntry};
pub use error::Error;
pub use objective::{Component, Evaluation, Objective};
pub use output::{Classifier, Output};
pub use pair::{Pair, Step, Targets};
pub use part::{Part, PartValue};
pub use schedule::{Schedule, Varying};
pub use suggest::nearest_name;
pub use taps::{Levels, PairTaps, Taps};
pub use terms::{Head, HeadConfig, MethodInfo, Own, OwnTerm, Term, TermConfig, methods};
