//! Images on a grid.

use super::finish::Finish;
use super::lanes::{Lanes, Work};
use super::{Data, IntegerError, IntegerSet, Map};

/// From floats `[channels, height, width]` to integers of a map: `clamp(round(x / scale) + zero)`, halves to even. What is no
/// number becomes the smallest.
#[derive(Clone, Debug)]
pub struct Images {
    set: IntegerSet,
    output: Map,
    finish: Finish,
}

impl Images {
    /// Images as integers.
    ///
    /// # Errors
    /// [`IntegerError`] for a map of floats.
    pub fn new(set: IntegerSet, output: Map) -> Result<Self, IntegerError> {
        match output.grid {
            Some(_) => Ok(Self {
                set,
                output,
                finish: Finish::new(&output, [f32::NEG_INFINITY, f32::INFINITY]),
            }),
            None => Err(IntegerError("an image on no grid".into())),
        }
    }

    /// Computes the integers of one image.
    ///
    /// # Panics
    /// When image or map is not of the size that this was built for.
    pub fn run(&self, image: &[f32], y: &mut Data) {
        let Map {
            height,
            width,
            channels,
            ..
        } = self.output;
        assert_eq!(image.len(), channels * height * width, "an image");
        self.output.check(y);
        self.set.run(Placed {
            images: self,
            image,
            y,
        });
    }
}

struct Placed<'a> {
    images: &'a Images,
    image: &'a [f32],
    y: &'a mut Data,
}

impl Work for Placed<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Images { output, finish, .. } = self.images;
        let (scale, pitch) = (output.scale(), output.pitch());
        let Data::Bytes(bytes) = self.y else { return };
        for channel in 0..output.channels {
            for row in 0..output.height {
                let from = (channel * output.height + row) * output.width;
                let pixels = &self.image[from..][..output.width];
                let to = output.at(row, 0) + channel;
                for (byte, x) in bytes[to..].iter_mut().step_by(pitch).zip(pixels) {
                    *byte = finish.byte(x / scale);
                }
            }
        }
    }
}
