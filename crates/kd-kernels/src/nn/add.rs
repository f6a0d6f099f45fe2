//! The sum of two maps.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::isa;

/// `a + b` for maps of one shape. Differentiable.
pub fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&a) {
        return run(Add, [a.into_dispatch(), b.into_dispatch()]);
    }
    a + b
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Add;

#[cfg(feature = "flex")]
impl Operation<2> for Add {
    type Saved = ();

    fn inputs(&self) -> [Input; 2] {
        [Input::Map; 2]
    }

    fn forward(&self, [a, b]: [FlexTensor; 2]) -> (FlexTensor, ()) {
        (maps(a, b), ())
    }

    fn backward(
        &self,
        (): (),
        grad: FlexTensor,
        wants: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<FlexTensor>; 2] {
        wants.map(|wanted| wanted.then(|| grad.clone()))
    }
}

/// The sum of two maps.
#[cfg(feature = "flex")]
pub(crate) fn maps(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (a, b) = (Map::new(a), Map::new(b));
    let (a, b) = (a.images(), b.images());
    build(a.size, |y| kernel::add(isa(), a, b, y))
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! The loop over pixels.

    use std::mem::MaybeUninit;

    use crate::images::Images;
    use crate::simd::chunks;
    use crate::simd::{Isa, Kernel, Simd};

    /// `a + b`.
    pub(crate) fn add(isa: Isa, a: Images, b: Images, y: &mut [MaybeUninit<f32>]) {
        assert_eq!(a.size, b.size, "only equal maps can be added");
        chunks::each(a.size, a.size.channels, y, |first, y| {
            isa.run(Add {
                a: &a,
                b: &b,
                first,
                y,
            });
        });
    }

    struct Add<'a> {
        a: &'a Images<'a>,
        b: &'a Images<'a>,
        first: usize,
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Add<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let channels = self.a.size.channels;
            for (y, pixel) in self.y.chunks_exact_mut(channels).zip(self.first..) {
                let y = y.as_mut_ptr().cast::<f32>();
                for channel in (0..channels).step_by(S::LANES) {
                    let left = channels - channel;
                    // SAFETY: both maps and `y` have the pixel and the channels that are left.
                    unsafe {
                        let a = self.a.load(s, pixel, channel, left);
                        let b = self.b.load(s, pixel, channel, left);
                        s.store_up_to(y.add(channel), s.add(a, b), left);
                    }
                }
            }
        }
    }
}
