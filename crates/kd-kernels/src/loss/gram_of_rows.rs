//! Products of rows with each other.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use self::kernel::Rows;
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// Means over the width of the products of rows `[rows, width]` with each other, `[rows, rows]`.
/// Differentiable.
pub fn gram_of_rows(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) {
        return run(GramOfRows, [x.into_dispatch()]);
    }
    let [_, width] = x.dims();
    let x = x / (width as f64).sqrt();
    x.clone().matmul(x.transpose())
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct GramOfRows;

#[cfg(feature = "flex")]
fn scale(width: usize) -> f32 {
    1.0 / width.max(1) as f32
}

#[cfg(feature = "flex")]
impl Operation<1> for GramOfRows {
    type Saved = FlexTensor;

    fn inputs(&self) -> [Input; 1] {
        [Input::Plain]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let [count, width] = [0, 1].map(|axis| x.layout().shape()[axis]);
        let rows = Dense::new(x.clone());
        let rows = Rows::new(rows.values(), [count, width]);
        let products = kernel::gram(isa(), rows, scale(width));
        (dense(products, [count, count]), x)
    }

    fn backward(
        &self,
        x: FlexTensor,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let [count, width] = [0, 1].map(|axis| x.layout().shape()[axis]);
        let (x, grad) = (Dense::new(x), Dense::new(grad));
        let rows = Rows::new(x.values(), [count, width]);
        let dx = values(count * width, |dx| {
            kernel::gram_grad(isa(), rows, scale(width), grad.values(), dx);
        });
        [Some(dense(dx, [count, width]))]
    }
}
