//! BERT's tokenizer: words, and pieces of words.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

use crate::Error;

/// A word of more characters is unknown.
const LONGEST: usize = 100;

/// Splits texts into words and the pieces of a vocabulary, as BERT, DistilBERT, MiniLM and TinyBERT read them.
///
/// Control characters go, white space and every punctuation mark end a word, Chinese characters are words of their own;
/// where the vocabulary is uncased, letters are made small and lose their accents. A word is then the longest piece that
/// the vocabulary has from its start, and so on; one that cannot be made of pieces is unknown.
///
/// Source: Y. Wu et al., "Google's Neural Machine Translation System", arXiv 2016; J. Devlin et al., NAACL 2019.
#[derive(Clone, Debug)]
pub struct WordPiece {
    pieces: HashMap<String, u32>,
    lowercase: bool,
    strip_accents: bool,
    special: Special,
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
struct Special {
    unknown: u32,
    class: u32,
    end: u32,
    padding: u32,
}

impl WordPiece {
    /// Reads `tokenizer.json` of a folder, else its `vocab.txt` with the case that `tokenizer_config.json` says; or a
    /// file of either kind. A bare `vocab.txt` is taken as uncased where it has no capital letter.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Format`] for a tokenizer of another kind and a vocabulary without `[CLS]`, `[SEP]`,
    /// `[PAD]` and `[UNK]`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if !path.is_dir() {
            return match path.extension().is_some_and(|end| end == "json") {
                true => Self::of_json(path),
                false => Self::of_vocabulary(path, None),
            };
        }
        let json = path.join("tokenizer.json");
        if json.is_file() {
            return Self::of_json(&json);
        }
        let config = path.join("tokenizer_config.json");
        let described = config.is_file();
        let lowercase = match described {
            true => parsed(&config)?["do_lower_case"].as_bool(),
            false => None,
        };
        let mut tokenizer = Self::of_vocabulary(&path.join("vocab.txt"), lowercase)?;
        tokenizer.files.extend(described.then_some(config));
        Ok(tokenizer)
    }

    fn of_json(path: &Path) -> Result<Self, Error> {
        let json = parsed(path)?;
        let wrong = |problem: String| Error::Format {
            path: path.to_owned(),
            problem,
        };
        let model = &json["model"];
        if model["type"]
            .as_str()
            .is_some_and(|kind| kind != "WordPiece")
        {
            return Err(wrong(format!(
                "its model is {}: BERT's WordPiece is read here",
                model["type"]
            )));
        }
        let Some(vocabulary) = model["vocab"].as_object() else {
            return Err(wrong("it has no `model.vocab`".into()));
        };
        let number = |(piece, number): (&String, &Value)| {
            let number = number
                .as_u64()
                .and_then(|number| u32::try_from(number).ok());
            let number = number.ok_or_else(|| wrong(format!("`model.vocab.{piece}` is no number")));
            Ok((piece.clone(), number?))
        };
        let pieces = vocabulary
            .iter()
            .map(number)
            .collect::<Result<_, Error>>()?;
        let normalizer = &json["normalizer"];
        let lowercase = normalizer["lowercase"].as_bool().unwrap_or(true);
        let strips = normalizer["strip_accents"].as_bool();
        Self::new(path, pieces, lowercase, strips)
    }

    fn of_vocabulary(path: &Path, lowercase: Option<bool>) -> Result<Self, Error> {
        let text = text(path)?;
        let pieces: HashMap<String, u32> = text.lines().map(str::to_owned).zip(0..).collect();
        let capital =
            |piece: &String| !piece.starts_with('[') && piece.chars().any(char::is_uppercase);
        let lowercase = lowercase.unwrap_or_else(|| !pieces.keys().any(capital));
        Self::new(path, pieces, lowercase, None)
    }

    fn new(
        path: &Path,
        pieces: HashMap<String, u32>,
        lowercase: bool,
        strips: Option<bool>,
    ) -> Result<Self, Error> {
        let special = |name: &str| {
            pieces.get(name).copied().ok_or_else(|| Error::Format {
                path: path.to_owned(),
                problem: format!("the vocabulary has no `{name}`; it is not one of BERT's"),
            })
        };
        let special = Special {
            unknown: special("[UNK]")?,
            class: special("[CLS]")?,
            end: special("[SEP]")?,
            padding: special("[PAD]")?,
        };
        Ok(Self {
            pieces,
            lowercase,
            strip_accents: strips.unwrap_or(lowercase),
            special,
            files: vec![path.to_owned()],
        })
    }

    /// Words and pieces that it knows; numbers of words are below this.
    pub fn vocabulary(&self) -> usize {
        self.pieces
            .values()
            .max()
            .map_or(0, |last| *last as usize + 1)
    }

    /// The word of padding.
    pub fn padding(&self) -> u32 {
        self.special.padding
    }

    /// The files that it was read from, which belong beside the weights.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Numbers of `[CLS]`, the text's pieces and `[SEP]`, at most `longest`, of which the text's end is cut off.
    pub fn encode(&self, text: &str, longest: usize) -> Vec<u32> {
        let mut ids = vec![self.special.class];
        for word in self.words(text) {
            self.push_pieces(&word, &mut ids);
        }
        ids.truncate(longest.saturating_sub(1).max(1));
        ids.push(self.special.end);
        ids
    }

    fn words(&self, text: &str) -> Vec<String> {
        let mut clean = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '\t' | '\n' | '\r' => clean.push(' '),
                '\0' | '\u{fffd}' => {}
                character if is_control(character) => {}
                character if character.is_whitespace() => clean.push(' '),
                character if is_chinese(character) => {
                    clean.extend([' ', character, ' ']);
                }
                character => clean.push(character),
            }
        }
        let clean: String = match self.strip_accents {
            true => clean.nfd().filter(|c| !is_accent(*c)).collect(),
            false => clean,
        };
        let clean = match self.lowercase {
            true => clean.to_lowercase(),
            false => clean,
        };
        let mut words = Vec::new();
        for part in clean.split_whitespace() {
            let mut word = String::new();
            for character in part.chars() {
                if is_punctuation(character) {
                    words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                    words.push(character.to_string());
                } else {
                    word.push(character);
                }
            }
            words.extend((!word.is_empty()).then_some(word));
        }
        words
    }

    fn push_pieces(&self, word: &str, ids: &mut Vec<u32>) {
        let before = ids.len();
        let mut rest = word;
        if word.chars().count() > LONGEST {
            return ids.push(self.special.unknown);
        }
        while !rest.is_empty() {
            let first = rest.len() == word.len();
            let found = ends(rest).find_map(|end| {
                let piece = &rest[..end];
                let number = match first {
                    true => self.pieces.get(piece),
                    false => self.pieces.get(&format!("##{piece}")),
                };
                Some((end, *number?))
            });
            let Some((end, number)) = found else {
                ids.truncate(before);
                return ids.push(self.special.unknown);
            };
            ids.push(number);
            rest = &rest[end..];
        }
    }
}

