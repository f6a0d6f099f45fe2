//! Networks by name.

use burn::tensor::Device;

use crate::Error;
use crate::mobilenet_v2::MobileNetV2;
use crate::network::Family;
use crate::resnet::{ResNet, ResNetConfig};
use crate::resnet_cifar::{ResNetCifar, ResNetCifarConfig, Shortcut};
use crate::shufflenet_v1::ShuffleNetV1;
use crate::shufflenet_v2::ShuffleNetV2;
use crate::vgg::{Vgg, VggConfig};
use crate::wrn::{WideResNet, WideResNetConfig};

/// A registered network.
#[derive(Debug)]
pub struct ModelInfo {
    /// The canonical name.
    pub name: &'static str,
    /// Other names that are understood, among them mdistiller's.
    pub aliases: &'static [&'static str],
    /// The family, as its authors call it.
    pub family: &'static str,
    /// Where the family was published.
    pub reference: &'static str,
    design: Design,
}

/// What distinguishes a network within its family.
#[derive(Debug)]
enum Design {
    ResNetCifar(ResNetCifarConfig),
    ResNet(ResNetConfig),
    WideResNet(WideResNetConfig),
    Vgg(VggConfig),
    MobileNetV2,
    ShuffleNetV1,
    ShuffleNetV2,
}

const RESNET: &str = "He et al., CVPR 2016";

const fn resnet_cifar(
    name: &'static str,
    aliases: &'static [&'static str],
    blocks: usize,
    widths: [usize; 4],
    shortcut: Shortcut,
) -> ModelInfo {
    ModelInfo {
        name,
        aliases,
        family: match shortcut {
            Shortcut::Projection => "ResNet (CIFAR)",
            Shortcut::Padding => "ResNet (CIFAR, option A)",
        },
        reference: RESNET,
        design: Design::ResNetCifar(ResNetCifarConfig {
            blocks,
            widths,
            shortcut,
        }),
    }
}

const fn narrow(name: &'static str, blocks: usize) -> ModelInfo {
    resnet_cifar(name, &[], blocks, [16, 16, 32, 64], Shortcut::Projection)
}

const fn wide(name: &'static str, blocks: usize) -> ModelInfo {
    resnet_cifar(name, &[], blocks, [32, 64, 128, 256], Shortcut::Projection)
}

const fn option_a(name: &'static str, blocks: usize) -> ModelInfo {
    resnet_cifar(name, &[], blocks, [16, 16, 32, 64], Shortcut::Padding)
}

const fn resnet(
    name: &'static str,
    aliases: &'static [&'static str],
    blocks: [usize; 4],
    bottleneck: bool,
) -> ModelInfo {
    ModelInfo {
        name,
        aliases,
        family: "ResNet",
        reference: RESNET,
        design: Design::ResNet(ResNetConfig { blocks, bottleneck }),
    }
}

const fn wrn(name: &'static str, depth: usize, widen: usize) -> ModelInfo {
    ModelInfo {
        name,
        aliases: &[],
        family: "Wide ResNet",
        reference: "Zagoruyko and Komodakis, BMVC 2016",
        design: Design::WideResNet(WideResNetConfig { depth, widen }),
    }
}

