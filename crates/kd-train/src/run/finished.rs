//! Finished trainings, kept so that no run does again what another has done.
//!
//! A folder a training, called after the SHA-256 of what its result depends on:
//! `inputs.json` (just that), `metrics.jsonl`, `result.json` and a `.safetensors` a network. It appears
//! whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use kd_store::{AnyStore, Archive, Leases, publish, unfinished};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::sharing::{Held, Sharing};
use super::trained::{Origin, TrainedNetwork, checkpoint, validation};
use super::{RunContext, RunOptions};
use crate::cache::identity::hex;
use crate::folder::{Folder, io, write_atomically};
use crate::older;
use crate::recipe::TrainingPlan;
use crate::records::Record;
use crate::task::Task;
use crate::train::Trained;
use crate::{Error, Event, Observer, Role};

/// The folder of finished trainings.
pub(super) struct Store {
    folder: PathBuf,
    reuse: bool,
    device: String,
    archive: Option<Archive>,
    leases: Option<Arc<Leases<AnyStore>>>,
}

/// Networks after their training, with its records.
pub(super) struct Finished<N> {
    pub networks: Vec<TrainedNetwork<N>>,
    seed: u64,
    records: Vec<Record>,
}

/// What is kept of a network beside its weights.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(alias = "arm")]
    role: Role,
    adapter_parameters: u64,
    training: crate::summary::Training,
}

impl<N> Finished<N> {
    pub fn new(
        plan: &TrainingPlan,
        seed: u64,
        trained: Vec<Trained<N>>,
        records: Vec<Record>,
    ) -> Self {
        let students = plan.students.iter().zip(trained);
        let networks = students.map(|(student, trained)| TrainedNetwork {
            role: student.role.clone(),
            seed: Some(seed),
            model: student.model.clone(),
            network: trained.student,
            adapter_parameters: trained.adapter_parameters,
            learned_from: student.learns_from.clone(),
            origin: Origin::default(),
            validation: validation(&records, &student.role, trained.best_epoch),
            training: Some(crate::summary::Training {
                epochs: trained.epochs,
                best_epoch: trained.best_epoch,
                best_validation: trained
                    .best_validation
                    .as_ref()
                    .and_then(|scores| scores.first())
                    .map(|score| score.value),
                seconds: trained.seconds,
                images_per_second: trained.images_per_second,
            }),
        });
        let networks = networks.collect();
        Self {
            networks,
            seed,
            records,
        }
    }

    /// Writes into the run folder what the training would have written after its first `left` records.
    pub fn replay<T: Task<Network = N>>(
        self,
        task: &T,
        folder: &mut Folder,
        left: usize,
    ) -> Result<Vec<TrainedNetwork<N>>, Error> {
        for record in self.records.iter().skip(left) {
            folder.record(record)?;
        }
        for trained in &self.networks {
            let path = checkpoint(folder, &trained.role, self.seed);
            task.save(&trained.network, &path, &[])?;
        }
        Ok(self.networks)
    }
}

const INPUTS: &str = "inputs.json";
const RECORDS: &str = "metrics.jsonl";
const RESULT: &str = "result.json";

fn weights(number: usize) -> String {
    format!("network-{number}.safetensors")
}

impl Store {
    pub fn new(options: &RunOptions, sharing: &Sharing) -> Self {
        let named = sharing.finished.clone();
        Self {
            folder: named.unwrap_or_else(|| options.finished()),
            archive: sharing.archive.clone(),
            leases: sharing.leases.clone(),
            reuse: options.reuse,
            device: kind(&options.device_name).into(),
        }
    }

    /// Name of the training that has these inputs.
    pub fn name(inputs: &Value) -> Result<String, Error> {
        Ok(name(&pretty(inputs)?))
    }

    /// Whether others do the same trainings meanwhile.
    pub fn is_shared(&self) -> bool {
        self.leases.is_some()
    }

    /// Asks to be the only one who does a training; none where nobody else would.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process does it.
    pub fn claim(&self, training: &str) -> Result<Option<Held>, Error> {
        let leases = self.leases.as_ref();
        leases
            .map(|leases| Held::claim(leases, training))
            .transpose()
            .map_err(Error::from)
    }

    /// Whether what earlier runs left is used.
    pub fn reuses(&self) -> bool {
        self.reuse
    }

    /// The file of what was measured of a teacher, by all that it depends on.
    pub fn of_teacher(&self, inputs: &Value) -> Option<PathBuf> {
        let name = Self::name(inputs).ok()?;
        Some(self.folder.join(format!("teacher-{name}.json")))
    }

