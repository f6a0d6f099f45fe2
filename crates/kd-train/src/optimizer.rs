//! Optimisers with the update rules of PyTorch.

pub(crate) mod groups;
mod scaled;

use burn::module::{Module, ParamGroup};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, ModuleOptimizer, Optimizer, SgdConfig};
use serde::{Deserialize, Serialize};

use self::groups::GroupsConfig;
use self::scaled::Scaled;

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
    /// Adam (Kingma and Ba, ICLR 2015) with an L2 penalty in the gradient, as graph networks are trained.
    Adam {
        /// Decay of the gradient's mean and of its square's.
        #[serde(default = "adam_betas")]
        betas: [f64; 2],
        /// Added to the denominator.
        #[serde(default = "adam_epsilon")]
        epsilon: f64,
        /// L2 penalty added to the gradient.
        #[serde(default)]
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
    /// The optimiser for a module's parameters, all treated alike.
    pub fn init(&self) -> ModuleOptimizer {
        self.grouped(Vec::new())
    }

    /// The optimiser for a module, of which some parameters are treated otherwise. They are told by their paths, so that
    /// a training that goes on finds them again.
    pub(crate) fn init_for<M: Module>(&self, module: &M, groups: &GroupsConfig) -> ModuleOptimizer {
        self.grouped(groups.of(module))
    }

    fn grouped(&self, groups: Vec<groups::Group>) -> ModuleOptimizer {
        match self {
            Self::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => with_groups(groups, |decays| {
                let decay = if decays { *weight_decay } else { 0.0 };
                SgdConfig::new()
                    .with_momentum((*momentum > 0.0).then(|| {
                        MomentumConfig::new()
                            .with_momentum(*momentum)
                            // burn's default dampening of 0.1 is not the literature's.
                            .with_dampening(0.0)
                            .with_nesterov(*nesterov)
                    }))
                    .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)))
                    .build()
            }),
            Self::AdamW {
                betas,
                epsilon,
                weight_decay,
            } => with_groups(groups, |decays| {
                AdamWConfig::new()
                    .with_beta_1(betas[0] as f32)
                    .with_beta_2(betas[1] as f32)
                    .with_epsilon(*epsilon as f32)
                    .with_weight_decay(if decays { *weight_decay as f32 } else { 0.0 })
                    .build()
            }),
            Self::Adam {
                betas,
                epsilon,
                weight_decay,
            } => with_groups(groups, |decays| {
                let decay = if decays { *weight_decay } else { 0.0 };
                AdamConfig::new()
                    .with_beta_1(betas[0] as f32)
                    .with_beta_2(betas[1] as f32)
                    .with_epsilon(*epsilon as f32)
                    .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)))
                    .build()
            }),
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
            }
            | Self::Adam {
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

/// One optimiser, and further ones of the same kind for groups; `build` is told whether its parameters decay.
fn with_groups<O: Optimizer>(
    groups: Vec<groups::Group>,
    build: impl Fn(bool) -> O,
) -> ModuleOptimizer {
    let whole = ModuleOptimizer::from(build(true));
    groups.into_iter().fold(whole, |optimizer, group| {
        let own = Scaled {
            optimizer: build(group.decays),
            share: group.share,
        };
        optimizer.with_group(ParamGroup::from_paths(group.paths), own, None)
    })
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[derive(Module, Debug)]
    struct Weights {
        w: Param<Tensor<1>>,
    }

    const START: [f64; 2] = [0.5, -2.0];
    const GRADIENTS: [[f64; 2]; 3] = [[1.0, -0.2], [0.3, 0.4], [-2.0, 0.1]];
    const LR: f64 = 0.1;

    /// The weights after three steps with the gradients above.
    fn run(config: &OptimizerConfig) -> Vec<f64> {
        let device = Device::flex().autodiff();
        let tensor = |v: [f64; 2]| Tensor::<1>::from_floats([v[0] as f32, v[1] as f32], &device);
        let mut module = Weights {
            w: Param::from_tensor(tensor(START)),
        };
        let mut optimizer = config.init();
        for gradient in GRADIENTS {
            let loss = (module.w.val() * tensor(gradient)).sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &module);
            module = optimizer.step(LR, module, gradients);
        }
        module.w.val().into_data().iter::<f64>().collect()
    }

    fn assert_follows(
        config: &OptimizerConfig,
        step: impl Fn(usize, f64, f64, &mut [f64; 2]) -> f64,
    ) {
        let got = run(config);
        for i in 0..2 {
            let (mut w, mut state) = (START[i], [0.0; 2]);
            for (k, gradient) in GRADIENTS.iter().enumerate() {
                w = step(k, w, gradient[i], &mut state);
            }
            assert!(
                (got[i] - w).abs() < 1e-6,
                "{config:?}: {} is not {w}",
                got[i]
            );
        }
    }

    #[test]
    fn sgd_has_no_dampening_and_nesterov_looks_ahead() {
        for nesterov in [false, true] {
            let config = OptimizerConfig::Sgd {
                momentum: 0.9,
                nesterov,
                weight_decay: 0.05,
            };
            assert_follows(&config, |_, w, g, [v, _]| {
                let g = g + 0.05 * w;
                *v = 0.9 * *v + g;
                w - LR * if nesterov { g + 0.9 * *v } else { *v }
            });
        }
    }

    #[test]
    fn adam_has_its_decay_in_the_gradient() {
        let config = OptimizerConfig::Adam {
            betas: [0.8, 0.9],
            epsilon: 1e-3,
            weight_decay: 0.3,
        };
        assert_follows(&config, |k, w, g, [m, v]| {
            let g = g + 0.3 * w;
            *m = 0.8 * *m + 0.2 * g;
            *v = 0.9 * *v + 0.1 * g * g;
            let n = k as i32 + 1;
            let (mean, square) = (*m / (1.0 - 0.8f64.powi(n)), *v / (1.0 - 0.9f64.powi(n)));
            w - LR * mean / (square.sqrt() + 1e-3)
        });
    }

    #[test]
    fn a_group_has_its_own_decay_and_rate() {
        let device = Device::flex().autodiff();
        let tensor = |v: [f64; 2]| Tensor::<1>::from_floats([v[0] as f32, v[1] as f32], &device);
        let module = Weights {
            w: Param::from_tensor(tensor(START)),
        };
        let config = OptimizerConfig::Sgd {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.5,
        };
        let group = groups::Group {
            paths: vec!["w".into()],
            decays: false,
            share: 0.25,
        };
        let mut optimizer = config.grouped(vec![group]);
        let loss = (module.w.val() * tensor(GRADIENTS[0])).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        let module = optimizer.step(LR, module, gradients);
        for (got, (w, g)) in module
            .w
            .val()
            .into_data()
            .iter::<f64>()
            .zip(START.iter().zip(GRADIENTS[0]))
        {
            assert!((got - (w - 0.25 * LR * g)).abs() < 1e-6, "{got}");
        }
    }

    #[test]
    fn adamw_corrects_its_moments_and_decays_apart() {
        let config = OptimizerConfig::AdamW {
            betas: [0.8, 0.9],
            epsilon: 1e-3,
            weight_decay: 0.3,
        };
        assert_follows(&config, |k, w, g, [m, v]| {
            *m = 0.8 * *m + 0.2 * g;
            *v = 0.9 * *v + 0.1 * g * g;
            let n = k as i32 + 1;
            let (mean, square) = (*m / (1.0 - 0.8f64.powi(n)), *v / (1.0 - 0.9f64.powi(n)));
            w - LR * (0.3 * w + mean / (square.sqrt() + 1e-3))
        });
    }
}
