//! The shape of a text network, and what Hugging Face's `config.json` says of it.

use std::path::Path;
use std::{fmt, fs};

use serde_json::{Value, json};

use crate::Error;

/// Which of the two networks it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextKind {
    /// BERT (Devlin et al., NAACL 2019), and MiniLM, TinyBERT and all that have its shape.
    Bert,
    /// DistilBERT (Sanh et al., NeurIPS EMC² workshop 2019): no token types, and a ReLU before the classifier.
    DistilBert,
}

/// What stands on the last states.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextOutput {
    /// A class for each sequence; how many there are.
    Classes(usize),
    /// A word for each token, by the word embeddings (a masked language model).
    Words,
}

/// Shares of what training drops; evaluation drops nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextDropout {
    /// Of the embeddings, and after both branches of a block.
    pub hidden: f64,
    /// Of attention probabilities.
    pub attention: f64,
    /// Of what the classifier reads.
    pub classifier: f64,
}

/// The shape of a [`TextNetwork`](crate::TextNetwork).
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Which network it is.
    pub kind: TextKind,
    /// Words that it knows.
    pub vocabulary: usize,
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads; it divides the width.
    pub heads: usize,
    /// Width inside the perceptron of a block.
    pub hidden: usize,
    /// The longest sequence in tokens.
    pub positions: usize,
    /// Token types, such as first and second sentence; 0 for DistilBERT.
    pub types: usize,
    /// The word of padding. Its embedding does not learn from where it stands, as in the references.
    pub padding: usize,
    /// What layer normalisation adds to variances.
    pub epsilon: f64,
    /// What training drops.
    pub dropout: TextDropout,
    /// What it tells.
    pub output: TextOutput,
}

impl TextConfig {
    /// BERT with the vocabulary of `bert-base-uncased`, a perceptron four times as wide, 512 positions, two token types,
    /// a dropout of 0.1, and two classes.
    pub const fn bert(width: usize, depth: usize, heads: usize) -> Self {
        Self {
            kind: TextKind::Bert,
            vocabulary: 30_522,
            width,
            depth,
            heads,
            hidden: 4 * width,
            positions: 512,
            types: 2,
            padding: 0,
            epsilon: 1e-12,
            dropout: TextDropout {
                hidden: 0.1,
                attention: 0.1,
                classifier: 0.1,
            },
            output: TextOutput::Classes(2),
        }
    }

    /// DistilBERT, whose classifier has a dropout of 0.2.
    pub const fn distilbert(width: usize, depth: usize, heads: usize) -> Self {
        let bert = Self::bert(width, depth, heads);
        Self {
            kind: TextKind::DistilBert,
            types: 0,
            dropout: TextDropout {
                classifier: 0.2,
                ..bert.dropout
            },
            ..bert
        }
    }

