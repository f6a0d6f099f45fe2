//! The matrix of losses and pairs.

use std::collections::BTreeMap;

use super::trial::Verdict;

/// Losses by pairs.
pub struct Matrix<'a> {
    /// Teacher and student.
    pub pairs: Vec<(&'a str, &'a str)>,
    pub rows: Vec<Row>,
}

/// One loss on every pair.
pub struct Row {
    pub name: &'static str,
    pub verdicts: Vec<Verdict>,
}

impl Row {
    /// A loss that is not tried yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            verdicts: Vec::new(),
        }
    }
}

impl Matrix<'_> {
    /// Losses that fail somewhere.
    pub fn failures(&self) -> usize {
        let fails = |row: &&Row| row.verdicts.iter().any(|v| matches!(v, Verdict::Fails(_)));
        self.rows.iter().filter(fails).count()
    }

    /// The pairs, the matrix and the reasons, in Markdown.
    pub fn text(&self) -> String {
        let mut text = String::from("| pair | teacher | student |\n| ---: | --- | --- |\n");
        for (at, (teacher, student)) in self.pairs.iter().enumerate() {
            text.push_str(&format!("| {} | {teacher} | {student} |\n", at + 1));
        }
        let numbers: Vec<_> = (1..=self.pairs.len()).map(|n| n.to_string()).collect();
        text.push_str(&format!(
            "\n| loss | {} |\n| --- |{}\n",
            numbers.join(" | "),
            " :-: |".repeat(self.pairs.len())
        ));
        for row in &self.rows {
            let cells: Vec<_> = row.verdicts.iter().map(cell).collect();
            text.push_str(&format!("| `{}` | {} |\n", row.name, cells.join(" | ")));
        }
        for line in self.reasons() {
            text.push_str(&line);
        }
        text
    }

    /// A line for every loss and reason, with the pairs that it holds for.
    fn reasons(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut reasons = BTreeMap::<(&str, &str), Vec<usize>>::new();
            for (at, verdict) in row.verdicts.iter().enumerate() {
                let reason = match verdict {
                    Verdict::Works => continue,
                    Verdict::Cannot(why) => ("–", why.as_str()),
                    Verdict::Fails(why) => ("✗", why.as_str()),
                };
                reasons.entry(reason).or_default().push(at + 1);
            }
            for ((mark, why), pairs) in reasons {
                let on = if pairs.len() == self.pairs.len() {
                    String::new()
                } else {
                    let numbers: Vec<_> = pairs.iter().map(ToString::to_string).collect();
                    format!(" on {}", numbers.join(", "))
                };
                lines.push(format!("- {mark} `{}`{on}: {why}.\n", row.name));
            }
        }
        if !lines.is_empty() {
            lines.insert(0, "\n".into());
        }
        lines
    }

    /// The page of the book.
    pub fn page(&self, took: &str) -> String {
        format!(
            "# Pairs of networks\n\n\
             <!-- Written by `cargo xtask pairs`. -->\n\n\
             Which loss works between which networks. Nobody types in channels or sizes: each loss reads \
             them from a dry run.\n\n\
             - ✓: with its default settings, on a small batch of random images of 32×32, the loss alone \
             gives a gradient that is finite and not zero, and two steps of SGD with cross-entropy \
             beside it stay finite. The networks are untrained, so this does not say that the loss \
             helps.\n\
             - –: it cannot work, for the reason below the table.\n\
             - ✗: it should work and does not.\n\n\
             ```sh\n\
             cargo xtask pairs                 # writes this page\n\
             kd pairs resnet50 vgg8            # one pair, of your choice\n\
             ```\n\n\
             {took}\n\n{}",
            self.text()
        )
    }
}

fn cell(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Works => "✓",
        Verdict::Cannot(_) => "–",
        Verdict::Fails(_) => "✗",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_tick_has_a_reason() {
        let fails = || Verdict::Fails("the total became NaN".into());
        let matrix = Matrix {
            pairs: vec![("a", "b"), ("c", "d")],
            rows: vec![
                Row {
                    name: "kd",
                    verdicts: vec![Verdict::Works, fails()],
                },
                Row {
                    name: "minilm_relation",
                    verdicts: vec![
                        Verdict::Cannot("no tokens".into()),
                        Verdict::Cannot("no tokens".into()),
                    ],
                },
            ],
        };
        let text = matrix.text();
        for part in [
            "| 2 | c | d |",
            "| `kd` | ✓ | ✗ |",
            "| `minilm_relation` | – | – |",
            "\n- ✗ `kd` on 2: the total became NaN.\n",
            "\n- – `minilm_relation`: no tokens.\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(matrix.failures(), 1);
    }
}
