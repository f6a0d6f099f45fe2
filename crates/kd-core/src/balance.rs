//! How the weights of an objective find themselves.
//!
//! A recipe's weights say how much each loss counts, and their right size depends on the loss: those of
//! the literature reach from 2e-5 to 30000. Two rules take that from the recipe, by the key `balance` of
//! `[objective]`:
//!
//! **`"uncertainty"`** learns the weights. Each term has a log variance `s`, a parameter that starts at 0
//! and trains together with the student, and counts as
//!
//! `exp(−s) · weight · L + s / 2`,
//!
//! which is the form that the paper gives for a classification, `L / σ² + log σ` with `s = log σ²`. A
//! term's *effective weight* is `weight · exp(−s)`. For a loss that does not move, it settles where its
//! weighted value is ½: the weight says where a term starts, and its noise where it ends. The paper has
//! no weights; they stand inside, because outside they would also multiply the gradient of `s`. A term
//! whose weight is 0 at a step stays out with its `s`. Where a loss can be negative, as `vid`'s can, the
//! sum has no lowest value, and the rule is refused. Source: A. Kendall, Y. Gal, R. Cipolla, "Multi-Task
//! Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics", CVPR 2018.
//!
//! **`"gradient_norm"`** measures the weights. Every `every` optimiser steps the norm of each term's
//! gradient on the student is measured, and a term is multiplied by a factor
//!
//! `‖gradient of cross_entropy‖ / ‖gradient of the term‖`,
//!
//! both without weights, so that its own is `weight` times as strong as the cross-entropy. A measured
//! factor `m` changes the one in use to `smoothing · factor + (1 − smoothing) · m`; the first is taken as
//! it is. A weight that the recipe does not give is 1 with this rule, whatever the method. The idea of
//! comparing gradients' norms is GradNorm's, which learns the weights from them and from the speeds of
//! training; here they follow directly. Source: Z. Chen, V. Badrinarayanan, C.-Y. Lee, A. Rabinovich,
//! "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks", ICML 2018.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::Error;
use crate::suggest::{did_you_mean, listed};
use crate::terms::{check, configure};

/// A term's share of a sum whose weights are learned, `[1]`: `exp(−s) · loss + s / 2`, of a loss and its
/// log variance `s`, both `[1]`. Gradients reach both.
pub fn uncertainty(loss: Tensor<1>, log_variance: Tensor<1>) -> Tensor<1> {
    log_variance.clone().neg().exp() * loss + log_variance * 0.5
}

/// The rule by which weights find themselves.
#[derive(Clone, Debug, PartialEq)]
pub enum Balance {
    /// Learned log variances: see [`uncertainty`].
    Uncertainty,
    /// Measured norms of gradients.
    GradientNorm(GradientNorm),
}

/// Parameters of [`Balance::GradientNorm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GradientNorm {
    /// Optimiser steps from one measurement to the next, above 0. The first is before the first step.
    pub every: usize,
    /// Share of the factor in use that a new measurement leaves, at least 0 and below 1.
    pub smoothing: f64,
}

impl Default for GradientNorm {
    fn default() -> Self {
        Self {
            every: 50,
            smoothing: 0.9,
        }
    }
}

impl GradientNorm {
    /// The factor after a measurement: of the factor in use, if there was one, and the norms of the
    /// gradients of cross-entropy and of the term.
    ///
    /// A norm of 0, or one that is not finite, says nothing: the factor stays.
    pub fn factor(&self, before: Option<f64>, cross_entropy: f64, term: f64) -> Option<f64> {
        let measured = cross_entropy / term;
        match before {
            _ if !(measured.is_finite() && measured > 0.0) => before,
            None => Some(measured),
            Some(before) => Some(self.smoothing * before + (1.0 - self.smoothing) * measured),
        }
    }
}

impl Balance {
    const RULES: [&str; 2] = ["uncertainty", "gradient_norm"];

    /// Name of the rule, as a recipe spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uncertainty => Self::RULES[0],
            Self::GradientNorm(_) => Self::RULES[1],
        }
    }

    /// Reads what a recipe has under `balance`: the name of a rule, or a table of it with its parameters.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(rule) => Self::of(&rule, &Map::new()),
            Value::Object(mut keys) => match keys.shift_remove("rule") {
                Some(Value::String(rule)) => Self::of(&rule, &keys),
                Some(other) => Err(format!("`rule` must be the name of a rule, not {other}")),
                None => Err(format!(
                    "is the key that balances weights, {EXAMPLE}; a term needs another name"
                )),
            },
            other => Err(format!(
                "must be the name of a rule, {EXAMPLE}, not {other}"
            )),
        }
    }

    fn of(rule: &str, keys: &Map<String, Value>) -> Result<Self, String> {
        match rule {
            "uncertainty" => match keys.keys().next() {
                None => Ok(Self::Uncertainty),
                Some(key) => Err(format!(
                    "unknown key `{key}`; uncertainty has no keys but `rule`"
                )),
            },
            "gradient_norm" => configure(rule, &["rule"], keys).map(Self::GradientNorm),
            _ => Err(format!(
                "unknown rule `{rule}`{}; the rules are {}",
                did_you_mean(rule, Self::RULES.into_iter()),
                listed(Self::RULES.into_iter()),
            )),
        }
    }

    /// Refuses values that are out of range.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Uncertainty => Ok(()),
            Self::GradientNorm(rule) => {
                check::above("balance.every", rule.every as f64, 0.0)?;
                check::fraction("balance.smoothing", rule.smoothing)
            }
        }
    }
}

const EXAMPLE: &str =
    "such as balance = \"uncertainty\" or { rule = \"gradient_norm\", every = 50 }";

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// A rule's parameters with its name before them.
        #[derive(Serialize)]
        struct Table<'a> {
            rule: &'a str,
            #[serde(flatten)]
            parameters: &'a GradientNorm,
        }
        match self {
            Self::Uncertainty => serializer.serialize_str(self.name()),
            Self::GradientNorm(parameters) => Table {
                rule: self.name(),
                parameters,
            }
            .serialize(serializer),
        }
    }
}
