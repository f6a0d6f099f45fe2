//! The channels of two maps in turn.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{FlexTensor, Input, Map, Operation, build, fast, run};
#[cfg(feature = "flex")]
use crate::images::Size;

/// The channels of two maps of one shape in turn: first of `a`, first of `b`, second of `a`, ...
/// It is a concatenation and a channel shuffle of two groups (Ma et al., ECCV 2018) in one.
/// Differentiable.
pub fn interleave(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&a) {
        return run(Interleave, [a.into_dispatch(), b.into_dispatch()]);
    }
    let [batch, channels, height, width] = a.dims();
    Tensor::stack::<5>(vec![a, b], 2).reshape([batch, 2 * channels, height, width])
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct Interleave;

#[cfg(feature = "flex")]
impl Operation<2> for Interleave {
    type Saved = ();

    fn inputs(&self) -> [Input; 2] {
        [Input::Map; 2]
    }

    fn forward(&self, [a, b]: [FlexTensor; 2]) -> (FlexTensor, ()) {
        let (a, b) = (Map::new(a), Map::new(b));
        let (a, b) = (a.images(), b.images());
        assert_eq!(a.size, b.size, "only equal maps can be interleaved");
        let both = Size {
            channels: 2 * a.size.channels,
            ..a.size
        };
        (build(both, |y| kernel::interleave(a, b, y)), ())
    }

    fn backward(
        &self,
        (): (),
        grad: FlexTensor,
        [a, b]: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<FlexTensor>; 2] {
        let grad = Map::new(grad);
        let grad = grad.images();
        let one = Size {
            channels: grad.size.channels / 2,
            ..grad.size
        };
        let every = |odd| build(one, |dx| kernel::every_second(grad, odd, dx));
        [a.then(|| every(false)), b.then(|| every(true))]
    }
}

#[cfg(feature = "flex")]
pub(crate) mod kernel {
    //! Both directions move values only.

    use std::mem::MaybeUninit;

    use crate::images::{Images, Size};
    use crate::simd::chunks::each_pixel;

    /// The channels of `a` and `b` in turn.
    pub(crate) fn interleave(a: Images, b: Images, y: &mut [MaybeUninit<f32>]) {
        let size = Size {
            channels: 2 * a.size.channels,
            ..a.size
        };
        each_pixel(size, y, |pixel, to| {
            let both = a.pixel(pixel).iter().zip(b.pixel(pixel));
            for (to, (a, b)) in to.chunks_exact_mut(2).zip(both) {
                to[0].write(*a);
                to[1].write(*b);
            }
        });
    }

    /// The channels of even or of odd number.
    pub(crate) fn every_second(x: Images, odd: bool, y: &mut [MaybeUninit<f32>]) {
        let size = Size {
            channels: x.size.channels / 2,
            ..x.size
        };
        each_pixel(size, y, |pixel, to| {
            for (to, from) in to.iter_mut().zip(x.pixel(pixel).chunks_exact(2)) {
                to.write(from[usize::from(odd)]);
            }
        });
    }
}
