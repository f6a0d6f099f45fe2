//! What detectors with default boxes say of images.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use kd_core::Error;
use kd_core::detection::{BoxCoder, Corners, DefaultBoxes};

use crate::detection::{Detected, Filter};

/// What [`Ssd`](super::Ssd), [`SsdNormed`](crate::detection::SsdNormed) and [`SsdLite`](crate::detection::SsdLite) return.
#[derive(Clone, Debug)]
pub struct SsdOutput {
    /// The maps that the heads read, from the largest to the smallest. The first one of SSD300 is conv4_3, normalised.
    pub maps: Vec<Tensor<4>>,
    /// The maps that distillation compares, from the largest to the smallest: conv3_3, conv4_3 before it is normalised,
    /// fc7 and conv8_2 of SSD300; C2 to C5 of SSD300 on ResNet or MobileNet; the first two maps of SSDLite.
    pub levels: Vec<Tensor<4>>,
    /// Logits, `[batch, boxes, classes]`.
    pub logits: Tensor<3>,
    /// Offsets from the default boxes, `[batch, boxes, 4]`.
    pub offsets: Tensor<3>,
}

impl SsdOutput {
    /// Height and width of the maps.
    pub fn sizes(&self) -> Vec<[usize; 2]> {
        let size = |map: &Tensor<4>| [map.dims()[2], map.dims()[3]];
        self.maps.iter().map(size).collect()
    }

    /// The default boxes of images `[height, width]`, in pixels, in the order of the rows.
    pub fn default_boxes(&self, boxes: &DefaultBoxes, image: [usize; 2]) -> Vec<Corners> {
        boxes.of_image(image, &self.sizes())
    }

    /// What is found in images of `[height, width]` pixels, best first.
    ///
    /// # Errors
    /// [`Error::Shape`] where the default boxes are not those of the maps.
    pub fn detect(
        &self,
        boxes: &DefaultBoxes,
        image: [usize; 2],
        filter: &Filter,
    ) -> Result<Vec<Vec<Detected>>, Error> {
        let [batch, rows, classes] = self.logits.dims();
        let defaults = self.default_boxes(boxes, image);
        let size = image.map(|side| side as f64);
        let scores = softmax(self.logits.clone().detach(), 2).into_data();
        let scores: Vec<f64> = scores.iter().collect();
        let of_image = |i: usize| {
            let offsets = self.offsets.clone().detach().narrow(0, i, 1);
            let decoded = BoxCoder::SSD.decode(offsets.reshape([rows, 4]), &defaults)?;
            let decoded: Vec<f64> = decoded.into_data().iter().collect();
            let corners = decoded.as_chunks::<4>().0;
            let scores = &scores[i * rows * classes..(i + 1) * rows * classes];
            Ok(filter.apply(scores, classes, size, |i, _| corners[i]))
        };
        (0..batch).map(of_image).collect()
    }
}
