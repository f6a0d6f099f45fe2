//! What other programs call a vision transformer, and what they build it with.

use serde_json::json;

use super::config::{VitConfig, VitPooling};
use super::names::NAMES;
use super::network::Vit;
use super::origin::Origin;
use super::tables;
use crate::elsewhere::{Elsewhere, UNKNOWN, other_epsilon};
use crate::spelling::Spelling;

/// What timm's and torchvision's layer normalisations add to variances.
const EPSILON: f64 = 1e-6;

/// A vision transformer, as far as other programs have to know it.
pub(super) struct Described<'a> {
    shape: &'a VitConfig,
    /// Height and width of an image.
    images: usize,
    epsilon: f64,
}

impl<'a> Described<'a> {
    pub fn of(network: &'a Vit) -> Self {
        Self {
            shape: &network.config,
            images: network.grid * network.config.patch,
            epsilon: network.layer_norm_epsilon(),
        }
    }

    /// This network as another program has it; `own` are the names of its tensors.
    ///
    /// # Errors
    /// Why the program cannot build it.
    pub fn within(&self, program: Origin, own: &[String]) -> Result<Elsewhere, String> {
        if program != Origin::HuggingFace && self.epsilon != EPSILON {
            return Err(other_epsilon(self.epsilon));
        }
        match program {
            Origin::Timm => self.timm(),
            Origin::HuggingFace => self.hugging_face(own),
            Origin::Torchvision => self.torchvision(own),
        }
    }

    /// A registered network of timm with this shape, else the smallest one with another shape.
    fn timm(&self) -> Result<Elsewhere, String> {
        let shape = self.shape;
        if shape.pooling == VitPooling::TokenAndMean {
            return Err(
                "its networks have no classifier that reads the token beside the mean".into(),
            );
        }
        let same = |known: &VitConfig| {
            let dropout = known.dropout;
            *known == VitConfig { dropout, ..*shape }
        };
        let mut registered = NAMES.iter().filter(|named| named.name.ends_with("_224"));
        let registered = registered.find(|named| same(&named.config.shape));
        let spelling = Spelling::own(Origin::Timm);
        if let Some(named) = registered {
            return Ok(Elsewhere::named(named.name, spelling));
        }
        let name = match shape.distilled {
            true => "deit_tiny_distilled_patch16_224",
            false => "vit_tiny_patch16_224",
        };
        let ratio = shape.hidden as f64 / shape.width as f64;
        let mut arguments = json!({
            "patch_size": shape.patch,
            "embed_dim": shape.width,
            "depth": shape.depth,
            "num_heads": shape.heads,
            "mlp_ratio": ratio,
        });
        if let Some(value) = shape.layer_scale {
            arguments["init_values"] = json!(value);
        }
        if shape.pooling == VitPooling::Mean {
            arguments["global_pool"] = json!("avg");
        }
        match (ratio * shape.width as f64) as usize == shape.hidden {
            true => Ok(Elsewhere::named(name, spelling).with(arguments)),
            false => Err("it rounds the width inside the perceptrons to another".into()),
        }
    }

    fn hugging_face(&self, names: &[String]) -> Result<Elsewhere, String> {
        let shape = self.shape;
        let whole = shape.hidden.is_multiple_of(shape.width);
        let (model, class, own) = match (shape.pooling, shape.layer_scale, shape.distilled) {
            (VitPooling::Token, None, false) => (
                "vit",
                "ViTForImageClassification",
                json!({ "intermediate_size": shape.hidden }),
            ),
            (VitPooling::Token, None, true) => (
                "deit",
                "DeiTForImageClassificationWithTeacher",
                json!({ "intermediate_size": shape.hidden }),
            ),
            (VitPooling::TokenAndMean, Some(value), false) if whole => (
                "dinov2",
                "Dinov2ForImageClassification",
                json!({
                    "mlp_ratio": shape.hidden / shape.width,
                    "layerscale_value": value,
                    "use_swiglu_ffn": false,
                    "use_mask_token": false,
                }),
            ),
            _ => return Err(UNKNOWN.into()),
        };
        let spelling = tables::hugging_face(model, names, shape.distilled);
        let network = Elsewhere::named(class, spelling).with(json!({
            "model_type": model,
            "hidden_size": shape.width,
            "num_hidden_layers": shape.depth,
            "num_attention_heads": shape.heads,
            "hidden_act": "gelu",
            "hidden_dropout_prob": shape.dropout.hidden,
            "attention_probs_dropout_prob": shape.dropout.attention,
            "layer_norm_eps": self.epsilon,
            "image_size": self.images,
            "patch_size": shape.patch,
            "qkv_bias": true,
        }));
        Ok(network.with(own))
    }

    fn torchvision(&self, names: &[String]) -> Result<Elsewhere, String> {
        let shape = self.shape;
        if (shape.pooling, shape.layer_scale, shape.distilled) != (VitPooling::Token, None, false) {
            return Err(UNKNOWN.into());
        }
        let spelling = tables::torchvision(names);
        let network = Elsewhere::named("VisionTransformer", spelling);
        Ok(network.with(json!({
            "image_size": self.images,
            "patch_size": shape.patch,
            "num_layers": shape.depth,
            "num_heads": shape.heads,
            "hidden_dim": shape.width,
            "mlp_dim": shape.hidden,
        })))
    }
}
