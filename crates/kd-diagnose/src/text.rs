//! A diagnosis in a terminal.

use crate::finding::{Diagnosis, Level};

impl Diagnosis {
    /// A line for each finding, problems first.
    pub fn to_text(&self) -> String {
        let mut lines = vec![format!(
            "{} on {} validation and {} training samples",
            match self.problems().count() {
                0 => "no problem found".into(),
                1 => "1 problem found".into(),
                n => format!("{n} problems found"),
            },
            self.validation,
            self.train
        )];
        for finding in &self.findings {
            let word = match finding.level {
                Level::Problem => "PROBLEM",
                Level::Notice => "notice",
                Level::Fine => "fine",
            };
            lines.push(format!(
                "\n{word}: {} ({})\n  {}",
                finding.title, finding.key, finding.sentence
            ));
            if finding.level != Level::Fine {
                lines.push(format!("  threshold: {}", finding.threshold));
            }
        }
        lines.join("\n")
    }
}
