//! Walks over a module's trainable parameters and their gradients.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

/// Squared L2 norm of all gradients together, `[1]`; none when there are no gradients.
pub(crate) fn squared_norm<M: Module>(
    module: &M,
    gradients: &GradientsParams,
) -> Option<Tensor<1>> {
    let mut visitor = SquaredNorm {
        gradients,
        sum: None,
    };
    module.visit(&mut visitor);
    visitor.sum
}

struct Scale {
    gradients: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let scaled = gradient.mul_scalar(self.factor);
            self.gradients.register(param.id, scaled);
        }
    }
}

/// Every gradient times `factor`.
pub(crate) fn scale<M: Module>(
    module: &M,
    gradients: GradientsParams,
    factor: f64,
) -> GradientsParams {
    let mut visitor = Scale { gradients, factor };
    module.visit(&mut visitor);
    visitor.gradients
}

struct Count(u64);

impl ModuleVisitor for Count {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.0 += value.shape().num_elements() as u64;
        }
    }
}

/// How many numbers of a module are trained: no running statistics, no memory banks, nothing that
/// belongs to the teacher.
pub(crate) fn trainable_parameters<M: Module>(module: &M) -> u64 {
    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}

/// An exponential moving average of a module's trainable parameters.
pub(crate) struct Average {
    values: GradientsParams,
    decay: f64,
    updates: i32,
}

struct Update<'a>(&'a mut Average, f64);

impl ModuleVisitor for Update<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        let value = value.inner();
        let decay = self.1;
        let next = match self.0.values.remove::<D>(param.id) {
            Some(mean) => mean.mul_scalar(decay) + value.mul_scalar(1.0 - decay),
            None => value,
        };
        self.0.values.register(param.id, next);
    }
}

struct Replace<'a>(&'a Average);

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.values.get::<D>(param.id) {
            Some(mean) => param.map(|_| mean),
            None => param,
        }
    }
}

/// Identities of trainable parameters.
struct Trained(HashSet<ParamId>);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.0.insert(param.id);
        }
    }
}

struct Take<'a>(&'a mut Average, HashSet<ParamId>);

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.1.contains(&param.id) {
            self.0.values.register(param.id, param.val());
        }
    }
}

impl Average {
    pub(crate) fn new(decay: f64) -> Self {
        Self {
            values: GradientsParams::new(),
            decay,
            updates: 0,
        }
    }

    /// Takes in the parameters after a step. The decay starts small, so that the first
    /// parameters, which are random, do not linger: `min(decay, (1 + n) / (10 + n))`.
    pub(crate) fn update<M: Module>(&mut self, module: &M) {
        let n = f64::from(self.updates);
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        self.updates += 1;
        module.visit(&mut Update(self, decay));
    }

    /// Updates that it has taken in.
    pub(crate) fn updates(&self) -> i32 {
        self.updates
    }

    /// Goes on from the averages of a module after so many updates: `averaged` has them, as
    /// [`Average::apply`] gives them, and `module` says which parameters are trained.
    pub(crate) fn restore<M: Module, P: Module>(&mut self, module: &M, averaged: &P, updates: i32) {
        let mut trained = Trained(HashSet::new());
        module.visit(&mut trained);
        self.values = GradientsParams::new();
        self.updates = updates;
        averaged.visit(&mut Take(self, trained.0));
    }

    /// A plain-device module whose trainable parameters are the averages; everything else,
    /// BatchNorm's running statistics among it, is the module's own.
    pub(crate) fn apply<M: Module>(&self, plain: M) -> M {
        plain.map(&mut Replace(self))
    }
}
