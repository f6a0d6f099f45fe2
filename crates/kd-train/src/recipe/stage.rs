//! One training of a recipe.

use std::path::PathBuf;

use kd_compress::prune::PruneConfig;
use kd_compress::quantise::QuantiseConfig;
use kd_core::{Combine, ObjectiveConfig};
use serde::{Deserialize, Serialize};

use super::TrainConfig;
use super::work::{ExportConfig, Work};

/// A network, who it learns from, and with which loss and budget.
///
/// `[student]` is the last one; `[stages.NAME]` are those before it, such as a teacher assistant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// Name in the registry (`kd models` lists them).
    pub model: String,
    /// What the stage does: `train` where it says nothing, else `prune`, `quantise` or `export`, which train nothing.
    #[serde(rename = "do", default, skip_serializing_if = "Work::is_train")]
    pub work: Work,
    /// Weights to start from: a file or folder, relative to the recipe, or an address of the hub such as
    /// `hf://timm/resnet18.a1_in1k`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// What stands before the names of this network in a file of several, such as `student`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_prefix: Option<String>,
    /// Whether the classifier of `weights`, where there is one, is left alone and a new one drawn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_classifier: bool,
    /// A file with the classifier, instead of that of `weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier_weights: Option<PathBuf>,
    /// An earlier stage whose weights it starts from; of a stage that exports, the one that is written, or `student`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Layers of the recipe's teacher that its blocks begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<InitFrom>,
    /// What it loses before its training: channels of what it starts from, or of the recipe's teacher where it says
    /// nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneConfig>,
    /// The integer grids that its layers compute with from then on, found before its training in what it starts from, or in
    /// the recipe's teacher where it says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantise: Option<QuantiseConfig>,
    /// How its file is written, of a stage that exports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportConfig>,
    /// Who it learns from: `teacher`, and earlier stages by name. `["teacher"]` when absent and there is
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teachers: Option<Vec<String>>,
    /// Other networks that train beside it in the same pass: the teachers are asked once for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// Whether network and peers learn from each other too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mutual: bool,
    /// How several teachers become one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub combine: Combine,
    /// Its loss; the recipe's when absent, or labels alone where there is nobody to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<ObjectiveConfig>,
    /// Its budget; the recipe's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainConfig>,
}

/// Values of the recipe's teacher to begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitFrom {
    /// For each block of the network, the teacher's block that it begins as, from 0. Everything beside the blocks begins
    /// as the teacher's.
    pub layers: Vec<usize>,
}

impl StageSpec {
    /// A network that starts from drawn weights and learns from the recipe's teacher, where there is one.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            work: Work::default(),
            weights: None,
            weights_prefix: None,
            new_classifier: false,
            classifier_weights: None,
            start: None,
            init_from: None,
            prune: None,
            quantise: None,
            export: None,
            teachers: None,
            peers: Vec::new(),
            mutual: false,
            combine: Combine::default(),
            objective: None,
            train: None,
        }
    }
}

fn is_default(combine: &Combine) -> bool {
    *combine == Combine::default()
}
