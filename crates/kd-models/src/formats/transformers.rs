//! ResNets of the `transformers` library under torchvision's names.
//!
//! `resnet.encoder.stages.0.layers.1.layer.0.convolution` there is `layer1.1.conv1`. With the same values both
//! networks give the same logits.

use super::Tensors;
use crate::Origin;
use crate::spelling::Spelling;

/// The first convolution, by whose name such a network is known.
const STEM: &str = "embedder.embedder.convolution.weight";

/// Tensors under torchvision's names where they are those of a ResNet of `transformers`; others stay as they are.
pub(crate) fn renamed(tensors: Tensors) -> Tensors {
    let mut keys = tensors.keys();
    let Some(base) = keys.find_map(|key| Some(key.strip_suffix(STEM)?.to_owned())) else {
        return tensors;
    };
    // Without the library's own name of the network, `resnet.`, what stands before it is a wrapper.
    let outer = base.trim_end_matches('.');
    let outer = outer.rfind('.').map_or("", |at| &base[..=at]);
    let name = |key: &str| {
        let body = key.strip_prefix(&*base).and_then(body);
        let renamed = body.or_else(|| key.strip_prefix(outer).and_then(classifier));
        renamed.map(|name| format!("{outer}{name}"))
    };
    let each = tensors.into_iter().map(|(key, mut tensor)| {
        let key = name(&key).unwrap_or(key);
        tensor.name.clone_from(&key);
        (key, tensor)
    });
    each.collect()
}

/// A name of a convolution or normalisation, as `convolution.weight`, with their names in torchvision.
fn layer(rest: &str, convolution: &str, normalisation: &str) -> Option<String> {
    let (kind, parameter) = rest.split_once('.')?;
    let name = match kind {
        "convolution" => convolution,
        "normalization" => normalisation,
        _ => return None,
    };
    Some(format!("{name}.{parameter}"))
}

/// A ResNet (He et al. 2016): `encoder.stages.STAGE.layers.BLOCK.layer.PLACE.KIND`.
fn body(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("embedder.embedder.") {
        return layer(rest, "conv1", "bn1");
    }
    let rest = name.strip_prefix("encoder.stages.")?;
    let (stage, rest) = rest.split_once(".layers.")?;
    let (block, rest) = rest.split_once('.')?;
    let stage: usize = stage.parse().ok()?;
    let inner = match rest.strip_prefix("shortcut.") {
        Some(rest) => layer(rest, "downsample.0", "downsample.1")?,
        None => {
            let (place, rest) = rest.strip_prefix("layer.")?.split_once('.')?;
            let place = place.parse::<usize>().ok()?.checked_add(1)?;
            layer(rest, &format!("conv{place}"), &format!("bn{place}"))?
        }
    };
    Some(format!("layer{}.{block}.{inner}", stage.checked_add(1)?))
}

fn classifier(name: &str) -> Option<String> {
    Some(format!("fc.{}", name.strip_prefix("classifier.1.")?))
}

/// The names that a ResNet with torchvision's names has in files of `transformers`: the other way of [`renamed`].
pub(crate) fn spelling(own: &[String]) -> Spelling {
    let names = own.iter().map(|name| {
        let spelled = spelled(name).unwrap_or_else(|| name.clone());
        (name.clone(), vec![spelled])
    });
    Spelling {
        names: names.collect(),
        ..Spelling::own(Origin::HuggingFace)
    }
}

fn spelled(name: &str) -> Option<String> {
    let (layer, parameter) = name.rsplit_once('.')?;
    let kind = |convolution: bool| match convolution {
        true => format!("convolution.{parameter}"),
        false => format!("normalization.{parameter}"),
    };
    let parts: Vec<&str> = layer.split('.').collect();
    Some(match parts[..] {
        ["fc"] => format!("classifier.1.{parameter}"),
        [first] => format!("resnet.embedder.embedder.{}", kind(first == "conv1")),
        [stage, block, ref inner @ ..] => {
            let stage = stage.strip_prefix("layer")?.parse::<usize>().ok()?;
            let block = format!(
                "resnet.encoder.stages.{}.layers.{block}",
                stage.checked_sub(1)?
            );
            match inner {
                ["downsample", place] => format!("{block}.shortcut.{}", kind(*place == "0")),
                [layer] => {
                    let conv = layer.strip_prefix("conv");
                    let place = conv.or_else(|| layer.strip_prefix("bn"))?;
                    let place = place.parse::<usize>().ok()?.checked_sub(1)?;
                    format!("{block}.layer.{place}.{}", kind(conv.is_some()))
                }
                _ => return None,
            }
        }
        [] => return None,
    })
}

#[cfg(test)]
mod tests {
    use burn::store::burn_pack::Tensor as Stored;
    use burn::tensor::{Bytes, DType};

    use super::*;

    /// Tensors of one row with these names; the value is the place in the list.
    fn tensors(names: &[&str]) -> Tensors {
        let tensor = |(place, name): (usize, &&str)| {
            let bytes = Bytes::from_bytes_vec(vec![place as u8; 2]);
            let tensor = Stored::new((*name).to_owned(), DType::U8, vec![1, 2], None, bytes);
            ((*name).to_owned(), tensor)
        };
        names.iter().enumerate().map(tensor).collect()
    }

    fn names(tensors: Tensors) -> Vec<String> {
        for (name, tensor) in &tensors {
            assert_eq!(*name, tensor.name);
        }
        tensors.into_keys().collect()
    }

    #[test]
    fn a_resnet_has_torchvisions_names() {
        let found = renamed(tensors(&[
            "module.resnet.embedder.embedder.convolution.weight",
            "module.resnet.embedder.embedder.normalization.running_mean",
            "module.resnet.encoder.stages.1.layers.0.shortcut.convolution.weight",
            "module.resnet.encoder.stages.1.layers.0.shortcut.normalization.bias",
            "module.resnet.encoder.stages.3.layers.12.layer.2.convolution.weight",
            "module.resnet.encoder.stages.3.layers.12.layer.2.normalization.weight",
            "module.classifier.1.bias",
            "optimizer.state",
        ]));
        assert_eq!(
            names(found),
            [
                "module.bn1.running_mean",
                "module.conv1.weight",
                "module.fc.bias",
                "module.layer2.0.downsample.0.weight",
                "module.layer2.0.downsample.1.bias",
                "module.layer4.12.bn3.weight",
                "module.layer4.12.conv3.weight",
                "optimizer.state",
            ]
        );
    }

    #[test]
    fn a_resnet_is_written_as_it_is_read() {
        for model in ["resnet34_224", "resnet50_224"] {
            let config = crate::NetworkConfig::new(model, 10, 3);
            let network = crate::Network::new(&config, &Default::default()).unwrap();
            let own: Vec<String> = network.keys().into_iter().map(|key| key.name).collect();
            let written = spelling(&own).names;
            let written: Vec<&str> = own.iter().map(|name| written[name][0].as_str()).collect();
            assert!(
                written
                    .iter()
                    .all(|name| !own.contains(&(*name).to_owned()))
            );
            let mut read = names(renamed(tensors(&written)));
            let mut own = own;
            read.sort();
            own.sort();
            assert_eq!(read, own, "{model}");
        }
    }

    #[test]
    fn other_names_stay() {
        let all = ["conv1.weight", "encoder.stages.0.layers.0.layer.0.x"];
        assert_eq!(names(renamed(tensors(&all))), all);
    }
}
