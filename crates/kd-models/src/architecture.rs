//! What a family of image networks gives to the registry.

use std::fmt::Debug;

use burn::tensor::{Device, Tensor, TensorData};
use kd_kernels::layers::BatchNorm;

use crate::Error;
use crate::backbone::Backbone;
use crate::elsewhere::{self, Elsewhere};
use crate::macs::MacCounter;
use crate::scale::Scale;
use crate::spelling::Spelling;
use crate::variant::Variant;
use crate::vit::Origin;

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

    /// The same for images of a height and width, for a `model` of this name; most families take any size.
    ///
    /// # Errors
    /// [`Error::Config`] for a size that the network cannot be built for.
    fn for_images(
        config: &Self::Config,
        channels: usize,
        classes: usize,
        (size, model): (usize, &str),
        device: &Device,
    ) -> Result<Self, Error> {
        let _ = (size, model);
        Ok(Self::new(config, channels, classes, device))
    }

    /// Follows the forward pass of one image and counts its multiply-accumulates.
    fn count(&self, macs: &mut MacCounter);

    /// The reference's state-dict key for a path of this module; only the names of modules
    /// may change, the last part stays.
    fn pytorch_key(&self, path: &str) -> String {
        path.to_owned()
    }

    /// The names of other programs for the state dict `own`, the reference's first; none where all programs have the
    /// reference's.
    fn spellings(&self, own: &[String]) -> Vec<Spelling> {
        let _ = own;
        Vec::new()
    }

    /// The program that the weights are from, where more than the names depends on it.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// Says which program the weights are from.
    fn set_origin(&mut self, origin: Origin) {
        let _ = origin;
    }

    /// Its first batch normalisation, of a family whose epsilon may be another than its reference's.
    fn norm(&self) -> Option<&BatchNorm> {
        None
    }

    /// Its batch normalisations, of such a family.
    fn norms(&mut self) -> Vec<&mut BatchNorm> {
        Vec::new()
    }

    /// What its reference adds to variances.
    fn reference_epsilon(&self) -> f64 {
        1e-5
    }

    /// What is added to variances, where that is not what goes with the names of the weights.
    fn epsilon(&self) -> Option<f64> {
        let epsilon = self.norm()?.epsilon;
        (epsilon != self.reference_epsilon()).then_some(epsilon)
    }

    /// Says what is added to variances, none for what goes with the names of the weights; false for a family that
    /// cannot have another than that.
    #[must_use]
    fn set_epsilon(&mut self, epsilon: Option<f64>) -> bool {
        let own = epsilon.unwrap_or(self.reference_epsilon());
        let mut norms = self.norms();
        norms.iter_mut().for_each(|norm| norm.epsilon = own);
        epsilon.is_none() || !norms.is_empty()
    }

    /// What it does otherwise than its reference.
    fn variant(&self) -> Variant {
        Variant::default()
    }

    /// Says what it does otherwise than its reference; false for a family that cannot do it.
    #[must_use]
    fn set_variant(&mut self, variant: Variant) -> bool {
        variant == Variant::default()
    }

    /// Heads of each layer of attention; empty where there is none.
    fn heads(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Says how many heads each layer has; false for a family that has other layers.
    #[must_use]
    fn set_heads(&mut self, heads: &[usize]) -> bool {
        heads.is_empty()
    }

    /// This network as another program has it. `torchvision` is its name in torchvision, `own` are the names of the
    /// reference.
    ///
    /// # Errors
    /// Why the program cannot build it.
    fn elsewhere(
        &self,
        program: Origin,
        torchvision: Option<&str>,
        own: &[String],
    ) -> Result<Elsewhere, String> {
        let _ = own;
        match program {
            Origin::Torchvision => elsewhere::of_torchvision(torchvision, self.epsilon()),
            _ => Err(elsewhere::UNKNOWN.into()),
        }
    }

    /// The path of learned positions, which may be those of images of another size in a file.
    fn positions(&self) -> Option<&'static str> {
        None
    }

    /// Positions for images of another size, made to fit; none where they cannot be.
    fn refit(&self, values: &TensorData, device: &Device) -> Option<TensorData> {
        let _ = (values, device);
        None
    }

    /// How the names of the classifiers begin in the reference's state dict; none for a family whose files always
    /// have a classifier.
    fn classifiers(&self) -> &'static [&'static str] {
        &[]
    }
}
