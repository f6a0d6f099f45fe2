//! Names of layers in PyTorch's networks: those of `keras.applications`, and those that a user writes down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Layer;
use crate::variant::Variant;

/// The layers of a file by what they are called in PyTorch, and what goes with them.
pub(crate) struct Names {
    table: Table,
    pub epsilon: Option<f64>,
    pub variant: Variant,
}

enum Table {
    ResNet,
    MobileNetV2,
    /// Convolutions in each block.
    Vgg([usize; 5]),
    Given {
        path: PathBuf,
        layers: BTreeMap<String, Option<String>>,
    },
}

/// A file beside the weights.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    /// A module of the network by the layer's name; null for a layer that the network has no use for.
    layers: BTreeMap<String, Option<String>>,
    epsilon: Option<f64>,
    padding: Option<Padding>,
    #[serde(default)]
    first_strides: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Padding {
    /// As Keras pads with `padding="same"`.
    Same,
    /// As PyTorch does.
    Symmetric,
}

/// The file of names that belongs to a file of weights.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".names.json");
    name.into()
}

impl Names {
    /// The names for a file with these layers.
    ///
    /// # Errors
    /// When nothing says what they are, or what says it cannot be read.
    pub fn of(path: &Path, layers: &[Layer]) -> Result<Self, String> {
        let given = beside(path);
        if given.exists() {
            return Self::given(given);
        }
        let has = |name: &str| layers.iter().any(|layer| layer.name == name);
        let plain = |table| Self {
            table,
            epsilon: None,
            variant: Variant::default(),
        };
        if has("conv2_block1_1_conv") && has("conv2_block1_3_conv") {
            return Ok(Self {
                epsilon: Some(1.001e-5),
                variant: Variant {
                    first_strides: true,
                    same_padding: false,
                },
                ..plain(Table::ResNet)
            });
        }
        if has("expanded_conv_project") && has("Conv_1") {
            return Ok(Self {
                variant: Variant {
                    same_padding: true,
                    first_strides: false,
                },
                ..plain(Table::MobileNetV2)
            });
        }
        if has("block1_conv1") && has("block5_conv3") && has("fc1") {
            let deep = if has("block5_conv4") { 4 } else { 3 };
            return Ok(plain(Table::Vgg([2, 2, deep, deep, deep])));
        }
        let some: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let more = if some.len() > 6 { ", ..." } else { "" };
        Err(format!(
            "its layers ({}{more}) are none of keras.applications' ResNet50, MobileNetV2 or VGG: name them in {}, \
             {{\"layers\": {{\"{}\": \"conv1\", ...}}}}",
            some[..some.len().min(6)].join(", "),
            given.display(),
            some.first().unwrap_or(&"")
        ))
    }

    fn given(path: PathBuf) -> Result<Self, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("{} cannot be read: {e}", path.display());
        let text = std::fs::read(&path).map_err(|e| wrong(&e))?;
        let given: Given = serde_json::from_slice(&text).map_err(|e| wrong(&e))?;
        Ok(Self {
            epsilon: given.epsilon,
            variant: Variant {
                same_padding: given.padding != Some(Padding::Symmetric),
                first_strides: given.first_strides,
            },
            table: Table::Given {
                path,
                layers: given.layers,
            },
        })
    }

    /// The module of a layer; none for one that the network has no use for.
    ///
    /// # Errors
    /// For a layer that the names do not know.
    pub fn module(&self, layer: &str) -> Result<Option<String>, String> {
        let found = match &self.table {
            Table::ResNet => resnet(layer),
            Table::MobileNetV2 => mobilenet_v2(layer),
            Table::Vgg(convs) => vgg(layer, convs),
            Table::Given { path, layers } => match layers.get(layer) {
                Some(module) => return Ok(module.clone()),
                None => {
                    return Err(format!(
                        "{} does not name its layer `{layer}`; give null for one that the network has no use for",
                        path.display()
                    ));
                }
            },
        };
        // What the network does not have is told with everything else that does not fit.
        Ok(Some(found.unwrap_or_else(|| layer.to_owned())))
    }

    /// Positions of the flattened map that a layer reads, if it reads one.
    pub fn flattened(&self, layer: &str) -> Option<usize> {
        (matches!(self.table, Table::Vgg(_)) && layer == "fc1").then_some(49)
    }
}