    /// The same for so many classes.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        Self {
            output: TextOutput::Classes(classes),
            ..self
        }
    }

    /// What the `config.json` of a Hugging Face folder says. Classes are counted by `id2label`, else by `num_labels`;
    /// without both there are two.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Described`] for a value that is missing or of which there is no such network, and
    /// [`Error::Config`] for a shape that cannot be.
    pub fn of_folder(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let path = folder.as_ref().join("config.json");
        let text = fs::read_to_string(&path).map_err(|source| Error::Open {
            path: path.clone(),
            source,
        })?;
        let config = serde_json::from_str(&text)
            .map_err(|e| e.to_string())
            .and_then(|json| read(&json));
        let config = config.map_err(|problem| Error::Described { path, problem })?;
        config.check()?;
        Ok(config)
    }

    /// Refuses a shape that cannot be.
    pub(super) fn check(&self) -> Result<(), Error> {
        let classes = match self.output {
            TextOutput::Classes(classes) => classes,
            TextOutput::Words => self.vocabulary,
        };
        for (key, value) in [
            ("vocabulary", self.vocabulary),
            ("width", self.width),
            ("depth", self.depth),
            ("heads", self.heads),
            ("hidden", self.hidden),
            ("positions", self.positions),
            ("classes", classes),
        ] {
            if value == 0 {
                return Err(Error::Config {
                    key,
                    value,
                    expected: "at least 1".into(),
                });
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::Config {
                key: "heads",
                value: self.heads,
                expected: format!(
                    "heads share the width, {}: give one of its divisors",
                    self.width
                ),
            });
        }
        let TextDropout {
            hidden,
            attention,
            classifier,
        } = self.dropout;
        for (key, value) in [
            ("dropout.hidden", hidden),
            ("dropout.attention", attention),
            ("dropout.classifier", classifier),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::Share { key, value });
            }
        }
        Ok(())
    }

    /// `config.json` as the `transformers` library reads it, with the names of the classes.
    pub(super) fn described(&self, names: &[String]) -> Value {
        let words = self.output == TextOutput::Words;
        let task = match words {
            true => "ForMaskedLM",
            false => "ForSequenceClassification",
        };
        let mut config = match self.kind {
            TextKind::Bert => json!({
                "architectures": [format!("Bert{task}")],
                "model_type": "bert",
                "hidden_size": self.width,
                "num_hidden_layers": self.depth,
                "num_attention_heads": self.heads,
                "intermediate_size": self.hidden,
                "hidden_act": "gelu",
                "type_vocab_size": self.types,
                "layer_norm_eps": self.epsilon,
                "hidden_dropout_prob": self.dropout.hidden,
                "attention_probs_dropout_prob": self.dropout.attention,
                "classifier_dropout": self.dropout.classifier,
            }),
            TextKind::DistilBert => json!({
                "architectures": [format!("DistilBert{task}")],
                "model_type": "distilbert",
                "dim": self.width,
                "n_layers": self.depth,
                "n_heads": self.heads,
                "hidden_dim": self.hidden,
                "activation": "gelu",
                "dropout": self.dropout.hidden,
                "attention_dropout": self.dropout.attention,
                "seq_classif_dropout": self.dropout.classifier,
            }),
        };
        config["vocab_size"] = json!(self.vocabulary);
        config["max_position_embeddings"] = json!(self.positions);
        config["pad_token_id"] = json!(self.padding);
        config["dtype"] = json!("float32");
        if let TextOutput::Classes(classes) = self.output {
            let given = (names.len() == classes).then_some(names);
            // As the library names those that have no name.
            let name = |label: usize| {
                given.map_or_else(|| format!("LABEL_{label}"), |names| names[label].clone())
            };
            for label in 0..classes {
                config["id2label"][label.to_string()] = json!(name(label));
                config["label2id"][name(label)] = json!(label);
            }
        }
        config
    }
}

impl fmt::Display for TextConfig {
    /// What messages call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TextKind::Bert => "BERT",
            TextKind::DistilBert => "DistilBERT",
        };
        write!(f, "{kind} of {} blocks, {} wide", self.depth, self.width)
    }
}

