//! Some channels of a map.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run, shape4};
#[cfg(feature = "flex")]
use crate::images::Size;

/// `count` channels from `first` on. Differentiable; the kernel copies nothing.
pub fn channels(x: Tensor<4>, first: usize, count: usize) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(Channels { first, count }, [x.into_dispatch()]);
    }
    x.narrow(1, first, count)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Channels {
    first: usize,
    count: usize,
}

#[cfg(feature = "flex")]
impl Operation<1> for Channels {
    /// Channels of the whole map.
    type Saved = usize;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, usize) {
        let [_, channels, ..] = shape4(&x);
        (x.narrow(1, self.first, self.count), channels)
    }

    fn backward(
        &self,
        channels: usize,
        grad: FlexTensor,
        _: [bool; 1],
        [earlier]: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let (grad, earlier) = (Map::new(grad), earlier.take().map(Map::new));
        let (grad, earlier) = (grad.images(), earlier.as_ref().map(Map::images));
        let whole = Size {
            channels,
            ..grad.size
        };
        let dx = build(whole, |dx| {
            kernel::scatter(grad, self.first, earlier, whole, dx)
        });
        [Some(dx)]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! The gradient, put where the channels were.

    use std::mem::MaybeUninit;

    use crate::images::{Images, Size, filled};
    use crate::simd::chunks::each_pixel;

    /// `x` at the channels from `first` on, zero elsewhere, plus `earlier`.
    pub(crate) fn scatter(
        x: Images,
        first: usize,
        earlier: Option<Images>,
        output: Size,
        y: &mut [MaybeUninit<f32>],
    ) {
        each_pixel(output, y, |pixel, to| {
            let to = match &earlier {
                Some(earlier) => to.write_copy_of_slice(earlier.pixel(pixel)),
                None => filled(to, 0.0),
            };
            for (to, from) in to[first..].iter_mut().zip(x.pixel(pixel)) {
                *to += from;
            }
        });
    }
}
