//! Errors as exit codes and text.

use kd_train::Error;

/// A mistake in what the user gave to a command.
#[derive(Debug)]
pub struct BadInput(pub String);

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 3;
/// 128 + SIGINT, as shells say it.
pub const INTERRUPTED: u8 = 130;

/// The exit code that an error means; `kd --help` lists them.
pub fn code(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<Error>() {
                return Some(code_of_run(error));
            }
            let of_the_user = cause.is::<BadInput>()
                || cause.is::<kd_data::Error>()
                || cause.is::<kd_models::Error>()
                || cause.is::<kd_core::Error>();
            of_the_user.then_some(BAD_INPUT)
        })
        .unwrap_or(FAILED)
}

fn code_of_run(error: &Error) -> u8 {
    match error {
        Error::Stopped { .. } => INTERRUPTED,
        Error::Recipe(_)
        | Error::Format { .. }
        | Error::Core(_)
        | Error::Data(_)
        | Error::Models(_) => BAD_INPUT,
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => BAD_INPUT,
        Error::Io { .. } | Error::NotFinite { .. } | Error::Report(_) => FAILED,
        Error::Variant { source, .. } => code_of_run(source),
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
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
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
        assert_eq!(code(&stopped.into()), INTERRUPTED);
        let in_study = |source| Error::Variant {
            variant: "variant 2 of 3, `kd`".into(),
            source: Box::new(source),
        };
        let stopped = Error::Stopped {
            epoch: 1,
            step: 2,
            checkpoint: None,
        };
        assert_eq!(code(&in_study(stopped).into()), INTERRUPTED);
        let typo = in_study(Error::Recipe("typo".into())).into();
        assert_eq!(text(&typo), "variant 2 of 3, `kd`: typo");
        assert_eq!(code(&typo), BAD_INPUT);
        assert_eq!(code(&in_study(Error::Report("r".into())).into()), FAILED);
        assert_eq!(code(&Error::Recipe("typo".into()).into()), BAD_INPUT);
        assert_eq!(code(&BadInput("typo".into()).into()), BAD_INPUT);
        assert_eq!(code(&anyhow::anyhow!("no GPU")), FAILED);
    }
}
