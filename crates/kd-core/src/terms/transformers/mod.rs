//! Losses of token sequences and attentions.

pub mod cosine_hidden;
pub mod deit;
mod layers;
pub mod lg;
pub mod minilm;
pub mod minilm_relation;
pub mod pkd_bert;
mod real;
mod relations;
pub mod tinybert_attention;
pub mod tinybert_hidden;
