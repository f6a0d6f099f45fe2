//! Boxes as offsets from reference boxes, which is what a detector predicts.

use burn::tensor::{Tensor, TensorData};

use super::Corners;
use crate::Error;

/// Offsets of boxes from reference boxes (anchors, default boxes or proposals).
///
/// With centres `c`, sides `s` of the box and `r` of the reference, and a weight a component:
///
/// `t = [w_x (c_x − r_x) / r_w, w_y (c_y − r_y) / r_h, w_w ln(s_w / r_w), w_h ln(s_h / r_h)]`.
///
/// Source: R. Girshick, J. Donahue, T. Darrell, J. Malik, "Rich Feature Hierarchies for Accurate Object Detection and
/// Semantic Segmentation", CVPR 2014.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxCoder {
    /// Weights of x, y, width and height: the reciprocals of SSD's "variances".
    pub weights: [f64; 4],
}

/// A decoded side is at most this many times the reference's: torchvision's bound against overflow.
const LARGEST_SIDE: f64 = 1000.0 / 16.0;

impl BoxCoder {
    /// Of region proposals: plain offsets.
    pub const RPN: Self = Self {
        weights: [1.0, 1.0, 1.0, 1.0],
    };

    /// Of the box head of Faster R-CNN.
    pub const ROI: Self = Self {
        weights: [10.0, 10.0, 5.0, 5.0],
    };

    /// Of SSD's default boxes: variances 0.1 and 0.2.
    pub const SSD: Self = Self::ROI;

    /// The offsets of boxes from references, one by one.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are not as many boxes as references, or when one of them has no width or no
    /// height.
    pub fn encode(
        &self,
        boxes: &[Corners],
        references: &[Corners],
    ) -> Result<Vec<[f64; 4]>, Error> {
        if boxes.len() != references.len() {
            return Err(refuse(format!(
                "{} boxes for {} reference boxes",
                boxes.len(),
                references.len()
            )));
        }
        let pairs = boxes.iter().zip(references);
        pairs.map(|(b, r)| self.encode_one(b, r)).collect()
    }

    fn encode_one(&self, corners: &Corners, reference: &Corners) -> Result<[f64; 4], Error> {
        for [x1, y1, x2, y2] in [corners, reference] {
            if x2 <= x1 || y2 <= y1 {
                return Err(refuse(format!(
                    "[{x1}, {y1}, {x2}, {y2}] has no width or no height"
                )));
            }
        }
        let ([cx, cy, w, h], [rx, ry, rw, rh]) = (centred(corners), centred(reference));
        let [of_x, of_y, of_w, of_h] = self.weights;
        Ok([
            of_x * (cx - rx) / rw,
            of_y * (cy - ry) / rh,
            of_w * (w / rw).ln(),
            of_h * (h / rh).ln(),
        ])
    }

    /// The boxes of offsets `[boxes, 4 · k]` from one reference a row, as corners `[boxes, 4 · k]`; `k` is the number
    /// of classes where each has a box of its own, else 1.
    ///
    /// A side is at most 62.5 times the reference's; beyond there is no gradient.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are not as many rows as references, or not a multiple of four columns.
    pub fn decode(&self, offsets: Tensor<2>, references: &[Corners]) -> Result<Tensor<2>, Error> {
        let [rows, columns] = offsets.dims();
        if rows != references.len() || columns % 4 != 0 {
            return Err(refuse(format!(
                "offsets of shape [{rows}, {columns}] for {} reference boxes",
                references.len()
            )));
        }
        if rows == 0 {
            return Ok(offsets);
        }
        let options = (&offsets.device(), offsets.dtype());
        let centred: Vec<f64> = references.iter().flat_map(centred).collect();
        let centred = Tensor::<2>::from_data(TensorData::new(centred, [rows, 4]), options);
        let [centres, sides] = [0, 2].map(|i| centred.clone().narrow(1, i, 2).unsqueeze_dim(1));
        let [of_xy, of_wh] = [0, 2].map(|i| {
            let weights = TensorData::new(self.weights[i..i + 2].to_vec(), [1, 1, 2]);
            Tensor::<3>::from_data(weights, options)
        });
        let offsets: Tensor<3> = offsets.reshape([rows, columns / 4, 4]);
        let moved = offsets.clone().narrow(2, 0, 2) / of_xy;
        let scaled = offsets.narrow(2, 2, 2) / of_wh;
        let centres: Tensor<3> = centres + moved * sides.clone();
        let half = scaled.clamp_max(LARGEST_SIDE.ln()).exp() * sides * 0.5;
        let corners = Tensor::cat(vec![centres.clone() - half.clone(), centres + half], 2);
        Ok(corners.reshape([rows, columns]))
    }
}

