//! Flex tensors as channels-last images, and back.
//!
//! A map keeps its logical shape `[batch, channels, height, width]`; only its strides say that the
//! channels of a pixel lie together, so burn's own operations read it as they read any other view.

use std::mem::MaybeUninit;

use burn::backend::{DType, TensorMetadata};
use burn::tensor::{Bytes, Shape};
use burn_flex::{FlexTensor, Layout};

use crate::images::{Images, Size};
use crate::simd::transpose;

/// A map whose values are channels-last.
pub(crate) struct Map {
    tensor: FlexTensor,
    size: Size,
    pitch: usize,
}

impl Map {
    /// Views a tensor, or copies it where its channels do not lie together.
    pub fn new(tensor: FlexTensor) -> Self {
        let size = size(tensor.layout());
        match pitch(tensor.layout(), size) {
            Some(pitch) => Self {
                tensor,
                size,
                pitch,
            },
            None => {
                let dense = tensor.to_contiguous();
                let from = dense.layout().start_offset();
                let values: &[f32] = &dense.storage::<f32>()[from..];
                let last = build(size, |to| transpose::to_channels_last(values, size, to));
                Self {
                    tensor: last,
                    size,
                    pitch: size.channels,
                }
            }
        }
    }

    pub fn images(&self) -> Images<'_> {
        let from = self.tensor.layout().start_offset();
        Images::with_pitch(&self.tensor.storage::<f32>()[from..], self.size, self.pitch)
    }
}

/// The four axes of a tensor.
pub(crate) fn shape4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

fn shape(size: Size) -> Shape {
    Shape::from(vec![size.batch, size.channels, size.height, size.width])
}

/// Strides of a dense channels-last map.
fn strides(size: Size) -> Vec<isize> {
    let strides = [
        size.area() * size.channels,
        1,
        size.width * size.channels,
        size.channels,
    ];
    strides.map(|stride| stride as isize).to_vec()
}

/// Height, width and the like of a map.
pub(crate) fn size(layout: &Layout) -> Size {
    let shape = layout.shape();
    Size::of([shape[0], shape[1], shape[2], shape[3]])
}

/// Values from a pixel to the next, when the channels of every pixel lie together.
fn pitch(layout: &Layout, size: Size) -> Option<usize> {
    let strides = layout.strides();
    // The stride of an axis of one entry means nothing.
    let along = |axis: usize| usize::try_from(strides[axis]).ok();
    let pitch = if size.width > 1 {
        along(3)?
    } else if size.height > 1 {
        along(2)?
    } else if size.batch > 1 {
        along(0)?
    } else {
        size.channels
    };
    let fits =
        |axis: usize, length: usize, stride: usize| length == 1 || along(axis) == Some(stride);
    (pitch >= size.channels
        && fits(1, size.channels, 1)
        && fits(2, size.height, size.width * pitch)
        && fits(0, size.batch, size.area() * pitch))
    .then_some(pitch)
}

/// A dense channels-last map, written by `fill`, which must write every value.
pub(crate) fn build(size: Size, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> FlexTensor {
    map(values(size.len(), fill), size)
}

/// Values that `fill` writes, all of them.
pub(crate) fn values(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: `fill` wrote all `len` values.
    unsafe { values.set_len(len) };
    values
}

/// Channels-last values as a map.
fn map(values: Vec<f32>, size: Size) -> FlexTensor {
    let layout = Layout::new(shape(size), strides(size), 0);
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// Values in the order of their shape.
pub(crate) fn dense(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let layout = Layout::contiguous(shape.into());
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// The values of a tensor in the order of its shape.
pub(crate) struct Dense(FlexTensor);

impl Dense {
    pub fn new(tensor: FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }

    pub fn values(&self) -> &[f32] {
        let from = self.0.layout().start_offset();
        &self.0.storage::<f32>()[from..][..self.0.layout().num_elements()]
    }
}
