//! What networks run.

pub(crate) mod channels;
pub(crate) mod conv;
pub(crate) mod norm;
pub(crate) mod pool;
