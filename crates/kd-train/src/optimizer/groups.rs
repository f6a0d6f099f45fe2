//! Which parameters decay, how fast each learns, and which do not learn at all.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Parameters that are not treated alike: the recipe's `[train.groups]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupsConfig {
    /// Which parameters the optimiser's weight decay is for.
    pub decay: Decaying,
    /// Of a network of blocks: the rate of a block as a share of that of the block above it, in (0, 1]. What stands
    /// before the blocks counts as one more block; the last normalisation, the classifier and adapters have the whole
    /// rate (Clark et al., ICLR 2020; Bao et al., ICLR 2022).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_rate: Option<f64>,
    /// Parts of the network that stay as they are: how the paths of their parameters begin, such as `blocks.0`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
}

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decaying {
    /// All of them, as in the literature of convolutional networks.
    #[default]
    All,
    /// Those of two dimensions and more, without class token, distillation token and positions: no bias and no
    /// normalisation, as in the literature of transformers.
    Matrices,
}

/// A parameter of a module.
struct Place {
    id: ParamId,
    /// With all that burn puts into it, as groups are told.
    whole: String,
    /// As a user names it: of the network, without the names of enums.
    path: String,
    dimensions: usize,
}

/// What stands before the network's own paths.
const NETWORK: [&str; 2] = ["student.", "family."];

/// Tokens and positions.
const TOKENS: [&str; 3] = ["cls_token", "dist_token", "pos_embed"];

/// Parameters that are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub paths: Vec<String>,
    pub decays: bool,
    /// Share of the learning rate.
    pub share: f64,
}

impl GroupsConfig {
    /// Whether all parameters are treated alike.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn validate(&self, table: &str) -> Result<(), String> {
        match self.layer_rate {
            Some(rate) if !(rate > 0.0 && rate <= 1.0) => {
                Err(format!("{table}.layer_rate = {rate}: must be in (0, 1]"))
            }
            _ => Ok(()),
        }
    }

    /// What does not suit a network.
    ///
    /// # Errors
    /// A sentence that names the key and what the network has.
    pub fn suits<M: Module>(&self, network: &M) -> Result<(), String> {
        let places = places(network);
        for part in &self.freeze {
            if places.iter().any(|place| begins(&place.path, part)) {
                continue;
            }
            let mut starts: Vec<&str> = Vec::new();
            for place in &places {
                let start = place.path.split('.').next().unwrap_or_default();
                if !starts.contains(&start) {
                    starts.push(start);
                }
            }
            return Err(format!(
                "groups.freeze: the network has no part `{part}`; its parts are {}",
                starts.join(", ")
            ));
        }
        if self.layer_rate.is_some() && blocks(&places) == 0 {
            return Err(
                "groups.layer_rate: the network has no blocks one above the other, as a vision transformer has; leave it \
                 out"
                    .into(),
            );
        }
        Ok(())
    }

    /// The groups of a module that differ from the rest of it.
    pub(super) fn of<M: Module>(&self, module: &M) -> Vec<Group> {
        let places = places(module);
        let count = blocks(&places);
        let mut groups: Vec<Group> = Vec::new();
        for place in &places {
            let decays = match self.decay {
                Decaying::All => true,
                Decaying::Matrices => {
                    let last = place.path.rsplit('.').next().unwrap_or_default();
                    place.dimensions > 1 && !TOKENS.contains(&last)
                }
            };
            let share = match self.layer_rate {
                Some(rate) => rate.powi((count + 1 - depth(&place.path, count)) as i32),
                None => 1.0,
            };
            if decays && share == 1.0 {
                continue;
            }
            let known = groups
                .iter_mut()
                .find(|g| g.decays == decays && g.share == share);
            match known {
                Some(group) => group.paths.push(place.whole.clone()),
                None => groups.push(Group {
                    paths: vec![place.whole.clone()],
                    decays,
                    share,
                }),
            }
        }
        groups
    }

    /// The same module, in which the parameters that stay as they are have no gradient.
    pub(crate) fn freeze<M: Module>(&self, module: M) -> M {
        struct Still(HashSet<ParamId>);
        impl ModuleMapper for Still {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                match self.0.contains(&param.id) {
                    true => param.set_require_grad(false),
                    false => param,
                }
            }
        }
        if self.freeze.is_empty() {
            return module;
        }
        let places = places(&module).into_iter();
        let frozen =
            places.filter(|place| self.freeze.iter().any(|part| begins(&place.path, part)));
        let mut still = Still(frozen.map(|place| place.id).collect());
        module.map(&mut still)
    }
}

