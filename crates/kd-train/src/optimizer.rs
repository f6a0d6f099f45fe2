//! Optimisers with the update rules of PyTorch.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};
use serde::{Deserialize, Serialize};

/// An optimiser and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent: `v ← momentum·v + g + weight_decay·w`, `w ← w - lr·v`, no
    /// dampening, decay on every parameter as in the CIFAR-100 literature.
    Sgd {
        /// Momentum.
        #[serde(default = "sgd_momentum")]
        momentum: f64,
        /// Nesterov's form of it.
        #[serde(default)]
        nesterov: bool,
        /// L2 penalty added to the gradient.
        #[serde(default = "sgd_decay")]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).
    AdamW {
        /// Decay of the gradient's mean and of its square's.
        #[serde(default = "adam_betas")]
        betas: [f64; 2],
        /// Added to the denominator.
        #[serde(default = "adam_epsilon")]
        epsilon: f64,
        /// Decoupled weight decay.
        #[serde(default = "adam_decay")]
        weight_decay: f64,
    },
}

fn sgd_momentum() -> f64 {
    0.9
}
fn sgd_decay() -> f64 {
    5e-4
}
fn adam_betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn adam_epsilon() -> f64 {
    1e-8
}
fn adam_decay() -> f64 {
    0.01
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd {
            momentum: sgd_momentum(),
            nesterov: false,
            weight_decay: sgd_decay(),
        }
    }
}

impl OptimizerConfig {
    /// The optimiser for a module's parameters.
    pub fn init(&self) -> ModuleOptimizer {
        match self {
            Self::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => SgdConfig::new()
                .with_momentum((*momentum > 0.0).then(|| {
                    MomentumConfig::new()
                        .with_momentum(*momentum)
                        // burn's default dampening of 0.1 is not the literature's.
                        .with_dampening(0.0)
                        .with_nesterov(*nesterov)
                }))
                .with_weight_decay(
                    (*weight_decay > 0.0).then(|| WeightDecayConfig::new(*weight_decay as f32)),
                )
                .init(),
            Self::AdamW {
                betas,
                epsilon,
                weight_decay,
            } => AdamWConfig::new()
                .with_beta_1(betas[0] as f32)
                .with_beta_2(betas[1] as f32)
                .with_epsilon(*epsilon as f32)
                .with_weight_decay(*weight_decay as f32)
                .init(),
        }
    }

    pub(crate) fn validate(&self, table: &str) -> Result<(), String> {
        let share = |v: f64| (0.0..1.0).contains(&v);
        let not_negative = |v: f64| v.is_finite() && v >= 0.0;
        let (decay, rates): (f64, Vec<(&str, f64)>) = match self {
            Self::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                if *nesterov && *momentum == 0.0 {
                    return Err(format!("{table}.nesterov = true needs a momentum above 0"));
                }
                (*weight_decay, vec![("momentum", *momentum)])
            }
            Self::AdamW {
                betas,
                epsilon,
                weight_decay,
            } => {
                if !(epsilon.is_finite() && *epsilon > 0.0) {
                    return Err(format!("{table}.epsilon = {epsilon}: must be above 0"));
                }
                let betas = vec![("betas[0]", betas[0]), ("betas[1]", betas[1])];
                (*weight_decay, betas)
            }
        };
        if !not_negative(decay) {
            return Err(format!("{table}.weight_decay = {decay}: must be 0 or more"));
        }
        match rates.into_iter().find(|(_, rate)| !share(*rate)) {
            Some((key, rate)) => Err(format!("{table}.{key} = {rate}: must be in [0, 1)")),
            None => Ok(()),
        }
    }
}
