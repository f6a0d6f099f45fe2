//! What the `transformers` library reads beside weights.

use kd_files::Interpolation;
use serde_json::{Map, Value, json};

use super::{Export, decimals};
use crate::elsewhere::Elsewhere;

/// `config.json`.
pub(super) fn config(export: &Export<'_>, network: &Elsewhere) -> Value {
    let classes = export.network.config.classes;
    let given = export.header.class_names.as_ref();
    let given = given.filter(|names| names.len() == classes);
    let name = |label: usize| match given {
        Some(names) => names[label].clone(),
        // As the library names those that have no name.
        None => format!("LABEL_{label}"),
    };
    let labels = (0..classes).map(|label| (label.to_string(), json!(name(label))));
    let numbers = (0..classes).map(|label| (name(label), json!(label)));
    let mut config = json!({ "architectures": [network.name] });
    for (key, value) in &network.arguments {
        config[key] = value.clone();
    }
    config["num_channels"] = json!(export.channels);
    config["id2label"] = Value::Object(labels.collect::<Map<_, _>>());
    config["label2id"] = Value::Object(numbers.collect::<Map<_, _>>());
    config["dtype"] = json!("float32");
    config
}

/// `preprocessor_config.json`: images are resized to the network's size, or their middle is cut out where the weights
/// say which share of it.
pub(super) fn preprocessor(export: &Export<'_>) -> Value {
    let size = export.size;
    let square = json!({ "height": size, "width": size });
    let header = &export.header;
    let interpolation = header.interpolation.unwrap_or(Interpolation::Bilinear);
    let mut prepared = json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true,
        "size": square,
        "resample": interpolation.in_pil(),
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": decimals(header.mean.as_ref()),
        "image_std": decimals(header.std.as_ref()),
    });
    if let Some(share) = header.crop.filter(|share| *share > 0.0) {
        let resized = (size as f64 / share).floor() as usize;
        prepared["image_processor_type"] = json!("BitImageProcessor");
        prepared["size"] = json!({ "shortest_edge": resized });
        prepared["do_center_crop"] = json!(true);
        prepared["crop_size"] = square;
    }
    prepared["do_convert_rgb"] = json!(export.channels == 3);
    prepared
}
