//! Text: files of sentences with their classes, words, and batches of sequences of like lengths.
//!
//! | file | what |
//! | --- | --- |
//! | `table` | Rows of tsv, csv and jsonl files. |
//! | `wordpiece` | BERT's tokenizer, from `vocab.txt` or `tokenizer.json`. |
//! | `set` | A data set with its splits, as numbers of words. |
//! | `pools` | Batches whose sequences are about as long. |

mod pools;
mod set;
mod table;
mod wordpiece;

pub use pools::pools;
pub use set::{TextColumns, TextFiles, TextSet, TextSplit};
pub use wordpiece::WordPiece;
