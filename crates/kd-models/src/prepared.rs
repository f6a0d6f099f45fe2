//! A network that is asked for answers again and again.

use kd_core::{Output, Taps};
use kd_kernels::{PreparedWeights, on_pool};

use crate::{Backbone, Input};

/// A network for inference, which keeps what it makes of its weights: see [`PreparedWeights`]. The first forward pass
/// makes it; the others give the same results, bit for bit as the network itself, sooner. It shows with few images, a
/// single one most of all.
///
/// It lives on the plain device, and later training does not reach it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_core::Taps;
/// use kd_models::{Backbone, Network, NetworkConfig};
///
/// let device = Device::default();
/// let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &device)?.prepare();
/// for _ in 0..2 {
///     let image = Tensor::zeros([1, 3, 32, 32], &device);
///     let output = network.forward(image, &Taps::none());
///     assert_eq!(output.logits.dims(), [1, 10]);
/// }
/// # Ok::<(), kd_models::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prepared<N> {
    network: N,
    weights: PreparedWeights,
}

impl<N: Backbone> Prepared<N> {
    pub(crate) fn new(network: &N) -> Self {
        Self {
            network: network.valid(),
            weights: PreparedWeights::new(),
        }
    }

    /// The network itself.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// Bytes of what is kept beside the network's own weights.
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }
}

impl<N: Backbone + Sync> Prepared<N> {
    /// Runs a batch and returns its logits together with what `taps` asks for.
    pub fn forward(&self, input: N::Input, taps: &Taps) -> Output {
        let input = input.lower();
        on_pool(|| self.weights.run(|| self.network.forward(input, taps)))
    }
}
