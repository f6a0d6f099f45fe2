//! What a file says of its layers.

use std::collections::BTreeMap;

use serde_json::Value;

/// Layers by name; empty for files of weights alone.
#[derive(Default)]
pub(crate) struct Config(BTreeMap<String, Described>);

/// A layer.
pub(crate) struct Described {
    class: String,
    epsilon: Option<f64>,
    /// Whether a normalisation has gamma and beta.
    pub scale: bool,
    pub center: bool,
    strided: bool,
    /// `same`, `valid`, or none of a layer that does not pad so.
    padding: Option<String>,
    /// Whether explicit zeros stand on one side only.
    one_sided: bool,
}

/// Models in models are not deeper.
const DEEPEST: usize = 16;

impl Config {
    /// The configuration of a model, as JSON.
    ///
    /// # Errors
    /// For what is none.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|e| format!("the configuration of its model cannot be read: {e}"))?;
        let mut config = Self::default();
        config.add(&value, 0);
        Ok(config)
    }

    fn add(&mut self, value: &Value, depth: usize) {
        let inner = &value["config"];
        let Some(layers) = inner["layers"].as_array().filter(|_| depth < DEEPEST) else {
            return;
        };
        for layer in layers {
            self.add(layer, depth + 1);
            let config = &layer["config"];
            let (Some(name), Some(class)) = (config["name"].as_str(), layer["class_name"].as_str())
            else {
                continue;
            };
            let sides = |value: &Value| {
                let sides = value.as_array();
                sides.is_some_and(|sides| sides.iter().any(|side| side[0] != side[1]))
            };
            let described = Described {
                class: class.to_owned(),
                epsilon: config["epsilon"].as_f64(),
                scale: config["scale"].as_bool().unwrap_or(true),
                center: config["center"].as_bool().unwrap_or(true),
                strided: config["strides"][0]
                    .as_u64()
                    .is_some_and(|stride| stride > 1)
                    && config["kernel_size"][0]
                        .as_u64()
                        .is_some_and(|side| side > 1),
                padding: config["padding"].as_str().map(String::from),
                one_sided: sides(&config["padding"]),
            };
            self.0.insert(name.to_owned(), described);
        }
    }

    pub fn of(&self, layer: &str) -> Option<&Described> {
        self.0.get(layer)
    }

    /// What its normalisations add to variances; none where it has none.
    ///
    /// # Errors
    /// When they differ.
    pub fn epsilon(&self) -> Result<Option<f64>, String> {
        let norms = self.0.values();
        let norms = norms.filter(|layer| layer.class == "BatchNormalization");
        let mut all: Vec<f64> = norms.filter_map(|layer| layer.epsilon).collect();
        all.dedup();
        match all[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [one, other, ..] => Err(format!(
                "its normalisations have several epsilons, {one:e} and {other:e}, and networks here have one"
            )),
        }
    }

    /// Whether convolutions with a stride pad as TensorFlow's `SAME`; none where none is described.
    pub fn same_padding(&self) -> Option<bool> {
        let mut strided = self.0.values().filter(|layer| layer.strided).peekable();
        strided.peek()?;
        let same = strided.any(|layer| layer.padding.as_deref() == Some("same"));
        Some(same || self.0.values().any(|layer| layer.one_sided))
    }
}
