//! A network that begins with some layers of a deeper one.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use crate::Error;
use crate::keys;
use crate::network::Network;

/// How the paths of a network's blocks begin.
const BLOCKS: &str = "family.blocks.";

impl Network {
    /// The same network with the values of another: block `i` begins as block `layers[i]` of `other`, counted from 0, and
    /// everything beside the blocks as its counterpart there. A classifier for other classes stays as it is.
    ///
    /// Source: V. Sanh, L. Debut, J. Chaumond, T. Wolf, "DistilBERT", NeurIPS EMC² workshop 2019.
    ///
    /// # Errors
    /// [`Error::Layers`] when the networks have no blocks, when there is not one layer for each block, and when tensors
    /// differ in shape.
    pub fn with_layers_of(self, other: &Self, layers: &[usize]) -> Result<Self, Error> {
        let model = self.config.model.clone();
        let classifiers = self.classifiers(&self.keys());
        let filled = with_blocks_of(self, other, BLOCKS, layers, classifiers);
        filled.map_err(|problem| Error::Layers {
            model,
            other: other.config.model.clone(),
            problem,
        })
    }
}

/// A module whose block `i` begins as block `layers[i]` of another, and everything beside the blocks as its counterpart
/// there; what does not fit there stays as it is where its path begins as one of `classifiers`. The paths of blocks begin
/// with `start`.
///
/// # Errors
/// What does not fit.
pub(crate) fn with_blocks_of<M: Module>(
    module: M,
    other: &M,
    start: &str,
    layers: &[usize],
    classifiers: Vec<String>,
) -> Result<M, String> {
    let [own, theirs] = [&module, other].map(|network| {
        let keys = keys::of(network, str::to_owned);
        let blocks = keys.iter().filter_map(|key| split(start, &key.path));
        blocks.map(|(number, _)| number + 1).max().unwrap_or(0)
    });
    if own == 0 || theirs == 0 {
        return Err("only networks of blocks, such as vision transformers, can begin so".into());
    }
    if layers.len() != own || layers.iter().any(|layer| *layer >= theirs) {
        return Err(format!(
            "the layers {layers:?} must be {own}, one for each of its blocks, each below {theirs}"
        ));
    }
    let mut read = Read::default();
    other.visit(&mut read);
    let mut fill = Fill {
        path: Vec::new(),
        start,
        layers,
        values: &read.values,
        missing: None,
        classifiers,
    };
    let filled = module.map(&mut fill);
    match fill.missing {
        None => Ok(filled),
        Some(problem) => Err(problem),
    }
}

/// The number of a block and the rest of a path in it.
fn split<'a>(start: &str, path: &'a str) -> Option<(usize, &'a str)> {
    let (number, rest) = path.strip_prefix(start)?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// The path without the names of enums.
fn enter(path: &mut Vec<String>, name: &str, container: &str) {
    if !container.starts_with("Enum:") {
        path.push(name.to_owned());
    }
}

fn exit(path: &mut Vec<String>, container: &str) {
    if !container.starts_with("Enum:") {
        path.pop();
    }
}

#[derive(Default)]
struct Read {
    path: Vec<String>,
    values: BTreeMap<String, TensorData>,
}

impl ModuleVisitor for Read {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        exit(&mut self.path, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values
            .insert(self.path.join("."), param.val().into_data());
    }
}

struct Fill<'a> {
    path: Vec<String>,
    start: &'a str,
    layers: &'a [usize],
    values: &'a BTreeMap<String, TensorData>,
    /// What the other network does not have.
    missing: Option<String>,
    classifiers: Vec<String>,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        exit(&mut self.path, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let theirs = match split(self.start, &path) {
            Some((number, rest)) => format!("{}{}.{rest}", self.start, self.layers[number]),
            None => path.clone(),
        };
        let own = param.lazy_shape();
        match self.values.get(&theirs) {
            Some(values) if values.shape() == &own => {
                let values = values.clone();
                param.map(|old| {
                    let options = (&old.device(), old.dtype());
                    let filled = Tensor::from_data(values, options);
                    match old.is_require_grad() {
                        true => filled.require_grad(),
                        false => filled,
                    }
                })
            }
            _ if self.classifiers.iter().any(|start| path.starts_with(start)) => param,
            found => {
                let found = found.map(|values| format!("{:?}", values.shape()));
                let found = found.unwrap_or_else(|| "none".into());
                self.missing
                    .get_or_insert(format!("`{path}` is {own:?}, and `{theirs}` there {found}"));
                param
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kd_core::{Taps, draw};

    use super::*;
    use crate::{Backbone, NetworkConfig, VitConfig};

    fn vit(depth: usize, classes: usize) -> Network {
        let shape = VitConfig::new(8, 24, depth, 2);
        let config = NetworkConfig::new("vit", classes, 3).with_image_size(32);
        Network::vit(&shape, &config, &Device::flex()).unwrap()
    }

    #[test]
    fn all_layers_give_the_same_network_and_some_a_part_of_it() {
        draw::seed(3);
        let teacher = vit(4, 5);
        let images = Tensor::<4>::ones([1, 3, 32, 32], &Device::flex());
        let logits = |network: &Network| {
            network
                .forward(images.clone(), &Taps::none())
                .logits
                .into_data()
        };
        let same = vit(4, 5).with_layers_of(&teacher, &[0, 1, 2, 3]).unwrap();
        assert_eq!(logits(&same), logits(&teacher));
        let tokens = |network: &Network, level| {
            let output = network.forward(images.clone(), &Taps::all());
            output.tokens(level).unwrap().into_data()
        };
        let part = vit(2, 7).with_layers_of(&teacher, &[0, 1]).unwrap();
        assert_eq!(tokens(&part, 2), tokens(&teacher, 2));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let teacher = vit(4, 5);
        let message = |layers: &[usize]| {
            let refused = vit(2, 5).with_layers_of(&teacher, layers);
            refused.unwrap_err().to_string()
        };
        assert!(message(&[0]).contains("must be 2"), "{}", message(&[0]));
        assert!(message(&[0, 4]).contains("below 4"), "{}", message(&[0, 4]));
        let config = NetworkConfig::new("resnet8", 5, 3);
        let resnet = Network::new(&config, &Device::flex()).unwrap();
        let refused = resnet
            .with_layers_of(&teacher, &[0])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("vision transformers"), "{refused}");
    }
}
