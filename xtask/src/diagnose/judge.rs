//! Whether a diagnosis names what was planted.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::plant::Cause;

/// What is read of a diagnosis.
#[derive(Deserialize)]
pub struct Diagnosis {
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    key: String,
    level: String,
    number: f64,
    #[serde(default)]
    named: Vec<String>,
}

/// A run and what was said of it.
pub struct Judged {
    name: String,
    cause: Option<Cause>,
    /// Whether the planted trouble is named.
    named: bool,
    /// What the finding of the planted trouble had: its number, and what it named.
    found: String,
    /// Problems beside the planted one.
    others: Vec<String>,
}

impl Judged {
    pub fn planted(cause: Cause, seed: u64, diagnosis: &Diagnosis) -> Self {
        let finding = diagnosis.findings.iter().find(|f| f.key == cause.finding());
        let wanted = cause.names();
        let names = |finding: &Finding| {
            wanted.is_empty()
                || (wanted.len() == finding.named.len()
                    && wanted
                        .iter()
                        .all(|name| finding.named.iter().any(|n| n == name)))
        };
        Self {
            name: format!("{}, seed {seed}", cause.name()),
            cause: Some(cause),
            named: finding.is_some_and(|f| f.level == "problem" && names(f)),
            found: finding.map_or("nothing".into(), |f| {
                format!("{} {:.3} {}", f.level, f.number, f.named.join(", "))
            }),
            others: problems(diagnosis, cause.finding()),
        }
    }

    pub fn healthy(pair: &str, seed: u64, diagnosis: &Diagnosis) -> Self {
        Self {
            name: format!("{pair}, seed {seed}"),
            cause: None,
            named: false,
            found: String::new(),
            others: problems(diagnosis, ""),
        }
    }
}

/// Keys of problems other than one, with their numbers.
fn problems(diagnosis: &Diagnosis, but: &str) -> Vec<String> {
    let problems = diagnosis.findings.iter();
    let problems = problems.filter(|f| f.level == "problem" && f.key != but);
    problems.map(|f| f.key.clone()).collect()
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match (self.cause, self.named) {
            (Some(_), true) => write!(f, "named ({})", self.found.trim())?,
            (Some(_), false) => write!(f, "NOT NAMED ({})", self.found.trim())?,
            (None, _) if self.others.is_empty() => f.write_str("not accused")?,
            (None, _) => f.write_str("ACCUSED")?,
        }
        match self.others.is_empty() {
            true => Ok(()),
            false => write!(f, "; also: {}", self.others.join(", ")),
        }
    }
}

/// The table of the book.
pub fn table(judged: &[Judged]) -> String {
    let mut text = String::from("| planted | named | problems beside it |\n| --- | ---: | --- |\n");
    for cause in Cause::ALL {
        let runs: Vec<&Judged> = judged.iter().filter(|j| j.cause == Some(cause)).collect();
        if runs.is_empty() {
            continue;
        }
        let named = runs.iter().filter(|j| j.named).count();
        text += &format!(
            "| {} | {named} of {} | {} |\n",
            cause.title(),
            runs.len(),
            counted(&runs)
        );
    }
    let healthy: Vec<&Judged> = judged.iter().filter(|j| j.cause.is_none()).collect();
    let accused = healthy.iter().filter(|j| !j.others.is_empty()).count();
    text += &format!(
        "| nothing: healthy runs | {accused} of {} accused | {} |\n",
        healthy.len(),
        counted(&healthy)
    );
    text
}

/// `capacity (2), classes (1)`.
fn counted(runs: &[&Judged]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for other in runs.iter().flat_map(|run| &run.others) {
        *counts.entry(other).or_default() += 1;
    }
    let all = counts
        .into_iter()
        .map(|(key, count)| format!("`{key}` ({count})"));
    all.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(findings: &[(&str, &str, &[&str])]) -> Diagnosis {
        let findings = findings.iter().map(|(key, level, named)| Finding {
            key: (*key).into(),
            level: (*level).into(),
            number: 0.5,
            named: named.iter().map(|name| (*name).into()).collect(),
        });
        Diagnosis {
            findings: findings.collect(),
        }
    }

    #[test]
    fn a_trouble_is_named_when_its_finding_is_a_problem_and_names_the_classes() {
        let both = ["Dress", "Sneaker"];
        let of = |level, named: &[&str]| {
            let found = diagnosis(&[("classes", level, named), ("capacity", "problem", &[])]);
            Judged::planted(Cause::Crippled, 1, &found)
        };
        assert!(of("problem", &both).named);
        assert!(!of("notice", &both).named);
        assert!(!of("problem", &both[..1]).named);
        assert!(!of("problem", &["Dress", "Sneaker", "Bag"]).named);
        assert_eq!(of("problem", &both).others, ["capacity"]);
        let none = Judged::planted(Cause::Labels, 1, &diagnosis(&[]));
        assert!(none.to_string().contains("NOT NAMED (nothing)"), "{none}");
    }

    #[test]
    fn the_table_counts_what_was_named_and_who_was_accused() {
        let hot = diagnosis(&[("temperature", "problem", &[])]);
        let judged = [
            Judged::planted(Cause::Temperature, 1, &hot),
            Judged::planted(
                Cause::Temperature,
                2,
                &diagnosis(&[("gap", "problem", &[])]),
            ),
            Judged::healthy("a", 1, &hot),
            Judged::healthy("a", 2, &diagnosis(&[("layers", "notice", &[])])),
        ];
        let text = table(&judged);
        assert!(
            text.contains("| a temperature of 40 | 1 of 2 | `gap` (1) |"),
            "{text}"
        );
        assert!(
            text.contains("| 1 of 2 accused | `temperature` (1) |"),
            "{text}"
        );
    }
}
