//! Vision transformers: ViT (Dosovitskiy et al., ICLR 2021), DeiT (Touvron et al., ICML 2021) and DINOv2's
//! (Oquab et al., TMLR 2024).
//!
//! One network, of which a [`VitConfig`] says the shape. An image is cut into square patches, each of which becomes a
//! token by one linear layer; a class token, and in a distilled DeiT a distillation token, stand before them; learned
//! positions are added. Then come blocks `x ← x + proj(attention(norm(x)))`, `x ← x + fc2(gelu(fc1(norm(x))))`, where
//! GELU is the exact one, a last layer normalisation, and the classifier.
//!
//! | file | what |
//! | --- | --- |
//! | `config` | The shape, its checks, and how often training drops what. |
//! | `names` | The registered names. |
//! | `network` | The module, its forward pass and its parts. |
//! | `patches`, `block`, `attention`, `norm` | What it is made of. |
//! | `positions` | Positions of another size, resized in three ways. |
//! | `origin`, `tables` | The names of timm, Hugging Face and torchvision, and what else differs between them. |
//! | `elsewhere` | What these programs build it with. |

mod attention;
mod block;
mod config;
mod elsewhere;
mod names;
mod network;
mod norm;
mod origin;
mod patches;
mod positions;
mod tables;

pub use config::{VitConfig, VitDropout, VitPooling};
pub use norm::layer_norm;
pub use origin::Origin;
pub use positions::PositionResize;

pub(crate) use attention::{Attention, unseen};
pub(crate) use block::{linear, rows};
pub(crate) use config::{VitDesign, filled};
pub(crate) use network::Vit;
pub(crate) use norm::Norm;
pub(crate) use patches::patches;
pub(crate) use tables::{Names, behind, translated};
