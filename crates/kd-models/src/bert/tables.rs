//! How Hugging Face's files name the tensors of text networks.

use super::config::TextKind;
use crate::spelling::Spelling;
use crate::vit::{Names, Origin, behind, translated};

struct Table {
    /// What stands before all names but those of the heads; files of the bare network lack it.
    model: &'static str,
    /// What stands before a block's number.
    block: &'static str,
    inside: Names,
    around: Names,
    heads: Names,
    /// What a network has no use for where it has not that head, behind what stands before all names.
    unused: &'static [&'static str],
    /// The same at the top.
    unused_heads: &'static [&'static str],
}

const EMBEDDINGS: Names = &[
    ("embeddings.words.", &["embeddings.word_embeddings."]),
    (
        "embeddings.positions.",
        &["embeddings.position_embeddings."],
    ),
    ("embeddings.types.", &["embeddings.token_type_embeddings."]),
    ("embeddings.norm.", &["embeddings.LayerNorm."]),
    ("head.pooler.", &["pooler.dense."]),
];

const BERT: Table = Table {
    model: "bert.",
    block: "encoder.layer.",
    inside: &[
        (
            "attn.qkv.",
            &[
                "attention.self.query.",
                "attention.self.key.",
                "attention.self.value.",
            ],
        ),
        ("attn.proj.", &["attention.output.dense."]),
        ("norm1.", &["attention.output.LayerNorm."]),
        ("fc1.", &["intermediate.dense."]),
        ("fc2.", &["output.dense."]),
        ("norm2.", &["output.LayerNorm."]),
    ],
    around: EMBEDDINGS,
    heads: &[
        ("head.classifier.", &["classifier."]),
        ("head.transform.", &["cls.predictions.transform.dense."]),
        ("head.norm.", &["cls.predictions.transform.LayerNorm."]),
        ("head.bias", &["cls.predictions.bias"]),
    ],
    unused: &["embeddings.position_ids", "pooler."],
    unused_heads: &["cls.", "classifier."],
};

const DISTILBERT: Table = Table {
    model: "distilbert.",
    block: "transformer.layer.",
    inside: &[
        (
            "attn.qkv.",
            &["attention.q_lin.", "attention.k_lin.", "attention.v_lin."],
        ),
        ("attn.proj.", &["attention.out_lin."]),
        ("norm1.", &["sa_layer_norm."]),
        ("fc1.", &["ffn.lin1."]),
        ("fc2.", &["ffn.lin2."]),
        ("norm2.", &["output_layer_norm."]),
    ],
    around: EMBEDDINGS.split_at(4).0,
    heads: &[
        ("head.pooler.", &["pre_classifier."]),
        ("head.classifier.", &["classifier."]),
        ("head.transform.", &["vocab_transform."]),
        ("head.norm.", &["vocab_layer_norm."]),
        ("head.bias", &["vocab_projector.bias"]),
    ],
    unused: &["embeddings.position_ids"],
    unused_heads: &["vocab_", "pre_classifier.", "classifier."],
};

/// The names in files of a classifier or language model, then those in files of the bare network.
pub(super) fn spellings(kind: TextKind, own: &[String]) -> Vec<Spelling> {
    let table = match kind {
        TextKind::Bert => BERT,
        TextKind::DistilBert => DISTILBERT,
    };
    vec![table.spelling(table.model, own), table.spelling("", own)]
}

impl Table {
    fn spelling(&self, model: &str, own: &[String]) -> Spelling {
        let named = own.iter().map(|name| {
            let names = match name.strip_prefix("blocks.").and_then(|n| n.split_once('.')) {
                Some((number, rest)) => {
                    let start = format!("{model}{}{number}.", self.block);
                    let inside = translated(self.inside, rest);
                    behind(&start, inside.unwrap_or_else(|| vec![rest.to_owned()]))
                }
                None => match translated(self.around, name) {
                    Some(names) => behind(model, names),
                    None => translated(self.heads, name).unwrap_or_else(|| vec![name.clone()]),
                },
            };
            (name.clone(), names)
        });
        let unused = self.unused.iter().map(|name| format!("{model}{name}"));
        let heads = self.unused_heads.iter().map(|name| (*name).to_owned());
        Spelling {
            names: named.collect(),
            ignored: unused.chain(heads).collect(),
            ..Spelling::own(Origin::HuggingFace)
        }
    }
}
