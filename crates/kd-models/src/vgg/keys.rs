//! The references' names.

use super::VggConfig;
use crate::scale::Scale::{Large, Small};

/// `block2.1.bn.gamma` is `block2.4.gamma` in the reference for small images, where the convolution, the
/// normalisation and the ReLU of a layer have a place each. torchvision has all blocks in one list, with a pooling
/// after each.
pub(super) fn key(config: &VggConfig, path: &str) -> String {
    let VggConfig {
        convs,
        normalised,
        scale,
    } = *config;
    let parts: Vec<&str> = path.split('.').collect();
    let places = if normalised { 3 } else { 2 };
    match (parts.as_slice(), scale) {
        ([block, layer, kind, parameter], _) => {
            let number = |text: &str| text.parse::<usize>().unwrap_or_default();
            let place = places * number(layer) + usize::from(*kind == "bn");
            let index = number(block.trim_start_matches("block"));
            match scale {
                Small => format!("{block}.{place}.{parameter}"),
                Large => {
                    let before = convs[..index].iter().map(|convs| places * convs + 1);
                    format!("features.{}.{parameter}", before.sum::<usize>() + place)
                }
            }
        }
        // A ReLU and dropout stand after each hidden layer.
        (["hidden", "0", parameter], _) => format!("classifier.0.{parameter}"),
        (["hidden", _, parameter], _) => format!("classifier.3.{parameter}"),
        (["classifier", parameter], Large) => format!("classifier.6.{parameter}"),
        _ => path.to_owned(),
    }
}