/// The shape that a `config.json` says, or what is wrong with it.
fn read(json: &Value) -> Result<TextConfig, String> {
    let kind = match json["model_type"].as_str() {
        Some("bert") => TextKind::Bert,
        Some("distilbert") => TextKind::DistilBert,
        Some(other) => {
            return Err(format!(
                "`model_type` is `{other}`: text networks are `bert` and `distilbert`"
            ));
        }
        None => return Err("`model_type` is missing: `bert` or `distilbert`".into()),
    };
    let bert = kind == TextKind::Bert;
    let of = |bert_key, distil_key| if bert { bert_key } else { distil_key };
    let count = |key: &str| {
        let number = json[key].as_u64().map(|n| n as usize);
        number.ok_or_else(|| format!("`{key}` must be a whole number, and is {}", json[key]))
    };
    let number = |key: &str, default: f64| match &json[key] {
        Value::Null => Ok(default),
        value => value
            .as_f64()
            .ok_or_else(|| format!("`{key}` must be a number, and is {value}")),
    };
    let key = of("hidden_act", "activation");
    if let Some(other) = json[key].as_str().filter(|name| *name != "gelu") {
        return Err(format!(
            "`{key}` is `{other}`: text networks here have `gelu`"
        ));
    }
    if let Some(other) = json["position_embedding_type"]
        .as_str()
        .filter(|name| *name != "absolute")
    {
        return Err(format!(
            "`position_embedding_type` is `{other}`: text networks here have `absolute` ones"
        ));
    }
    let epsilon = match bert {
        true => number("layer_norm_eps", 1e-12)?,
        // The library has no key for it.
        false => 1e-12,
    };
    if !(epsilon > 0.0 && epsilon < 1.0) {
        return Err(format!(
            "`layer_norm_eps` is {epsilon:e}, which is not between 0 and 1"
        ));
    }
    let words = json["architectures"][0]
        .as_str()
        .is_some_and(|name| name.ends_with("ForMaskedLM"));
    let labels = json["id2label"].as_object().map(serde_json::Map::len);
    let hidden = number(of("hidden_dropout_prob", "dropout"), 0.1)?;
    Ok(TextConfig {
        kind,
        vocabulary: count("vocab_size")?,
        width: count(of("hidden_size", "dim"))?,
        depth: count(of("num_hidden_layers", "n_layers"))?,
        heads: count(of("num_attention_heads", "n_heads"))?,
        hidden: count(of("intermediate_size", "hidden_dim"))?,
        positions: count("max_position_embeddings")?,
        types: if bert { count("type_vocab_size")? } else { 0 },
        padding: match &json["pad_token_id"] {
            Value::Null => 0,
            _ => count("pad_token_id")?,
        },
        epsilon,
        dropout: TextDropout {
            hidden,
            attention: number(of("attention_probs_dropout_prob", "attention_dropout"), 0.1)?,
            classifier: match bert {
                true => number("classifier_dropout", hidden)?,
                false => number("seq_classif_dropout", 0.2)?,
            },
        },
        output: match (words, labels) {
            (true, _) => TextOutput::Words,
            (false, Some(labels)) => TextOutput::Classes(labels),
            (false, None) => TextOutput::Classes(number("num_labels", 2.0)? as usize),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_is_read_again() {
        let bert = TextConfig::bert(48, 3, 4).with_classes(3);
        let distilbert = TextConfig::distilbert(48, 2, 4);
        let words = TextConfig {
            output: TextOutput::Words,
            ..TextConfig::bert(24, 1, 2)
        };
        for config in [bert, distilbert, words] {
            assert_eq!(read(&config.described(&[])).unwrap(), config);
        }
    }

    #[test]
    fn what_is_not_here_is_refused_by_key() {
        let good = TextConfig::bert(48, 3, 4);
        let json = good.described(&[]);
        for (key, value, start) in [
            ("model_type", json!("roberta"), "`model_type` is `roberta`"),
            ("hidden_act", json!("relu"), "`hidden_act` is `relu`"),
            (
                "vocab_size",
                json!("many"),
                "`vocab_size` must be a whole number",
            ),
            ("layer_norm_eps", json!(0.0), "`layer_norm_eps` is 0e0"),
            (
                "position_embedding_type",
                json!("relative_key"),
                "`position_embedding_type`",
            ),
        ] {
            let mut json = json.clone();
            json[key] = value;
            let refused = read(&json).unwrap_err();
            assert!(refused.starts_with(start), "{refused}");
        }
        let refused = TextConfig {
            heads: 5,
            ..good.clone()
        }
        .check()
        .unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("heads = 5: heads share the width, 48")
        );
        let refused = good.with_classes(0).check().unwrap_err().to_string();
        assert_eq!(refused, "classes = 0: at least 1");
    }
}
