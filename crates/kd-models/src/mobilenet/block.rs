//! An inverted residual block: wide in the middle, narrow at both ends (Sandler et al., CVPR 2018).

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;
use kd_kernels::{add, scale_channels};

use super::plan::{Expand, Gate, Plan, Row};
use crate::activation::{Activation, conv_bn_activated};
use crate::fused::{conv_activated, conv_bn};
use crate::layers::{Conv, ConvInit, global_average};
use crate::macs::MacCounter;
use crate::stochastic_depth::StochasticDepth;

/// How all of these networks draw their convolutions.
pub(super) const INIT: ConvInit = ConvInit::FanOut;

/// Expansion, depthwise convolution, squeeze and excitation, and linear projection.
#[derive(Module, Debug)]
pub(crate) struct InvertedResidual {
    pub(super) expand: Option<(Conv2d, BatchNorm)>,
    pub(super) depthwise: (Conv2d, BatchNorm),
    pub(super) squeeze: Option<SqueezeExcite>,
    project: (Conv2d, BatchNorm),
    depth: StochasticDepth,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    residual: bool,
}

impl InvertedResidual {
    /// A block of a row, whose branch is left out in training with the probability `left_out`.
    pub fn new(
        plan: &Plan,
        row: &Row,
        channels: [usize; 2],
        stride: usize,
        left_out: f64,
        device: &Device,
    ) -> Self {
        let [inputs, outputs] = channels;
        let pair = |conv: Conv| (conv.build(device), plan.norm(conv.channels[1], device));
        let hidden = row.expand.width(inputs);
        let depthwise = Conv {
            kernel: row.kernel,
            ..Conv::depthwise(hidden, stride, INIT)
        };
        Self {
            expand: (row.expand != Expand::No).then(|| pair(Conv::k1([inputs, hidden], 1, INIT))),
            depthwise: pair(depthwise),
            squeeze: row.squeeze.map(|gate| {
                SqueezeExcite::new(hidden, gate.squeezed(inputs, hidden), gate, device)
            }),
            project: pair(Conv::k1([hidden, outputs], 1, INIT)),
            depth: StochasticDepth::new(left_out),
            activation: row.activation,
            residual: stride == 1 && inputs == outputs,
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.narrow(self.widen(x.clone()), x)
    }

    /// The expansion, after its activation.
    pub fn widen(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.expand {
            Some(expand) => conv_bn_activated(expand, x, self.activation),
            None => x,
        }
    }

    /// What follows the expansion `hidden` of `x`.
    pub fn narrow(&self, hidden: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let hidden = conv_bn_activated(&self.depthwise, hidden, self.activation);
        let hidden = match &self.squeeze {
            Some(squeeze) => squeeze.forward(hidden),
            None => hidden,
        };
        let (project, bn) = &self.project;
        if self.residual && self.depth.is_active(&x.device()) {
            let branch = conv_bn(project, bn, hidden, None, false);
            return add(self.depth.forward(branch), x);
        }
        let shortcut = self.residual.then_some(x);
        conv_bn(project, bn, hidden, shortcut, false)
    }

    pub fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let expand = self.expand.as_mut().map(|(_, norm)| norm);
        let others = [&mut self.depthwise.1, &mut self.project.1];
        expand.into_iter().chain(others)
    }

    pub fn count(&self, macs: &mut MacCounter) {
        if let Some((expand, _)) = &self.expand {
            macs.conv(expand);
        }
        macs.conv(&self.depthwise.0);
        if let Some(squeeze) = &self.squeeze {
            // On the average of each channel.
            macs.branch([1, 1], &squeeze.fc1)
                .branch([1, 1], &squeeze.fc2);
        }
        macs.conv(&self.project.0);
    }
}

/// Squeeze and excitation: each channel is scaled by what two layers make of the averages of all
/// (Hu et al., CVPR 2018).
#[derive(Module, Debug)]
pub(crate) struct SqueezeExcite {
    fc1: Conv2d,
    fc2: Conv2d,
    #[module(skip)]
    gate: Gate,
}

impl SqueezeExcite {
    fn new(channels: usize, squeezed: usize, gate: Gate, device: &Device) -> Self {
        let biased = |channels| Conv {
            bias: true,
            ..Conv::k1(channels, 1, INIT)
        };
        Self {
            fc1: biased([channels, squeezed]).build(device),
            fc2: biased([squeezed, channels]).build(device),
            gate,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, _, _] = x.dims();
        let average = global_average(x.clone()).reshape([batch, channels, 1, 1]);
        let [first, second] = self.gate.activations();
        let hidden = conv_activated(&self.fc1, average, first);
        scale_channels(x, conv_activated(&self.fc2, hidden, second))
    }
}
