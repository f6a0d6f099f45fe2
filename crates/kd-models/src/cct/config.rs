//! Shapes and names of compact transformers.

use crate::Error;
use crate::architecture::Named;

/// How an image becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// So many 3×3 convolutions, each with a ReLU and a pooling that halves the sides.
    Convolutions(usize),
    /// Patches of so many pixels along a side, and a class token.
    Patches(usize),
}

/// The shape of a compact transformer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CctConfig {
    pub tokens: Tokens,
    /// Width of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the perceptrons.
    pub hidden: usize,
}

impl CctConfig {
    pub fn has_class_token(&self) -> bool {
        matches!(self.tokens, Tokens::Patches(_))
    }

    /// Tokens along a side of an image of `size` pixels.
    pub fn grid_of(&self, size: usize) -> usize {
        match self.tokens {
            Tokens::Convolutions(count) => (0..count).fold(size, |side, _| side.div_ceil(2)),
            Tokens::Patches(patch) => size / patch,
        }
    }

    /// The same, of a size that a user gives.
    ///
    /// # Errors
    /// [`Error::Config`] for a size that patches do not fill.
    pub fn grid(&self, size: usize, model: &str) -> Result<usize, Error> {
        match self.tokens {
            Tokens::Patches(patch) => crate::vit::filled(patch, size, model),
            Tokens::Convolutions(_) => Ok(self.grid_of(size)),
        }
    }
}

pub(super) const NAMES: &[Named<CctConfig>] = &[
    cct("cct_2_3x2_32", &["cct_2_3x2"], SHAPES[0], 2),
    cct("cct_4_3x2_32", &["cct_4_3x2"], SHAPES[1], 2),
    cct("cct_6_3x1_32", &["cct_6_3x1"], SHAPES[2], 1),
    cct("cct_7_3x1_32", &["cct_7_3x1"], SHAPES[3], 1),
    lite(
        "vit_lite_6_4_32",
        &["vit_lite_6_4", "vit_6_4_32"],
        SHAPES[2],
    ),
    lite(
        "vit_lite_7_4_32",
        &["vit_lite_7_4", "vit_7_4_32"],
        SHAPES[3],
    ),
];

/// Blocks, width, heads, and how many times the width a perceptron has inside.
type Shape = [usize; 4];

const SHAPES: [Shape; 4] = [
    [2, 128, 2, 1],
    [4, 128, 2, 1],
    [6, 256, 4, 2],
    [7, 256, 4, 2],
];

const fn cct(
    name: &'static str,
    aliases: &'static [&'static str],
    shape: Shape,
    convolutions: usize,
) -> Named<CctConfig> {
    named(
        name,
        aliases,
        "CCT",
        shape,
        Tokens::Convolutions(convolutions),
    )
}

const fn lite(
    name: &'static str,
    aliases: &'static [&'static str],
    shape: Shape,
) -> Named<CctConfig> {
    named(name, aliases, "ViT-Lite", shape, Tokens::Patches(4))
}

const fn named(
    name: &'static str,
    aliases: &'static [&'static str],
    family: &'static str,
    [depth, width, heads, ratio]: Shape,
    tokens: Tokens,
) -> Named<CctConfig> {
    Named {
        name,
        aliases,
        family,
        reference: "Hassani et al., arXiv 2021",
        config: CctConfig {
            tokens,
            width,
            depth,
            heads,
            hidden: ratio * width,
        },
    }
}