impl BoxCoder {
    /// The boxes of several images, `[images, boxes, 4]`, from their offsets of the same shape and the reference boxes that
    /// they all have: [`BoxCoder::decode`] for a graph whose number of images is free.
    ///
    /// # Errors
    /// As [`BoxCoder::decode`].
    pub fn decode_images(
        &self,
        offsets: Tensor<3>,
        references: &[Corners],
    ) -> Result<Tensor<3>, Error> {
        let [images, boxes, columns] = offsets.dims();
        if boxes != references.len() || columns != 4 {
            return Err(refuse(format!(
                "offsets of shape [{images}, {boxes}, {columns}] for {} reference boxes",
                references.len()
            )));
        }
        let options = (&offsets.device(), offsets.dtype());
        // Centres with the part of them that an offset of 1 moves, and sides with the logarithm's scale.
        let column = |of: &dyn Fn([f64; 4]) -> [f64; 2]| {
            let values: Vec<f64> = references.iter().flat_map(|r| of(centred(r))).collect();
            Tensor::<3>::from_data(TensorData::new(values, [1, boxes, 2]), options)
        };
        let [of_x, of_y, of_w, of_h] = self.weights;
        let centres = column(&|[x, y, ..]| [x, y]);
        let moves = column(&|[_, _, w, h]| [w / of_x, h / of_y]);
        let halves = column(&|[_, _, w, h]| [w / 2.0, h / 2.0]);
        let scales = column(&|_| [1.0 / of_w, 1.0 / of_h]);
        let centres = offsets.clone().narrow(2, 0, 2) * moves + centres;
        let scaled = offsets.narrow(2, 2, 2) * scales;
        let half = scaled.clamp_max(LARGEST_SIDE.ln()).exp() * halves;
        Ok(Tensor::cat(
            vec![centres.clone() - half.clone(), centres + half],
            2,
        ))
    }
}

/// Centre and sides of a box: x, y, width, height.
fn centred([x1, y1, x2, y2]: &Corners) -> [f64; 4] {
    let (width, height) = (x2 - x1, y2 - y1);
    [x1 + width / 2.0, y1 + height / 2.0, width, height]
}

fn refuse(problem: String) -> Error {
    Error::Shape {
        loss: "box coding",
        problem,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn decoding_undoes_encoding() {
        let boxes = [[10.0, 20.0, 50.0, 90.0], [3.0, 4.0, 30.0, 8.0]];
        let references = [[12.0, 18.0, 40.0, 100.0], [0.0, 0.0, 20.0, 20.0]];
        let offsets = BoxCoder::SSD.encode(&boxes, &references).unwrap();
        let offsets = TensorData::new(offsets.concat(), [2, 4]);
        let offsets = Tensor::from_data(offsets, &Device::flex());
        let decoded = BoxCoder::SSD.decode(offsets, &references).unwrap();
        let decoded: Vec<f64> = decoded.into_data().iter().collect();
        for (got, want) in decoded.iter().zip(boxes.concat()) {
            assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
        }
        let offsets = BoxCoder::SSD.encode(&boxes, &references).unwrap().concat();
        let offsets = TensorData::new([offsets.clone(), vec![0.0; 8]].concat(), [2, 2, 4]);
        let offsets = Tensor::from_data(offsets, &Device::flex());
        let of_images = BoxCoder::SSD.decode_images(offsets, &references).unwrap();
        let of_images: Vec<f64> = of_images.into_data().iter().collect();
        let wanted = [boxes.concat(), references.concat()].concat();
        for (got, want) in of_images.iter().zip(wanted) {
            assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
        }
    }

    #[test]
    fn boxes_without_a_side_and_other_counts_are_refused() {
        let coder = BoxCoder::RPN;
        let (good, flat) = ([0.0, 0.0, 4.0, 4.0], [0.0, 3.0, 4.0, 3.0]);
        assert!(coder.encode(&[flat], &[good]).is_err());
        assert!(coder.encode(&[good], &[flat]).is_err());
        assert!(coder.encode(&[good], &[]).is_err());
        let offsets = |shape: [usize; 2]| Tensor::zeros(shape, &Device::flex());
        assert!(coder.decode(offsets([1, 6]), &[good]).is_err());
        assert!(coder.decode(offsets([2, 4]), &[good]).is_err());
        assert_eq!(coder.decode(offsets([0, 4]), &[]).unwrap().dims(), [0, 4]);
    }
}
