//! Modules without their type.
//!
//! burn's visitors and mappers have methods that are generic over a tensor's rank, so a module is no
//! trait object. Here a parameter passes as [`Any`], and its rank is found again on the other side.

use std::any::Any;
use std::fmt::Debug;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Int, Tensor};

use super::OwnTerm;
use crate::{Error, Pair, PairTaps, Step};

/// [`OwnTerm`] as a trait object.
pub(super) trait AnyTerm: Debug + Send {
    fn copy(&self) -> Box<dyn AnyTerm>;
    fn taps(&self) -> PairTaps;
    fn needs_teacher(&self) -> bool;
    fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error>;
    fn visit(&self, visitor: &mut dyn AnyVisitor);
    fn map(self: Box<Self>, mapper: &mut dyn AnyMapper) -> Box<dyn AnyTerm>;
    fn to_device(self: Box<Self>, device: &Device) -> Box<dyn AnyTerm>;
    fn fork(self: Box<Self>, device: &Device) -> Box<dyn AnyTerm>;
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device>;
    fn materialize(self: Box<Self>) -> Box<dyn AnyTerm>;
    fn valid(&self) -> Box<dyn AnyTerm>;
    fn train(self: Box<Self>) -> Box<dyn AnyTerm>;
}

impl<T: OwnTerm> AnyTerm for T {
    fn copy(&self) -> Box<dyn AnyTerm> {
        Box::new(self.clone())
    }

    fn taps(&self) -> PairTaps {
        OwnTerm::taps(self)
    }

    fn needs_teacher(&self) -> bool {
        OwnTerm::needs_teacher(self)
    }

    fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        OwnTerm::forward(self, pair, step)
    }

    fn visit(&self, visitor: &mut dyn AnyVisitor) {
        Module::visit(self, &mut ToVisitor(visitor));
    }

    fn map(self: Box<Self>, mapper: &mut dyn AnyMapper) -> Box<dyn AnyTerm> {
        Box::new(Module::map(*self, &mut ToMapper(mapper)))
    }

    fn to_device(self: Box<Self>, device: &Device) -> Box<dyn AnyTerm> {
        Box::new(Module::to_device(*self, device))
    }

    fn fork(self: Box<Self>, device: &Device) -> Box<dyn AnyTerm> {
        Box::new(Module::fork(*self, device))
    }

    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        Module::collect_devices(self, devices)
    }

    fn materialize(self: Box<Self>) -> Box<dyn AnyTerm> {
        Box::new(Module::materialize(*self))
    }

    fn valid(&self) -> Box<dyn AnyTerm> {
        Box::new(Module::valid(self))
    }

    fn train(self: Box<Self>) -> Box<dyn AnyTerm> {
        Box::new(Module::train(*self))
    }
}

/// What is wrong when a parameter has more axes than any here.
const RANK: &str = "a parameter has at most eight axes";

/// Calls `$call` with a parameter of whichever rank it is.
macro_rules! of_any_rank {
    ($param:expr, $kind:ty, $downcast:ident, |$found:ident| $call:expr, else |$other:ident| $next:expr) => {{
        let $other = $param;
        of_any_rank!(@ $other, $kind, $downcast, |$found| $call, $next, 1 2 3 4 5 6 7 8)
    }};
    (@ $other:ident, $kind:ty, $downcast:ident, |$found:ident| $call:expr, $next:expr, $($rank:literal)+) => {{
        $(
            let $other = match $other.$downcast::<Param<Tensor<$rank, $kind>>>() {
                Ok($found) => return $call,
                Err(other) => other,
            };
        )+
        let _ = $other;
        $next
    }};
}

/// [`Any::downcast_ref`] with the value back when it is of another type.
trait DowncastRef<'a> {
    fn into_param<P: 'static>(self) -> Result<&'a P, &'a dyn Any>;
}

impl<'a> DowncastRef<'a> for &'a dyn Any {
    fn into_param<P: 'static>(self) -> Result<&'a P, &'a dyn Any> {
        self.downcast_ref::<P>().ok_or(self)
    }
}

/// A visitor without its type.
pub(super) trait AnyVisitor {
    fn float(&mut self, param: &dyn Any);
    fn int(&mut self, param: &dyn Any);
    fn bool(&mut self, param: &dyn Any);
    fn flag(&mut self, flag: &Param<Flag>);
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// A visitor whose type gets lost.
pub(super) struct FromVisitor<'a, V>(pub &'a mut V);

impl<V: ModuleVisitor> AnyVisitor for FromVisitor<'_, V> {
    fn float(&mut self, param: &dyn Any) {
        of_any_rank!(param, burn::tensor::Float, into_param, |param| self.0.visit_float(param),
            else |other| unreachable!("{RANK}"))
    }

    fn int(&mut self, param: &dyn Any) {
        of_any_rank!(param, Int, into_param, |param| self.0.visit_int(param),
            else |other| unreachable!("{RANK}"))
    }

    fn bool(&mut self, param: &dyn Any) {
        of_any_rank!(param, Bool, into_param, |param| self.0.visit_bool(param),
            else |other| unreachable!("{RANK}"))
    }

    fn flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }

    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

/// The visitor that a module is given.
struct ToVisitor<'a>(&'a mut dyn AnyVisitor);

impl ModuleVisitor for ToVisitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.float(param);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.int(param);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.bool(param);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

/// A mapper without its type.
pub(super) trait AnyMapper {
    fn float(&mut self, param: Box<dyn Any>) -> Box<dyn Any>;
    fn int(&mut self, param: Box<dyn Any>) -> Box<dyn Any>;
    fn bool(&mut self, param: Box<dyn Any>) -> Box<dyn Any>;
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// A mapper whose type gets lost.
pub(super) struct FromMapper<'a, M>(pub &'a mut M);

impl<M: ModuleMapper> AnyMapper for FromMapper<'_, M> {
    fn float(&mut self, param: Box<dyn Any>) -> Box<dyn Any> {
        of_any_rank!(param, burn::tensor::Float, downcast, |param| Box::new(self.0.map_float(*param)),
            else |other| unreachable!("{RANK}"))
    }

    fn int(&mut self, param: Box<dyn Any>) -> Box<dyn Any> {
        of_any_rank!(param, Int, downcast, |param| Box::new(self.0.map_int(*param)),
            else |other| unreachable!("{RANK}"))
    }

    fn bool(&mut self, param: Box<dyn Any>) -> Box<dyn Any> {
        of_any_rank!(param, Bool, downcast, |param| Box::new(self.0.map_bool(*param)),
            else |other| unreachable!("{RANK}"))
    }

    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }

    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

/// The mapper that a module is given.
struct ToMapper<'a>(&'a mut dyn AnyMapper);

/// A parameter of the type that went out.
fn back<P: 'static>(param: Box<dyn Any>) -> P {
    match param.downcast() {
        Ok(param) => *param,
        Err(_) => unreachable!("a mapper keeps the type of a parameter"),
    }
}

impl ModuleMapper for ToMapper<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        back(self.0.float(Box::new(param)))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        back(self.0.int(Box::new(param)))
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        back(self.0.bool(Box::new(param)))
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}
