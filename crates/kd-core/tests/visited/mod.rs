//! What visitors and mappers of an objective find of a loss of one's own.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};
use kd_core::{Levels, OwnTerm, Part};

use crate::numbers;
use crate::projected::{objective, projected};

/// What a visitor sees of a module: where, of which kind and rank, and with which values.
#[derive(Default)]
struct Seen {
    path: Vec<String>,
    found: Vec<(String, Vec<f32>)>,
}

impl Seen {
    fn add(&mut self, kind: &str, values: Vec<f32>) {
        let path = self.path.join(".");
        self.found.push((format!("{path}: {kind}"), values));
    }
}

impl ModuleVisitor for Seen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(&format!("float of rank {D}"), numbers(param.val()));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let values = param.val().into_data().iter().collect();
        self.add(&format!("int of rank {D}"), values);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let values = param.val().int().into_data().iter().collect();
        self.add(&format!("bool of rank {D}"), values);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.add("flag", vec![f32::from(flag.is_enabled())]);
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, name: &str, _: &str) {
        assert_eq!(self.path.pop().as_deref(), Some(name));
    }
}

pub(crate) fn seen(module: &impl Module) -> Vec<(String, Vec<f32>)> {
    let mut seen = Seen::default();
    module.visit(&mut seen);
    assert!(seen.path.is_empty());
    seen.found
}

#[test]
fn a_visitor_sees_every_parameter_of_a_term() {
    let term = projected(3);
    let of_term = seen(&term);
    let kinds: Vec<&str> = of_term.iter().map(|(what, _)| what.as_str()).collect();
    let expected = [
        "projection.weight: float of rank 2",
        "projection.bias: float of rank 1",
        "norm.gamma: float of rank 1",
        "norm.beta: float of rank 1",
        "norm.training: flag",
        "norm.running_mean: float of rank 1",
        "norm.running_var: float of rank 1",
        "scale: float of rank 4",
        "order: int of rank 1",
        "kept: bool of rank 2",
    ];
    assert_eq!(kinds, expected);
    let of_objective = seen(&objective(3));
    assert_eq!(of_objective.len(), of_term.len());
    for ((found, values), (what, expected)) in of_objective.iter().zip(&of_term) {
        assert!(found.ends_with(&format!(".{what}")), "{found} {what}");
        assert_eq!(values, expected, "{what}");
    }
    assert_eq!(objective(3).num_params(), term.num_params());
    assert_eq!(term.num_params(), 3 * 5 + 5 + 4 * 5 + 3);
    let asked = objective(3).taps();
    assert_eq!(asked, term.taps());
    assert_eq!(asked.student.get(Part::Maps), &Levels::All);
}

#[test]
fn a_mapper_changes_every_parameter_of_a_term() {
    struct Change;

    impl ModuleMapper for Change {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value * 2.0)
        }

        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            param.map(|value| value + 1)
        }

        fn map_bool<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Bool>>,
        ) -> Param<Tensor<D, Bool>> {
            param.map(Tensor::bool_not)
        }

        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            flag.with_value(false)
        }
    }

    let before = objective(3);
    let (was, is) = (seen(&before), seen(&before.map(&mut Change)));
    for ((what, was), (again, is)) in was.iter().zip(&is) {
        assert_eq!(what, again);
        let change = |value: f32| match what.rsplit(": ").next() {
            Some("flag") => 0.0,
            Some("int of rank 1") => value + 1.0,
            Some("bool of rank 2") => 1.0 - value,
            _ => 2.0 * value,
        };
        let expected: Vec<f32> = was.iter().map(|value| change(*value)).collect();
        assert_eq!(*is, expected, "{what}");
    }
}