const fn vgg(name: &'static str, aliases: &'static [&'static str], convs: [usize; 5]) -> ModelInfo {
    ModelInfo {
        name,
        aliases,
        family: "VGG-BN",
        reference: "Simonyan and Zisserman, ICLR 2015",
        design: Design::Vgg(VggConfig { convs }),
    }
}

static MODELS: &[ModelInfo] = &[
    narrow("resnet8", 1),
    narrow("resnet14", 2),
    narrow("resnet20", 3),
    narrow("resnet32", 5),
    narrow("resnet44", 7),
    narrow("resnet56", 9),
    narrow("resnet110", 18),
    wide("resnet8x4", 1),
    wide("resnet32x4", 5),
    option_a("resnet20_a", 3),
    option_a("resnet32_a", 5),
    option_a("resnet44_a", 7),
    option_a("resnet56_a", 9),
    option_a("resnet110_a", 18),
    resnet("resnet18", &["ResNet18"], [2, 2, 2, 2], false),
    resnet("resnet50", &["ResNet50"], [3, 4, 6, 3], true),
    resnet("resnet101", &["ResNet101"], [3, 4, 23, 3], true),
    resnet("resnet152", &["ResNet152"], [3, 8, 36, 3], true),
    wrn("wrn_16_1", 16, 1),
    wrn("wrn_16_2", 16, 2),
    wrn("wrn_40_1", 40, 1),
    wrn("wrn_40_2", 40, 2),
    vgg("vgg8", &["vgg8_bn"], [1, 1, 1, 1, 1]),
    vgg("vgg11", &["vgg11_bn"], [1, 1, 2, 2, 2]),
    vgg("vgg13", &["vgg13_bn"], [2, 2, 2, 2, 2]),
    vgg("vgg16", &["vgg16_bn"], [2, 2, 3, 3, 3]),
    vgg("vgg19", &["vgg19_bn"], [2, 2, 4, 4, 4]),
    ModelInfo {
        name: "mobilenet_v2",
        aliases: &["MobileNetV2", "mobile_half"],
        family: "MobileNetV2 (width 0.5)",
        reference: "Sandler et al., CVPR 2018",
        design: Design::MobileNetV2,
    },
    ModelInfo {
        name: "shufflenet_v1",
        aliases: &["ShuffleV1", "ShuffleNetV1"],
        family: "ShuffleNet (3 groups)",
        reference: "Zhang et al., CVPR 2018",
        design: Design::ShuffleNetV1,
    },
    ModelInfo {
        name: "shufflenet_v2",
        aliases: &["ShuffleV2", "ShuffleNetV2"],
        family: "ShuffleNetV2 (width 1)",
        reference: "Ma et al., ECCV 2018",
        design: Design::ShuffleNetV2,
    },
];

/// Every registered network, family by family.
pub fn models() -> &'static [ModelInfo] {
    MODELS
}

/// The network of a name or alias; case and the choice of `-` or `_` do not matter.
///
/// # Errors
/// [`Error::UnknownModel`] with the nearest names.
pub fn find(name: &str) -> Result<&'static ModelInfo, Error> {
    let wanted = normalise(name);
    MODELS
        .iter()
        .find(|model| model.names().any(|known| normalise(known) == wanted))
        .ok_or_else(|| Error::UnknownModel {
            name: name.to_owned(),
            nearest: nearest(&wanted),
        })
}

fn normalise(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// Up to three canonical names with an alike name or alias.
fn nearest(wanted: &str) -> Vec<&'static str> {
    const ALIKE: f64 = 0.75;
    let mut scored: Vec<(f64, &str)> = MODELS
        .iter()
        .map(|model| {
            let score = model
                .names()
                .map(|known| strsim::normalized_damerau_levenshtein(&normalise(known), wanted))
                .fold(0.0, f64::max);
            (score, model.name)
        })
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

impl ModelInfo {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Builds the network; parameters are drawn when they are first used.
    pub(crate) fn build(&self, channels: usize, classes: usize, device: &Device) -> Family {
        match &self.design {
            Design::ResNetCifar(config) => {
                Family::ResNetCifar(ResNetCifar::new(config, channels, classes, device))
            }
            Design::ResNet(config) => {
                Family::ResNet(ResNet::new(config, channels, classes, device))
            }
            Design::WideResNet(config) => {
                Family::WideResNet(WideResNet::new(config, channels, classes, device))
            }
            Design::Vgg(config) => Family::Vgg(Vgg::new(config, channels, classes, device)),
            Design::MobileNetV2 => Family::MobileNetV2(MobileNetV2::new(channels, classes, device)),
            Design::ShuffleNetV1 => {
                Family::ShuffleNetV1(ShuffleNetV1::new(channels, classes, device))
            }
            Design::ShuffleNetV2 => {
                Family::ShuffleNetV2(ShuffleNetV2::new(channels, classes, device))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut seen = std::collections::BTreeSet::new();
        for model in models() {
            assert_eq!(model.name, normalise(model.name));
            let names: std::collections::BTreeSet<String> = model.names().map(normalise).collect();
            for name in names {
                assert!(seen.insert(name.clone()), "{name} twice");
            }
        }
    }

    #[test]
    fn aliases_lead_to_the_canonical_name() {
        for (alias, name) in [
            ("ResNet50", "resnet50"),
            ("ShuffleV2", "shufflenet_v2"),
            ("MobileNetV2", "mobilenet_v2"),
            ("wrn-40-2", "wrn_40_2"),
        ] {
            assert_eq!(find(alias).unwrap().name, name);
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_ones() {
        let message = find("resnet21").unwrap_err().to_string();
        assert!(
            message.starts_with("there is no network `resnet21`; did you mean `resnet20`"),
            "{message}"
        );
        let message = find("transformer").unwrap_err().to_string();
        assert!(message.contains("`kd models` lists them"), "{message}");
    }
}
