//! What networks run.
//!
//! The file of an operation has its function, the same composed of burn's operations for other backends, its
//! [`Operation`](crate::flex::Operation) and its kernel, unless that is long: those of convolutions are in `conv`,
//! those of normalisation in `norm`.

pub(crate) mod activation;
pub(crate) mod add;
pub(crate) mod affine;
pub(crate) mod average_pool;
mod batch_norm;
pub(crate) mod channels;
#[cfg(feature = "flex")]
pub(crate) mod conv;
mod conv2d;
mod conv_options;
pub(crate) mod dropout;
mod epilogue;
mod fake_quantise;
#[cfg(feature = "flex")]
pub(crate) mod gelu;
pub(crate) mod interleave;
pub(crate) mod layer_norm;
pub(crate) mod leaky_relu;
mod linear;
pub(crate) mod linear_of_rows;
pub(crate) mod max_pool;
#[cfg(feature = "flex")]
pub(crate) mod norm;
pub(crate) mod row_sums;
pub(crate) mod scale_channels;
pub(crate) mod self_attention;
#[cfg(feature = "flex")]
pub(crate) mod sums;

pub use activation::{Activation, activate};
pub use add::add;
pub use affine::affine;
pub use average_pool::{average_pool, global_average};
pub use batch_norm::{Normalized, batch_norm};
pub use channels::channels;
pub use conv_options::ConvOptions;
pub use conv2d::conv2d;
pub use dropout::{add_dropped, dropout};
pub use epilogue::Epilogue;
pub use fake_quantise::fake_quantise;
pub use interleave::interleave;
pub use layer_norm::layer_norm;
pub use leaky_relu::leaky_relu;
pub use linear::linear;
pub use linear_of_rows::{RowEpilogue, linear_of_rows};
pub use max_pool::max_pool;
pub use row_sums::RowSums;
pub use scale_channels::scale_channels;
pub use self_attention::{self_attention, self_attention_dropped, self_attention_masked};
