//! The parameters of a term's adapters: from a golden file, and back to it.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use super::case::{Adapters, Case, Found, numbers};

/// Which module of a term stands for which of the reference: paths of both.
pub type Names = Vec<(String, String)>;

/// One pair of [`Names`].
pub fn name(ours: impl Into<String>, theirs: impl Into<String>) -> (String, String) {
    (ours.into(), theirs.into())
}

/// The term with the case's parameters, and a function that reads their gradients.
///
/// # Panics
/// When a parameter of the case is left over, or has another shape.
pub fn load<M: Module + 'static>(term: M, names: Names, case: &Case) -> (M, Adapters) {
    let mut fill = Fill {
        at: Walk::new(names.clone()),
        case,
        filled: BTreeSet::new(),
    };
    let term = term.map(&mut fill);
    let left: Vec<String> = case.parameter_keys();
    let left: Vec<&String> = left.iter().filter(|k| !fill.filled.contains(*k)).collect();
    assert!(left.is_empty(), "nothing here stands for {left:?}");
    let module = term.clone();
    let read = move |gradients: &Gradients| {
        let mut read = Read {
            at: Walk::new(names.clone()),
            gradients,
            found: Found::new(),
        };
        module.visit(&mut read);
        read.found
    };
    (term, Box::new(read))
}

/// Where in a module a visitor is.
struct Walk {
    path: Vec<String>,
    names: Names,
}

impl Walk {
    fn new(names: Names) -> Self {
        Self {
            path: Vec::new(),
            names,
        }
    }

    /// The reference's key for the parameter that is visited; none for what it does not have, such as buffers.
    fn key(&self) -> Option<String> {
        let (leaf, module) = self.path.split_last()?;
        let module = module.join(".");
        let (_, theirs) = self.names.iter().find(|(ours, _)| *ours == module)?;
        let leaf = match leaf.as_str() {
            "gamma" => "weight",
            "beta" => "bias",
            "running_mean" | "running_var" => return None,
            other => other,
        };
        Some(match theirs.trim_end_matches(FLIPPED) {
            "" => leaf.into(),
            theirs => format!("{theirs}.{leaf}"),
        })
    }

    /// Whether the reference has a transposed convolution in the place of a convolution of stride 1.
    fn flipped(&self) -> bool {
        let module = self.path[..self.path.len() - 1].join(".");
        let known = self.names.iter().find(|(ours, _)| *ours == module);
        known.is_some_and(|(_, theirs)| theirs.ends_with(FLIPPED))
    }
}

/// Ends the reference's path of a transposed convolution that a convolution stands for here.
pub const FLIPPED: char = '~';

/// Their layout from ours and the other way round, for a weight of this shape: a linear layer is transposed, and the
/// kernel of a transposed convolution of stride 1 is that of a convolution, with its sides exchanged and turned by
/// half a turn.
fn turned<const D: usize>(values: Tensor<D>, flipped: bool) -> Tensor<D> {
    match D {
        2 => values.swap_dims(0, 1),
        4 if flipped => values.swap_dims(0, 1).flip([2, 3]),
        _ => values,
    }
}

struct Fill<'a> {
    at: Walk,
    case: &'a Case<'a>,
    filled: BTreeSet<String>,
}

impl ModuleMapper for Fill<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        let Some(key) = self.at.key() else {
            let value = old.detach().cast(self.case.dtype);
            return Param::from_mapped_value(id, value, mapper);
        };
        let flipped = self.at.flipped() && D == 4;
        let (values, mut shape) = self.case.parameter(&key);
        // A normalisation of `[channels, 1, 1]` has a value a channel.
        while shape.len() > D && shape.last() == Some(&1) {
            shape.pop();
        }
        let shape: [usize; D] = shape
            .try_into()
            .expect("the parameter's number of dimensions");
        let theirs = self.case.of_data(values, shape);
        let value = turned(theirs, flipped);
        assert_eq!(value.dims(), old.dims(), "{key}");
        self.filled.insert(key);
        Param::from_mapped_value(id, value.detach().require_grad(), mapper)
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.at.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.at.path.pop();
    }
}

struct Read<'a> {
    at: Walk,
    gradients: &'a Gradients,
    found: Found,
}

impl ModuleVisitor for Read<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(key) = self.at.key() {
            let flipped = self.at.flipped();
            let gradient = param.val().grad(self.gradients);
            let gradient = gradient.map(|gradient| numbers(turned(gradient, flipped)));
            self.found.insert(key, gradient);
        }
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.at.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.at.path.pop();
    }
}
