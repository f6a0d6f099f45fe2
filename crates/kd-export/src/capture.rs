//! Forward passes as burn records them.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use burn_capture::{CaptureBackend, CapturedGraph, TensorId};

use crate::Error;

/// A recorded forward pass.
pub(crate) struct Captured {
    pub graph: CapturedGraph,
    /// Path in the module and name in PyTorch's spelling of every parameter and running statistic.
    pub names: BTreeMap<TensorId, String>,
}

/// Records `forward` of a copy of `module` for an input of this shape.
///
/// The copy is one of [`Module::valid`], which has running statistics of its own: those of a plain clone are
/// shared with the original, and would move to the capture device with it.
///
/// # Errors
/// [`Error::Capture`].
pub(crate) fn capture<M: Module, const D: usize, const E: usize>(
    module: &M,
    shape: [usize; D],
    forward: impl FnOnce(&M, Tensor<D>) -> Tensor<E>,
) -> Result<Captured, Error> {
    let copy = module.valid();
    let device = Device::capture();
    let input = Tensor::<D>::from_data(TensorData::zeros::<f32, _>(shape), &plain(module));
    let mut names = BTreeMap::new();
    let graph = device
        .capture_scope(|scope| {
            let copy = copy.to_device(&device);
            let input = input.to_device(&device);
            let mut lister = Lister::default();
            copy.visit(&mut lister);
            names = lister.names;
            let output = forward(&copy, input.clone());
            scope.complete([id(&input)], [id(&output)])
        })
        .map_err(|problem| Error::Capture {
            problem: problem.to_string(),
        })?;
    Ok(Captured { graph, names })
}

/// The device of a module's parameters, without autodiff.
pub(crate) fn plain<M: Module>(module: &M) -> Device {
    let devices = module.collect_devices(Vec::new());
    let device = devices.into_iter().next().unwrap_or_default();
    device.without_autodiff()
}

fn id<const D: usize>(tensor: &Tensor<D>) -> TensorId {
    let tensor = tensor.clone().try_into_primitive::<CaptureBackend>();
    tensor.expect("a tensor of the capture device").id()
}

/// Names parameters by their path, in PyTorch's spelling.
#[derive(Default)]
struct Lister {
    path: Vec<String>,
    containers: Vec<String>,
    names: BTreeMap<TensorId, String>,
}

impl Lister {
    /// The module type that declares the current parameter.
    fn owner(&self) -> &str {
        let mut containers = self.containers.iter().rev();
        let owner = containers.find_map(|container| container.strip_prefix("Struct:"));
        owner.unwrap_or_default()
    }

    fn name(&self) -> String {
        let path = self.path.join(".");
        let normalises = self.owner().ends_with("Norm");
        match path.rsplit_once('.') {
            Some((module, "gamma")) if normalises => format!("{module}.weight"),
            Some((module, "beta")) if normalises => format!("{module}.bias"),
            _ => path,
        }
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
        self.names.insert(id(&param.val()), self.name());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let tensor = param.val().try_into_primitive::<CaptureBackend>();
        let tensor = tensor.expect("a tensor of the capture device");
        self.names.insert(tensor.id(), self.name());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let tensor = param.val().try_into_primitive::<CaptureBackend>();
        let tensor = tensor.expect("a tensor of the capture device");
        self.names.insert(tensor.id(), self.name());
    }
}
