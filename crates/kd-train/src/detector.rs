//! The detector of a run: measured again, and asked about images of one's own.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use kd_data::detection::read_picture;
use kd_data::{Bitmap, Interpolation};
use kd_kernels::PreparedWeights;
use kd_models::detection::{Detected, Detector};
use serde_json::{Value, json};

use crate::source::with_all_of;
use crate::summary::{Panel, Picture, PictureBox, Summary};
use crate::task::{Task, TaskSpec};
use crate::{
    Error, EvalResult, ObjectDetection, Observer, Recipe, folder, report, teacher_softmax,
};

/// The recipe and the student's weights of a run folder, where it is one of a detector.
///
/// # Errors
/// What [`EvalOptions::of_run`](crate::EvalOptions::of_run) returns.
pub fn detector_of_run(
    folder: &Path,
    weights: Option<&Path>,
) -> Result<Option<(Recipe, PathBuf)>, Error> {
    let recipe = folder.join("recipe.toml");
    if !recipe.exists() {
        return Ok(None);
    }
    let recipe = Recipe::load(&recipe, &[])?;
    if recipe.detection.is_none() {
        return Ok(None);
    }
    let student = folder.join("student.safetensors");
    if weights.is_none() && !student.exists() {
        return Err(Error::Format {
            path: student,
            problem: "there is no such file, because the run is not finished. The folder `checkpoints` beside it has \
                      the best weights so far: name a file with --weights"
                .into(),
        });
    }
    Ok(Some((recipe, weights.map_or(student, Path::to_path_buf))))
}

/// The student of a finished run, with these weights, and the names of its classes.
///
/// # Errors
/// When the run is not finished, or the weights do not fit.
pub fn finished_detector(
    recipe: &Recipe,
    weights: &Path,
    folder: &Path,
    device: &Device,
) -> Result<(Detector, Vec<String>), Error> {
    let path = folder.join("summary.json");
    let text = std::fs::read_to_string(&path).map_err(|_| Error::Format {
        path: folder.into(),
        problem: "the run has no summary.json, which names the classes: it is not finished, go on with `kd train`"
            .into(),
    })?;
    let summary = Summary::read(&text).map_err(|e| Error::Format {
        path,
        problem: e.to_string(),
    })?;
    let classes = summary.data.classes;
    let network = Detector::from_file(&recipe.student.model, classes.len() + 1, weights, device)?;
    Ok((network, classes))
}

/// Measures a detector on the test split of its recipe.
///
/// # Errors
/// When the data or the weights are wrong.
pub fn evaluate_detector(
    recipe: &Recipe,
    weights: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<EvalResult, Error> {
    let task = ObjectDetection::load(&recipe.detection.clone().unwrap_or_default(), observer)?;
    let network = task.load(&recipe.student.model, weights, device)?;
    let test = task.test(recipe.train.batch)?;
    let found = task.evaluate(&network, test.as_ref(), device);
    let scores = with_all_of(test.as_ref(), found.scores)?;
    let data = task.summary();
    Ok(EvalResult {
        scores,
        images: data.test,
        data_sha256: data.sha256,
        classes: data.classes,
    })
}

/// The detector of a run, to find objects with.
#[derive(Debug)]
pub struct Finder {
    network: Detector,
    prepared: PreparedWeights,
    /// Side that it sees images at.
    size: usize,
    classes: Vec<String>,
    device: Device,
}

/// What was found in an image.
#[derive(Debug)]
pub struct Found {
    path: PathBuf,
    picture: Bitmap,
    objects: Vec<Detected>,
}

impl Found {
    /// The objects, best first, in pixels of the image.
    pub fn objects(&self) -> &[Detected] {
        &self.objects
    }

    /// The file of the image.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Finder {
    /// The student of a finished run, or other weights of its network.
    ///
    /// # Errors
    /// When the run is not finished or not one of a detector, or the weights do not fit.
    pub fn of_run(folder: &Path, weights: Option<&Path>, device: &Device) -> Result<Self, Error> {
        let found = detector_of_run(folder, weights)?;
        let (recipe, weights) = found.ok_or_else(|| Error::Format {
            path: folder.into(),
            problem: "this is not the folder of a run that trains a detector: its recipe has no [detection]".into(),
        })?;
        let (network, classes) = finished_detector(&recipe, &weights, folder, device)?;
        Ok(Self {
            network,
            prepared: PreparedWeights::new(),
            size: recipe.detection.unwrap_or_default().size,
            classes,
            device: device.clone(),
        })
    }

    /// The names of its classes; objects count theirs from 1.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What is in an image that the network is at least `sure` of, from 0 to 1.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn find(&self, path: &Path, sure: f64) -> Result<Found, Error> {
        let picture = read_picture(path)?;
        let size = self.size;
        let seen = picture
            .resize((size, size), Interpolation::Bilinear)
            .planes();
        let pixels: Vec<f32> = seen
            .into_iter()
            .map(|byte| f32::from(byte) / 255.0)
            .collect();
        let data = TensorData::new(pixels, [1, 3, size, size]);
        let images = Tensor::from_data(data, &self.device);
        let found = self.prepared.run(|| self.network.detect(images))?;
        let scale = [picture.width, picture.height].map(|side| side as f64 / size as f64);
        let objects = found
            .into_iter()
            .flatten()
            .filter(|object| object.score >= sure)
            .map(|object| object.scaled(scale));
        Ok(Found {
            path: path.to_owned(),
            objects: objects.collect(),
            picture,
        })
    }

    /// Writes what was found into a folder: `predictions.json`, a list as COCO's results are with the file in the place
    /// of the image's id, and `predictions.html`, a page with the boxes drawn. Returns the page's path.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, found: &[Found], sure: f64, folder: &Path) -> Result<PathBuf, Error> {
        std::fs::create_dir_all(folder).map_err(folder::io("create", folder))?;
        let list: Vec<Value> = found
            .iter()
            .flat_map(|image| {
                image.objects.iter().map(|object| {
                    let [x1, y1, x2, y2] = object.corners;
                    json!({
                        "file_name": image.path,
                        "category": self.classes.get(object.class - 1),
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "score": object.score,
                    })
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&list).map_err(|e| Error::Report(e.to_string()))?;
        folder::write_atomically(&folder.join("predictions.json"), text.as_bytes())?;
        let pictures = found.iter().map(|image| {
            let name = image.path.file_name().unwrap_or_default();
            let boxes = image.objects.iter().map(|object| PictureBox {
                corners: object.corners,
                class: object.class - 1,
                score: Some(object.score),
            });
            Ok(Picture {
                image: teacher_softmax::address(image.picture.clone())?,
                width: image.picture.width,
                height: image.picture.height,
                panels: vec![Panel {
                    title: name.to_string_lossy().into_owned(),
                    boxes: boxes.collect(),
                }],
            })
        });
        let pictures = pictures.collect::<Result<Vec<_>, Error>>()?;
        let page = report::predictions("Predictions", &self.classes, &pictures, sure)?;
        let path = folder.join("predictions.html");
        folder::write_atomically(&path, page.as_bytes())?;
        Ok(path)
    }
}
