//! The shape of a golden network, as each program's configuration spells it.

use kd_models::{VitConfig, VitPooling};
use serde_json::Value;

pub struct Shape {
    pub vit: VitConfig,
    pub size: usize,
    pub classes: usize,
}

impl Shape {
    /// None for a network that is no vision transformer.
    pub fn of(case: &Value) -> Option<Self> {
        let config = &case["config"];
        let number = |names: [&str; 3]| {
            let values = names.iter().filter_map(|name| config[*name].as_u64());
            values.map(|v| v as usize).next()
        };
        let size = number(["img_size", "image_size", "image_size"])?;
        let patch = number(["patch_size"; 3])?;
        let width = number(["embed_dim", "hidden_dim", "hidden_size"])?;
        let depth = number(["depth", "num_layers", "num_hidden_layers"])?;
        let heads = number(["num_heads", "num_attention_heads", "num_heads"])?;
        let hidden = number(["mlp_dim", "intermediate_size", "mlp_dim"])
            .or_else(|| Some(number(["mlp_ratio"; 3])? * width))?;
        let classes = number(["num_classes", "num_labels", "num_classes"])?;
        let has = |part: &str| kd_goldens::keys(case).keys().any(|key| key.contains(part));
        let vit = VitConfig {
            hidden,
            distilled: has("dist"),
            pooling: match has("fc_norm") {
                true => VitPooling::Mean,
                false => VitPooling::Token,
            },
            ..VitConfig::new(patch, width, depth, heads)
        };
        Some(Self { vit, size, classes })
    }
}
