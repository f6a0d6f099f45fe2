//! Finished trainings, kept so that no run does again what another has done.
//!
//! A folder a training, called after the SHA-256 of what its result depends on:
//! `inputs.json` (just that), `metrics.jsonl`, `result.json` and a `.safetensors` a network. It appears
//! whole or not at all.

use std::path::{Path, PathBuf};

use burn::module::Module;
use kd_models::Network;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::training::{Contender, Plan, checkpoint};
use super::{Job, RunOptions};
use crate::cache::identity::hex;
use crate::folder::{Folder, io, write_atomically};
use crate::records::Record;
use crate::train::Trained;
use crate::{Arm, Error, Event, Observer};

/// The folder of finished trainings.
pub(super) struct Store {
    folder: PathBuf,
    reuse: bool,
    device: String,
}

/// Networks after their training, with its records.
pub(super) struct Finished {
    pub contenders: Vec<Contender>,
    records: Vec<Record>,
}

/// What is kept of a network beside its weights.
#[derive(Serialize, Deserialize)]
struct Kept {
    arm: Arm,
    adapter_parameters: u64,
    training: crate::summary::Training,
}

impl Finished {
    pub fn new(plan: &Plan, trained: Vec<Trained<Network>>, records: Vec<Record>) -> Self {
        let contender =
            |(novice, trained): (&super::training::Novice, Trained<Network>)| Contender {
                arm: novice.arm.clone(),
                seed: Some(plan.seed),
                network: trained.student,
                adapter_parameters: trained.adapter_parameters,
                learned_from: novice.learns_from.clone(),
                training: Some(crate::summary::Training {
                    epochs: trained.epochs,
                    best_epoch: trained.best_epoch,
                    best_validation_top1: trained.best_validation.map(|v| v.top1),
                    seconds: trained.seconds,
                    images_per_second: trained.images_per_second,
                }),
            };
        Self {
            contenders: plan.novices.iter().zip(trained).map(contender).collect(),
            records,
        }
    }

    /// Writes into the run folder what the training would have written.
    pub fn replay(self, plan: &Plan, folder: &mut Folder) -> Result<Vec<Contender>, Error> {
        for record in &self.records {
            folder.record(record)?;
        }
        for contender in &self.contenders {
            let path = checkpoint(folder, &contender.arm, plan.seed);
            contender.network.save(&path, &[])?;
        }
        Ok(self.contenders)
    }
}

const INPUTS: &str = "inputs.json";
const RECORDS: &str = "metrics.jsonl";
const RESULT: &str = "result.json";

fn weights(number: usize) -> String {
    format!("network-{number}.safetensors")
}

impl Store {
    pub fn new(options: &RunOptions) -> Self {
        Self {
            folder: options.finished(),
            reuse: options.reuse,
            device: options.device_name.clone(),
        }
    }

    /// The device whose results these are.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// A finished training of the same inputs. One that cannot be read is told of, and is not used.
    pub fn find(
        &self,
        inputs: &Value,
        plan: &Plan,
        job: &Job,
        observer: &mut dyn Observer,
    ) -> Result<Option<Finished>, Error> {
        let text = pretty(inputs)?;
        let folder = self.folder.join(name(&text));
        if !self.reuse || !folder.exists() {
            return Ok(None);
        }
        let names: Vec<String> = plan.novices.iter().map(|n| n.arm.title()).collect();
        let who = format!("{}, seed {}", names.join(" and "), plan.seed);
        match self.read(&folder, &text, plan, job) {
            Ok(finished) => {
                observer.event(Event::Note(&format!(
                    "{who}: an earlier run has done the same; taken from {} (--fresh trains anew)",
                    folder.display()
                )));
                Ok(Some(finished))
            }
            Err(problem) => {
                observer.event(Event::Note(&format!(
                    "{who}: trained anew, because what an earlier run left cannot be used: {problem}"
                )));
                Ok(None)
            }
        }
    }

