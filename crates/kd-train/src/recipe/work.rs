//! What a stage does, where it does not train.

use serde::{Deserialize, Serialize};

use super::{Recipe, StageSpec};

/// What a stage does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Trains a network, after what `prune` and `quantise` change in it.
    #[default]
    Train,
    /// Removes channels, and trains nothing.
    Prune,
    /// Puts layers on integer grids, and trains nothing.
    Quantise,
    /// Writes a network as ONNX.
    Export,
}

impl Work {
    /// Whether it is what a stage does that says nothing.
    pub(crate) fn is_train(&self) -> bool {
        *self == Self::Train
    }

    /// As a recipe spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Prune => "prune",
            Self::Quantise => "quantise",
            Self::Export => "export",
        }
    }
}

/// How a network is written as ONNX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// Puts the normalisation of images into the file, which then reads pixels from 0 to 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub normalise: bool,
    /// Puts a softmax at the end, so that the file gives probabilities.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub softmax: bool,
    /// Weights and arithmetic in float16; input and output stay float32.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub float16: bool,
    /// A program whose rules the file must keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Program>,
}

/// Programs with rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// TensorRT 10.1.
    Tensorrt,
}

impl Recipe {
    /// Whether a stage prunes or quantises.
    pub(crate) fn compresses(&self) -> bool {
        let mut stages = self.stages.values().chain([&self.student]);
        stages.any(|stage| stage.prune.is_some() || stage.quantise.is_some())
    }

    /// Whether a stage, or one that it starts from, prunes or quantises.
    pub(crate) fn is_compressed(&self, name: &str) -> bool {
        self.stages.get(name).is_some_and(|stage| {
            let here = stage.prune.is_some() || stage.quantise.is_some();
            let before = stage.start.as_deref();
            here || before.is_some_and(|before| self.is_compressed(before))
        })
    }

    /// Stages that write a file, in the order of their names.
    pub(crate) fn exports(&self) -> impl Iterator<Item = (&String, &StageSpec)> {
        let stages = self.stages.iter();
        stages.filter(|(_, stage)| stage.work == Work::Export)
    }

    /// What stages are asked for that they do not do.
    pub(super) fn validate_work(&self) -> Result<(), String> {
        for (table, stage) in self.tables() {
            stage.validate_work(&table)?;
            let others = stage.teachers.iter().flatten().chain(&stage.start);
            self.no_file(&table, others)?;
        }
        self.no_file("ensemble", &self.ensemble)?;
        if self.student.work == Work::Export {
            return Err(
                "student.do = \"export\": the student is a network; write its file by a stage of its own, \
                 [stages.file] with do = \"export\" and start = \"student\""
                    .into(),
            );
        }
        Ok(())
    }

    /// Refuses the name of a stage that writes a file where a network is needed.
    fn no_file<'a>(
        &self,
        key: &str,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), String> {
        let mut names = names.into_iter();
        let file = names.find(|name| {
            let stage = self.stages.get(*name);
            stage.is_some_and(|stage| stage.work == Work::Export)
        });
        match file {
            None => Ok(()),
            Some(name) => Err(format!(
                "{key}: stage `{name}` writes a file and has no network; name the stage that it exports"
            )),
        }
    }
}

impl StageSpec {
    fn validate_work(&self, table: &str) -> Result<(), String> {
        let work = self.work;
        if work.is_train() {
            return match self.export {
                None => Ok(()),
                Some(_) => Err(format!(
                    "{table}.export says how a file is written, and this stage trains: give it to a stage with do = \
                     \"export\""
                )),
            };
        }
        let own = match work {
            Work::Prune => "prune",
            Work::Quantise => "quantise",
            _ => "export",
        };
        let given = [
            ("objective", self.objective.is_some()),
            ("train", self.train.is_some()),
            ("teachers", self.teachers.is_some()),
            ("peers", !self.peers.is_empty()),
            ("mutual", self.mutual),
            ("init_from", self.init_from.is_some()),
            ("prune", self.prune.is_some()),
            ("quantise", self.quantise.is_some()),
            ("export", self.export.is_some()),
            ("weights", work == Work::Export && self.weights.is_some()),
        ];
        if let Some((key, _)) = given.into_iter().find(|(key, given)| *given && *key != own) {
            return Err(format!(
                "{table}.{key}: with do = \"{}\" a stage does that alone; leave `{key}` out, or give it to a stage of its \
                 own",
                work.name()
            ));
        }
        match work {
            Work::Prune if self.prune.is_none() => Err(format!(
                "{table}: do = \"prune\" needs to know how far: prune = {{ macs = 0.5 }} leaves half of the \
                 multiply-accumulates"
            )),
            Work::Quantise if self.quantise.is_none() => Err(format!(
                "{table}: do = \"quantise\" needs to know how: quantise = {{}} is 8 bits, by the ends of 256 images"
            )),
            Work::Export if self.start.is_none() => Err(format!(
                "{table}: do = \"export\" needs to know what: start = \"student\", or the name of a stage"
            )),
            _ => Ok(()),
        }
    }
}