/// Where a piece of a word can end, from the longest.
fn ends(word: &str) -> impl Iterator<Item = usize> {
    let starts = word
        .char_indices()
        .map(|(at, character)| at + character.len_utf8());
    starts.collect::<Vec<_>>().into_iter().rev()
}

fn is_control(character: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse, Surrogate, Unassigned};
    matches!(
        get_general_category(character),
        Control | Format | PrivateUse | Surrogate | Unassigned
    )
}

fn is_accent(character: char) -> bool {
    get_general_category(character) == GeneralCategory::NonspacingMark
}

fn is_punctuation(character: char) -> bool {
    use GeneralCategory::{
        ClosePunctuation, ConnectorPunctuation, DashPunctuation, FinalPunctuation,
        InitialPunctuation, OpenPunctuation, OtherPunctuation,
    };
    character.is_ascii_punctuation()
        || matches!(
            get_general_category(character),
            ClosePunctuation
                | ConnectorPunctuation
                | DashPunctuation
                | FinalPunctuation
                | InitialPunctuation
                | OpenPunctuation
                | OtherPunctuation
        )
}

/// The blocks of CJK ideographs, as BERT's code lists them.
fn is_chinese(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io {
        what: "read the tokenizer",
        path: path.to_owned(),
        source,
    })
}

fn parsed(path: &Path) -> Result<Value, Error> {
    serde_json::from_str(&text(path)?).map_err(|e| Error::Format {
        path: path.to_owned(),
        problem: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nwant\n##ed\n,\nrunning\ncafe\n\u{6771}\n!\n";

    fn tokenizer(name: &str, content: &str) -> Result<WordPiece, Error> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        WordPiece::read(folder.path())
    }

    #[test]
    fn words_become_their_longest_pieces() {
        let tokenizer = tokenizer("vocab.txt", VOCABULARY).unwrap();
        assert_eq!((tokenizer.vocabulary(), tokenizer.padding()), (14, 0));
        let of = |text: &str| tokenizer.encode(text, 16);
        assert_eq!(of("UNwant\u{e9}d,running"), [2, 1, 9, 10, 3]);
        assert_eq!(of("unaffable unwanted caf\u{e9}"), [2, 4, 5, 6, 1, 11, 3]);
        assert_eq!(of(" wanted\u{6771}\u{7}!\n"), [2, 7, 8, 12, 13, 3]);
        assert_eq!(of(""), [2, 3]);
        assert_eq!(of(&"a".repeat(101)), [2, 1, 3]);
        assert_eq!(
            tokenizer.encode("running running running", 4),
            [2, 10, 10, 3]
        );
    }

    #[test]
    fn a_cased_vocabulary_keeps_capitals() {
        let cased = format!("{VOCABULARY}Want\n");
        let tokenizer = tokenizer("vocab.txt", &cased).unwrap();
        assert_eq!(tokenizer.encode("Wanted want", 8), [2, 14, 8, 7, 3]);
    }

    #[test]
    fn what_is_no_tokenizer_of_bert_is_refused() {
        let refused = tokenizer("vocab.txt", "a\nb\n").unwrap_err().to_string();
        assert!(refused.contains("no `[UNK]`"), "{refused}");
        let json = r#"{ "model": { "type": "BPE", "vocab": {} } }"#;
        let refused = tokenizer("tokenizer.json", json).unwrap_err().to_string();
        assert!(refused.contains("its model is \"BPE\""), "{refused}");
        let refused = tokenizer("other.txt", "").unwrap_err().to_string();
        assert!(refused.contains("vocab.txt"), "{refused}");
    }
}
