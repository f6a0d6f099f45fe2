//! Writes the sentences of `datasets/drawn_sentences`, drawn by a grammar from a seed.
//!
//! `cargo run -p kd-data --example draw_sentences -- datasets/drawn_sentences`
//!
//! A sentence praises or blames; what decides is its last clause, where a negation turns an adjective around: word order
//! matters. One training label in twenty is wrong, no test label is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const THINGS: [&str; 12] = [
    "film",
    "plot",
    "cast",
    "music",
    "ending",
    "script",
    "hero",
    "story",
    "camera",
    "dialogue",
    "first hour",
    "last scene",
];
const VERBS: [&str; 4] = ["is", "was", "seems", "remains"];
const DEGREES: [&str; 8] = [
    "",
    "",
    "",
    "very",
    "quite",
    "really",
    "rather",
    "almost always",
];
const PRAISE: [&str; 14] = [
    "good", "great", "funny", "warm", "clever", "moving", "fresh", "bright", "honest", "gripping",
    "tender", "sharp", "fine", "lively",
];
const BLAME: [&str; 14] = [
    "bad", "poor", "dull", "slow", "cold", "weak", "flat", "boring", "sad", "clumsy", "empty",
    "noisy", "tired", "silly",
];
const NOT: [&str; 3] = ["not", "never", "hardly"];

struct Draw(StdRng);

impl Draw {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.random_range(0..of.len())]
    }

    /// A clause, and whether it praises.
    fn clause(&mut self) -> (String, bool) {
        let (praises, turned) = (self.0.random_bool(0.5), self.0.random_bool(0.3));
        let adjective = self.one(if praises { &PRAISE } else { &BLAME });
        let not = if turned { self.one(&NOT) } else { "" };
        let (thing, verb, degree) = (self.one(&THINGS), self.one(&VERBS), self.one(&DEGREES));
        (
            format!("the {thing} {verb} {not} {degree} {adjective}"),
            praises != turned,
        )
    }

    /// A sentence, and whether it praises in the end.
    fn sentence(&mut self) -> (String, bool) {
        let (first, of_first) = self.clause();
        let (last, of_last) = self.clause();
        let text = match self.0.random_range(0..6) {
            0 | 1 => return (first, of_first),
            2 => return (format!("they said that {first}"), of_first),
            3 => return (format!("nobody could say that {first}"), !of_first),
            4 => format!("{first} but {last}"),
            _ => format!("although {first} , {last}"),
        };
        (text, of_last)
    }
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "datasets/drawn_sentences".into());
    let folder = Path::new(&folder);
    let mut draw = Draw(StdRng::seed_from_u64(1));
    let mut words = BTreeSet::new();
    fs::create_dir_all(folder)?;
    for (file, count, wrong) in [("train", 3000, 0.05), ("test", 1000, 0.0)] {
        let mut rows = String::from("text,label\n");
        for _ in 0..count {
            let (text, praises) = draw.sentence();
            let text: Vec<&str> = text.split_whitespace().collect();
            words.extend(text.iter().map(|word| (*word).to_owned()));
            let label = praises != draw.0.random_bool(wrong);
            let label = if label { "praise" } else { "blame" };
            rows += &format!("\"{}\",{label}\n", text.join(" "));
        }
        fs::write(folder.join(format!("{file}.csv")), rows)?;
    }
    let own = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    let vocabulary: Vec<String> = own.into_iter().chain(words).collect();
    fs::write(folder.join("vocab.txt"), vocabulary.join("\n") + "\n")
}
