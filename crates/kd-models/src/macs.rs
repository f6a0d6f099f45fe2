//! Counting multiply-accumulates without computing anything.

use burn::nn::conv::Conv2d;
use burn::nn::{Linear, PaddingConfig2d};

/// Follows an image's height and width through a network's layers, as its forward pass does, and
/// adds up the multiply-accumulates of convolutions, linear layers and the products of attention.
#[derive(Debug)]
pub(crate) struct MacCounter {
    macs: u64,
    size: [usize; 2],
    stride: usize,
}

impl MacCounter {
    /// Starts at a square image.
    pub fn new(image_size: usize) -> Self {
        Self {
            macs: 0,
            size: [image_size; 2],
            stride: 1,
        }
    }

    /// What was counted.
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// Height and width after the layers so far.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// By how much the layers so far divide height and width.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The pooling of [`stem_pool`](crate::layers::stem_pool).
    pub fn stem_pool(&mut self) -> &mut Self {
        self.pool(3, 2, 1)
    }

    /// A convolution.
    pub fn conv(&mut self, conv: &Conv2d) -> &mut Self {
        let padding = match conv.padding {
            PaddingConfig2d::Explicit(top, left, bottom, right) => [top + bottom, left + right],
            PaddingConfig2d::Same => conv.kernel_size.map(|kernel| kernel - 1),
            PaddingConfig2d::Valid => [0, 0],
        };
        // A dilated kernel reaches over the pixels between its own.
        let reach = |axis: usize| conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1;
        self.window([reach(0), reach(1)], conv.stride, padding);
        // `[out, in / groups, kernel, kernel]`: one multiplication per weight and output pixel.
        let weights: usize = conv.weight.lazy_shape().iter().product();
        self.macs += (weights * self.size[0] * self.size[1]) as u64;
        self
    }

    /// A pooling layer, which multiplies nothing.
    pub fn pool(&mut self, kernel: usize, stride: usize, padding: usize) -> &mut Self {
        self.window([kernel; 2], [stride; 2], [2 * padding; 2]);
        self
    }

    /// A pooling of 2×2 and stride 2 that keeps an odd last row and column.
    pub fn halve_up(&mut self) -> &mut Self {
        self.window([2; 2], [2; 2], [1; 2]);
        self
    }

    /// A linear layer on a pooled vector.
    pub fn linear(&mut self, linear: &Linear) -> &mut Self {
        self.macs += linear.weight.lazy_shape().iter().product::<usize>() as u64;
        self
    }

    /// A linear layer on so many rows.
    pub fn rows(&mut self, linear: &Linear, rows: usize) -> &mut Self {
        self.macs += (rows * linear.weight.lazy_shape().iter().product::<usize>()) as u64;
        self
    }

    /// A product of two matrices, `[rows, inner]` and `[inner, columns]`.
    pub fn product(&mut self, [rows, inner, columns]: [usize; 3]) -> &mut Self {
        self.macs += (rows * inner * columns) as u64;
        self
    }

    /// Averages a larger map down to a size.
    pub fn shrink(&mut self, size: [usize; 2]) -> &mut Self {
        self.size = std::array::from_fn(|axis| self.size[axis].min(size[axis]));
        self
    }

    /// A convolution of a parallel branch that starts at `size`; the main path goes on unchanged.
    pub fn branch(&mut self, size: [usize; 2], conv: &Conv2d) -> &mut Self {
        let main = (std::mem::replace(&mut self.size, size), self.stride);
        self.conv(conv);
        (self.size, self.stride) = main;
        self
    }

    fn window(&mut self, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) {
        self.stride *= stride[0];
        self.size = std::array::from_fn(|axis| {
            let padded = self.size[axis] + padding[axis];
            match padded.checked_sub(kernel[axis]) {
                Some(room) => room / stride[axis] + 1,
                None => 0,
            }
        });
    }
}
