//! What a diagnosis reads of a finished run: answers of both networks, their maps, the loss.

mod gradients;
mod maps;
mod run;
mod shifted;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kd_diagnose::{Answers, Both, Diagnosis, Inputs, TrainPart, advised_layers};
use kd_models::Network;
use serde::{Deserialize, Serialize};

use self::run::Run;
use self::shifted::Way;
use crate::evaluate::{Predictions, predict};
use crate::explain::teacher_of;
use crate::folder::{kept_json, write_atomically};
use crate::source::with_all_of;
use crate::task::{ImageClassification, Task, TaskSpec};
use crate::{Error, Event, Observer, Source};

/// Training images that both networks answer.
const TRAIN_IMAGES: usize = 4000;
/// The file of a diagnosis in a run folder, which the report shows.
const FILE: &str = "diagnosis.json";

/// Diagnoses the student of a finished run of images, and keeps `diagnosis.json` in its folder, which the run's report shows from
/// then on. The test split is not read.
///
/// # Errors
/// [`Error::Format`] for a folder without a finished run, a run without a teacher or without a validation split; what reading
/// data and weights returns.
pub fn diagnose(
    folder: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, Error> {
    let (inputs, _) = gather(Run::finished(folder)?, device, observer)?;
    let found = kd_diagnose::diagnose(&inputs)?;
    write_json(folder.join(FILE), &found)?;
    Ok(found)
}

/// What a diagnosis advises to try.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Advice {
    pub diagnosis: Diagnosis,
    /// Levels of the student's maps to distil at, the most promising first.
    pub levels: Vec<usize>,
    /// The teacher's normalisation, as `--set` spells it, where another one is better.
    pub normalize: Option<String>,
}

/// The file of an advice in a run folder.
const ADVICE: &str = "advice.json";

/// Diagnoses a student that was trained and not measured, with this seed, and keeps what it says in the run folder, where a
/// second call finds it.
pub(crate) fn advise(
    folder: &Path,
    seed: u64,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Advice, Error> {
    let cure = "remove it";
    if let Some(kept) = kept_json(folder.join(ADVICE), "is no advice of this version", cure)? {
        return Ok(kept);
    }
    let (inputs, ways) = gather(Run::trained(folder, seed)?, device, observer)?;
    let diagnosis = kd_diagnose::diagnose(&inputs)?;
    let named = |key: &str| diagnosis.get(key).map_or(&[][..], |finding| &finding.named);
    let advised = inputs.similarity.iter().flat_map(advised_layers);
    let mut levels: Vec<usize> = Vec::new();
    for one in advised.filter(|one| named("layers").contains(&one.teacher.to_string())) {
        if !levels.contains(&one.student) {
            levels.push(one.student);
        }
    }
    let better = named("normalisation").first();
    let better = better.and_then(|name| ways.iter().find(|way| way.name == *name));
    let advice = Advice {
        levels,
        normalize: better.map(|way| way.setting.clone()),
        diagnosis,
    };
    write_json(folder.join(ADVICE), &advice)?;
    Ok(advice)
}

fn write_json(path: PathBuf, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Error::Format {
        path: path.clone(),
        problem: e.to_string(),
    })?;
    write_atomically(&path, (json + "\n").as_bytes())
}

/// The diagnosis that was kept in a run folder; none where there is none.
pub(crate) fn kept(folder: &Path) -> Result<Option<Diagnosis>, Error> {
    kept_json(
        folder.join(FILE),
        "is no diagnosis of this version",
        "run `kd diagnose` again",
    )
}

/// What is asked of both networks, and the other normalisations that were tried.
fn gather(
    run: Run,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<(Inputs, Vec<Way>), Error> {
    let (recipe, folder) = (&run.recipe, run.folder.as_path());
    let task = ImageClassification::<Network>::load(recipe.images("kd diagnose")?, observer)?;
    let batch = recipe.train.batch;
    let validation = task.validation(batch)?.ok_or_else(|| Error::Format {
        path: folder.into(),
        problem: "the recipe keeps no validation split, and the test split is not for choosing: run it with \
                  `--set data.validation=0.1`"
            .into(),
    })?;
    let teacher = teacher_of(recipe, folder, &task, device)?;
    let student = task.load(&recipe.student.model, &run.weights, device)?;
    let student = burn::module::Module::valid(&student);
    observer.event(Event::Note("asking teacher and student"));
    let train = task.train_as_evaluated(TRAIN_IMAGES, batch)?;
    let indices = Source::indices(&train).to_vec();
    let mut inputs = Inputs::new(
        task.summary().classes,
        both(&teacher, &student, validation.as_ref(), device)?,
    );
    inputs.train = Some(TrainPart {
        both: both(&teacher, &student, &train, device)?,
        indices,
    });
    observer.event(Event::Note("comparing maps and gradients"));
    inputs.similarity = maps::similarity(&teacher, &student, validation.as_ref(), device)?;
    let objective = recipe.objective_of(&recipe.student);
    inputs.cosines = gradients::cosines(
        (&teacher, &student),
        (&task, &objective),
        &train,
        &run.end(),
        device,
    )?;
    inputs.temperature = run.temperature();
    inputs.terms = run.terms();
    inputs.curve = run.curve();
    inputs.sizes = run.sizes(&task, device)?;
    let ways = match recipe.teacher.as_ref().filter(|t| t.weights.is_some()) {
        Some(spec) => shifted::ways(&task, spec)?,
        None => Vec::new(),
    };
    for way in &ways {
        let source = way.of(validation.as_ref());
        let answers = answers(&predict(&teacher, &source, device))?;
        inputs
            .normalised
            .push((way.name.clone(), with_all_of(&source, answers)?));
    }
    Ok((inputs, ways))
}

fn both(
    teacher: &Network,
    student: &Network,
    source: &dyn Source<Input = Tensor<4>>,
    device: &Device,
) -> Result<Both, Error> {
    let ask = |network: &Network| answers(&with_all_of(source, predict(network, source, device))?);
    Ok(Both {
        teacher: ask(teacher)?,
        student: ask(student)?,
    })
}

fn answers(predictions: &Predictions) -> Result<Answers, Error> {
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for (row, label) in predictions.rows() {
        logits.extend_from_slice(row);
        labels.push(label);
    }
    let classes = logits.len() / labels.len().max(1);
    Ok(Answers::new(logits, labels, classes)?)
}
