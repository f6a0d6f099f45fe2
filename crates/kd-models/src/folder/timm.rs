//! What timm reads beside weights.

use kd_files::Interpolation;
use serde_json::{Value, json};

use super::{Export, decimals};
use crate::elsewhere::Elsewhere;

/// `config.json`.
pub(super) fn config(export: &Export<'_>, network: &Elsewhere) -> Value {
    let header = &export.header;
    let (channels, size) = (export.channels, export.size);
    let classes = export.network.config.classes;
    let own = export.network.keys();
    let layer = |name: &str| {
        let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
        layer.to_owned()
    };
    let keys = network.spelling.keys(&own);
    let classifiers = export.network.classifiers(&own);
    let is_classifier = |path: &str| classifiers.iter().any(|start| path.starts_with(start));
    let weights = keys.iter().filter(|key| key.name.ends_with(".weight"));
    let heads = weights.clone().filter(|key| is_classifier(&key.path));
    let heads: Vec<String> = heads.map(|key| layer(&key.name)).collect();
    let mut first = weights.filter(|key| key.shape.len() == 4);
    let interpolation = header.interpolation.unwrap_or(Interpolation::Bilinear);
    let mut prepared = json!({
        "tag": "",
        "custom_load": false,
        "input_size": [channels, size, size],
        "fixed_input_size": export.network.family.positions().is_some(),
        "interpolation": interpolation.name(),
        "crop_pct": header.crop.unwrap_or(1.0),
        "crop_mode": "center",
        "mean": decimals(header.mean.as_ref()),
        "std": decimals(header.std.as_ref()),
        "num_classes": classes,
        "classifier": match &heads[..] {
            [one] => json!(one),
            several => json!(several),
        },
    });
    // timm adds up or repeats the channels of this layer, which it can for one channel and for three.
    if let (1 | 3, Some(first)) = (channels, first.next()) {
        prepared["first_conv"] = json!(layer(&first.name));
    }
    let mut config = json!({
        "architecture": network.name,
        "num_classes": classes,
        "pretrained_cfg": prepared,
    });
    if !network.arguments.is_empty() {
        config["model_args"] = Value::Object(network.arguments.clone());
    }
    if let Some(names) = &header.class_names {
        config["label_names"] = json!(names);
    }
    config
}
