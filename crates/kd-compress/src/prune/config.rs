//! Pruning as a recipe or a command line says it.

use kd_models::Network;
use serde::{Deserialize, Serialize};

use super::{
    Attention, Criterion, Goal, NetworkPruning, Normalise, Options, Plan, Pruned, Ranking, Scope,
    Score, plan_for,
};
use crate::Error;

/// What a channel is judged by, of what needs no data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Sum of absolute weights.
    L1,
    /// Sum of squared weights.
    #[default]
    L2,
    /// Sum of squared weights, by the sum of it and all larger ones.
    Lamp,
    /// Scale of batch normalisation.
    BatchNorm,
    /// Distance to the other channels.
    GeometricMedian,
    /// By lot.
    Random,
}

impl By {
    /// As a score.
    pub fn score(self) -> Score {
        match self {
            Self::L1 => Score::by(Criterion::Magnitude { power: 1 }),
            Self::L2 => Score::by(Criterion::Magnitude { power: 2 }),
            Self::Lamp => Score {
                normalise: Normalise::Lamp,
                ..Score::by(Criterion::Magnitude { power: 2 })
            },
            Self::BatchNorm => Score::by(Criterion::BatchNormScale),
            Self::GeometricMedian => Score::by(Criterion::GeometricMedian { power: 0 }),
            Self::Random => Score::by(Criterion::Random { seed: 0 }),
        }
    }
}

/// How a network is pruned: one of `macs`, `parameters` and `ratio`, and how channels are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneConfig {
    /// At most this share of the multiply-accumulates is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<f64>,
    /// At most this share of the parameters is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<f64>,
    /// This share of the channels goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What a channel is judged by.
    #[serde(default)]
    pub by: By,
    /// Who competes with whom.
    #[serde(default)]
    pub scope: Scope,
    /// Kept channels are a multiple of this.
    #[serde(default = "one")]
    pub round_to: usize,
    /// The most that a group of channels may lose, as a share.
    #[serde(default = "most")]
    pub at_most: f64,
    /// What of attention can go.
    #[serde(default)]
    pub attention: Attention,
    /// Layers whose outputs stay, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// Training images from which a recipe takes the statistics of batch normalisation anew before what is left is trained
    /// or measured; 0 leaves them those of the whole network.
    #[serde(default = "images")]
    pub images: usize,
}

fn images() -> usize {
    256
}

fn one() -> usize {
    1
}

fn most() -> f64 {
    0.9
}

impl PruneConfig {
    /// To a goal, the rest as it is usual.
    pub fn new(goal: Goal) -> Self {
        let (mut macs, mut parameters, mut ratio) = (None, None, None);
        match goal {
            Goal::Macs(share) => macs = Some(share),
            Goal::Parameters(share) => parameters = Some(share),
            Goal::Ratio(share) => ratio = Some(share),
        }
        Self {
            macs,
            parameters,
            ratio,
            by: By::default(),
            scope: Scope::default(),
            round_to: one(),
            at_most: most(),
            attention: Attention::default(),
            keep: Vec::new(),
            images: images(),
        }
    }

