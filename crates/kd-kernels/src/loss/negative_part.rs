//! How negative the channels of a map are.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::distance::by_channel;
#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, dense, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// Of each channel, the mean over batch and positions of its negative part, `min(x, 0)`, and how often it is
/// negative, `[2, channels]`, from a map `[batch, channels, height, width]`. It has no gradient.
pub fn negative_part(x: Tensor<4>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(NegativePart, [x.into_dispatch()]);
    }
    let x = x.detach();
    let often = by_channel(x.clone().lower_elem(0.0).float());
    let part = by_channel(relu(x.neg())).neg();
    Tensor::stack(vec![part.clone(), often.cast(part.dtype())], 0)
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct NegativePart;

#[cfg(feature = "flex")]
impl Operation<1> for NegativePart {
    type Saved = ();

    fn inputs(&self) -> [Input; 1] {
        [Input::Constant]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, ()) {
        let x = Map::new(x);
        let x = x.images();
        let found = kernel::negative_part(isa(), x);
        (dense(found, [2, x.size.channels]), ())
    }

    fn backward(
        &self,
        (): (),
        _: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        [None]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Sums of the values below zero.

    use crate::images::Images;
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// Mean over all pixels of `min(x, 0)`, then the share of pixels below zero, `[2, channels]`.
    pub(crate) fn negative_part(isa: Isa, x: Images) -> Vec<f32> {
        let sums = chunks::sums(x.size, 2 * x.size.channels, |first, count, sums| {
            isa.run(NegativePart {
                x: &x,
                first,
                count,
                sums,
            });
        });
        let scale = 1.0 / x.size.pixels() as f64;
        sums.into_iter().map(|sum| (sum * scale) as f32).collect()
    }

    struct NegativePart<'a> {
        x: &'a Images<'a>,
        first: usize,
        count: usize,
        sums: &'a mut [f32],
    }

    impl Kernel for NegativePart<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            let (part, often) = self.sums.split_at_mut(self.x.size.channels);
            for pixel in self.first..self.first + self.count {
                let sums = part.iter_mut().zip(often.iter_mut());
                for ((part, often), x) in sums.zip(self.x.pixel(pixel)) {
                    // NaN is seen in the mean.
                    *part += if *x >= 0.0 { 0.0 } else { *x };
                    *often += if *x < 0.0 { 1.0 } else { 0.0 };
                }
            }
        }
    }
}
