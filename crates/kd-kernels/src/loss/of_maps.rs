//! How numbers that follow from maps meet burn: most losses on maps are made of such.

use std::fmt::Debug;
use std::mem::MaybeUninit;

use burn::tensor::{Shape, Tensor};

use crate::flex::{Dense, FlexTensor, Input, Map, Operation, build, dense, run};
use crate::images::Images;
use crate::isa;
use crate::simd::Isa;

/// Numbers that follow from `N` maps, with a gradient by the first of them alone.
pub(crate) trait OfMaps<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// What the gradient needs beside the maps.
    type Saved: Clone + Debug + Send + 'static;

    /// The numbers and their shape, and what is saved.
    fn value(&self, isa: Isa, maps: [Images; N]) -> (Vec<f32>, Shape, Self::Saved);

    /// The gradient of the first map, given that of the numbers, written over `dx`, which is dense.
    fn grad(
        &self,
        isa: Isa,
        maps: [Images; N],
        saved: &Self::Saved,
        grad: &[f32],
        dx: &mut [MaybeUninit<f32>],
    );
}

/// The numbers of maps `[batch, channels, height, width]`.
pub(crate) fn of_maps<const N: usize, const D: usize>(
    numbers: impl OfMaps<N>,
    maps: [Tensor<4>; N],
) -> Tensor<D> {
    run(Numbers(numbers), maps.map(Tensor::into_dispatch))
}

#[derive(Clone, Debug)]
struct Numbers<O>(O);

impl<O: OfMaps<N>, const N: usize> Operation<N> for Numbers<O> {
    type Saved = ([FlexTensor; N], O::Saved);

    fn inputs(&self) -> [Input; N] {
        std::array::from_fn(|input| match input {
            0 => Input::Map,
            _ => Input::Constant,
        })
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved) {
        let maps = inputs.clone().map(Map::new);
        let maps = maps.each_ref().map(Map::images);
        let (values, shape, saved) = self.0.value(isa(), maps);
        (dense(values, shape), (inputs, saved))
    }

    fn backward(
        &self,
        (inputs, saved): Self::Saved,
        grad: FlexTensor,
        _: [bool; N],
        _: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let (maps, grad) = (inputs.map(Map::new), Dense::new(grad));
        let maps = maps.each_ref().map(Map::images);
        let mut dx = Some(build(maps[0].size, |dx| {
            self.0.grad(isa(), maps, &saved, grad.values(), dx);
        }));
        std::array::from_fn(|_| dx.take())
    }
}
