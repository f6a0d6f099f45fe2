//! What a family of image networks gives to the registry.

use std::fmt::Debug;

use burn::tensor::{Device, Tensor};

use crate::backbone::Backbone;
use crate::macs::MacCounter;
use crate::scale::Scale;

/// A registered name of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<C: 'static> {
    /// The canonical name: lower case, parts joined by `_`.
    pub name: &'static str,
    /// Other names that are understood, among them mdistiller's.
    pub aliases: &'static [&'static str],
    /// The family, as its authors call it.
    pub family: &'static str,
    /// Where the family was published.
    pub reference: &'static str,
    /// What distinguishes this network within its family.
    pub config: C,
}

impl<C: Copy> Named<C> {
    /// The same name with its configuration as another type.
    pub fn map<D>(&self, f: impl FnOnce(C) -> D) -> Named<D> {
        Named {
            name: self.name,
            aliases: self.aliases,
            family: self.family,
            reference: self.reference,
            config: f(self.config),
        }
    }
}

/// The name of a network that torchvision has, and its aliases.
macro_rules! torchvision {
    ($name:literal) => {
        (
            concat!($name, "_224"),
            &[concat!("torchvision.", $name), concat!("tv_", $name)] as &'static [&'static str],
        )
    };
}

pub(crate) use torchvision;

/// What a family adds to [`Backbone`].
pub(crate) trait Architecture: Backbone<Input = Tensor<4>> {
    /// What distinguishes the networks of the family; `()` where there is only one.
    type Config: Copy + Debug + 'static;

    /// The names of the family, in the order of a list for people.
    const MODELS: &'static [Named<Self::Config>];

    /// Height and width of the images that a network is made for.
    fn image_size(config: &Self::Config) -> usize {
        let _ = config;
        Scale::Small.image_size()
    }

    /// Builds a network with the initialisation of its reference; parameters are drawn when they
    /// are first used.
    fn new(config: &Self::Config, channels: usize, classes: usize, device: &Device) -> Self;

    /// Follows the forward pass of one image and counts its multiply-accumulates.
    fn count(&self, macs: &mut MacCounter);

    /// The reference's state-dict key for a path of this module; only the names of modules
    /// may change, the last part stays.
    fn pytorch_key(&self, path: &str) -> String {
        path.to_owned()
    }
}
