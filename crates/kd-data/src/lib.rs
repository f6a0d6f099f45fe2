//! Image data sets, splits, augmentation, and a loader that keeps a trainer busy.
//!
//! The way from a recipe's `[data]` to batches:
//! 1. [`load`] reads a set named by a [`DataConfig`] into memory, checks its structure and hashes it;
//! 2. [`split`] draws stratified training, validation and test indices from a seed;
//! 3. a [`Loader`] shuffles, augments and normalises them, batch by batch, ahead of the step.
//!
//! Everything random is a pure function of a seed, an epoch and an image's index, so a run can be
//! repeated, and resumed at any batch.
//!
//! ```
//! use kd_data::{DataConfig, Loader, LoaderConfig, load, split};
//!
//! let config = DataConfig { train_limit: Some(100), ..DataConfig::default() };
//! let dataset = load(&config, &mut |_| {})?;
//! let splits = split(&dataset, &config)?;
//! let loader = Loader::new(
//!     dataset.train.clone(),
//!     splits.train,
//!     LoaderConfig {
//!         batch: 32,
//!         augment: config.augment,
//!         mean: dataset.mean.clone(),
//!         std: dataset.std.clone(),
//!         seed: 0,
//!         shuffle: true,
//!         drop_last: false,
//!     },
//! )?;
//! for batch in loader.epoch(1) {
//!     assert_eq!(batch.shape[1..], [1, 28, 28]);
//! }
//! # Ok::<(), kd_data::Error>(())
//! ```

mod augment;
mod checksum;
mod config;
mod dataset;
mod download;
mod epoch;
mod error;
pub mod hub;
mod loader;
mod normalize;
mod random;
mod sets;
mod split;
mod views;

pub use augment::{Augment, Hole, View};
pub use config::DataConfig;
pub use dataset::{Dataset, Images};
pub use epoch::{Epoch, measure_throughput};
pub use error::Error;
pub use loader::{Batch, Loader, LoaderConfig};
pub use normalize::Normalize;
pub use sets::{NAMES, Progress, SetInfo, load, load_test, survey};
pub use split::{Splits, split, stratified_order};
