//! Networks by name.

use std::sync::LazyLock;

use burn::tensor::Device;

use crate::Error;
use crate::architecture::Named;
use crate::config::NetworkConfig;
use crate::families::{self, Design, ImageNetwork};

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
    /// Height and width of the images that it is made for; it takes others, too.
    pub image_size: usize,
    design: Design,
}

static MODELS: LazyLock<Vec<ModelInfo>> = LazyLock::new(|| {
    let names = families::registered().into_iter();
    names.map(ModelInfo::from).collect()
});

impl From<Named<Design>> for ModelInfo {
    fn from(named: Named<Design>) -> Self {
        Self {
            name: named.name,
            aliases: named.aliases,
            family: named.family,
            reference: named.reference,
            image_size: named.config.image_size(),
            design: named.config,
        }
    }
}

/// Every registered network, family by family.
pub fn models() -> &'static [ModelInfo] {
    &MODELS
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

/// Builds a network of any design, registered or not.
///
/// # Errors
/// [`Error::Config`].
pub(crate) fn build(
    design: &Design,
    config: &NetworkConfig,
    device: &Device,
) -> Result<ImageNetwork, Error> {
    config.check()?;
    let images = (config.image_size()?, config.model.as_str());
    design.build(config.channels()?, config.classes, images, device)
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
                .map(|known| alike(&normalise(known), wanted))
                .fold(0.0, f64::max);
            (score, model.name)
        })
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// From 0 to 1, which a name has that only goes on, such as `resnet34_224` after `resnet34`.
fn alike(known: &str, wanted: &str) -> f64 {
    match known.strip_prefix(wanted) {
        Some(rest) if rest.starts_with('_') => 1.0,
        _ => strsim::normalized_damerau_levenshtein(known, wanted),
    }
}

impl ModelInfo {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Builds the network of a configuration; parameters are drawn when they are first used.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn build(
        &self,
        config: &NetworkConfig,
        device: &Device,
    ) -> Result<ImageNetwork, Error> {
        build(&self.design, config, device)
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
            ("resnet18", "resnet18"),
            ("torchvision.resnet18", "resnet18_224"),
            ("tv_shufflenet_v2_x1_0", "shufflenet_v2_x1_0_224"),
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
        let message = find("resnet34").unwrap_err().to_string();
        assert!(message.contains("did you mean `resnet34_224`"), "{message}");
        let message = find("transformer").unwrap_err().to_string();
        assert!(message.contains("`kd models` lists them"), "{message}");
    }
}
