//! What a run of a golden file found, case by case.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::{Value, json};

/// The variable that names a file: [`Report::finish`] adds a line of JSON to it for every case.
pub const REPORT: &str = "KD_GOLDENS_REPORT";

/// The comparisons of one case, of which the worst is kept.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Errors over what is allowed: at most 1 where all is met.
    excess: f64,
    error: f64,
    tolerance: f64,
    at: String,
    failure: Option<String>,
}

impl Comparison {
    /// Compares two numbers: `|got − want| <= relative · max(|want|, floor)`.
    pub fn close(&mut self, what: &str, got: f64, want: f64, relative: f64, floor: f64) {
        let size = want.abs().max(floor);
        let error = match (got - want).abs() {
            0.0 => 0.0,
            difference => difference / size,
        };
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let excess = error / relative;
        if excess > self.excess || self.at.is_empty() {
            self.excess = excess;
            self.error = error;
            self.tolerance = relative;
            self.at = format!("{what}: {got:e} instead of {want:e}");
        }
    }

    /// Compares lists, an entry that is small against the largest as if it had the share `small` of its size.
    pub fn close_all(&mut self, what: &str, got: &[f64], want: &[f64], relative: f64, small: f64) {
        if got.len() != want.len() {
            let (got, want) = (got.len(), want.len());
            return self.fail(format!("{what}: {got} numbers instead of {want}"));
        }
        let largest = want.iter().fold(0.0_f64, |most, w| most.max(w.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            self.close(
                &format!("{what}[{i}]"),
                *got,
                *want,
                relative,
                small * largest,
            );
        }
    }

    /// Says that the case could not be compared, or that something beside its numbers differs.
    pub fn fail(&mut self, problem: impl Into<String>) {
        self.failure.get_or_insert(problem.into());
    }

    /// Whether everything that was compared is within what is allowed.
    pub fn is_met(&self) -> bool {
        self.failure.is_none() && !self.at.is_empty() && self.excess <= 1.0
    }

    fn says(&self) -> String {
        match &self.failure {
            Some(failure) => failure.clone(),
            None if self.at.is_empty() => "nothing was compared".into(),
            None => format!(
                "relative error {:.1e} of {:.0e} allowed, {}",
                self.error, self.tolerance, self.at
            ),
        }
    }
}

/// The outcomes of a file's cases.
pub struct Report {
    file: &'static str,
    documented: &'static [(&'static str, &'static str)],
    cases: Vec<(String, Comparison)>,
}

impl Report {
    /// A report of one golden file. `documented` names cases that need not be met, each with the reason that the
    /// documentation gives.
    pub fn new(file: &'static str, documented: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            file,
            documented,
            cases: Vec::new(),
        }
    }

    /// Runs a case. One that panics is not met, and the next ones still run.
    pub fn case(&mut self, name: &str, run: impl FnOnce(&mut Comparison)) {
        let mut found = Comparison::default();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&mut found))) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            found.fail(text.unwrap_or("a panic"));
        }
        self.cases.push((name.into(), found));
    }

    fn reason(&self, case: &str) -> Option<&'static str> {
        let known = self.documented.iter().find(|(name, _)| *name == case);
        known.map(|(_, reason)| *reason)
    }

    /// Adds the outcomes to the file that [`REPORT`] names, where it is set.
    ///
    /// # Panics
    /// When there is no case, when one is neither met nor documented, or when the file cannot be written.
    pub fn finish(self) {
        let name = self.file;
        assert!(!self.cases.is_empty(), "{name} has no case");
        if let Some(path) = std::env::var_os(REPORT) {
            self.write(Path::new(&path));
        }
        let open =
            |(case, found): &&(String, Comparison)| !found.is_met() && self.reason(case).is_none();
        let open: Vec<String> = self.cases.iter().filter(open).map(line).collect();
        let (count, all) = (open.len(), self.cases.len());
        assert!(
            open.is_empty(),
            "{name}: {count} of {all} cases are not met:\n{}",
            open.join("\n")
        );
    }

    fn write(&self, path: &Path) {
        let lines: String = self
            .cases
            .iter()
            .map(|(case, found)| {
                let line: Value = json!({
                    "file": self.file,
                    "case": case,
                    "met": found.is_met(),
                    "says": found.says(),
                    "documented": self.reason(case),
                });
                format!("{line}\n")
            })
            .collect();
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

fn line((case, found): &(String, Comparison)) -> String {
    format!("  {case}: {}", found.says())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(run: impl FnOnce(&mut Comparison)) -> bool {
        let mut found = Comparison::default();
        run(&mut found);
        found.is_met()
    }

    #[test]
    fn the_worst_number_decides() {
        assert!(met(|c| c.close("a", 1.0, 1.0 + 9e-5, 1e-4, 0.0)));
        assert!(!met(|c| {
            c.close("a", 1.0, 1.001, 1e-4, 0.0);
            c.close("b", 1.0, 1.0, 1e-4, 0.0);
        }));
        assert!(met(|c| c.close_all(
            "a",
            &[1e-6, 1.0],
            &[0.0, 1.0],
            1e-4,
            1e-2
        )));
        assert!(!met(|c| c.close_all("a", &[1.0], &[1.0, 2.0], 1e-4, 0.0)));
        assert!(!met(|c| c.close("a", f64::NAN, 1.0, 1e-4, 0.0)));
        assert!(!met(|_| {}));
    }

    #[test]
    fn a_panic_is_a_case_that_is_not_met() {
        let mut report = Report::new("x.json", &[("known", "see there")]);
        report.case("good", |c| c.close("a", 1.0, 1.0, 1e-4, 0.0));
        report.case("known", |_| panic!("other number"));
        report.case("bad", |_| panic!("wrong {}", "shape"));
        let says: Vec<_> = report.cases.iter().map(|(_, c)| c.says()).collect();
        assert_eq!(says[1..], ["other number", "wrong shape"]);
        let end = catch_unwind(AssertUnwindSafe(|| report.finish())).unwrap_err();
        let end = end.downcast_ref::<String>().unwrap();
        assert!(end.contains("1 of 3") && !end.contains("known"), "{end}");
    }
}
