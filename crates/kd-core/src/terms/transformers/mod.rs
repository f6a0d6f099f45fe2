//! Losses of token sequences and attentions.

pub mod cosine_hidden;
pub mod deit;
mod layers;
pub mod lg;
pub mod minilm_relation;
pub mod tinybert_attention;
