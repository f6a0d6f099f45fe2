//! What a runtime will not take.

pub mod tensorrt;
