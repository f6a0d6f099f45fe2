//! Which network of a run is trained or measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which network of a run is trained or measured. As text: `teacher`, `alone`, `distilled`, `ensemble`,
/// or `stage:NAME`, `peer-alone:NAME`, `peer:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// The teacher, frozen during distillation (or trained first when it has no weights).
    Teacher,
    /// The network of a stage before the student, by the stage's name.
    Stage(String),
    /// The student trained on labels only, with the same budget and seed.
    Alone,
    /// A peer of the student, by its name, trained on labels only.
    PeerAlone(String),
    /// The student trained with the recipe's objective.
    Distilled,
    /// A peer of the student, by its name, trained with the recipe's objective.
    Peer(String),
    /// Several networks of the run that answer together.
    Ensemble,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Teacher => f.pad("teacher"),
            Self::Alone => f.pad("alone"),
            Self::Distilled => f.pad("distilled"),
            Self::Ensemble => f.pad("ensemble"),
            Self::Stage(name) => f.pad(&format!("stage:{name}")),
            Self::PeerAlone(name) => f.pad(&format!("peer-alone:{name}")),
            Self::Peer(name) => f.pad(&format!("peer:{name}")),
        }
    }
}

/// A text that names no arm.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no network of a run: teacher, alone, distilled, ensemble, stage:NAME, peer-alone:NAME or peer:NAME"
)]
pub struct UnknownArm(String);

impl FromStr for Arm {
    type Err = UnknownArm;

    fn from_str(text: &str) -> Result<Self, UnknownArm> {
        Ok(match (text, text.split_once(':')) {
            ("teacher", _) => Self::Teacher,
            ("alone", _) => Self::Alone,
            ("distilled", _) => Self::Distilled,
            ("ensemble", _) => Self::Ensemble,
            (_, Some(("stage", name))) => Self::Stage(name.into()),
            (_, Some(("peer-alone", name))) => Self::PeerAlone(name.into()),
            (_, Some(("peer", name))) => Self::Peer(name.into()),
            _ => return Err(UnknownArm(text.into())),
        })
    }
}

impl Arm {
    /// What people call it: `teacher`, `student alone`, `assistant`.
    pub fn title(&self) -> String {
        match self {
            Self::Teacher => "teacher".into(),
            Self::Alone => "student alone".into(),
            Self::Distilled => "student distilled".into(),
            Self::Ensemble => "ensemble".into(),
            Self::Stage(name) => format!("stage {name}"),
            Self::PeerAlone(name) => format!("peer {name} alone"),
            Self::Peer(name) => format!("peer {name} distilled"),
        }
    }

    /// Its name in a file's name.
    pub(crate) fn file_name(&self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl Serialize for Arm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Arm {
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
        let arms = [
            Arm::Teacher,
            Arm::Stage("assistant".into()),
            Arm::Alone,
            Arm::PeerAlone("resnet8-2".into()),
            Arm::Distilled,
            Arm::Peer("resnet14".into()),
            Arm::Ensemble,
        ];
        for arm in arms {
            assert_eq!(arm.to_string().parse::<Arm>().unwrap(), arm);
            let json = serde_json::to_string(&arm).unwrap();
            assert_eq!(serde_json::from_str::<Arm>(&json).unwrap(), arm);
        }
        let error = serde_json::from_str::<Arm>("\"student\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`student`") && error.contains("stage:NAME"),
            "{error}"
        );
    }
}
