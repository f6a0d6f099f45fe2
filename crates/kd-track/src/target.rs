//! Which trackers a run is told to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{MlFlow, Run, TensorBoard, Tracker, Wandb};

/// A tracker: `tensorboard`, `wandb`, or `mlflow=URI`. `mlflow` alone takes the address from `MLFLOW_TRACKING_URI`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Event files in `track/tensorboard` of the run folder.
    TensorBoard,
    /// Offline runs in `track/wandb` of the run folder, which `wandb sync` uploads.
    Wandb,
    /// The server at an address.
    MlFlow(String),
}

/// A text that is no [`Target`].
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no tracker: {problem}")]
pub struct UnknownTarget {
    text: String,
    problem: &'static str,
}

impl Target {
    /// The tracker, which does nothing yet.
    pub fn open(&self, run: Run) -> Box<dyn Tracker> {
        match self {
            Self::TensorBoard => Box::new(TensorBoard::new(run)),
            Self::Wandb => Box::new(Wandb::new(run)),
            Self::MlFlow(uri) => Box::new(MlFlow::new(uri, run)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TensorBoard => f.write_str("tensorboard"),
            Self::Wandb => f.write_str("wandb"),
            Self::MlFlow(uri) => write!(f, "mlflow={uri}"),
        }
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let wrong = |problem| UnknownTarget {
            text: text.into(),
            problem,
        };
        let uri = match text.split_once('=') {
            Some(("mlflow", uri)) => uri.trim_end_matches('/').to_owned(),
            None if text == "tensorboard" => return Ok(Self::TensorBoard),
            None if text == "wandb" => return Ok(Self::Wandb),
            None if text == "mlflow" => std::env::var("MLFLOW_TRACKING_URI").map_err(|_| {
                wrong(
                    "give the server's address, mlflow=http://HOST:PORT, or set MLFLOW_TRACKING_URI",
                )
            })?,
            _ => return Err(wrong("there are tensorboard, wandb and mlflow=URI")),
        };
        match uri.starts_with("http://") || uri.starts_with("https://") {
            true => Ok(Self::MlFlow(uri)),
            false => Err(wrong(
                "the address of the server starts with http:// or https://; for a folder start `mlflow server` on it",
            )),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_its_text() {
        for text in ["tensorboard", "wandb", "mlflow=http://127.0.0.1:5000"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let slash = "mlflow=https://a/".parse::<Target>().unwrap();
        assert_eq!(slash, Target::MlFlow("https://a".into()));
        for (text, cure) in [
            ("tensorbord", "tensorboard, wandb and mlflow=URI"),
            ("mlflow=./runs", "http://"),
            ("wandb=x", "tensorboard, wandb and mlflow=URI"),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(cure), "{error}");
        }
    }
}
