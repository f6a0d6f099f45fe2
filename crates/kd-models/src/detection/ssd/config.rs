//! What distinguishes one SSD from another.

use kd_core::detection::DefaultBoxes;

use crate::Error;
use crate::detection::Filter;

/// Parameters of [`Ssd`](super::Ssd).
#[derive(Clone, Debug, PartialEq)]
pub struct SsdConfig {
    /// Classes, with the background.
    pub classes: usize,
    /// Channels of every layer are divided by this: 1 is the reference, 2 and 4 make students of about a quarter and a
    /// sixteenth of its parameters.
    pub divisor: usize,
    /// The default boxes.
    pub boxes: DefaultBoxes,
}

impl SsdConfig {
    /// The filter of torchvision's network.
    pub const FILTER: Filter = Filter {
        score: 0.01,
        a_class: Some(400),
        overlap: 0.45,
        an_image: 200,
        side: 0.0,
    };

    /// SSD300 with COCO's default boxes, for so many classes with the background.
    pub fn ssd300(classes: usize) -> Self {
        Self {
            classes,
            divisor: 1,
            boxes: DefaultBoxes::ssd300(),
        }
    }

    /// The same, each layer with a `divisor`-th of its channels.
    pub fn with_divisor(self, divisor: usize) -> Self {
        Self { divisor, ..self }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let refuse = |key, value, expected: &str| {
            Err(Error::Config {
                key,
                value,
                expected: expected.into(),
            })
        };
        if self.classes < 2 {
            return refuse(
                "classes",
                self.classes,
                "at least 2: one class and the background",
            );
        }
        if !matches!(self.divisor, 1 | 2 | 4 | 8) {
            return refuse("divisor", self.divisor, "1, 2, 4 or 8");
        }
        Ok(())
    }
}