/// Whether a path is that of a part or of something in it.
fn begins(path: &str, part: &str) -> bool {
    let rest = path.strip_prefix(part);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The number of the block that a path is in.
fn block(path: &str) -> Option<usize> {
    path.strip_prefix("blocks.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// How many blocks a network has.
fn blocks(places: &[Place]) -> usize {
    let numbers = places.iter().filter_map(|place| block(&place.path));
    numbers.max().map_or(0, |last| last + 1)
}

/// 0 before the blocks, `i + 1` in block `i` of `count`, `count + 1` after them.
fn depth(path: &str, count: usize) -> usize {
    let first = path.split('.').next().unwrap_or_default();
    match block(path) {
        Some(number) => number + 1,
        None if first == "patch_embed" || TOKENS.contains(&first) => 0,
        None => count + 1,
    }
}

fn places<M: Module>(module: &M) -> Vec<Place> {
    #[derive(Default)]
    struct Lister {
        whole: Vec<String>,
        path: Vec<String>,
        places: Vec<Place>,
    }
    impl ModuleVisitor for Lister {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.whole.push(name.to_owned());
            if !container.starts_with("Enum:") {
                self.path.push(name.to_owned());
            }
        }

        fn exit_module(&mut self, _: &str, container: &str) {
            self.whole.pop();
            if !container.starts_with("Enum:") {
                self.path.pop();
            }
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            let mut own = path.as_str();
            for start in NETWORK {
                own = own.strip_prefix(start).unwrap_or(own);
            }
            self.places.push(Place {
                id: param.id,
                whole: self.whole.join("."),
                path: own.to_owned(),
                dimensions: D,
            });
        }
    }
    let mut lister = Lister::default();
    module.visit(&mut lister);
    lister.places
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kd_models::{Network, NetworkConfig};

    use super::*;

    fn vit() -> Network {
        let config = NetworkConfig::new("vit_p8_d6_w192_mlp4", 10, 3);
        Network::new(&config, &Device::flex()).unwrap()
    }

    #[test]
    fn biases_norms_tokens_and_positions_do_not_decay() {
        let config = GroupsConfig {
            decay: Decaying::Matrices,
            ..GroupsConfig::default()
        };
        let network = vit();
        let groups = config.of(&network);
        assert_eq!(groups.len(), 1);
        assert!(!groups[0].decays && groups[0].share == 1.0);
        let ends = |path: &String, ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
        let free = [
            "bias",
            "beta",
            "gamma",
            "norm1.weight",
            "norm2.weight",
            "norm.weight",
            "cls_token",
            "pos_embed",
        ];
        assert!(
            groups[0].paths.iter().all(|path| ends(path, &free)),
            "{:?}",
            groups[0].paths
        );
        let all = places(&network);
        let decaying = all
            .iter()
            .filter(|place| !groups[0].paths.contains(&place.whole));
        // Patches, four matrices a block, and the classifier.
        assert_eq!(decaying.count(), 1 + 6 * 4 + 1);
    }

    #[test]
    fn rates_fall_from_block_to_block() {
        let config = GroupsConfig {
            layer_rate: Some(0.5),
            ..GroupsConfig::default()
        };
        let share = |part: &str| {
            let groups = config.of(&vit());
            let found = groups
                .iter()
                .find(|g| g.paths.iter().any(|p| p.contains(part)));
            found.map_or(1.0, |group| group.share)
        };
        assert_eq!(share("blocks.5.attn"), 0.5);
        assert_eq!(share("blocks.0.attn"), 0.5f64.powi(6));
        assert_eq!(share("pos_embed"), 0.5f64.powi(7));
        assert_eq!(share("head.weight"), 1.0);
    }

    #[test]
    fn what_a_network_does_not_have_is_refused() {
        let frozen = |part: &str| GroupsConfig {
            freeze: vec![part.into()],
            ..GroupsConfig::default()
        };
        frozen("blocks.0").suits(&vit()).unwrap();
        // `blocks.1` is not `blocks.10`, and there is no block 6.
        let message = frozen("blocks.6").suits(&vit()).unwrap_err();
        assert!(
            message.contains("`blocks.6`") && message.contains("patch_embed"),
            "{message}"
        );
        let learning = |network: &Network| {
            struct Learning(usize);
            impl ModuleVisitor for Learning {
                fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                    self.0 += usize::from(param.val().is_require_grad());
                }
            }
            let mut learning = Learning(0);
            network.visit(&mut learning);
            learning.0
        };
        let all = vit().train();
        let still = frozen("blocks.0").freeze(all.clone());
        assert_eq!(learning(&all) - learning(&still), 12);
        let config = NetworkConfig::new("resnet8", 10, 3);
        let resnet = Network::new(&config, &Device::flex()).unwrap();
        let layers = GroupsConfig {
            layer_rate: Some(0.9),
            ..GroupsConfig::default()
        };
        assert!(layers.suits(&resnet).unwrap_err().contains("no blocks"));
        assert!(layers.suits(&vit()).is_ok());
    }
}
