//! The leaky ReLU.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// A map `[batch, channels, height, width]`, times `slope`, above 0, where it is not positive.
/// Differentiable.
pub fn leaky_relu(x: Tensor<4>, slope: f64) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(LeakyRelu { slope }, [x.into_dispatch()]);
    }
    burn::tensor::activation::leaky_relu(x, slope)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct LeakyRelu {
    slope: f64,
}

#[cfg(feature = "flex")]
impl Operation<1> for LeakyRelu {
    /// The output, whose sign is that of the input.
    type Saved = FlexTensor;

    fn inputs(&self) -> [Input; 1] {
        [Input::Map]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let y = gate(x.clone(), x, self.slope);
        (y.clone(), y)
    }

    fn backward(
        &self,
        output: FlexTensor,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        [Some(gate(grad, output, self.slope))]
    }
}

/// `grad`, times `slope` where `output` is not positive: the gradient before a rectifier, given its output.
#[cfg(feature = "flex")]
pub(crate) fn gate(grad: FlexTensor, output: FlexTensor, slope: f64) -> FlexTensor {
    let (grad, output) = (Map::new(grad), Map::new(output));
    let (grad, output) = (grad.images(), output.images());
    build(grad.size, |dx| {
        kernel::gate(isa(), grad, output, slope as f32, dx);
    })
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! The rectifier, which is its own gradient.

    use std::mem::MaybeUninit;

    use crate::images::Images;
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// `grad` where `output` is above zero, else `slope · grad`: the gradient of a rectifier, and of `output` by
    /// itself the rectifier.
    pub(crate) fn gate(
        isa: Isa,
        grad: Images,
        output: Images,
        slope: f32,
        dx: &mut [MaybeUninit<f32>],
    ) {
        assert_eq!(grad.size, output.size, "one gradient for each value");
        chunks::each(grad.size, grad.size.channels, dx, |first, dx| {
            isa.run(Gate {
                grad: &grad,
                output: &output,
                slope,
                first,
                dx,
            });
        });
    }

    struct Gate<'a> {
        grad: &'a Images<'a>,
        output: &'a Images<'a>,
        slope: f32,
        first: usize,
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Gate<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let channels = self.grad.size.channels;
            for (dx, pixel) in self.dx.chunks_exact_mut(channels).zip(self.first..) {
                let from = self.grad.pixel(pixel).iter().zip(self.output.pixel(pixel));
                for (dx, (grad, output)) in dx.iter_mut().zip(from) {
                    dx.write(if *output > 0.0 {
                        *grad
                    } else {
                        self.slope * grad
                    });
                }
            }
        }
    }
}
