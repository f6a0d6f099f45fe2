//! What losses run.

pub(crate) mod blend;
pub(crate) mod channel_relations;
pub(crate) mod contrast;
pub(crate) mod distance;
pub(crate) mod divergence;
pub(crate) mod energy;
pub(crate) mod flow;
pub(crate) mod gram;
pub(crate) mod normalise_rows;
pub(crate) mod power_iteration;
pub(crate) mod products;
pub(crate) mod standardised;
