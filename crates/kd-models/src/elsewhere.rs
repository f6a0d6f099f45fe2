//! What other programs call a network.

use serde_json::{Map, Value};

use crate::network::Network;
use crate::pruned::Pruned;
use crate::spelling::Spelling;
use crate::variant::Variant;
use crate::{Origin, registry};

/// A network as another program has it.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    /// The name by which the program builds it.
    pub name: String,
    /// What it is built with there, beside the number of classes.
    pub arguments: Map<String, Value>,
    /// The names of its tensors there.
    pub spelling: Spelling,
}

impl Elsewhere {
    /// A network that is built by its name alone.
    pub fn named(name: impl Into<String>, spelling: Spelling) -> Self {
        Self {
            name: name.into(),
            arguments: Map::new(),
            spelling,
        }
    }

    /// The same with more to be built with; `arguments` is a JSON object.
    #[must_use]
    pub fn with(mut self, arguments: Value) -> Self {
        if let Value::Object(arguments) = arguments {
            self.arguments.extend(arguments);
        }
        self
    }
}

/// What is said where a program has no such network.
pub(crate) const UNKNOWN: &str = "it has no such network";

/// A network that torchvision has, by its name there, with an epsilon that is not torchvision's if there is one.
///
/// # Errors
/// Why torchvision cannot build it.
pub(crate) fn of_torchvision(
    name: Option<&str>,
    epsilon: Option<f64>,
) -> Result<Elsewhere, String> {
    let name = name.ok_or(UNKNOWN)?;
    match epsilon {
        None => Ok(Elsewhere::named(name, Spelling::own(Origin::Torchvision))),
        Some(epsilon) => Err(other_epsilon(epsilon)),
    }
}

/// What is said of an epsilon that a program's network cannot have.
pub(crate) fn other_epsilon(epsilon: f64) -> String {
    format!("these weights need the epsilon {epsilon:e}, which its network cannot have")
}

impl Network {
    /// This network as another program has it.
    ///
    /// # Errors
    /// Why the program cannot build it.
    pub(crate) fn elsewhere(&self, program: Origin) -> Result<Elsewhere, String> {
        if self.pruned != Pruned::default() {
            return Err(
                "it lost channels, and the program has no widths for it: write safetensors or ONNX"
                    .into(),
            );
        }
        if self.grids.is_some() {
            return Err(
                "its layers are on integer grids, which the program does not have: write safetensors or ONNX".into(),
            );
        }
        if self.family.variant() != Variant::default() {
            return Err(
                "these weights are of Keras, whose convolutions pad or stride otherwise".into(),
            );
        }
        let names: Vec<String> = self.keys().into_iter().map(|key| key.name).collect();
        self.family.elsewhere(program, self.torchvision(), &names)
    }

    /// What torchvision calls it, which is an alias in the registry.
    fn torchvision(&self) -> Option<&'static str> {
        let info = registry::find(&self.config.model).ok()?;
        let mut aliases = info.aliases.iter();
        aliases.find_map(|alias| alias.strip_prefix("torchvision."))
    }
}
