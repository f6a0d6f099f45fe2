//! Networks that lost channels or heads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use kd_core::Taps;

use crate::backbone::Backbone;
use crate::network::Network;
use crate::{Error, header};

/// The entry of a header with the shapes of parameters that lost channels, by their names.
const SHAPES: &str = "shapes";

/// The entry of a header with the heads of each layer of attention.
const HEADS: &str = "heads";

/// What a network has otherwise than it was built with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// By name in the state dict, as the reference lays them out.
    shapes: BTreeMap<String, Vec<usize>>,
    /// Of each layer of attention; empty where none lost a head.
    heads: Vec<usize>,
}

impl Pruned {
    /// What the header of a file says; none where it says nothing.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn of_file(path: &Path) -> Result<Option<Self>, Error> {
        let shapes = header::entry(path, SHAPES)?;
        let heads = header::entry(path, HEADS)?;
        Ok(shapes.map(|shapes| Self {
            shapes,
            heads: heads.unwrap_or_default(),
        }))
    }

    /// Entries of a header.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> {
        let shapes = (!self.shapes.is_empty()).then(|| serde_json::json!(self.shapes));
        let heads = (!self.heads.is_empty()).then(|| serde_json::json!(self.heads));
        let entries = [(SHAPES, shapes), (HEADS, heads)];
        entries
            .into_iter()
            .filter_map(|(key, value)| Some((key.into(), value?.to_string())))
    }
}

impl Network {
    /// The same network with fewer channels: the parameters of `shapes`, by their names in the state dict and as the
    /// reference lays them out, have these shapes and are to be filled. `heads` are those of each layer of attention,
    /// empty where none lost one. It is saved with the weights, and a file that says so is loaded as it is.
    ///
    /// # Errors
    /// [`Error::Widths`] for a name that is not there, a shape with other axes, or one that grows, and for shapes that do
    /// not fit each other.
    pub fn with_shapes(
        self,
        shapes: BTreeMap<String, Vec<usize>>,
        heads: &[usize],
    ) -> Result<Self, Error> {
        let heads = heads.to_vec();
        self.with_widths(Pruned { shapes, heads })
    }

    pub(crate) fn with_widths(self, pruned: Pruned) -> Result<Self, Error> {
        let model = self.config.model.clone();
        let wrong = |problem: String| Error::Widths {
            model: model.clone(),
            problem,
        };
        let keys = self.keys();
        let mut resize = Resize::default();
        for (name, shape) in &pruned.shapes {
            let Some(key) = keys.iter().find(|key| key.name == *name) else {
                return Err(wrong(format!("it has no tensor `{name}`")));
            };
            let fits = |(new, old): (&usize, &usize)| (1..=*old).contains(new);
            let same_axes = shape.len() == key.shape.len();
            if !same_axes || !shape.iter().zip(&key.shape).all(fits) {
                return Err(wrong(format!(
                    "`{name}` of shape {:?} cannot become {shape:?}: as many axes, each from 1 to what it is",
                    key.shape
                )));
            }
            resize.shapes.insert(key.path.clone(), shape.clone());
        }
        // Of running statistics of its own: those of a clone are shared.
        let trains = self.device().is_some_and(|device| device.is_autodiff());
        let own = self.valid();
        let own = if trains { own.train() } else { own };
        let mut network = own.map(&mut resize);
        if !pruned.heads.is_empty() && !network.family.set_heads(&pruned.heads) {
            let problem = "its layers of attention are not as many as `heads` has numbers";
            return Err(wrong(problem.into()));
        }
        if pruned.heads.contains(&0) {
            return Err(wrong("`heads` has a layer without heads".into()));
        }
        network.pruned.shapes.extend(pruned.shapes);
        if !pruned.heads.is_empty() {
            network.pruned.heads = pruned.heads;
        }
        match network.runs() {
            true => Ok(network),
            false => Err(wrong("the shapes do not fit each other".into())),
        }
    }

    /// Heads of each layer of attention; empty for a network without.
    pub fn heads(&self) -> Vec<usize> {
        self.family.heads()
    }