    fn read(&self, folder: &Path, inputs: &str, plan: &Plan, job: &Job) -> Result<Finished, Error> {
        let wrong = |file: &str, problem: String| Error::Format {
            path: folder.join(file),
            problem,
        };
        if text(&folder.join(INPUTS))? != inputs {
            return Err(wrong(
                INPUTS,
                "holds other inputs than its folder's name says".into(),
            ));
        }
        let kept: Vec<Kept> = serde_json::from_str(&text(&folder.join(RESULT))?)
            .map_err(|e| wrong(RESULT, e.to_string()))?;
        if kept.len() != plan.novices.len() {
            return Err(wrong(RESULT, format!("holds {} networks", kept.len())));
        }
        // Another run may have called the same training by another name.
        let renamed = |old: &Arm| {
            let place = kept.iter().position(|k| k.arm == *old);
            place.map(|place| plan.novices[place].arm.clone())
        };
        let mut records = Vec::new();
        for line in text(&folder.join(RECORDS))?.lines() {
            let mut record: Record =
                serde_json::from_str(line).map_err(|e| wrong(RECORDS, e.to_string()))?;
            let arm = record.arm_mut();
            *arm = renamed(arm).ok_or_else(|| wrong(RECORDS, format!("a line is of {arm}")))?;
            records.push(record);
        }
        let mut contenders = Vec::new();
        for (number, (kept, novice)) in kept.into_iter().zip(&plan.novices).enumerate() {
            let path = folder.join(weights(number));
            let network = Network::from_file(&job.shape.network(novice.model), path, job.device)?;
            contenders.push(Contender {
                arm: novice.arm.clone(),
                seed: Some(plan.seed),
                network: network.valid(),
                adapter_parameters: kept.adapter_parameters,
                learned_from: novice.learns_from.clone(),
                training: Some(kept.training),
            });
        }
        Ok(Finished {
            contenders,
            records,
        })
    }

    /// Keeps a training for later runs.
    pub fn keep(&self, inputs: &Value, finished: &Finished) -> Result<(), Error> {
        let text = pretty(inputs)?;
        std::fs::create_dir_all(&self.folder).map_err(io("create", &self.folder))?;
        let whole = tempfile::TempDir::with_prefix_in("unfinished-", &self.folder)
            .map_err(io("write in", &self.folder))?;
        let mut kept = Vec::new();
        for (number, contender) in finished.contenders.iter().enumerate() {
            let path = whole.path().join(weights(number));
            contender.network.save(&path, &[])?;
            kept.extend(contender.training.clone().map(|training| Kept {
                arm: contender.arm.clone(),
                adapter_parameters: contender.adapter_parameters,
                training,
            }));
        }
        let records = finished
            .records
            .iter()
            .map(|record| serde_json::to_string(record).map(|line| line + "\n"));
        let records = records.collect::<Result<String, _>>().map_err(in_json)?;
        for (file, text) in [
            (INPUTS, text.clone()),
            (RECORDS, records),
            (
                RESULT,
                serde_json::to_string_pretty(&kept).map_err(in_json)?,
            ),
        ] {
            write_atomically(&whole.path().join(file), text.as_bytes())?;
        }
        // What is there already is the same, or could not be read.
        let place = self.folder.join(name(&text));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::rename(whole.path(), &place).map_err(io("write", &place))?;
        // It has gone from where it would be removed.
        let _ = whole.keep();
        Ok(())
    }
}

fn pretty(inputs: &Value) -> Result<String, Error> {
    serde_json::to_string_pretty(inputs).map_err(in_json)
}

fn in_json(error: serde_json::Error) -> Error {
    Error::Recipe(format!("a value has no JSON form: {error}"))
}

fn name(inputs: &str) -> String {
    hex(&Sha256::digest(inputs)[..8])
}

fn text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(io("read", path))
}
