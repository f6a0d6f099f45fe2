//! Errors as exit codes and text.

use std::io;

use kd_train::Error;

use crate::interrupt;

/// A mistake in what the user gave to a command.
#[derive(Debug)]
pub struct BadInput(pub String);

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// An error of a run, with what to do on a line of its own.
#[derive(Debug)]
pub struct WithHint {
    pub error: Error,
    pub hint: String,
}

impl std::fmt::Display for WithHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.error, self.hint)
    }
}

impl std::error::Error for WithHint {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 3;

/// The exit code that an error means; `kd --help` lists them.
pub fn code(error: &anyhow::Error) -> u8 {
    let full = error.chain().filter_map(|cause| cause.downcast_ref());
    if full.into_iter().any(no_room) {
        return FAILED;
    }
    error.chain().find_map(code_of).unwrap_or(FAILED)
}

/// What a cause means, where it is an error of ours.
fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return Some(code_of_run(error));
    }
    if let Some(error) = cause.downcast_ref::<kd_data::Error>() {
        return Some(code_of_data(error));
    }
    if let Some(error) = cause.downcast_ref::<kd_models::Error>() {
        return Some(code_of_models(error));
    }
    if let Some(error) = cause.downcast_ref::<kd_cluster::Error>() {
        return Some(match error {
            kd_cluster::Error::Io { what, .. } => code_of_file(what),
            _ => BAD_INPUT,
        });
    }
    if let Some(error) = cause.downcast_ref::<kd_export::Error>() {
        return Some(match error {
            kd_export::Error::Option { .. } => BAD_INPUT,
            _ => FAILED,
        });
    }
    let of_the_user = cause.is::<BadInput>() || cause.is::<kd_core::Error>();
    of_the_user.then_some(BAD_INPUT)
}

/// Whether a place has no room, or takes nothing.
fn no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | ReadOnlyFilesystem
    )
}

fn code_of_run(error: &Error) -> u8 {
    match error {
        Error::Stopped { .. } | Error::StoppedAsking { .. } | Error::StoppedWaiting => {
            interrupt::exit_code()
        }
        Error::Recipe(_) | Error::Taken { .. } | Error::Format { .. } | Error::Core(_) => BAD_INPUT,
        Error::Data(error) => code_of_data(error),
        Error::Models(error) => code_of_models(error),
        Error::Io { what, .. } => code_of_file(what),
        Error::Store(error) if error.is_of_the_user() => BAD_INPUT,
        Error::Variant { source, .. } => code_of_run(source),
        _ => FAILED,
    }
}

fn code_of_data(error: &kd_data::Error) -> u8 {
    match error {
        kd_data::Error::Io { what, .. } => code_of_file(what),
        _ => BAD_INPUT,
    }
}

fn code_of_models(error: &kd_models::Error) -> u8 {
    match error {
        kd_models::Error::Save { .. } => FAILED,
        _ => BAD_INPUT,
    }
}

/// A file that cannot be read is the user's to name; a place that cannot be written is the machine's.
fn code_of_file(what: &str) -> u8 {
    if what.starts_with("read") || what.starts_with("open") {
        BAD_INPUT
    } else {
        FAILED
    }
}

/// The error and its causes in one line, each part once: several error types already say their
/// cause.
pub fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = Error::Io {
            what: "read",
            path: "a.toml".into(),
            source,
        };
        let error = Err::<(), _>(error).context("train").unwrap_err();
        assert_eq!(text(&error), "train: read a.toml: no such file");
        assert_eq!(code(&error), BAD_INPUT);
    }

    #[test]
    fn codes_tell_the_user_from_the_run() {
        let stopped = Error::Stopped {
            epoch: 1,
            step: 2,
            checkpoint: None,
        };
        assert_eq!(code(&stopped.into()), 130);
        let in_study = |source| Error::Variant {
            variant: "variant 2 of 3, `kd`".into(),
            source: Box::new(source),
        };
        let stopped = Error::Stopped {
            epoch: 1,
            step: 2,
            checkpoint: None,
        };
        assert_eq!(code(&in_study(stopped).into()), 130);
        let typo = in_study(Error::Recipe("typo".into())).into();
        assert_eq!(text(&typo), "variant 2 of 3, `kd`: typo");
        assert_eq!(code(&typo), BAD_INPUT);
        assert_eq!(code(&in_study(Error::Report("r".into())).into()), FAILED);
        assert_eq!(code(&Error::Recipe("typo".into()).into()), BAD_INPUT);
        assert_eq!(code(&BadInput("typo".into()).into()), BAD_INPUT);
        assert_eq!(code(&anyhow::anyhow!("no GPU")), FAILED);
    }
}
