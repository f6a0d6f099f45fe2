//! Which network of a run is trained or measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which network of a run is trained or measured. As text: `teacher`, `alone`, `distilled`, `ensemble`,
/// or `stage:NAME`, `peer-alone:NAME`, `peer:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// The teacher, frozen during distillation (or trained first when it has no weights).
    Teacher,
    /// The network of a stage before the student, by the stage's name.
    Stage(String),
    /// The student trained on labels only, with the same budget and seed.
    Baseline,
    /// A peer of the student, by its name, trained on labels only.
    PeerBaseline(String),
    /// The student trained with the recipe's objective.
    Distilled,
    /// A peer of the student, by its name, trained with the recipe's objective.
    Peer(String),
    /// Several networks of the run that answer together.
    Ensemble,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Teacher => f.pad("teacher"),
            Self::Baseline => f.pad("alone"),
            Self::Distilled => f.pad("distilled"),
            Self::Ensemble => f.pad("ensemble"),
            Self::Stage(name) => f.pad(&format!("stage:{name}")),
            Self::PeerBaseline(name) => f.pad(&format!("peer-alone:{name}")),
            Self::Peer(name) => f.pad(&format!("peer:{name}")),
        }
    }
}

/// A text that names no role.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no network of a run: teacher, alone, distilled, ensemble, stage:NAME, peer-alone:NAME or peer:NAME"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Ok(match (text, text.split_once(':')) {
            ("teacher", _) => Self::Teacher,
            ("alone", _) => Self::Baseline,
            ("distilled", _) => Self::Distilled,
            ("ensemble", _) => Self::Ensemble,
            (_, Some(("stage", name))) => Self::Stage(name.into()),
            (_, Some(("peer-alone", name))) => Self::PeerBaseline(name.into()),
            (_, Some(("peer", name))) => Self::Peer(name.into()),
            _ => return Err(UnknownRole(text.into())),
        })
    }
}

impl Role {
    /// What people call it: `teacher`, `student alone`, `assistant`.
    pub fn title(&self) -> String {
        match self {
            Self::Teacher => "teacher".into(),
            Self::Baseline => "student alone".into(),
            Self::Distilled => "student distilled".into(),
            Self::Ensemble => "ensemble".into(),
            Self::Stage(name) => format!("stage {name}"),
            Self::PeerBaseline(name) => format!("peer {name} alone"),
            Self::Peer(name) => format!("peer {name} distilled"),
        }
    }

    /// Its name in a file's name.
    pub(crate) fn file_name(&self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_its_text() {
        let networks = [
            Role::Teacher,
            Role::Stage("assistant".into()),
            Role::Baseline,
            Role::PeerBaseline("resnet8-2".into()),
            Role::Distilled,
            Role::Peer("resnet14".into()),
            Role::Ensemble,
        ];
        for role in networks {
            assert_eq!(role.to_string().parse::<Role>().unwrap(), role);
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(serde_json::from_str::<Role>(&json).unwrap(), role);
        }
        let error = serde_json::from_str::<Role>("\"student\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`student`") && error.contains("stage:NAME"),
            "{error}"
        );
    }
}