    /// The kind of device whose results these are; which of several computes changes nothing.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// A finished training of the same inputs, of this run before it was interrupted (`own`) or of an earlier
    /// one. One that cannot be read is told of, and is not used.
    pub fn find<T: Task>(
        &self,
        inputs: &Value,
        own: bool,
        plan: &TrainingPlan,
        seed: u64,
        context: &RunContext<T>,
        observer: &mut dyn Observer,
    ) -> Result<Option<Finished<T::Network>>, Error> {
        let text = pretty(inputs)?;
        let folder = self.folder.join(name(&text));
        if !(self.reuse || own) {
            return Ok(None);
        }
        let names: Vec<String> = plan.students.iter().map(|s| s.role.title()).collect();
        let who = format!("{}, seed {seed}", names.join(" and "));
        let there = match self.fetch(&folder) {
            Ok(there) => there,
            Err(problem @ kd_store::Error::Damaged { .. }) => {
                observer.event(Event::Note(&format!("{who}: trained anew: {problem}")));
                return Ok(None);
            }
            Err(problem) => return Err(problem.into()),
        };
        if !there {
            return Ok(None);
        }
        match self.read(&folder, &text, plan, seed, context) {
            Ok(finished) => {
                self.share(&folder)?;
                let folder = folder.display();
                observer.event(Event::Note(&if own {
                    format!("{who}: finished before the interruption; taken from {folder}")
                } else {
                    format!(
                        "{who}: an earlier run has done the same; taken from {folder} (--fresh trains anew)"
                    )
                }));
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

    /// Whether a training is here, if need be as a copy of the one that all share.
    fn fetch(&self, folder: &Path) -> Result<bool, kd_store::Error> {
        match (
            &self.archive,
            folder.file_name().and_then(|name| name.to_str()),
        ) {
            (Some(archive), Some(name)) if !folder.exists() => archive.get(name, folder),
            _ => Ok(folder.exists()),
        }
    }

    /// Puts a training that is here where all have it.
    fn share(&self, folder: &Path) -> Result<(), kd_store::Error> {
        if let (Some(archive), Some(name)) = (
            &self.archive,
            folder.file_name().and_then(|name| name.to_str()),
        ) && !archive.has(name)?
        {
            archive.put(name, folder)?;
        }
        Ok(())
    }

    fn read<T: Task>(
        &self,
        folder: &Path,
        inputs: &str,
        plan: &TrainingPlan,
        seed: u64,
        context: &RunContext<T>,
    ) -> Result<Finished<T::Network>, Error> {
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
        let kept = kept(&text(&folder.join(RESULT))?).map_err(|e| wrong(RESULT, e.to_string()))?;
        if kept.len() != plan.students.len() {
            return Err(wrong(RESULT, format!("holds {} networks", kept.len())));
        }
        // Another run may have called the same training by another name.
        let renamed = |old: &Role| {
            let place = kept.iter().position(|k| k.role == *old);
            place.map(|place| plan.students[place].role.clone())
        };
        let mut records = Vec::new();
        for line in text(&folder.join(RECORDS))?.lines() {
            let mut record = Record::read(line).map_err(|e| wrong(RECORDS, e.to_string()))?;
            let role = record.role_mut();
            *role = renamed(role).ok_or_else(|| wrong(RECORDS, format!("a line is of {role}")))?;
            records.push(record);
        }
        let mut networks = Vec::new();
        for (number, (kept, student)) in kept.into_iter().zip(&plan.students).enumerate() {
            let path = folder.join(weights(number));
            let network = context.task.load(&student.model, &path, context.device)?;
            networks.push(TrainedNetwork {
                role: student.role.clone(),
                seed: Some(seed),
                model: student.model.clone(),
                network: network.valid(),
                adapter_parameters: kept.adapter_parameters,
                learned_from: student.learns_from.clone(),
                origin: Origin::default(),
                validation: validation(&records, &student.role, kept.training.best_epoch),
                training: Some(kept.training),
            });
        }
        Ok(Finished {
            networks,
            seed,
            records,
        })
    }

    /// Keeps a training for later runs.
    pub fn keep<T: Task>(
        &self,
        inputs: &Value,
        finished: &Finished<T::Network>,
        plan: &TrainingPlan,
        seed: u64,
        context: &RunContext<T>,
    ) -> Result<(), Error> {
        let text = pretty(inputs)?;
        let whole = unfinished(&self.folder)?;
        let mut kept = Vec::new();
        for (number, trained) in finished.networks.iter().enumerate() {
            let path = whole.path().join(weights(number));
            context.task.save(&trained.network, &path, &[])?;
            kept.extend(trained.training.clone().map(|training| Kept {
                role: trained.role.clone(),
                adapter_parameters: trained.adapter_parameters,
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
        let name = name(&text);
        let place = self.folder.join(&name);
        let usable = |there: &Path| self.read(there, &text, plan, seed, context).is_ok();
        publish(whole, &place, &usable)?;
        if let Some(archive) = &self.archive {
            // One that is damaged there is replaced.
            archive.put(&name, &place)?;
        }
        Ok(())
    }
}

/// A device's name without its number.
pub(crate) fn kind(device: &str) -> &str {
    device.split_once(':').map_or(device, |(kind, _)| kind)
}

/// What a result says of its networks.
fn kept(text: &str) -> Result<Vec<Kept>, serde_json::Error> {
    let mut value: Value = serde_json::from_str(text)?;
    for kept in value.as_array_mut().into_iter().flatten() {
        if let Some(training) = kept.get_mut("training") {
            older::training(training);
        }
    }
    serde_json::from_value(value)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_card_finished_another_takes() {
        let of = |device: &str| {
            let options = RunOptions {
                out: "run".into(),
                seeds: 1,
                device_name: device.into(),
                reuse: true,
                resume: false,
            };
            Store::new(&options, &Sharing::default())
                .device()
                .to_owned()
        };
        assert_eq!(of("cuda:0"), of("cuda:1"));
        assert_eq!(of("cuda:1"), of("cuda"));
        assert_ne!(of("cuda"), of("wgpu"));
    }
}
