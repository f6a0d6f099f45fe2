//! What losses compare.
//!
//! The file of an operation has its function, the same composed of burn's operations for other backends, its
//! [`Operation`](crate::flex::Operation) and its kernel, which is a file `kernel.rs` of its own where it is long.

pub(crate) mod blend;
pub(crate) mod channel_relations;
pub(crate) mod distance;
pub(crate) mod divergence;
pub(crate) mod energy;
pub(crate) mod flow;
pub(crate) mod gram_of_maps;
pub(crate) mod gram_of_rows;
pub(crate) mod leading_vectors;
pub(crate) mod negative_part;
#[cfg(feature = "flex")]
pub(crate) mod of_maps;
pub(crate) mod products;
pub(crate) mod row_contrast;
pub(crate) mod standardised;
pub(crate) mod unit_rows;

pub use blend::blend;
pub use channel_relations::{correlation_distance, nst_mmd};
pub use distance::{boundary_distance, one_sided_distance, squared_distance};
pub use divergence::divergence_over_positions;
pub use energy::energy;
pub use flow::{fsp_distance, singular_vector_distance};
pub use gram_of_maps::{gram_of_channels, gram_of_positions};
pub use gram_of_rows::gram_of_rows;
pub use leading_vectors::leading_vectors;
pub use negative_part::negative_part;
pub use products::{products, rows_as_pixels};
pub use row_contrast::{Contrasted, RowContrast, Samples};
pub use standardised::standardised_distance;
pub use unit_rows::unit_rows;
