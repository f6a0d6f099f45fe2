//! Networks that read text: BERT (Devlin et al., NAACL 2019), DistilBERT (Sanh et al., NeurIPS EMC² workshop 2019), and
//! what has their shape, such as MiniLM (Wang et al., NeurIPS 2020) and TinyBERT (Jiao et al., Findings of EMNLP 2020).
//!
//! Embeddings of words, positions and token types are added and normalised. Then come blocks
//! `x ← norm1(x + proj(attention(x)))`, `x ← norm2(x + fc2(gelu(fc1(x))))` with the exact GELU, and a classifier of the
//! first token, or a word for every token. Padding is no key of any attention.
//!
//! | file | what |
//! | --- | --- |
//! | `config` | The shape, and what Hugging Face's `config.json` says of it. |
//! | `names` | The registered names. |
//! | `network` | The module and its forward pass. |
//! | `block`, `head` | What it is made of. |
//! | `tables`, `weights` | The names in Hugging Face's files, and weights in and out. |

mod block;
mod config;
mod head;
mod names;
mod network;
mod tables;
mod weights;

pub use config::{TextConfig, TextDropout, TextKind, TextOutput};
pub use names::{text_model, text_models};
pub use network::TextNetwork;
