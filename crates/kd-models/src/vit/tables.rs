//! How other programs name the tensors of a vision transformer.
//!
//! The module has timm's names. A table says for the beginning of such a name what stands there in another program;
//! several beginnings are pieces, whose rows are joined. What comes after it (`weight`, `bias`) is the same
//! everywhere.

use super::origin::Origin;
use crate::spelling::Spelling;

/// A beginning of timm's names, and what stands in its place.
pub(crate) type Names = &'static [(&'static str, &'static [&'static str])];

struct Table {
    origin: Origin,
    /// What may stand before all names but those of the classifiers.
    models: &'static [&'static str],
    /// What stands before a block's number, and after it.
    block: [&'static str; 2],
    /// Inside a block.
    inside: Names,
    /// Around the blocks.
    around: Names,
    /// The classifiers.
    heads: Names,
    /// What a classifier has no use for, behind what stands before all names.
    ignored: &'static [&'static str],
}

const HUGGING_FACE_MODELS: &[&str] = &["vit.", "deit.", "dinov2.", ""];
const HUGGING_FACE_AROUND: Names = &[
    ("cls_token", &["embeddings.cls_token"]),
    ("dist_token", &["embeddings.distillation_token"]),
    ("pos_embed", &["embeddings.position_embeddings"]),
    (
        "patch_embed.proj.",
        &["embeddings.patch_embeddings.projection."],
    ),
    ("norm.", &["layernorm."]),
];
const HUGGING_FACE_HEADS: Names = &[("head.", &["classifier."])];
const HUGGING_FACE_TWO_HEADS: Names = &[
    ("head.", &["cls_classifier."]),
    ("head_dist.", &["distillation_classifier."]),
];
const HUGGING_FACE_IGNORED: &[&str] = &["pooler.", "embeddings.mask_token"];
const HUGGING_FACE_LAYER: [&str; 2] = ["encoder.layer.", "."];
const QUERY_KEY_VALUE: (&str, &[&str]) = (
    "attn.qkv.",
    &[
        "attention.attention.query.",
        "attention.attention.key.",
        "attention.attention.value.",
    ],
);

/// Files of Hugging Face's ViT and DeiT.
const HUGGING_FACE: Table = Table {
    origin: Origin::HuggingFace,
    models: HUGGING_FACE_MODELS,
    block: HUGGING_FACE_LAYER,
    inside: &[
        ("norm1.", &["layernorm_before."]),
        QUERY_KEY_VALUE,
        ("attn.proj.", &["attention.output.dense."]),
        ("norm2.", &["layernorm_after."]),
        ("mlp.fc1.", &["intermediate.dense."]),
        ("mlp.fc2.", &["output.dense."]),
    ],
    around: HUGGING_FACE_AROUND,
    heads: HUGGING_FACE_HEADS,
    ignored: HUGGING_FACE_IGNORED,
};

/// The same in memory, since version 5 of transformers.
const HUGGING_FACE_MEMORY: Table = Table {
    block: ["layers.", "."],
    inside: &[
        ("norm1.", &["layernorm_before."]),
        (
            "attn.qkv.",
            &[
                "attention.q_proj.",
                "attention.k_proj.",
                "attention.v_proj.",
            ],
        ),
        ("attn.proj.", &["attention.o_proj."]),
        ("norm2.", &["layernorm_after."]),
    ],
    ..HUGGING_FACE
};

/// Files of Hugging Face's DINOv2.
const HUGGING_FACE_DINO: Table = Table {
    inside: &[
        QUERY_KEY_VALUE,
        ("attn.proj.", &["attention.output.dense."]),
        ("ls1.gamma", &["layer_scale1.lambda1"]),
        ("ls2.gamma", &["layer_scale2.lambda1"]),
    ],
    ..HUGGING_FACE
};

const TORCHVISION: Table = Table {
    origin: Origin::Torchvision,
    models: &[""],
    block: ["encoder.layers.encoder_layer_", "."],
    inside: &[
        ("norm1.", &["ln_1."]),
        ("attn.qkv.", &["self_attention.in_proj_"]),
        ("attn.proj.", &["self_attention.out_proj."]),
        ("norm2.", &["ln_2."]),
        ("mlp.fc1.", &["mlp.0."]),
        ("mlp.fc2.", &["mlp.3."]),
    ],
    around: &[
        ("cls_token", &["class_token"]),
        ("pos_embed", &["encoder.pos_embedding"]),
        ("patch_embed.proj.", &["conv_proj."]),
        ("norm.", &["encoder.ln."]),
    ],
    heads: &[("head.", &["heads.head."])],
    ignored: &[],
};

