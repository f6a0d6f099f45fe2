//! The learning rate as a pure function of the step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Learning rate: a peak and a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrConfig {
    /// Highest learning rate, which every shape reaches.
    pub peak: f64,
    /// How it changes.
    #[serde(default)]
    pub shape: LrShape,
    /// Epochs over which it rises linearly from zero to the peak. The shape begins after them.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// Whether the first step of the warm-up has the rate 0, as in Hugging Face's schedules, and the peak comes a step
    /// later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warmup_from_zero: bool,
}

impl LrConfig {
    /// Always the same rate.
    pub fn new(peak: f64) -> Self {
        Self {
            peak,
            shape: LrShape::Constant,
            warmup_epochs: 0.0,
            warmup_from_zero: false,
        }
    }
}

/// How the learning rate changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum LrShape {
    /// Always the peak.
    #[default]
    Constant,
    /// `peak · factorᵏ`, `k` the number of milestones (epochs, from 1) that are over.
    MultiStep {
        /// Epochs after which the rate changes, counted from the end of the warm-up.
        milestones: Vec<usize>,
        /// Factor at each milestone.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// In equal steps from the peak towards `peak · final_fraction`, which the step after the last would have.
    Linear {
        /// Share of the peak that is left at the end.
        #[serde(default)]
        final_fraction: f64,
    },
    /// Half a cosine from the peak to `peak · final_fraction`, step by step.
    Cosine {
        /// Share of the peak that is left at the end.
        #[serde(default)]
        final_fraction: f64,
    },
    /// Up from `peak / start_divisor` for `warmup_fraction` of the steps, then down to
    /// `peak / start_divisor / final_divisor`, both half cosines (Smith and Topin 2018, with
    /// PyTorch's constants). The momentum is not cycled.
    OneCycle {
        /// Share of all steps spent rising.
        #[serde(default = "thirty_percent")]
        warmup_fraction: f64,
        /// The first rate is the peak divided by this.
        #[serde(default = "twenty_five")]
        start_divisor: f64,
        /// The last rate is the first divided by this.
        #[serde(default = "ten_thousand")]
        final_divisor: f64,
    },
}

fn tenth() -> f64 {
    0.1
}
fn thirty_percent() -> f64 {
    0.3
}
fn twenty_five() -> f64 {
    25.0
}
fn ten_thousand() -> f64 {
    1e4
}

fn half_cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * progress.clamp(0.0, 1.0)).cos())
}

impl LrConfig {
    /// The rate of optimiser step `step` (from 0) in a run of `epochs` epochs of `per_epoch` steps.
    ///
    /// The warm-up takes `w = warmup_epochs · per_epoch` steps, rounded: step `s` of it has the rate
    /// `peak · (s + 1) / w`, or `peak · s / w` with `warmup_from_zero`. The shape has the other steps to itself, as in PyTorch's `SequentialLR` after a
    /// `LinearLR`.
    pub fn at(&self, step: usize, per_epoch: usize, epochs: usize) -> f64 {
        let per_epoch = per_epoch.max(1);
        let warmup = (self.warmup_epochs * per_epoch as f64).round() as usize;
        if step < warmup {
            let risen = step + usize::from(!self.warmup_from_zero);
            return self.peak * risen as f64 / warmup as f64;
        }
        let steps = (per_epoch * epochs).saturating_sub(warmup);
        self.shaped(step - warmup, per_epoch, steps)
    }

    /// The rate of a step of the shape, which has so many of them.
    fn shaped(&self, step: usize, per_epoch: usize, steps: usize) -> f64 {
        let last = steps.saturating_sub(1).max(1) as f64;
        let progress = step as f64 / last;
        let epoch = step / per_epoch + 1;
        match &self.shape {
            LrShape::Constant => self.peak,
            LrShape::MultiStep { milestones, factor } => {
                let passed = milestones.iter().filter(|&&m| epoch > m).count();
                self.peak * factor.powi(passed as i32)
            }
            LrShape::Linear { final_fraction } => {
                let progress = step as f64 / steps.max(1) as f64;
                self.peak * (1.0 - (1.0 - final_fraction) * progress)
            }
            LrShape::Cosine { final_fraction } => {
                half_cosine(self.peak, self.peak * final_fraction, progress)
            }
            LrShape::OneCycle {
                warmup_fraction,
                start_divisor,
                final_divisor,
            } => {
                let start = self.peak / start_divisor;
                let top = (warmup_fraction * (last + 1.0) - 1.0).max(0.0);
                let step = step as f64;
                if step <= top && top > 0.0 {
                    half_cosine(start, self.peak, step / top)
                } else {
                    half_cosine(
                        self.peak,
                        start / final_divisor,
                        (step - top) / (last - top).max(1.0),
                    )
                }
            }
        }
    }

