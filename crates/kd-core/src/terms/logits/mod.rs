//! Losses of what the networks say: their logits, or class predictions made from their maps.

pub mod bce;
pub mod byot;
pub mod cross_entropy;
pub mod ctkd;
pub mod dist;
pub mod dkd;
pub mod gjsd;
pub mod hard_labels;
pub mod kd;
pub mod ld;
pub mod lskd;
pub mod mlkd;
pub mod ofakd;
pub mod reverse_kl;
pub mod squared_logits;
pub mod tinybert_prediction;
pub mod topk_kl;
pub mod uld;
pub mod wsld;
