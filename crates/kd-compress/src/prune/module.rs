//! Parameters of a module, read, changed and cut by name.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use super::{Array, Cuts, Parameters, Structure};

/// The names of a module's parameters, as a trace of it has them: its paths in PyTorch's words for normalisation, which
/// `rename` changes ([`kd_models::Network::pytorch_name`], or `str::to_owned`).
pub(super) struct Names<'a> {
    path: Vec<String>,
    containers: Vec<String>,
    rename: &'a dyn Fn(&str) -> String,
}

impl<'a> Names<'a> {
    pub fn new(rename: &'a dyn Fn(&str) -> String) -> Self {
        Self {
            path: Vec::new(),
            containers: Vec::new(),
            rename,
        }
    }

    pub fn enter(&mut self, name: &str, container: &str) {
        self.containers.push(container.to_owned());
        // An enum's variant is no part of a state dict's names.
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    pub fn exit(&mut self, container: &str) {
        self.containers.pop();
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    /// The module type that declares the current parameter.
    fn owner(&self) -> &str {
        let mut containers = self.containers.iter().rev();
        let owner = containers.find_map(|container| container.strip_prefix("Struct:"));
        owner.unwrap_or_default()
    }

    pub fn is_batch_norm(&self) -> bool {
        self.owner() == "BatchNorm"
    }

    fn name(&self) -> String {
        let path = self.path.join(".");
        let normalises = self.owner().ends_with("Norm");
        let path = match path.rsplit_once('.') {
            Some((module, "gamma")) if normalises => format!("{module}.weight"),
            Some((module, "beta")) if normalises => format!("{module}.bias"),
            _ => path,
        };
        (self.rename)(&path)
    }
}

/// The values of all parameters and running statistics.
pub fn parameters<M: Module>(module: &M, rename: &dyn Fn(&str) -> String) -> Parameters {
    struct Read<'a> {
        names: Names<'a>,
        found: Parameters,
    }
    impl ModuleVisitor for Read<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.names.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.insert(self.names.name(), array(param.val()));
        }
    }
    let mut read = Read {
        names: Names::new(rename),
        found: Parameters::new(),
    };
    // Running statistics include the newest batch there.
    module.valid().visit(&mut read);
    read.found
}

/// The gradients of all parameters that have one.
pub fn gradients<M: Module>(
    module: &M,
    gradients: &Gradients,
    rename: &dyn Fn(&str) -> String,
) -> Parameters {
    struct Read<'a> {
        names: Names<'a>,
        gradients: &'a Gradients,
        found: Parameters,
    }
    impl ModuleVisitor for Read<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.names.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.gradients) {
                self.found.insert(self.names.name(), array(gradient));
            }
        }
    }
    let mut read = Read {
        names: Names::new(rename),
        gradients,
        found: Parameters::new(),
    };
    module.visit(&mut read);
    read.found
}

fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    Array {
        shape: tensor.dims().to_vec(),
        values: tensor.into_data().iter::<f64>().collect(),
    }
}

/// The same module with these values, where they are named; they may have other shapes. It has running statistics of its
/// own.
pub fn filled<M: Module>(module: &M, values: &Parameters, rename: &dyn Fn(&str) -> String) -> M {
    struct Fill<'a> {
        names: Names<'a>,
        values: &'a Parameters,
    }
    impl ModuleMapper for Fill<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.names.exit(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(array) = self.values.get(&self.names.name()) else {
                return param;
            };
            let trained = param.is_require_grad();
            let value = param.val();
            let data = TensorData::new(array.values.clone(), array.shape.clone());
            let filled = Tensor::from_data(data, (&value.device(), value.dtype()));
            Param::initialized(param.id, filled.set_require_grad(trained))
        }
    }
    let mut fill = Fill {
        names: Names::new(rename),
        values,
    };
    own(module).map(&mut fill)
}

/// A copy that shares no running statistics, on the same device.
pub(super) fn own<M: Module>(module: &M) -> M {
    let devices = module.collect_devices(Vec::new());
    let trains = devices.iter().any(|device| device.is_autodiff());
    let copy = module.valid();
    if trains { copy.train() } else { copy }
}

/// The same module with what a plan cuts off gone.
pub fn cut<M: Module>(module: &M, cuts: &Cuts, rename: &dyn Fn(&str) -> String) -> M {
    let mut values = parameters(module, rename);
    values.retain(|name, _| cuts.0.contains_key(name));
    filled(module, &cuts.apply(&values), rename)
}

/// The same module with these units of each group switched off: everything that makes them is 0, but for running variances.
/// It computes what the pruned module computes, except for groups that a layer normalisation sees together.
pub fn masked<M: Module>(
    module: &M,
    structure: &Structure,
    removed: &[Vec<usize>],
    rename: &dyn Fn(&str) -> String,
) -> M {
    let mut values = parameters(module, rename);
    for (group, removed) in structure.groups.iter().zip(removed) {
        let outputs = group.members.iter().filter(|member| member.is_output());
        for member in outputs.filter(|member| !member.parameter.ends_with("running_var")) {
            let gone: Vec<usize> = removed
                .iter()
                .flat_map(|unit| &member.units[*unit])
                .copied()
                .collect();
            if let Some(array) = values.remove(&member.parameter) {
                values.insert(member.parameter.clone(), array.masked(member.axis, &gone));
            }
        }
    }
    filled(module, &values, rename)
}

/// The same module with everything off that is on in training alone: batches are normalised by running statistics, and nothing
/// is dropped, while gradients are recorded.
pub fn frozen<M: Module>(module: &M) -> M {
    struct Off;
    impl ModuleMapper for Off {
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            flag.with_value(false)
        }
    }
    own(module).map(&mut Off)
}
