//! Any registered network as one type.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use kd_core::{Head, Output, Taps};
use kd_kernels::layers::{LayerGrids, computed};

use crate::backbone::Backbone;
use crate::config::NetworkConfig;
use crate::enlarged::resized;
use crate::families::{Design, ImageNetwork};
use crate::keys::{self, Key};
use crate::pruned::Pruned;
use crate::registry;
use crate::standardise::Standardise;
use crate::vit::VitDesign;
use crate::{Error, Origin, VitConfig};

/// A registered network.
///
/// Input is `[batch, channels, height, width]`; any size that survives the strides will do, since
/// the last pooling is global, or to a fixed size (which at the network's own size is what the references compute).
/// A vision transformer is built for a size; for images of another it resizes its positions, and leaves out what does not
/// fill a patch.
///
/// Cloning shares the running statistics of batch normalisation with the original; a copy of
/// its own comes from [`Module::valid`] or from [`Network::load`].
///
/// It may have a [`Head`] in the place of its own classifier ([`Backbone::with_head`]), which is saved with
/// it, counted in its cost, and read back from its file.
#[derive(Module, Debug)]
pub struct Network {
    pub(crate) family: ImageNetwork,
    /// What stands in the place of the family's own classifier.
    pub(crate) head: Option<Head>,
    #[module(skip)]
    pub(crate) config: NetworkConfig,
    /// What images are changed into before the first layer sees them.
    #[module(skip)]
    pub(crate) input: Option<Standardise>,
    /// Whether images are then brought to the size that it was built for.
    #[module(skip)]
    pub(crate) resizes: bool,
    /// What it lost since it was built.
    #[module(skip)]
    pub(crate) pruned: Pruned,
    /// What its layers compute with, where that is not floats.
    #[module(skip)]
    pub(crate) grids: Option<LayerGrids>,
}

impl Network {
    /// Builds a network with the initialisation of its reference, drawn now by this
    /// thread's generator in a fixed order: after the same [`kd_core::draw::seed`] come the same
    /// parameters, on every device.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::Config`].
    pub fn new(config: &NetworkConfig, device: &Device) -> Result<Self, Error> {
        let network = Self::lazy(config, device)?;
        network.draw();
        Ok(network)
    }

    /// Builds a network whose parameters are drawn when they are first used, or never if they
    /// are loaded.
    pub(crate) fn lazy(config: &NetworkConfig, device: &Device) -> Result<Self, Error> {
        let info = registry::find(&config.model)?;
        let config = NetworkConfig {
            model: info.name.into(),
            ..config.clone()
        };
        let family = info.build(&config, device)?;
        let network = Self::of(family, config);
        network.counted(network.config.image_size()?, "size")?;
        Ok(network)
    }

    fn of(family: ImageNetwork, config: NetworkConfig) -> Self {
        Self {
            family,
            head: None,
            config,
            input: None,
            resizes: false,
            pruned: Pruned::default(),
            grids: None,
        }
    }

    /// Builds a vision transformer of any shape, such as that of a file with weights, which
    /// [`Network::load`] then reads. `config.model` is what messages call it. Parameters are drawn as
    /// [`Network::new`] draws them.
    ///
    /// # Errors
    /// [`Error::Config`] for a shape that cannot be, or images that its patches do not fill, [`Error::Share`].
    pub fn vit(shape: &VitConfig, config: &NetworkConfig, device: &Device) -> Result<Self, Error> {
        let design = Design::Vit(VitDesign {
            shape: *shape,
            image_size: config.image_size()?,
        });
        let family = registry::build(&design, config, device)?;
        let network = Self::of(family, config.clone());
        network.draw();
        Ok(network)
    }

    /// Draws what is not drawn yet.
    pub(crate) fn draw(&self) {
        self.family.visit(&mut Draw);
    }

    /// The same network for images that were normalised with the statistics `given`, where it was trained with
    /// images that were normalised with `own`: each forward pass changes them first. Both are mean and
    /// standard deviation of each channel, in units of 255. It is not saved with the weights.
    ///
    /// # Errors
    /// [`Error::Statistics`] when they are not for the channels of this network.
    pub fn for_statistics(
        self,
        given: (&[f32], &[f32]),
        own: (&[f32], &[f32]),
    ) -> Result<Self, Error> {
        let input = Some(Standardise::new(given, own, self.config.channels()?)?);
        Ok(Self { input, ..self })
    }

    /// The same network for images of any size, which each forward pass first resizes to the size that it was built for
    /// (bicubic): a teacher that was trained with large images sees the small ones of its student. It is not saved with
    /// the weights.
    #[must_use]
    pub fn resizing(self) -> Self {
        Self {
            resizes: true,
            ..self
        }
    }

    /// What this network was built from, with the canonical name.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The program that the weights of a vision transformer are from; none for other networks. The names in the file
    /// that was loaded say it, and it is saved with the weights.
    pub fn origin(&self) -> Option<Origin> {
        self.family.origin()
    }

    /// Where the parameters are.
    pub(crate) fn device(&self) -> Option<Device> {
        self.family.collect_devices(Vec::new()).into_iter().next()
    }

    /// Every tensor of the state dict, in the order of the module.
    pub(crate) fn keys(&self) -> Vec<Key> {
        keys::of(self, |path| self.pytorch_name(path))
    }

    /// The name in the reference's state dict of a parameter, whose path in this module has PyTorch's words for
    /// what normalises: `family.layer1.0.bn1.weight` is `layer1.0.bn1.weight` of a ResNet.
    pub fn pytorch_name(&self, path: &str) -> String {
        match path.strip_prefix("family.") {
            Some(path) => self.family.pytorch_key(path),
            None => path.to_owned(),
        }
    }

    /// The head that stands in the place of its own classifier.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The forward pass of images that are as the first layer wants them.
    fn layers_forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let Some(head) = &self.head else {
            return self.family.forward(input, taps);
        };
        let shown = self.family.forward(input, &head.taps().union(taps.clone()));
        head.read(shown, taps)
            .expect("a head is tried before a network gets it")
    }

    /// Refuses a head that cannot read what the family shows, by trying.
    pub(crate) fn check_head(&self, head: &Head) -> Result<(), Error> {
        // In evaluation mode, so that running statistics stay as they are.
        let (family, head) = (self.family.valid(), head.valid());
        let device = family.collect_devices(Vec::new()).into_iter().next();
        let size = self.config.image_size()?;
        let shape = [1, self.config.channels()?, size, size];
        let image = Tensor::zeros(shape, &device.unwrap_or_default());
        let shown = family.forward(image, &head.taps());
        let read = head.read(shown.clone(), &Taps::none());
        let problem = match read {
            Ok(read) if read.logits.dims() == shown.logits.dims() => return Ok(()),
            Ok(_) => kd_core::Error::Shape {
                loss: "head",
                problem: format!(
                    "it knows {} classes, and the network {}",
                    head.config().classes,
                    self.config.classes
                ),
            },
            Err(problem) => problem,
        };
        Err(Error::Head {
            model: self.config.model.clone(),
            problem,
        })
    }
}

impl Backbone for Network {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let input = match &self.input {
            Some(standardise) => standardise.apply(input),
            None => input,
        };
        let input = match self.config.image_size() {
            Ok(size) if self.resizes => resized(input, size),
            _ => input,
        };
        computed(self.grids.as_ref(), || self.layers_forward(input, taps))
    }

    fn with_head(self, head: Head) -> Result<Self, Error> {
        self.check_head(&head)?;
        Ok(Self {
            head: Some(head),
            ..self
        })
    }
}

/// Touches every parameter, which draws the ones that are not drawn yet.
struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}
