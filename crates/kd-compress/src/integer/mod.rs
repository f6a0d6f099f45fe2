//! Networks on grids that compute with 8-bit integers from end to end.
//!
//! The graph is that of the network's ONNX file: 8-bit weights, and grids before the inputs of layers. Here it becomes layers of
//! integers ([`kd_kernels::int8`]). A number that a layer reads is on that layer's grid for all of its readers, also for
//! those, such as a residual sum, that read floats in the file. Numbers that no layer reads stay floats: the logits, the input of a last
//! mean, shortcuts of a convolution of their own, and a residual stream that batch normalisation reads before each
//! layer (WideResNet). Largest values, shuffles, slices and concatenations move integers.
//!
//! Biases are integers of the input's scale times the weight's. Where 2³⁰ of them do not reach, in channels with next to no
//! weights, the scale of the weights is larger.

mod compile;
mod grids;
mod layer;
mod view;

use burn::tensor::{Tensor, TensorData};
use kd_kernels::int8::{IntegerSet, Program};
use kd_models::Network;

use crate::Error;

/// A network of integers, which reads images that are normalised as the network wants them.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use kd_compress::integer::IntegerNetwork;
/// use kd_compress::quantise::QuantiseConfig;
/// use kd_models::{Network, NetworkConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::flex();
/// let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &device)?;
/// let images = Tensor::random([4, 3, 32, 32], Distribution::Default, &device);
/// let coarse = QuantiseConfig::default().quantise(&network, [images.clone()])?;
/// let integers = IntegerNetwork::new(&coarse, 32)?;
/// assert_eq!(integers.logits(images)?.dims(), [4, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IntegerNetwork {
    program: Program,
    shape: [usize; 3],
    floats: Vec<String>,
}

impl IntegerNetwork {
    /// Compiles a network on grids for images of `size` × `size` pixels.
    ///
    /// # Errors
    /// [`Error::Capture`] for a network without grids, or that cannot be recorded; [`Error::Quantise`] for an operation that
    /// there are no integers for, or a layer that computes with floats.
    pub fn new(network: &Network, size: usize) -> Result<Self, Error> {
        Self::with_set(network, size, IntegerSet::chosen())
    }

    /// The same for one of the processor's instruction sets.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_set(network: &Network, size: usize, set: IntegerSet) -> Result<Self, Error> {
        let graph = kd_export::trace::trace_quantised(network, size)?;
        compile::compile(&graph, set)
    }

    /// Channels, height and width of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Layers, by name, whose outputs are floats; that of the logits is the last.
    pub fn floats(&self) -> &[String] {
        &self.floats
    }

    /// Bytes of the packed weights, and of the maps of one image.
    pub fn bytes(&self) -> [usize; 2] {
        [self.program.weights(), self.program.memory()]
    }

    /// Logits `[images, classes]` of images `[images, channels, height, width]`, both in this order in memory.
    ///
    /// # Errors
    /// [`Error::Quantise`] for images of another size.
    pub fn run(&self, images: &[f32]) -> Result<Vec<f32>, Error> {
        if !images.len().is_multiple_of(self.program.image_len()) {
            return Err(self.other(&format!("{} numbers", images.len())));
        }
        Ok(self.program.run(images))
    }

    /// Logits of images, on their device.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn logits(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let (device, [count, channels, height, width]) = (images.device(), images.dims());
        if [channels, height, width] != self.shape {
            return Err(self.other(&format!("[{channels}, {height}, {width}]")));
        }
        let images: Vec<f32> = images.into_data().convert::<f32>().iter().collect();
        let logits = self.program.run(&images);
        let data = TensorData::new(logits, [count, self.program.outputs()]);
        Ok(Tensor::from_data(data, &device))
    }

    fn other(&self, found: &str) -> Error {
        let [channels, height, width] = self.shape;
        Error::Quantise {
            problem: format!(
                "images of {found}, and the network of integers was made for [{channels}, {height}, {width}]"
            ),
        }
    }
}
