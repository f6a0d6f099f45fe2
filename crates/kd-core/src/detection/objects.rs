//! What there is to find in an image.

use super::Corners;
use crate::Error;

/// The objects of an image: boxes and their classes. There may be none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    boxes: Vec<Corners>,
    classes: Vec<usize>,
}

impl Objects {
    /// Objects from boxes and classes, of which 0 is the background and therefore no object's.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are not as many boxes as classes, when a class is 0, or when a box has no width or
    /// no height: its logarithm would make every weight NaN in one step.
    pub fn new(boxes: Vec<Corners>, classes: Vec<usize>) -> Result<Self, Error> {
        let refuse = |problem: String| Error::Shape {
            loss: "objects",
            problem,
        };
        if boxes.len() != classes.len() {
            let (boxes, classes) = (boxes.len(), classes.len());
            return Err(refuse(format!("{boxes} boxes for {classes} classes")));
        }
        for (i, [x1, y1, x2, y2]) in boxes.iter().enumerate() {
            let finite = [x1, y1, x2, y2].iter().all(|edge| edge.is_finite());
            if !finite || x2 <= x1 || y2 <= y1 {
                return Err(refuse(format!(
                    "box {i} is [{x1}, {y1}, {x2}, {y2}]: an object is wider and higher than 0, and the numbers are \
                     x1, y1, x2, y2"
                )));
            }
        }
        if let Some(i) = classes.iter().position(|class| *class == 0) {
            return Err(refuse(format!(
                "box {i} is of class 0, which is the background: classes of objects start at 1"
            )));
        }
        Ok(Self { boxes, classes })
    }

    /// Their boxes.
    pub fn boxes(&self) -> &[Corners] {
        &self.boxes
    }

    /// The class of each, at least 1.
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_in_nan_is_refused() {
        let good = [1.0, 2.0, 3.0, 4.0];
        let says = |corners, class| {
            let made = Objects::new(vec![good, corners], vec![1, class]);
            made.unwrap_err().to_string()
        };
        assert!(says([5.0, 5.0, 5.0, 9.0], 1).contains("box 1 is [5, 5, 5, 9]"));
        assert!(says([5.0, 5.0, 2.0, 9.0], 1).contains("wider and higher"));
        assert!(says([f64::NAN, 5.0, 7.0, 9.0], 1).contains("NaN"));
        assert!(says(good, 0).contains("background"));
        assert!(Objects::new(vec![good], vec![]).is_err());
        assert!(Objects::new(vec![], vec![]).is_ok());
    }
}
