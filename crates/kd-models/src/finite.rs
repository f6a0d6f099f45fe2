//! Values that are no numbers.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// A tensor of a module with values that are not finite.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NotFinite {
    /// Path of the tensor within the module, such as `layer1.0.conv1.weight`.
    pub path: String,
    /// The first of the values.
    pub value: f32,
    /// How many there are.
    pub count: usize,
    /// How many values the tensor has.
    pub of: usize,
}

/// The first tensor of a module, parameter or running statistic, that holds NaN or infinity; none when all
/// values are finite.
pub fn not_finite(module: &impl Module) -> Option<NotFinite> {
    let mut search = Search::default();
    module.visit(&mut search);
    search.found
}

#[derive(Default)]
struct Search {
    path: Vec<String>,
    found: Option<NotFinite>,
}

impl ModuleVisitor for Search {
    fn enter_module(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_some() {
            return;
        }
        let data = param.val().into_data();
        let mut values = data.iter::<f32>().filter(|value| !value.is_finite());
        if let Some(value) = values.next() {
            self.found = Some(NotFinite {
                path: self.path.join("."),
                value,
                count: 1 + values.count(),
                of: data.shape().iter().product(),
            });
        }
    }
}