    /// Whether an image goes through.
    fn runs(&self) -> bool {
        let trial = || {
            let (channels, size) = (self.config.channels().ok()?, self.config.image_size().ok()?);
            let network = self.valid();
            let device = network.device().unwrap_or_default();
            let image = Tensor::zeros([1, channels, size, size], &device);
            Some(network.forward(image, &Taps::none()).logits.dims())
        };
        matches!(catch_unwind(AssertUnwindSafe(trial)), Ok(Some([1, _])))
    }
}

/// Gives parameters other shapes, by their paths.
#[derive(Default)]
struct Resize {
    path: Vec<String>,
    containers: Vec<String>,
    /// As the reference lays them out.
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleMapper for Resize {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.containers.push(container.to_owned());
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        self.containers.pop();
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(shape) = self.shapes.get(&path) else {
            return param;
        };
        let mut containers = self.containers.iter().rev();
        let owner = containers.find_map(|container| container.strip_prefix("Struct:"));
        let mut shape = shape.clone();
        if owner == Some("Linear") && path.ends_with(".weight") {
            shape.reverse();
        }
        let trained = param.is_require_grad();
        let zeros = Tensor::zeros(shape, &param.lazy_device());
        Param::initialized(param.id, zeros.set_require_grad(trained))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::NetworkConfig;

    fn resnet() -> Network {
        let config = NetworkConfig::new("resnet8", 10, 3);
        Network::new(&config, &Device::flex()).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let message = |name: &str, shape: &[usize]| {
            let shapes = BTreeMap::from([(name.to_owned(), shape.to_vec())]);
            resnet().with_shapes(shapes, &[]).unwrap_err().to_string()
        };
        assert!(message("conv9.weight", &[1]).contains("no tensor `conv9.weight`"));
        let grown = message("conv1.weight", &[17, 3, 3, 3]);
        assert!(
            grown.contains("[16, 3, 3, 3] cannot become [17, 3, 3, 3]"),
            "{grown}"
        );
        assert!(message("conv1.weight", &[0, 3, 3, 3]).contains("from 1"));
        assert!(message("conv1.weight", &[8, 3, 3, 3]).contains("do not fit each other"));
        let heads = resnet().with_shapes(BTreeMap::new(), &[2]);
        assert!(
            heads
                .unwrap_err()
                .to_string()
                .contains("layers of attention")
        );
    }

    #[test]
    fn a_file_of_a_smaller_network_is_read_as_it_is() {
        let narrow = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
        let shapes = BTreeMap::from([
            narrow("layer1.0.conv1.weight", &[5, 16, 3, 3]),
            narrow("layer1.0.bn1.weight", &[5]),
            narrow("layer1.0.bn1.bias", &[5]),
            narrow("layer1.0.bn1.running_mean", &[5]),
            narrow("layer1.0.bn1.running_var", &[5]),
            narrow("layer1.0.conv2.weight", &[16, 5, 3, 3]),
        ]);
        let network = resnet().with_shapes(shapes, &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pruned.safetensors");
        network.save(&path, &[]).unwrap();
        let again = Network::from_file(network.config(), &path, &Device::flex()).unwrap();
        assert_eq!(again.cost(32).unwrap(), network.cost(32).unwrap());
        assert!(again.cost(32).unwrap().macs < resnet().cost(32).unwrap().macs);
        let images = Tensor::<4>::ones([1, 3, 32, 32], &Device::flex());
        let [one, other] = [&network, &again].map(|network| {
            network
                .forward(images.clone(), &Taps::none())
                .logits
                .into_data()
        });
        assert_eq!(one, other);
    }

    #[test]
    fn other_programs_have_no_widths_for_it() {
        let config = NetworkConfig::new("resnet18_224", 10, 3).with_image_size(64);
        let network = Network::new(&config, &Device::flex()).unwrap();
        assert!(network.folder_formats().len() > 1);
        let narrow = |name: &str, shape: &[usize]| (format!("layer1.0.{name}"), shape.to_vec());
        let shapes = BTreeMap::from([
            narrow("conv1.weight", &[5, 64, 3, 3]),
            narrow("bn1.weight", &[5]),
            narrow("bn1.bias", &[5]),
            narrow("bn1.running_mean", &[5]),
            narrow("bn1.running_var", &[5]),
            narrow("conv2.weight", &[64, 5, 3, 3]),
        ]);
        let pruned = network.with_shapes(shapes, &[]).unwrap();
        assert_eq!(pruned.folder_formats(), [crate::FolderFormat::Safetensors]);
    }
}
