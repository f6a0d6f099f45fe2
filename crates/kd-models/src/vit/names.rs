//! The registered names of vision transformers.

use super::config::{VitConfig, VitDropout, VitPooling};
use crate::architecture::Named;

const VIT: (&str, &str) = ("ViT", "Dosovitskiy et al., ICLR 2021");
const DEIT: (&str, &str) = ("DeiT", "Touvron et al., ICML 2021");
const DINO: (&str, &str) = ("ViT", "Oquab et al., TMLR 2024");

const TINY: VitConfig = VitConfig::new(16, 192, 12, 3);
const SMALL: VitConfig = VitConfig::new(16, 384, 12, 6);
const BASE: VitConfig = VitConfig::new(16, 768, 12, 12);

pub(super) const NAMES: &[Named<VitConfig>] = &[
    named("vit_tiny_patch16_224", &[], VIT, TINY),
    named("vit_small_patch16_224", &[], VIT, SMALL),
    named("vit_base_patch16_224", &["vit_b_16"], VIT, BASE),
    named(
        "vit_base_patch32_224",
        &["vit_b_32"],
        VIT,
        VitConfig { patch: 32, ..BASE },
    ),
    named("vit_p4_d6_w192_mlp2", &[], VIT, small_images(4, 6, 2)),
    named("vit_p4_d6_w192_mlp4", &[], VIT, small_images(4, 6, 4)),
    named("vit_p4_d9_w192_mlp2", &[], VIT, small_images(4, 9, 2)),
    named("vit_p8_d6_w192_mlp4", &[], VIT, small_images(8, 6, 4)),
    named("deit_tiny_patch16_224", &[], DEIT, deit(TINY)),
    named("deit_small_patch16_224", &[], DEIT, deit(SMALL)),
    named("deit_base_patch16_224", &[], DEIT, deit(BASE)),
    named(
        "deit_tiny_distilled_patch16_224",
        &[],
        DEIT,
        deit(TINY).distilled(),
    ),
    named(
        "deit_small_distilled_patch16_224",
        &[],
        DEIT,
        deit(SMALL).distilled(),
    ),
    named(
        "deit_base_distilled_patch16_224",
        &[],
        DEIT,
        deit(BASE).distilled(),
    ),
    named(
        "vit_small_patch14_dinov2",
        &["dinov2_vits14"],
        DINO,
        VitConfig {
            patch: 14,
            layer_scale: Some(1e-5),
            pooling: VitPooling::TokenAndMean,
            ..SMALL
        },
    ),
];

const fn named(
    name: &'static str,
    aliases: &'static [&'static str],
    (family, reference): (&'static str, &'static str),
    config: VitConfig,
) -> Named<VitConfig> {
    Named {
        name,
        aliases,
        family,
        reference,
        config,
    }
}

/// DeiT's training drops a tenth of the paths.
const fn deit(config: VitConfig) -> VitConfig {
    let dropout = VitDropout {
        hidden: 0.0,
        attention: 0.0,
        path: 0.1,
    };
    VitConfig { dropout, ..config }
}

/// For images of 32 pixels: three heads, `mlp` times the width inside the perceptrons.
const fn small_images(patch: usize, depth: usize, mlp: usize) -> VitConfig {
    const WIDTH: usize = 192;
    VitConfig {
        hidden: mlp * WIDTH,
        ..VitConfig::new(patch, WIDTH, depth, 3)
    }
}
