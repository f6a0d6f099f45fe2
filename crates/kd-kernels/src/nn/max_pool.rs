//! Maximum pooling.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

#[cfg(feature = "flex")]
use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::images::Size;
#[cfg(feature = "flex")]
use crate::isa;

/// The largest value of each window of a map `[batch, channels, height, width]`; NaN where the window has one.
///
/// Differentiable: the gradient goes to the first of the largest values, or to the last NaN. The kernel serves windows
/// of at most 256 pixels without dilation, padded alike on opposite sides by less than they are wide, and not rounded
/// up.
pub fn max_pool(x: Tensor<4>, options: MaxPoolOptions<2>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(window) = kernel::Window::of(&options)
        && fast(&x)
        && window.fits(&x.dims())
    {
        let tracked = x.device().is_autodiff();
        return run(MaxPool { window, tracked }, [x.into_dispatch()]);
    }
    max_pool2d(x, options)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct MaxPool {
    window: kernel::Window,
    /// Whether there may be a gradient.
    tracked: bool,
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Saved {
    input: Size,
    /// Which value of its window each output is.
    taps: Arc<Vec<u8>>,
}

#[cfg(feature = "flex")]
impl Operation<1> for MaxPool {
    type Saved = Saved;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, Saved) {
        let x = Map::new(x);
        let x = x.images();
        let output = self.window.output(x.size);
        let mut taps = vec![0; if self.tracked { output.len() } else { 0 }];
        let y = build(output, |y| {
            let taps = self.tracked.then_some(&mut taps[..]);
            kernel::largest(isa(), x, self.window, y, taps);
        });
        let saved = Saved {
            input: x.size,
            taps: Arc::new(taps),
        };
        (y, saved)
    }

    fn backward(
        &self,
        saved: Saved,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let grad = Map::new(grad);
        let Saved { input, taps } = saved;
        [Some(build(input, |dx| {
            kernel::grad(isa(), grad.images(), &taps, self.window, input, dx);
        }))]
    }
}
