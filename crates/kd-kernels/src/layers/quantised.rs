//! Forward passes whose convolutions and linear layers compute with numbers of integer grids, or are watched to find such
//! grids.
//!
//! Layers are counted in the order in which a forward pass comes to them, from 0.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use crate::fake_quantise;

/// The smallest scale of a weight: that of PyTorch's observers.
const LEAST: f32 = f32::EPSILON;

/// The grids of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerGrid {
    /// Distance of two neighbours of the input's grid.
    pub scale: f32,
    /// The input's integer of the number 0.
    pub zero_point: i32,
    /// The input's smallest and largest integer.
    pub levels: [i32; 2],
    /// The weight's largest integer. Its grid is symmetric, one for each output: the largest absolute weight has this
    /// integer.
    pub weight_high: i32,
}

/// Grids of the layers of a forward pass in their order; none for a layer that computes with floats.
pub type LayerGrids = Arc<[Option<LayerGrid>]>;

#[derive(Clone)]
enum Pass {
    OnGrids(LayerGrids),
    Watched(Rc<dyn Fn(usize, TensorData)>),
}

thread_local! {
    static CURRENT: RefCell<Option<Pass>> = const { RefCell::new(None) };
    static LAYER: Cell<usize> = const { Cell::new(0) };
}

/// What was there before, put back when it is dropped.
struct Scope {
    pass: Option<Pass>,
    layer: usize,
}

impl Scope {
    fn enter(pass: Option<Pass>) -> Self {
        Self {
            pass: CURRENT.replace(pass),
            layer: LAYER.replace(0),
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.pass.take());
        LAYER.set(self.layer);
    }
}

/// Runs a forward pass on this thread whose layers have inputs and weights on grids, with gradients straight through
/// ([`fake_quantise`]); with floats where there are none. On grids, batch normalisation is by running statistics, also in
/// training: with them a normalisation is a factor of each channel, so that the grids of weights are those of weights with
/// the normalisation folded in.
pub fn computed<R>(grids: Option<&LayerGrids>, forward: impl FnOnce() -> R) -> R {
    let _scope = match grids {
        Some(grids) => Some(Scope::enter(Some(Pass::OnGrids(grids.clone())))),
        // Within the pass of another network, whose thread waited for a kernel and took this one up.
        None if quantised() => Some(Scope::enter(None)),
        None => None,
    };
    forward()
}

/// Runs a forward pass on this thread and shows the input of each layer.
pub fn watched<R>(see: Rc<dyn Fn(usize, TensorData)>, forward: impl FnOnce() -> R) -> R {
    let _scope = Scope::enter(Some(Pass::Watched(see)));
    forward()
}

/// Whether layers see what they compute with before they compute.
pub(super) fn active() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// Whether layers compute with numbers of grids.
pub(super) fn quantised() -> bool {
    CURRENT.with_borrow(|pass| matches!(pass, Some(Pass::OnGrids(_))))
}

/// The input and the weight that a layer computes with in this forward pass; `outputs` is the weight's axis of outputs.
/// Layers that are not of this crate's [`layers`](super) ask themselves.
pub fn operands<const D: usize, const E: usize>(
    input: Tensor<D>,
    weight: Tensor<E>,
    outputs: usize,
) -> (Tensor<D>, Tensor<E>) {
    let Some(pass) = CURRENT.with_borrow(Clone::clone) else {
        return (input, weight);
    };
    let layer = LAYER.replace(LAYER.get() + 1);
    match pass {
        Pass::Watched(see) => {
            see(layer, input.clone().into_data());
            (input, weight)
        }
        Pass::OnGrids(grids) => match grids.get(layer).copied().flatten() {
            Some(grid) => (grid.of_input(input), grid.of_weight(weight, outputs)),
            None => (input, weight),
        },
    }
}

impl LayerGrid {
    fn of_input<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let device = input.device();
        let scale = Tensor::full([1; D], self.scale, &device);
        let zero = Tensor::full([1; D], self.zero_point as f32, &device);
        fake_quantise(input, scale, zero, self.levels)
    }

    fn of_weight<const D: usize>(&self, weight: Tensor<D>, outputs: usize) -> Tensor<D> {
        let others = (0..D).filter(|axis| *axis != outputs);
        let largest = others.fold(weight.clone().detach().abs(), |values, axis| {
            values.max_dim(axis)
        });
        let scale = (largest / f64::from(self.weight_high)).clamp_min(LEAST);
        let zero = scale.zeros_like();
        fake_quantise(weight, scale, zero, [-self.weight_high, self.weight_high])
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::Device;

    use super::super::{BatchNorm, conv_bn};
    use super::*;

    fn grid() -> LayerGrid {
        LayerGrid {
            scale: 0.25,
            zero_point: 2,
            levels: [0, 7],
            weight_high: 1,
        }
    }

    #[test]
    fn inputs_and_weights_are_numbers_of_the_grids_and_the_layers_count() {
        let device = Device::flex();
        let input = || Tensor::<2>::from_floats([[-1.0, 0.3, 0.4, 9.0]], &device);
        let weight = || Tensor::<2>::from_floats([[1.0], [-0.4], [0.6], [-3.0]], &device);
        let values = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
        let grids: LayerGrids = [None, Some(grid())].into();
        computed(Some(&grids), || {
            let (same, _) = operands(input(), weight(), 1);
            assert_eq!(values(same), [-1.0, 0.3, 0.4, 9.0]);
            let (x, w) = operands(input(), weight(), 1);
            assert_eq!(values(x), [-0.5, 0.25, 0.5, 1.25]);
            assert_eq!(values(w), [0.0, 0.0, 0.0, -3.0]);
            computed(None, || {
                assert_eq!(values(operands(input(), weight(), 1).1), values(weight()))
            });
            // There are no more.
            let (same, _) = operands(input(), weight(), 1);
            assert_eq!(values(same), [-1.0, 0.3, 0.4, 9.0]);
        });
        assert!(!active());
    }

    #[test]
    fn inputs_are_seen_and_statistics_stay_in_training() {
        let device = Device::flex().autodiff();
        let conv = Conv2dConfig::new([2, 3], [1, 1]).init(&device);
        let bn = BatchNorm::new(3, &device);
        let run = || conv_bn(&conv, &bn, Tensor::ones([2, 2, 4, 4], &device), None, true);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let see = seen.clone();
        let see =
            move |layer, data: TensorData| see.borrow_mut().push((layer, data.num_elements()));
        watched(Rc::new(see), run);
        assert_eq!(*seen.borrow(), [(0, 64)]);
        let mean = || bn.running_mean.value_sync().into_data();
        let before = mean();
        computed(Some(&[Some(grid())].into()), run);
        assert_eq!(mean(), before);
        run();
        assert_ne!(mean(), before);
    }
}