fn resnet(layer: &str) -> Option<String> {
    match layer {
        "conv1_conv" => return Some("conv1".into()),
        "conv1_bn" => return Some("bn1".into()),
        "predictions" => return Some("fc".into()),
        _ => {}
    }
    let (stage, rest) = layer.strip_prefix("conv")?.split_once("_block")?;
    let (block, rest) = rest.split_once('_')?;
    let (place, kind) = rest.split_once('_')?;
    let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
    let block = block.parse::<usize>().ok()?.checked_sub(1)?;
    let inner = match (place, kind) {
        ("0", "conv") => "downsample.0".into(),
        ("0", "bn") => "downsample.1".into(),
        (_, "conv" | "bn") => format!("{kind}{place}"),
        _ => return None,
    };
    Some(format!("layer{stage}.{block}.{inner}"))
}

fn mobilenet_v2(layer: &str) -> Option<String> {
    let fixed = match layer {
        "Conv1" => "features.0.0",
        "bn_Conv1" => "features.0.1",
        "Conv_1" => "features.18.0",
        "Conv_1_bn" => "features.18.1",
        "predictions" => "classifier.1",
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.into());
    }
    let (number, rest) = match layer.strip_prefix("block_") {
        Some(rest) => {
            let (number, rest) = rest.split_once('_')?;
            (number.parse::<usize>().ok()?, rest)
        }
        None => (0, layer.strip_prefix("expanded_conv_")?),
    };
    let first = usize::from(number > 0);
    let inner = match rest {
        "expand" => "0.0".into(),
        "expand_BN" => "0.1".into(),
        "depthwise" => format!("{first}.0"),
        "depthwise_BN" => format!("{first}.1"),
        "project" => (first + 1).to_string(),
        "project_BN" => (first + 2).to_string(),
        _ => return None,
    };
    Some(format!("features.{}.conv.{inner}", number.checked_add(1)?))
}

fn vgg(layer: &str, convs: &[usize; 5]) -> Option<String> {
    let hidden = match layer {
        "fc1" => 0,
        "fc2" => 3,
        "predictions" => 6,
        _ => {
            let (block, conv) = layer.strip_prefix("block")?.split_once("_conv")?;
            let block = block.parse::<usize>().ok()?.checked_sub(1)?;
            let conv = conv.parse::<usize>().ok()?.checked_sub(1)?;
            // A ReLU behind each convolution, and a pooling behind each block.
            let before = convs.get(..block)?.iter().map(|convs| 2 * convs + 1);
            let place = before.sum::<usize>().checked_add(conv.checked_mul(2)?)?;
            return Some(format!("features.{place}"));
        }
    };
    Some(format!("classifier.{hidden}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_keras_applications_have_a_place_in_torchvisions_networks() {
        for (layer, module) in [
            ("conv1_bn", "bn1"),
            ("conv2_block1_0_conv", "layer1.0.downsample.0"),
            ("conv4_block23_3_bn", "layer3.22.bn3"),
        ] {
            assert_eq!(resnet(layer).unwrap(), module);
        }
        for (layer, module) in [
            ("expanded_conv_depthwise_BN", "features.1.conv.0.1"),
            ("expanded_conv_project", "features.1.conv.1"),
            ("block_16_project_BN", "features.17.conv.3"),
            ("block_1_depthwise", "features.2.conv.1.0"),
        ] {
            assert_eq!(mobilenet_v2(layer).unwrap(), module);
        }
        let convs = [2, 2, 3, 3, 3];
        assert_eq!(vgg("block5_conv3", &convs).unwrap(), "features.28");
        assert_eq!(vgg("fc1", &convs).unwrap(), "classifier.0");
        assert_eq!(vgg("block9_conv1", &convs), None);
        assert_eq!(resnet("conv0_block1_1_conv"), None);
    }
}
