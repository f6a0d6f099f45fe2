//! The registered names of text networks.

use super::config::TextConfig;
use crate::Error;

/// Names, shapes with two classes, and references.
const NAMES: &[(&str, TextConfig, &str)] = &[
    (
        "bert_base",
        TextConfig::bert(768, 12, 12),
        "Devlin et al., NAACL 2019",
    ),
    (
        "bert_tiny",
        TextConfig::bert(128, 2, 2),
        "Turc et al., arXiv 2019",
    ),
    (
        "bert_mini",
        TextConfig::bert(256, 4, 4),
        "Turc et al., arXiv 2019",
    ),
    (
        "bert_small",
        TextConfig::bert(512, 4, 8),
        "Turc et al., arXiv 2019",
    ),
    (
        "distilbert_base",
        TextConfig::distilbert(768, 6, 12),
        "Sanh et al., NeurIPS EMC² workshop 2019",
    ),
    (
        "minilm_l12_h384",
        TextConfig::bert(384, 12, 12),
        "Wang et al., NeurIPS 2020",
    ),
    (
        "minilm_l6_h384",
        TextConfig::bert(384, 6, 12),
        "Wang et al., NeurIPS 2020",
    ),
    (
        "minilm_l3_h384",
        TextConfig::bert(384, 3, 12),
        "Wang et al., NeurIPS 2020",
    ),
    (
        "tinybert_4_312",
        TextConfig {
            hidden: 1200,
            ..TextConfig::bert(312, 4, 12)
        },
        "Jiao et al., Findings of EMNLP 2020",
    ),
];

/// Names of the registered text networks, each with its shape for two classes and its reference.
pub fn text_models() -> impl Iterator<Item = (&'static str, &'static TextConfig, &'static str)> {
    NAMES
        .iter()
        .map(|(name, shape, reference)| (*name, shape, *reference))
}

/// The shape of a registered text network, for two classes.
///
/// # Errors
/// [`Error::UnknownModel`].
pub fn text_model(name: &str) -> Result<TextConfig, Error> {
    let mut named = text_models().filter(|(known, ..)| *known == name);
    if let Some((_, shape, _)) = named.next() {
        return Ok(shape.clone());
    }
    let nearest = kd_core::nearest_name(name, text_models().map(|(known, ..)| known));
    Err(Error::UnknownModel {
        name: name.to_owned(),
        nearest: nearest.into_iter().collect(),
    })
}
