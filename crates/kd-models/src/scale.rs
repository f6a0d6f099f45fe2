//! The two sizes of images that families have networks for.

/// Which images a network is for, in a family that has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// 32×32, as in the literature of distillation.
    Small,
    /// 224×224, as torchvision has the network: the whole divides height and width by 32.
    Large,
}

impl Scale {
    /// Height and width of an image.
    pub fn image_size(self) -> usize {
        match self {
            Self::Small => 32,
            Self::Large => 224,
        }
    }
}
