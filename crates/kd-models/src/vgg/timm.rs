//! What timm calls the layers of a VGG for large images.
//!
//! The hidden layers are convolutions there, the first one of the whole map.

use super::{HIDDEN, MAP, WIDTHS};
use crate::spelling::Spelling;
use crate::vit::Origin;

/// torchvision's layer, timm's, and the shape of its weight where that has another.
const LAYERS: [(&str, &str, Option<[usize; 4]>); 3] = [
    (
        "classifier.0.",
        "pre_logits.fc1.",
        Some([HIDDEN, WIDTHS[4], MAP, MAP]),
    ),
    (
        "classifier.3.",
        "pre_logits.fc2.",
        Some([HIDDEN, HIDDEN, 1, 1]),
    ),
    ("classifier.6.", "head.fc.", None),
];

/// timm's names for those of torchvision.
pub(super) fn spelling(own: &[String]) -> Spelling {
    let mut spelling = Spelling::own(Origin::Timm);
    for name in own {
        for (ours, theirs, shape) in LAYERS {
            let Some(parameter) = name.strip_prefix(ours) else {
                continue;
            };
            let theirs = vec![format!("{theirs}{parameter}")];
            spelling.names.insert(name.clone(), theirs);
            if let (Some(shape), "weight") = (shape, parameter) {
                spelling.shapes.insert(name.clone(), shape.to_vec());
            }
        }
    }
    spelling
}
