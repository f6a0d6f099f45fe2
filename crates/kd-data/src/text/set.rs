//! A data set of sentences with their classes.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::WordPiece;
use super::pools::shuffled;
use super::table::{self, Row};
use crate::Error;

/// Names of the columns of a file; without them those that the first line names `text` or `sentence`, and `label`, else
/// the first and the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextColumns {
    /// The text's.
    pub text: Option<String>,
    /// The label's.
    pub label: Option<String>,
}

/// The files of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFiles {
    /// Training sentences.
    pub train: PathBuf,
    /// Validation sentences; none takes a tenth of the training sentences by the seed 0.
    pub validation: Option<PathBuf>,
    /// Test sentences.
    pub test: PathBuf,
    /// Names of their columns.
    pub columns: TextColumns,
}

/// A data set of sentences.
#[derive(Clone, Debug)]
pub struct TextSet {
    /// Training, validation and test sentences.
    pub splits: [TextSplit; 3],
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// SHA-256 of the files and of how they are read.
    pub sha256: String,
}

/// Sentences of a split.
#[derive(Clone, Debug, Default)]
pub struct TextSplit {
    /// The sentences.
    pub texts: Vec<String>,
    /// Their words.
    pub ids: Vec<Vec<u32>>,
    /// Their classes.
    pub labels: Vec<u32>,
    /// Their numbers in the set.
    pub numbers: Vec<usize>,
}

impl TextSet {
    /// Reads the files of a set, of whose sentences at most `longest` words are kept, `[CLS]` and `[SEP]` counted.
    /// Classes are the labels of the training sentences, numbers in their order and others by the alphabet.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Format`] for a row that is none and for a label that no training sentence has.
    pub fn read(files: &TextFiles, tokenizer: &WordPiece, longest: usize) -> Result<Self, Error> {
        let columns = &files.columns;
        let mut hash = Sha256::new();
        let mut rows = |path: &Path| {
            let rows = table::read(path, columns.text.as_deref(), columns.label.as_deref())?;
            for Row { text, label, .. } in &rows {
                for part in [text, label] {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
            Ok::<_, Error>(rows)
        };
        let mut train = rows(&files.train)?;
        let mut paths = [&files.train; 3].map(PathBuf::clone);
        let validation = match &files.validation {
            Some(path) => {
                paths[1] = path.clone();
                rows(path)?
            }
            None => tenth(&mut train),
        };
        paths[2] = files.test.clone();
        let test = rows(&files.test)?;
        let classes = classes(&train);
        if classes.len() < 2 {
            return Err(Error::Format {
                path: files.train.clone(),
                problem: format!(
                    "all its sentences have the label `{}`; there must be two",
                    classes.join("")
                ),
            });
        }
        hash.update((longest as u64).to_le_bytes());
        hash.update((tokenizer.vocabulary() as u64).to_le_bytes());
        let mut number = 0;
        let mut splits = Vec::with_capacity(3);
        for (rows, path) in [train, validation, test].into_iter().zip(&paths) {
            let mut split = TextSplit::default();
            for row in rows {
                let label = classes.iter().position(|class| *class == row.label);
                let Some(label) = label else {
                    return Err(Error::Format {
                        path: path.clone(),
                        problem: format!(
                            "line {}: no training sentence has the label `{}`; there are `{}`",
                            row.line,
                            row.label,
                            classes.join("`, `")
                        ),
                    });
                };
                split.ids.push(tokenizer.encode(&row.text, longest));
                split.texts.push(row.text);
                split.labels.push(label as u32);
                split.numbers.push(number);
                number += 1;
            }
            splits.push(split);
        }
        let sha256 = format!("{:x}", hash.finalize());
        let [train, validation, test]: [TextSplit; 3] = match splits.try_into() {
            Ok(splits) => splits,
            Err(_) => unreachable!("three splits were read"),
        };
        Ok(Self {
            splits: [train, validation, test],
            classes,
            sha256,
        })
    }
}

/// A tenth of the rows, taken out.
fn tenth(rows: &mut Vec<Row>) -> Vec<Row> {
    let count = rows.len().div_ceil(10);
    let mut chosen = vec![false; rows.len()];
    for place in shuffled(rows.len(), 0).into_iter().take(count) {
        chosen[place] = true;
    }
    let (mut out, mut rest) = (Vec::new(), Vec::new());
    for (row, chosen) in rows.drain(..).zip(chosen) {
        if chosen {
            out.push(row)
        } else {
            rest.push(row)
        }
    }
    *rows = rest;
    out
}

fn classes(rows: &[Row]) -> Vec<String> {
    let mut classes: Vec<String> = rows.iter().map(|row| row.label.clone()).collect();
    classes.sort();
    classes.dedup();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    classes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\nfilm\n");
        let rows: Vec<String> = (0..20)
            .map(|i| format!("{} film\t{}", ["good", "bad"][i % 2], [10, 9][i % 2]))
            .collect();
        write("train.tsv", &rows.join("\n"));
        write("test.tsv", "good\t10\nbad bad bad bad\t9\n");
        write("other.tsv", "good\t11\n");
        folder
    }

    #[test]
    fn a_set_has_its_splits_and_classes() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let tokenizer = WordPiece::read(folder.path()).unwrap();
        let mut files = TextFiles {
            train: path("train.tsv"),
            validation: None,
            test: path("test.tsv"),
            columns: TextColumns::default(),
        };
        let set = TextSet::read(&files, &tokenizer, 5).unwrap();
        assert_eq!(set.classes, ["9", "10"]);
        assert_eq!(
            [0, 1, 2].map(|split: usize| set.splits[split].labels.len()),
            [18, 2, 2]
        );
        assert_eq!(set.splits[2].ids, [vec![2, 4, 3], vec![2, 5, 5, 5, 3]]);
        assert_eq!(set.splits[2].labels, [1, 0]);
        assert_eq!(set.splits[2].numbers, [20, 21]);
        assert_ne!(
            set.sha256,
            TextSet::read(&files, &tokenizer, 6).unwrap().sha256
        );
        files.validation = Some(path("other.tsv"));
        let refused = TextSet::read(&files, &tokenizer, 5)
            .unwrap_err()
            .to_string();
        assert!(
            refused
                .ends_with("line 1: no training sentence has the label `11`; there are `9`, `10`"),
            "{refused}"
        );
    }
}
