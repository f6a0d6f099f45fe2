//! The registered names of vision transformers.

use super::config::{VitConfig, VitDesign, VitDropout, VitPooling};
use crate::architecture::Named;

const TINY: VitConfig = VitConfig::new(16, 192, 12, 3);
const SMALL: VitConfig = VitConfig::new(16, 384, 12, 6);
const BASE: VitConfig = VitConfig::new(16, 768, 12, 12);

pub(super) const NAMES: &[Named<VitDesign>] = &[
    vit("vit_tiny_patch16_224", &[], TINY),
    vit("vit_small_patch16_224", &[], SMALL),
    vit(
        "vit_base_patch16_224",
        &["torchvision.vit_b_16", "tv_vit_b_16"],
        BASE,
    ),
    vit(
        "vit_base_patch32_224",
        &["torchvision.vit_b_32", "tv_vit_b_32"],
        VitConfig { patch: 32, ..BASE },
    ),
    small_images("vit_p4_d6_w192_mlp2", 4, 6, 2),
    small_deit("deit_p4_d6_w192_mlp2_distilled", 4, 6, 2),
    small_images("vit_p4_d6_w192_mlp4", 4, 6, 4),
    small_images("vit_p4_d9_w192_mlp2", 4, 9, 2),
    small_images("vit_p8_d6_w192_mlp4", 8, 6, 4),
    deit("deit_tiny_patch16_224", TINY),
    deit("deit_small_patch16_224", SMALL),
    deit("deit_base_patch16_224", BASE),
    deit("deit_tiny_distilled_patch16_224", TINY.distilled()),
    deit("deit_small_distilled_patch16_224", SMALL.distilled()),
    deit("deit_base_distilled_patch16_224", BASE.distilled()),
    Named {
        name: "vit_small_patch14_dinov2",
        aliases: &["dinov2_vits14"],
        family: "ViT",
        reference: "Oquab et al., TMLR 2024",
        config: VitDesign {
            shape: VitConfig {
                patch: 14,
                layer_scale: Some(1e-5),
                pooling: VitPooling::TokenAndMean,
                ..SMALL
            },
            // 37 patches along a side.
            image_size: 518,
        },
    },
];

const fn vit(
    name: &'static str,
    aliases: &'static [&'static str],
    shape: VitConfig,
) -> Named<VitDesign> {
    Named {
        name,
        aliases,
        family: "ViT",
        reference: "Dosovitskiy et al., ICLR 2021",
        config: VitDesign {
            shape,
            image_size: 224,
        },
    }
}

/// DeiT's training drops a tenth of the paths.
const fn deit(name: &'static str, shape: VitConfig) -> Named<VitDesign> {
    let dropout = VitDropout {
        hidden: 0.0,
        attention: 0.0,
        path: 0.1,
    };
    let shape = VitConfig { dropout, ..shape };
    Named {
        family: "DeiT",
        reference: "Touvron et al., ICML 2021",
        ..vit(name, &[], shape)
    }
}

/// For images of 32 pixels: three heads, `mlp` times the width inside the perceptrons.
const fn small_images(
    name: &'static str,
    patch: usize,
    depth: usize,
    mlp: usize,
) -> Named<VitDesign> {
    const WIDTH: usize = 192;
    let shape = VitConfig {
        hidden: mlp * WIDTH,
        ..VitConfig::new(patch, WIDTH, depth, 3)
    };
    Named {
        config: VitDesign {
            shape,
            image_size: 32,
        },
        ..vit(name, &[], shape)
    }
}

/// The same with a distillation token.
const fn small_deit(
    name: &'static str,
    patch: usize,
    depth: usize,
    mlp: usize,
) -> Named<VitDesign> {
    let plain = small_images(name, patch, depth, mlp);
    Named {
        family: "DeiT",
        reference: "Touvron et al., ICML 2021",
        config: VitDesign {
            shape: plain.config.shape.distilled(),
            ..plain.config
        },
        ..plain
    }
}