    /// How far it goes.
    ///
    /// # Errors
    /// [`Error::Option`] unless exactly one of the three is given, within its range.
    pub fn goal(&self) -> Result<Goal, Error> {
        let wrong = |option: &'static str, problem: String| Error::Option { option, problem };
        let within = |option: &'static str, share: f64| match share > 0.0 && share <= 1.0 {
            true => Ok(share),
            false => Err(wrong(
                option,
                format!("{share} of what the network costs is not above 0 and up to 1"),
            )),
        };
        match (self.macs, self.parameters, self.ratio) {
            (Some(share), None, None) => Ok(Goal::Macs(within("macs", share)?)),
            (None, Some(share), None) => Ok(Goal::Parameters(within("parameters", share)?)),
            (None, None, Some(ratio)) if (0.0..1.0).contains(&ratio) => Ok(Goal::Ratio(ratio)),
            (None, None, Some(ratio)) => Err(wrong(
                "ratio",
                format!("{ratio} of the channels cannot go: it is from 0 to below 1"),
            )),
            _ => Err(wrong(
                "goal",
                "say how far to prune with one of `macs` (0.5 leaves half of the multiply-accumulates), `parameters` \
                 and `ratio` (0.3 removes that share of the channels)"
                    .into(),
            )),
        }
    }

    /// Refuses what no network can be pruned by.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn check(&self) -> Result<(), Error> {
        self.goal()?;
        self.ranking().check()
    }

    fn ranking(&self) -> Ranking {
        Ranking {
            round_to: self.round_to,
            at_most: self.at_most,
            ..Ranking::new(self.scope)
        }
    }

    /// How groups are found.
    pub fn options(&self) -> Options {
        Options {
            attention: self.attention,
            keep: self.keep.clone(),
        }
    }

    /// Chooses what a network keeps.
    ///
    /// # Errors
    /// As [`plan_for`].
    pub fn plan(&self, pruning: &NetworkPruning) -> Result<Plan, Error> {
        plan_for(
            &pruning.structure,
            &pruning.parameters,
            &self.by.score(),
            &self.ranking(),
            self.goal()?,
            |_, _| None,
        )
    }

    /// A network without what it asks for.
    ///
    /// # Errors
    /// As [`NetworkPruning::new`], [`plan_for`] and [`NetworkPruning::prune`].
    pub fn prune(&self, network: &Network) -> Result<Pruned, Error> {
        let pruning = NetworkPruning::new(network, &self.options())?;
        pruning.prune(&self.plan(&pruning)?)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kd_models::NetworkConfig;

    use super::*;

    fn network() -> Network {
        kd_core::draw::seed(1);
        Network::new(&NetworkConfig::new("resnet8", 10, 3), &Device::flex()).unwrap()
    }

    fn refused(config: &PruneConfig) -> String {
        config.prune(&network()).unwrap_err().to_string()
    }

    #[test]
    fn bad_requests_are_told() {
        let ratio = |ratio| PruneConfig::new(Goal::Ratio(ratio));
        assert!(refused(&ratio(1.0)).starts_with("ratio: 1 of the channels cannot go"));
        assert!(refused(&ratio(-0.5)).contains("from 0 to below 1"));
        let macs = |share| PruneConfig::new(Goal::Macs(share));
        assert!(refused(&macs(0.0)).starts_with("macs: 0 of what the network costs"));
        assert!(refused(&macs(1e-4)).contains("cannot be reached"));
        let both = PruneConfig {
            ratio: Some(0.5),
            ..macs(0.5)
        };
        assert!(refused(&both).contains("with one of `macs`"));
        let rounded = PruneConfig {
            round_to: 0,
            ..macs(0.5)
        };
        assert!(refused(&rounded).starts_with("round_to: 0 has no multiples"));
        let kept = network();
        let pruning = NetworkPruning::new(&kept, &Options::default()).unwrap();
        let plan = |name: &str, kept: Vec<usize>| {
            let plan = Plan {
                kept: [(name.to_owned(), kept)].into(),
            };
            pruning.prune(&plan).unwrap_err().to_string()
        };
        assert!(plan("conv1.weight:0", Vec::new()).contains("lose all of its channels"));
        assert!(plan("conv1.weight:0", vec![99]).contains("no channel 99"));
        assert!(plan("fc.weight:1", vec![0]).contains("no group is called `fc.weight:1`"));
    }

    #[test]
    fn a_goal_is_reached_and_the_file_is_read_as_it_is() {
        let network = network();
        let config = PruneConfig::new(Goal::Macs(0.5));
        let pruned = config.prune(&network).unwrap();
        assert!(pruned.difference.unwrap() < 1e-4);
        let share = |network: &Network| network.cost(32).unwrap().macs as f64;
        let left = share(&pruned.network) / share(&network);
        assert!((0.4..=0.5).contains(&left), "{left}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pruned.safetensors");
        pruned.network.save(&path, &[]).unwrap();
        let again = Network::from_file(network.config(), &path, &Device::flex()).unwrap();
        assert_eq!(again.cost(32).unwrap(), pruned.network.cost(32).unwrap());
        // It is pruned once more, and exported.
        let twice = config.prune(&again).unwrap();
        assert!(share(&twice.network) / share(&again) <= 0.5);
        twice.network.save(&path, &[]).unwrap();
        let again = Network::from_file(network.config(), &path, &Device::flex()).unwrap();
        assert_eq!(again.cost(32).unwrap(), twice.network.cost(32).unwrap());
        let onnx = kd_export::export_network(&twice.network, 32, &kd_export::Options::default());
        assert_eq!(onnx.unwrap().operations()["Conv"], 9);
    }

    #[test]
    fn what_is_rounded_is_a_multiple_and_what_is_bounded_keeps_its_share() {
        let network = network();
        let config = PruneConfig {
            round_to: 4,
            at_most: 0.5,
            ..PruneConfig::new(Goal::Ratio(0.7))
        };
        let pruning = NetworkPruning::new(&network, &config.options()).unwrap();
        let plan = config.plan(&pruning).unwrap();
        assert!(!plan.kept.is_empty());
        for group in &pruning.structure.groups {
            if let Some(kept) = plan.kept.get(&group.name()) {
                assert!(
                    kept.len() % 4 == 0 && 2 * kept.len() >= group.len(),
                    "{kept:?}"
                );
            }
        }
    }
}
