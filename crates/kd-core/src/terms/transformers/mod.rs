//! Losses of token sequences and attentions.

pub mod cosine_hidden;
mod layers;
pub mod minilm_relation;
pub mod tinybert_attention;
