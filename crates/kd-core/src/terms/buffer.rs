//! A tensor that a term changes in place while it trains.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
    ParamId,
};
use burn::tensor::{Device, Tensor};

/// A buffer: not trained, saved with the module, and shared by its clones.
///
/// [`RunningState`](burn::module::RunningState) keeps what several threads found and their mean, for which it copies
/// the whole at each change; here a change of a few rows costs these rows.
#[derive(Clone, Debug)]
pub(super) struct Buffer<const D: usize> {
    id: ParamId,
    value: Arc<Mutex<Tensor<D>>>,
}

impl<const D: usize> Buffer<D> {
    pub fn new(value: Tensor<D>) -> Self {
        Self::with_id(ParamId::new(), value)
    }

    fn with_id(id: ParamId, value: Tensor<D>) -> Self {
        Self {
            id,
            value: Arc::new(Mutex::new(value)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tensor<D>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it holds, on the plain device.
    pub fn value(&self) -> Tensor<D> {
        self.lock().clone().without_autodiff()
    }

    /// Changes what it holds, on the plain device: in place, where nobody else holds it.
    pub fn change(&self, change: impl FnOnce(Tensor<D>) -> Tensor<D>) {
        let mut value = self.lock();
        let none = Tensor::zeros([1; D], &value.device());
        let old = std::mem::replace(&mut *value, none);
        *value = Tensor::from_inner(change(old.without_autodiff()));
    }
}

impl<const D: usize> Module for Buffer<D> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        let value = self.lock().clone();
        visitor.visit_float(&Param::initialized(self.id, value));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let value = self.lock().clone();
        let (_, value, _) = mapper
            .map_float(Param::initialized(self.id, value))
            .consume();
        *self.lock() = value.set_require_grad(false);
        self
    }

    fn to_device(self, device: &Device) -> Self {
        let value = self.lock().clone().to_device(device);
        *self.lock() = value;
        self
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        let device = self.lock().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self::with_id(self.id, self.value())
    }

    fn train(self) -> Self {
        Self::with_id(self.id, Tensor::from_inner(self.value()))
    }
}

impl<const D: usize> fmt::Display for Buffer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer(id={})", self.id)
    }
}

impl<const D: usize> ModuleDisplayDefault for Buffer<D> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Buffer".to_string()).optional()
    }
}

impl<const D: usize> ModuleDisplay for Buffer<D> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_copies_for_evaluation_keep() {
        let device = Device::flex().autodiff();
        let buffer = Buffer::new(Tensor::<1>::ones([3], &device));
        let (clone, copy) = (buffer.clone(), buffer.valid());
        clone.change(|value| value + 1.0);
        let values = |buffer: &Buffer<1>| buffer.value().into_data().iter::<f32>().sum::<f32>();
        assert_eq!([&buffer, &clone, &copy].map(values), [6.0, 6.0, 3.0]);
        assert_eq!(buffer.lock().device(), device);
    }
}
