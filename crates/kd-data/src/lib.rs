//! Image data sets, splits, augmentation, and a loader that keeps a trainer busy.
//!
//! The way from a recipe's `[data]` to batches:
//! 1. [`load`] reads a set named by a [`DataConfig`], checks its structure and hashes it; large image folders stay in
//!    their files;
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
mod bitmap;
mod checksum;
mod color_jitter;
mod config;
mod dataset;
pub mod detection;
mod download;
mod epoch;
mod error;
mod fit;
pub mod graph;
pub mod hub;
mod image_files;
mod loader;
mod mix;
mod normalize;
mod plan;
mod rand_augment;
mod random;
mod random_erasing;
mod resize;
mod resized_crop;
mod sets;
mod split;
pub mod text;
mod view;
mod views;

pub use augment::Augment;
pub use bitmap::{Bitmap, Window};
pub use color_jitter::ColorJitter;
pub use config::DataConfig;
pub use dataset::{Dataset, Images};
pub use epoch::{Epoch, measure_throughput};
pub use error::Error;
pub use fit::Fit;
pub use image_files::ImageFiles;
pub use kd_files::Interpolation;
pub use loader::{Batch, Loader, LoaderConfig};
pub use mix::{Mix, Mixed};
pub use normalize::Normalize;
pub use rand_augment::{
    Operation, RandAugment, Sampling, TimmOperation, TimmRandAugment, TimmSampling, TrivialAugment,
};
pub use random_erasing::{ErasingMode, RandomErasing};
pub use resized_crop::RandomResizedCrop;
pub use sets::{NAMES, Progress, SetInfo, load, load_test, survey};
pub use split::{Splits, split, stratified_order};
pub use view::{Hole, View};