/// torchvision before 0.12.
const TORCHVISION_OLD: Table = Table {
    inside: &[
        ("norm1.", &["ln_1."]),
        ("attn.qkv.", &["self_attention.in_proj_"]),
        ("attn.proj.", &["self_attention.out_proj."]),
        ("norm2.", &["ln_2."]),
        ("mlp.fc1.", &["mlp.linear_1."]),
        ("mlp.fc2.", &["mlp.linear_2."]),
    ],
    ..TORCHVISION
};

const TABLES: [Table; 5] = [
    HUGGING_FACE,
    HUGGING_FACE_MEMORY,
    HUGGING_FACE_DINO,
    TORCHVISION,
    TORCHVISION_OLD,
];

/// Every spelling of a vision transformer with these names of ours; the module's own first. `distilled` is whether it
/// has two classifiers.
pub(super) fn spellings(own: &[String], distilled: bool) -> Vec<Spelling> {
    let timm = Spelling {
        // DINOv2's own files keep the token that stands for a hidden patch.
        ignored: vec!["mask_token".into()],
        ..Spelling::own(Origin::Timm)
    };
    let others = TABLES.iter().flat_map(|table| {
        let each = table.models.iter();
        each.map(move |model| table.spelling(model, own, distilled))
    });
    std::iter::once(timm).chain(others).collect()
}

/// The names in files of Hugging Face for a network that it calls `model`.
pub(super) fn hugging_face(model: &str, own: &[String], distilled: bool) -> Spelling {
    let table = match model {
        "dinov2" => HUGGING_FACE_DINO,
        _ => HUGGING_FACE,
    };
    table.spelling(&format!("{model}."), own, distilled)
}

/// The names in files of torchvision.
pub(super) fn torchvision(own: &[String]) -> Spelling {
    TORCHVISION.spelling("", own, false)
}

impl Table {
    fn spelling(&self, model: &str, own: &[String], distilled: bool) -> Spelling {
        let heads = match self.origin {
            Origin::HuggingFace if distilled => HUGGING_FACE_TWO_HEADS,
            _ => self.heads,
        };
        let named = own.iter().map(|name| {
            let names = match name.strip_prefix("blocks.").and_then(|n| n.split_once('.')) {
                Some((number, rest)) => {
                    let [before, after] = self.block;
                    let start = format!("{model}{before}{number}{after}");
                    let inside = translated(self.inside, rest);
                    let inside = inside.unwrap_or_else(|| vec![rest.to_owned()]);
                    behind(&start, inside)
                }
                None => match translated(self.around, name) {
                    Some(names) => behind(model, names),
                    None => translated(heads, name).unwrap_or_else(|| vec![name.clone()]),
                },
            };
            (name.clone(), names)
        });
        let ignored = self.ignored.iter();
        Spelling {
            names: named.collect(),
            ignored: ignored.map(|name| format!("{model}{name}")).collect(),
            ..Spelling::own(self.origin)
        }
    }
}

/// A name with another beginning; none where the table does not have its beginning.
pub(crate) fn translated(names: Names, name: &str) -> Option<Vec<String>> {
    let (rest, starts) = names
        .iter()
        .find_map(|(start, others)| Some((name.strip_prefix(start)?, others)))?;
    Some(
        starts
            .iter()
            .map(|start| format!("{start}{rest}"))
            .collect(),
    )
}

pub(crate) fn behind(start: &str, names: Vec<String>) -> Vec<String> {
    let names = names.into_iter();
    names.map(|name| format!("{start}{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_place_in_every_program() {
        let own = [
            "cls_token",
            "blocks.11.attn.qkv.weight",
            "blocks.2.mlp.fc1.bias",
            "norm.weight",
            "head.bias",
        ]
        .map(String::from);
        let of = |at: usize| {
            let spelling = spellings(&own, false).swap_remove(at);
            own.iter()
                .map(|name| spelling.names[name].join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(1),
            [
                "vit.embeddings.cls_token",
                "vit.encoder.layer.11.attention.attention.query.weight \
                 vit.encoder.layer.11.attention.attention.key.weight \
                 vit.encoder.layer.11.attention.attention.value.weight",
                "vit.encoder.layer.2.intermediate.dense.bias",
                "vit.layernorm.weight",
                "classifier.bias",
            ]
        );
        let last = spellings(&own, false).len() - 1;
        assert_eq!(
            of(last),
            [
                "class_token",
                "encoder.layers.encoder_layer_11.self_attention.in_proj_weight",
                "encoder.layers.encoder_layer_2.mlp.linear_1.bias",
                "encoder.ln.weight",
                "heads.head.bias",
            ]
        );
        let two = spellings(&own, true).swap_remove(1);
        assert_eq!(two.names["head.bias"], ["cls_classifier.bias"]);
        assert!(two.ignores("vit.pooler.dense.weight") && !two.ignores("vit.layernorm.bias"));
    }
}
