//! What is known of a set before it is read.

/// Sizes of a set that never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetInfo {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image in pixels.
    pub size: usize,
    /// Images of the training set, before any are held out.
    pub train: usize,
}

const fn set(
    name: &'static str,
    classes: usize,
    [channels, size]: [usize; 2],
    train: usize,
) -> SetInfo {
    SetInfo {
        name,
        classes,
        channels,
        size,
        train,
    }
}

/// An image folder is not here: [`survey`](crate::survey) counts it.
const SETS: [SetInfo; 5] = [
    set("cifar10", 10, [3, 32], 50_000),
    set("cifar100", 100, [3, 32], 50_000),
    set("fashion_mnist", 10, [1, 28], 60_000),
    set("fashion_mnist_small", 10, [1, 28], 10_000),
    set("mnist", 10, [1, 28], 60_000),
];

impl SetInfo {
    /// The set of a name; none for images of the user's own.
    pub fn find(name: &str) -> Option<Self> {
        SETS.into_iter().find(|set| set.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataConfig, load};

    #[test]
    fn every_set_but_a_folder_is_known() {
        let known: Vec<_> = SETS.iter().map(|set| set.name).collect();
        let names: Vec<_> = crate::NAMES.iter().filter(|n| **n != "folder").collect();
        assert_eq!(known.iter().collect::<Vec<_>>(), names);
    }

    #[test]
    fn the_embedded_set_is_what_is_said_of_it() {
        let data = load(&DataConfig::default(), &mut |_| {}).unwrap();
        let info = SetInfo::find(&data.name).unwrap();
        assert_eq!(info.classes, data.classes.len());
        assert_eq!(info.train, data.train.len());
        assert_eq!(
            [data.train.channels, data.train.height, data.train.width],
            [info.channels, info.size, info.size]
        );
    }
}
