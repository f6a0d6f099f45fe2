//! A network that is asked for answers again and again.

use burn::tensor::Tensor;
use kd_core::{Output, Taps};
use kd_kernels::{PreparedWeights, on_pool, together};
use rayon::prelude::*;

use crate::{Backbone, Input};

/// Samples that a thread is given at least. With fewer, layers might compute in another way than they do with the whole
/// batch.
const LEAST: usize = 4;

/// A network for inference, which keeps what it makes of its weights: see [`PreparedWeights`]. The first forward pass
/// makes it; the others give the same results, bit for bit as the network itself, sooner. It shows with few images, a
/// single one most of all.
///
/// A batch of many samples whose logits alone are asked for goes through all layers in parts, one on each thread, so
/// a sample must not depend on its neighbours.
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
        // The first pass, and any on a device without the kernels, which keep something.
        if self.weights.made() == 0 {
            return self.run(input, taps);
        }
        let nothing = taps.iter().all(|(_, levels)| levels.is_empty());
        let parts = rayon::current_num_threads().min(input.samples() / LEAST);
        let logits = (nothing && parts > 1).then(|| self.side_by_side(&input, parts));
        match logits.flatten() {
            Some(output) => output,
            None => together(|| self.run(input, taps)),
        }
    }

    fn run(&self, input: N::Input, taps: &Taps) -> Output {
        self.weights.run(|| self.network.forward(input, taps))
    }

    /// The logits of a batch whose parts go through all layers at once, one on each thread, so that no thread waits for
    /// another behind every layer. None for inputs that have no parts.
    fn side_by_side(&self, input: &N::Input, parts: usize) -> Option<Output> {
        let parts = input.parts(parts)?.into_par_iter();
        let outputs = on_pool(|| parts.map(|part| self.run(part, &Taps::none())).collect());
        joined(outputs)
    }
}

/// The output of a batch from those of its parts, which kept nothing; none where they say what their rows are.
fn joined(parts: Vec<Output>) -> Option<Output> {
    fn all<T>(parts: &[Output], of: impl Fn(&Output) -> Option<T>) -> Option<Vec<T>> {
        parts.iter().map(of).collect()
    }
    if parts
        .iter()
        .any(|part| part.boxes.is_some() || !part.members.is_empty())
    {
        return None;
    }
    let logits = parts.iter().map(|part| part.logits.clone()).collect();
    let counted = all(&parts, |part| part.counted.clone());
    let real_tokens = all(&parts, |part| part.real_tokens.clone());
    let mut whole = parts.into_iter().next()?;
    whole.logits = Tensor::cat(logits, 0);
    whole.counted = counted.map(|masks| Tensor::cat(masks, 0));
    whole.real_tokens = real_tokens.map(|masks| Tensor::cat(masks, 0));
    Some(whole)
}