    pub(crate) fn validate(&self, table: &str, epochs: usize) -> Result<(), String> {
        let must = |key: &str, value: f64, ok: bool, what: &str| {
            if ok {
                Ok(())
            } else {
                Err(format!("{table}.{key} = {value}: must be {what}"))
            }
        };
        let positive = |v: f64| v.is_finite() && v > 0.0;
        must("peak", self.peak, positive(self.peak), "above 0")?;
        let warmup = self.warmup_epochs;
        must(
            "warmup_epochs",
            warmup,
            (0.0..=epochs as f64).contains(&warmup),
            "between 0 and train.epochs",
        )?;
        if self.warmup_from_zero && warmup == 0.0 {
            return Err(format!(
                "{table}.warmup_from_zero is how a warm-up begins: set {table}.warmup_epochs, or leave it out"
            ));
        }
        if warmup > 0.0 && matches!(self.shape, LrShape::OneCycle { .. }) {
            return Err(format!(
                "{table}.warmup_epochs = {warmup}: the shape `one_cycle` has a rise of its own, \
                 shape.warmup_fraction; leave `warmup_epochs` out"
            ));
        }
        match &self.shape {
            LrShape::Constant => Ok(()),
            LrShape::MultiStep { factor, .. } => {
                must("shape.factor", *factor, positive(*factor), "above 0")
            }
            LrShape::Linear { final_fraction: f } | LrShape::Cosine { final_fraction: f } => must(
                "shape.final_fraction",
                *f,
                (0.0..=1.0).contains(f),
                "in [0, 1]",
            ),
            LrShape::OneCycle {
                warmup_fraction: f,
                start_divisor: s,
                final_divisor: d,
            } => {
                let (share, above) = ("in (0, 1)", "above 0");
                must("shape.warmup_fraction", *f, *f > 0.0 && *f < 1.0, share)?;
                must("shape.start_divisor", *s, positive(*s), above)?;
                must("shape.final_divisor", *d, positive(*d), above)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(shape: LrShape, warmup_epochs: f64) -> LrConfig {
        LrConfig {
            peak: 0.1,
            shape,
            warmup_epochs,
            warmup_from_zero: false,
        }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn multi_step_drops_in_the_epoch_after_the_milestone() {
        let lr = config(
            LrShape::MultiStep {
                milestones: vec![150, 180],
                factor: 0.1,
            },
            0.0,
        );
        close(lr.at(149 * 10 + 9, 10, 240), 0.1);
        close(lr.at(150 * 10, 10, 240), 0.01);
        close(lr.at(180 * 10, 10, 240), 0.001);
    }

    #[test]
    fn cosine_ends_at_its_final_fraction() {
        let lr = config(
            LrShape::Cosine {
                final_fraction: 0.1,
            },
            0.0,
        );
        close(lr.at(0, 10, 5), 0.1);
        close(lr.at(49, 10, 5), 0.01);
    }

    /// The factors of `linear_warmup_decay` in transformers_more.json: Hugging Face's schedule.
    #[test]
    fn a_linear_decay_after_a_warm_up_from_zero_is_hugging_faces() {
        let golden = kd_goldens::read("transformers_more.json");
        let pieces = golden["pieces"].as_array().unwrap();
        let piece = pieces
            .iter()
            .find(|p| p["name"] == "linear_warmup_decay")
            .unwrap();
        let [warmup, total] = ["warmup", "total"].map(|key| piece[key].as_u64().unwrap() as usize);
        let shape = LrShape::Linear {
            final_fraction: 0.0,
        };
        let lr = LrConfig {
            warmup_from_zero: true,
            ..config(shape, warmup as f64)
        };
        for (step, factor) in piece["factors"].as_array().unwrap().iter().enumerate() {
            close(lr.at(step, 1, total), 0.1 * factor.as_f64().unwrap());
        }
    }

    /// The rates of `deit_hard` in transformers_more.json: a warm-up of 3 steps, then 5.
    #[test]
    fn a_linear_decay_begins_at_the_peak() {
        let golden = kd_goldens::read("transformers_more.json");
        let runs = golden["training"].as_array().unwrap();
        let run = runs.iter().find(|run| run["name"] == "deit_hard").unwrap();
        let shape = LrShape::Linear {
            final_fraction: 0.0,
        };
        let lr = config(shape, 3.0);
        for (step, rate) in run["lrs"].as_array().unwrap().iter().enumerate() {
            close(lr.at(step, 1, 8), 100.0 * rate.as_f64().unwrap());
        }
    }

    // Values of torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=10).
    #[test]
    fn one_cycle_is_pytorchs() {
        let lr = config(
            LrShape::OneCycle {
                warmup_fraction: 0.3,
                start_divisor: 25.0,
                final_divisor: 1e4,
            },
            0.0,
        );
        let expected = [
            0.004,
            0.052,
            0.1,
            0.095_048_463_201_347_38,
            0.081_174_565_394_976_3,
        ];
        for (step, want) in expected.into_iter().enumerate() {
            assert!((lr.at(step, 10, 1) - want).abs() < 1e-9, "step {step}");
        }
        assert!((lr.at(9, 10, 1) - 4e-7).abs() < 1e-15);
    }

    // Values of torch.optim.lr_scheduler.SequentialLR([LinearLR(start_factor=1/4, total_iters=3),
    // CosineAnnealingLR(T_max=5)], milestones=[4]) with lr = 0.1.
    #[test]
    fn a_shape_begins_at_the_peak_when_the_warm_up_ends() {
        let lr = config(
            LrShape::Cosine {
                final_fraction: 0.0,
            },
            2.0,
        );
        let expected = [
            0.025,
            0.05,
            0.075,
            0.1,
            0.1,
            0.090_450_849_718_747_37,
            0.065_450_849_718_747_37,
            0.034_549_150_281_252_63,
            0.009_549_150_281_252_63,
            0.0,
        ];
        for (step, want) in expected.into_iter().enumerate() {
            close(lr.at(step, 2, 5), want);
        }
    }

    #[test]
    fn every_shape_reaches_its_peak_and_does_not_pass_it() {
        let shapes = [
            (LrShape::Constant, 0.0),
            (LrShape::Constant, 1.5),
            (
                LrShape::MultiStep {
                    milestones: vec![1, 3],
                    factor: 0.1,
                },
                2.0,
            ),
            (
                LrShape::Cosine {
                    final_fraction: 0.1,
                },
                6.0,
            ),
            (
                LrShape::OneCycle {
                    warmup_fraction: 0.3,
                    start_divisor: 25.0,
                    final_divisor: 1e4,
                },
                0.0,
            ),
        ];
        for (shape, warmup) in shapes {
            let lr = config(shape, warmup);
            lr.validate("train.lr", 6).unwrap();
            // The rise of one_cycle ends at step 0.3 · 60 - 1.
            let rates = (0..60).map(|step| lr.at(step, 10, 6));
            close(rates.fold(0.0, f64::max), 0.1);
        }
    }

    #[test]
    fn milestones_are_counted_from_the_end_of_the_warm_up() {
        let lr = config(
            LrShape::MultiStep {
                milestones: vec![1],
                factor: 0.1,
            },
            2.0,
        );
        close(lr.at(29, 10, 5), 0.1);
        close(lr.at(30, 10, 5), 0.01);
    }

    #[test]
    fn one_cycle_needs_no_second_warm_up() {
        let shape = LrShape::OneCycle {
            warmup_fraction: 0.3,
            start_divisor: 25.0,
            final_divisor: 1e4,
        };
        let refused = config(shape, 1.0).validate("train.lr", 6).unwrap_err();
        assert!(refused.contains("shape.warmup_fraction"), "{refused}");
    }

    #[test]
    fn warm_up_reaches_the_peak_at_its_last_step() {
        let lr = config(LrShape::Constant, 2.0);
        close(lr.at(0, 5, 4), 0.01);
        close(lr.at(9, 5, 4), 0.1);
        close(lr.at(15, 5, 4), 0.1);
    }
}
