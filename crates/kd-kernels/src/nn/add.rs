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

    use rayon::prelude::*;

    use crate::images::{Images, OutPtr};
    use crate::simd::chunks::MOVED;
    use crate::simd::{Isa, Kernel, Simd};

    /// `a + b`.
    pub(crate) fn add(isa: Isa, a: Images, b: Images, y: OutPtr) {
        assert_eq!(a.size, b.size, "only equal maps can be added");
        y.check(a.size.len());
        let pixels = a.size.pixels();
        (0..pixels.div_ceil(MOVED))
            .into_par_iter()
            .for_each(|task| {
                let first = task * MOVED;
                isa.run(Add {
                    a: &a,
                    b: &b,
                    first,
                    count: MOVED.min(pixels - first),
                    y,
                });
            });
    }

    struct Add<'a> {
        a: &'a Images<'a>,
        b: &'a Images<'a>,
        first: usize,
        count: usize,
        y: OutPtr,
    }

    impl Kernel for Add<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let channels = self.a.size.channels;
            for pixel in self.first..self.first + self.count {
                for channel in (0..channels).step_by(S::LANES) {
                    let left = channels - channel;
                    // SAFETY: the pixels are there in all images.
                    unsafe {
                        let a = self.a.data.as_ptr().add(pixel * self.a.pitch + channel);
                        let b = self.b.data.as_ptr().add(pixel * self.b.pitch + channel);
                        let sum = S::add(S::load_up_to(a, left), S::load_up_to(b, left));
                        S::store_up_to(self.y.at(pixel * channels + channel), sum, left);
                    }
                }
            }
        }
    }
}
