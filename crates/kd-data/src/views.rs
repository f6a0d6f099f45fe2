//! How many views of an image there are, and which one a view is.

use crate::{Augment, View};

impl Augment {
    /// How many different views of an image of `(height, width)` can be drawn:
    /// `(2 · crop + 1)² · (2 with flip) · (height · width with cutout)`.
    ///
    /// Crop 4 and flip have 162. Where there is no end of them ([`Augment::is_endless`]), the number is one that no
    /// training reaches.
    pub fn views(&self, (height, width): (usize, usize)) -> u64 {
        if self.is_endless() {
            return ENDLESS;
        }
        let moves = self.moves((height, width));
        let holes = match self.cutout {
            0 => 1,
            _ => height as u64 * width as u64,
        };
        moves * moves * (1 + u64::from(self.flip)) * holes
    }

    /// The number of a view among [`Augment::views`], from 0: two draws have the same number when
    /// they show the same.
    pub fn number(&self, (height, width): (usize, usize), view: &View) -> u64 {
        let moves = self.moves((height, width));
        let crop = (moves / 2) as i64;
        let shift = |by: i32| (i64::from(by) + crop) as u64;
        let mut number = shift(view.dy) * moves + shift(view.dx);
        if self.flip {
            number = 2 * number + u64::from(view.flip);
        }
        if let Some(hole) = view.cutout {
            // A hole that is cut off at one side is whole at the other.
            let centre = |start: usize, stop: usize, end: usize| {
                if stop < end {
                    (stop + self.cutout / 2).saturating_sub(self.cutout)
                } else {
                    start + self.cutout / 2
                }
            };
            let row = centre(hole.top, hole.bottom, height);
            let column = centre(hole.left, hole.right, width);
            number = (number * height as u64 + row as u64) * width as u64 + column as u64;
        }
        number
    }

    /// Places that an image can be moved to along one side.
    fn moves(&self, (height, width): (usize, usize)) -> u64 {
        2 * self.crop.min(height.max(width)) as u64 + 1
    }
}

/// More views than a sample is shown in, of which a sample's number times this is still a number.
const ENDLESS: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Draws until every view was seen, and checks that view and number determine each other.
    fn all_are_numbered(augment: Augment, size: (usize, usize), views: u64) {
        assert_eq!(augment.views(size), views, "{augment:?}");
        let mut seen: HashMap<u64, View> = HashMap::new();
        // Each of n views is missed by 20 n draws with a probability of exp(-20).
        for index in 0..20 * views as usize {
            let view = augment.view(size, 1, 1, index);
            let number = augment.number(size, &view);
            assert!(number < views, "{number} of {view:?}");
            assert_eq!(*seen.entry(number).or_insert(view), view, "{number}");
        }
        assert_eq!(seen.len() as u64, views, "{augment:?}");
    }

    #[test]
    fn every_view_has_a_number_of_its_own() {
        let of = |crop, flip, cutout| Augment {
            crop,
            flip,
            cutout,
            ..Augment::none()
        };
        all_are_numbered(of(4, true, 0), (32, 32), 162);
        all_are_numbered(of(2, false, 0), (5, 7), 25);
        for cutout in 1..=5 {
            all_are_numbered(of(1, true, cutout), (5, 7), 9 * 2 * 35);
        }
        all_are_numbered(Augment::none(), (5, 7), 1);
    }
}
