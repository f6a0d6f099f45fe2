//! The state dict of a network: names and shapes, without values.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// A tensor of the state dict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Path within the module, such as `bn1.gamma`.
    pub path: String,
    /// Name in the reference's state dict, such as `bn1.weight`.
    pub name: String,
    /// Shape in the reference's state dict.
    pub shape: Vec<usize>,
    /// False for running statistics.
    pub trainable: bool,
}

impl Key {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Every tensor of a module; `pytorch_key` renames modules, the renaming of parameters is
/// burn-wide.
pub(crate) fn of<M: Module>(module: &M, pytorch_key: impl Fn(&str) -> String) -> Vec<Key> {
    let mut lister = Lister::default();
    module.visit(&mut lister);
    for key in &mut lister.keys {
        key.name = pytorch_key(&key.name);
    }
    lister.keys
}

/// Numbers that are trained.
pub(crate) fn trained(keys: &[Key]) -> usize {
    let trainable = keys.iter().filter(|key| key.trainable);
    trainable.map(Key::count).sum()
}

#[derive(Default)]
struct Lister {
    path: Vec<String>,
    containers: Vec<String>,
    keys: Vec<Key>,
}

impl Lister {
    /// The module type that declares the current parameter.
    fn owner(&self) -> &str {
        self.containers
            .iter()
            .rev()
            .find_map(|container| container.strip_prefix("Struct:"))
            .unwrap_or_default()
    }
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.containers.push(container.to_owned());
        // An enum's variant is no part of a state dict's names.
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.containers.pop();
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape: Vec<usize> = param.lazy_shape().iter().copied().collect();
        let path = self.path.join(".");
        let (modules, last) = path.rsplit_once('.').unwrap_or(("", &path));
        let renamed = match (self.owner(), last) {
            ("BatchNorm", "gamma") => "weight",
            ("BatchNorm", "beta") => "bias",
            (_, last) => last,
        };
        if (self.owner(), last) == ("Linear", "weight") {
            shape.reverse();
        }
        self.keys.push(Key {
            name: format!("{modules}.{renamed}"),
            shape,
            trainable: !last.starts_with("running_"),
            path,
        });
    }
}
