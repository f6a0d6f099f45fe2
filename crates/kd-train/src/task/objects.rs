//! Detection of objects: the sets of images with boxes of `kd-data`, the detectors of `kd-models`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use kd_core::detection::Objects;
use kd_core::{Objective, ObjectiveConfig, Output, Targets, TermConfig};
use kd_data::detection::evaluation::{
    CocoClass, CocoScores, FoundObject, evaluate_coco, resample_coco,
};
use kd_data::detection::{
    Annotated, DetectionBatch, DetectionConfig, DetectionLoader, DetectionLoaderConfig,
    DetectionSet,
};
use kd_data::{Bitmap, Interpolation};
use kd_kernels::PreparedWeights;
use kd_models::SceneBatch;
use kd_models::detection::{Detected, Detector};
use serde_json::{Value, json};

use super::{Evaluated, NetworkCost, Task, TaskSpec, TrainSource};
use crate::summary::{DataSummary, Panel, Picture, PictureBox};
use crate::teacher_softmax;
use crate::{Batch, ClassFound, Error, Event, Observer, Score, Scores, Source};

/// Images with boxes in three splits, and the detectors of the registry
/// ([`DETECTORS`](kd_models::detection::DETECTORS)).
///
/// Its scores are COCO's, in percent: `ap`, which selects the epoch that is kept, and the others of COCO's twelve that the
/// set has objects for.
#[derive(Clone, Debug)]
pub struct ObjectDetection {
    config: DetectionConfig,
    /// Training, validation and test images.
    splits: [Arc<DetectionSet>; 3],
    sha256: String,
}

impl ObjectDetection {
    /// Reads the annotations, and tells what of them is not taken as it is.
    ///
    /// # Errors
    /// When they are not there, or are wrong.
    pub fn load(config: &DetectionConfig, observer: &mut dyn Observer) -> Result<Self, Error> {
        let splits = config.load()?;
        let named = [
            ("training", &splits.train),
            ("validation", &splits.validation),
            ("test", &splits.test),
        ];
        for (name, set) in named {
            for note in set.counts.notes() {
                observer.event(Event::Note(&format!("{name} set: {note}")));
            }
            if set.images.iter().all(|image| image.objects.is_empty()) {
                return Err(Error::Recipe(format!(
                    "the {name} set has {} images and no object: nothing can be learned from it or measured by it; check \
                     the annotations that detection.{} takes",
                    set.images.len(),
                    match name {
                        "training" => "train",
                        "validation" => "validation or holdout",
                        _ => "test",
                    }
                )));
            }
        }
        let splits = [splits.train, splits.validation, splits.test];
        let digests: Vec<String> = splits.iter().map(DetectionSet::sha256).collect();
        Ok(Self {
            config: config.clone(),
            splits: splits.map(Arc::new),
            sha256: digests.join(" "),
        })
    }

    /// The set of a split: 0 is training, 1 validation, 2 test.
    ///
    /// # Panics
    /// For another number.
    pub fn split(&self, split: usize) -> &DetectionSet {
        &self.splits[split]
    }

    /// The side that networks see images at, in pixels.
    pub fn size(&self) -> usize {
        self.config.size
    }

    /// Classes, with the background.
    fn classes(&self) -> usize {
        self.splits[0].classes.len() + 1
    }

    /// The number of the first image of a split among those of all.
    fn first(&self, split: usize) -> usize {
        self.splits[..split]
            .iter()
            .map(|set| set.images.len())
            .sum()
    }

    fn source(
        &self,
        split: usize,
        batch: usize,
        training: Option<u64>,
    ) -> Result<Box<dyn Source<Input = SceneBatch> + '_>, Error> {
        let loader = DetectionLoader::new(
            Arc::clone(&self.splits[split]),
            DetectionLoaderConfig {
                batch,
                size: self.config.size,
                augment: training.map(|_| self.config.augment.boxes()),
                seed: training.unwrap_or(0),
                shuffle: training.is_some(),
            },
        )?;
        let first = self.first(split);
        Ok(Box::new(Scenes {
            numbers: loader.indices().iter().map(|index| first + index).collect(),
            loader,
            first,
            training,
        }))
    }

    /// The network, unless images are smaller than it can read: the last layers of SSD300 have no border.
    fn fits(&self, model: &str, network: Detector) -> Result<Detector, Error> {
        let least = match &network {
            Detector::Ssd(_) => 268,
            Detector::SsdNormed(_) => 257,
            _ => 32,
        };
        if self.config.size < least {
            return Err(Error::Recipe(format!(
                "detection.size = {}: {model} reads images of {least} pixels a side or more",
                self.config.size
            )));
        }
        Ok(network)
    }

    /// What a network finds in the images of a split, in pixels of these images, best first.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn detect(
        &self,
        network: &Detector,
        split: usize,
        batch: usize,
        device: &Device,
    ) -> Result<Vec<Vec<Detected>>, Error> {
        let source = self.source(split, batch, None)?;
        let found = self.found(network, source.as_ref(), device);
        crate::source::with_all_of(source.as_ref(), found.into_iter().map(|(_, f)| f).collect())
    }

    /// What a network finds in the images of a source, each with its number.
    fn found(
        &self,
        network: &Detector,
        source: &dyn Source<Input = SceneBatch>,
        device: &Device,
    ) -> Vec<(usize, Vec<Detected>)> {
        let prepared = PreparedWeights::new();
        let mut found = Vec::new();
        for batch in source.epoch(0, device) {
            let [_, _, height, width] = batch.input.images.dims();
            // Detectors of the registry fit their own boxes.
            let detected = prepared
                .run(|| network.detect(batch.input.images))
                .unwrap_or_default();
            for (number, objects) in batch.indices.into_iter().zip(detected) {
                let (set, place) = self.image(number);
                let image = &set.images[place];
                let scale = [
                    image.width as f64 / width as f64,
                    image.height as f64 / height as f64,
                ];
                let objects = objects
                    .into_iter()
                    .map(|object| object.scaled(scale))
                    .collect();
                found.push((number, objects));
            }
        }
        found
    }

    /// An image by its number among those of all splits.
    fn image(&self, number: usize) -> (&DetectionSet, usize) {
        let mut place = number;
        for set in &self.splits {
            if place < set.images.len() {
                return (set, place);
            }
            place -= set.images.len();
        }
        panic!("there is no image {number}")
    }
}

/// Detections as COCO's evaluation takes them, of the images at these places.
pub(crate) fn as_found(images: &[(usize, Vec<Detected>)]) -> Vec<FoundObject> {
    let of_image = |(image, objects): &(usize, Vec<Detected>)| {
        let found = objects.iter().map(|object| {
            let [x1, y1, x2, y2] = object.corners;
            FoundObject {
                image: *image,
                class: object.class - 1,
                bbox: [x1, y1, x2 - x1, y2 - y1],
                score: object.score,
            }
        });
        found.collect::<Vec<_>>()
    };
    images.iter().flat_map(of_image).collect()
}

/// COCO's figures as scores in percent; those that the set has no objects for are left out.
pub(crate) fn scores(found: &CocoScores) -> Scores {
    let title = |key: &str| key.replace('_', " ");
    let list = found.summary().into_iter().filter_map(|(key, value)| {
        let value = 100.0 * value?;
        Some(Score::percent(&key.to_lowercase(), &title(key), value))
    });
    Scores {
        list: list.collect(),
        per_class: found
            .ap_by_class
            .iter()
            .map(|ap| ap.map(|ap| 100.0 * ap))
            .collect(),
        found: found.classes.iter().map(class_found).collect(),
        resampled: Vec::new(),
    }
}

/// Sets of images that say how far AP would be another on other images.
const DRAWS: usize = 500;

fn class_found(class: &CocoClass) -> ClassFound {
    let hundredths = |share: &f64| (1e4 * share).round() / 1e2;
    ClassFound {
        objects: class.objects,
        ap: class.ap.map(|ap| ap.map(|ap| 100.0 * ap)),
        precision: class
            .precision
            .each_ref()
            .map(|at| at.iter().map(hundredths).collect()),
    }
}

impl TaskSpec for ObjectDetection {
    type Input = SceneBatch;
    type Network = Detector;

    fn train_samples(&self) -> usize {
        self.splits[0].images.len()
    }

    fn example(&self, samples: usize, device: &Device) -> SceneBatch {
        let size = self.config.size;
        SceneBatch {
            images: Tensor::zeros([samples, 3, size, size], device),
            objects: None,
            seed: 0,
        }
    }

    fn build(&self, model: &str, device: &Device) -> Result<Detector, Error> {
        self.fits(model, Detector::new(model, self.classes(), device)?)
    }

    fn load(&self, model: &str, path: &Path, device: &Device) -> Result<Detector, Error> {
        self.fits(
            model,
            Detector::from_file(model, self.classes(), path, device)?,
        )
    }

    fn save(
        &self,
        network: &Detector,
        path: &Path,
        metadata: &[(&str, String)],
    ) -> Result<(), Error> {
        let classes = ("classes".to_owned(), self.classes().to_string());
        let entries = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let entries: Vec<_> = entries.chain([classes]).collect();
        Ok(network.save(path, &entries)?)
    }

    /// As [`ObjectiveConfig::init`], which needs `detection_loss`; a loss on classes of rows is refused before the first
    /// training, because only a loss decides which row is to find what.
    fn objective(
        &self,
        config: &ObjectiveConfig,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Objective, kd_core::Error> {
        let refuse = |name: &str, expected: &str| {
            Err(kd_core::Error::Config {
                key: format!("objective.{name}"),
                value: "(a detector's objective)".into(),
                expected: expected.into(),
            })
        };
        let mut own = false;
        for (name, entry) in &config.terms {
            own |= matches!(entry.term, TermConfig::DetectionLoss(_));
            if matches!(entry.term, TermConfig::CrossEntropy(_)) || entry.term.needs_class() {
                return refuse(
                    name,
                    "it reads a class for each row, and boxes have none: [objective.detection_loss] is the loss on labels",
                );
            }
        }
        match own {
            true => config.init(student, teacher, device),
            false => refuse(
                "detection_loss",
                "missing: without it nothing ties boxes to objects",
            ),
        }
    }

    fn cost(&self, network: &Detector) -> Result<NetworkCost, Error> {
        Ok(NetworkCost {
            macs: Some(network.macs(self.config.size)),
            ..super::module_file::cost(network)
        })
    }
}

impl Task for ObjectDetection {
    fn train(
        &self,
        options: &TrainSource,
    ) -> Result<Box<dyn Source<Input = SceneBatch> + '_>, Error> {
        if options.views.is_some() {
            return Err(Error::Recipe(
                "teacher.cache.views: views of images with boxes are drawn anew in every epoch; leave it out".into(),
            ));
        }
        self.source(0, options.batch, Some(options.seed))
    }

    fn validation(
        &self,
        batch: usize,
    ) -> Result<Option<Box<dyn Source<Input = SceneBatch> + '_>>, Error> {
        self.source(1, batch, None).map(Some)
    }

    fn test(&self, batch: usize) -> Result<Box<dyn Source<Input = SceneBatch> + '_>, Error> {
        self.source(2, batch, None)
    }

    fn summary(&self) -> DataSummary {
        let [train, validation, test] = [0, 1, 2].map(|split| self.splits[split].images.len());
        DataSummary {
            name: self.config.name.clone(),
            sha256: self.sha256.clone(),
            train,
            validation,
            test,
            classes: self.splits[0].classes.names().to_vec(),
        }
    }

    fn dependencies(&self) -> Value {
        json!({
            "images": self.sha256,
            "size": self.config.size,
            "augment": self.config.augment,
        })
    }

    fn pictures(
        &self,
        networks: &[(String, &Detector)],
        device: &Device,
    ) -> Result<Vec<Picture>, Error> {
        let set = &self.splits[2];
        let places = telling(set, PICTURES);
        let only = Arc::new(set.only(&places));
        let loader = DetectionLoader::new(
            Arc::clone(&only),
            DetectionLoaderConfig {
                batch: places.len(),
                size: self.config.size,
                augment: None,
                seed: 0,
                shuffle: false,
            },
        )?;
        let Some(batch) = loader.epoch_from(0, 0).next() else {
            return Err(loader.problem().map_or_else(
                || Error::Report("the test set has no image to show".into()),
                Error::from,
            ));
        };
        let size = self.config.size as f64;
        let mut found = Vec::new();
        for (title, network) in networks {
            let of_images = network
                .detect(batch.images(device))
                .map_err(|problem| Error::Report(problem.to_string()))?;
            found.push((title, of_images));
        }
        let picture = |(place, annotated): (usize, &Annotated)| {
            let (bitmap, smaller) = small(only.picture(place)?);
            let truth = annotated.objects.iter().map(|object| PictureBox {
                corners: object.corners.map(|edge| edge * smaller),
                class: object.class - 1,
                score: None,
            });
            let mut panels = vec![Panel {
                title: "what is there".into(),
                boxes: truth.collect(),
            }];
            let scale = [bitmap.width, bitmap.height].map(|side| side as f64 / size);
            for (title, of_images) in &found {
                let sure = of_images[place].iter().filter(|o| o.score >= SURE);
                let sure = sure.take(BOXES);
                let boxes = sure.map(|object| PictureBox {
                    corners: object.scaled(scale).corners,
                    class: object.class - 1,
                    score: Some(object.score),
                });
                panels.push(Panel {
                    title: (*title).clone(),
                    boxes: boxes.collect(),
                });
            }
            Ok(Picture {
                width: bitmap.width,
                height: bitmap.height,
                image: teacher_softmax::address(bitmap)?,
                panels,
            })
        };
        only.images.iter().enumerate().map(picture).collect()
    }

    fn evaluate(
        &self,
        network: &Detector,
        source: &dyn Source<Input = SceneBatch>,
        device: &Device,
    ) -> Evaluated {
        let found = self.found(network, source, device);
        // Numbers of a source are those of one split.
        let first = source.indices().first().copied().unwrap_or(0);
        let (set, _) = self.image(first);
        let places: Vec<(usize, Vec<Detected>)> = found
            .into_iter()
            .map(|(number, objects)| (number - first, objects))
            .collect();
        let (truth, found, classes) = (set.truth(), as_found(&places), set.classes.len());
        let mut scores = scores(&evaluate_coco(&truth, &found, classes));
        // Other splits select, epoch by epoch, and nothing is said of other images.
        if first >= self.first(2) {
            let draws = resample_coco(&truth, &found, classes, set.images.len(), DRAWS);
            let draws: Option<Vec<f64>> = draws.into_iter().collect();
            let percent = |share: f64| (1e6 * share).round() / 1e4;
            scores.resampled = draws.unwrap_or_default().into_iter().map(percent).collect();
        }
        Evaluated {
            scores,
            predictions: None,
        }
    }
}

/// Images that are shown, at most.
const PICTURES: usize = 4;
/// The longest side of an image that is shown, in pixels.
const LONGEST: usize = 360;
/// Boxes of a network that are shown on an image, at most: a network that knows nothing finds something everywhere.
const BOXES: usize = 20;
/// The score from which on a box is shown.
const SURE: f64 = 0.3;

/// The places of images that show the most: those of most classes, the first of equal ones.
fn telling(set: &DetectionSet, count: usize) -> Vec<usize> {
    let classes = |image: &Annotated| {
        let classes: BTreeSet<usize> = image.objects.iter().map(|object| object.class).collect();
        classes.len()
    };
    let mut places: Vec<usize> = (0..set.images.len()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(classes(&set.images[*place])));
    places.truncate(count);
    places.sort_unstable();
    places
}

/// An image no larger than a page needs, and its size in that of the original.
fn small(bitmap: Bitmap) -> (Bitmap, f64) {
    let scale = LONGEST as f64 / bitmap.width.max(bitmap.height) as f64;
    if scale >= 1.0 {
        return (bitmap, 1.0);
    }
    let [width, height] =
        [bitmap.width, bitmap.height].map(|side| ((side as f64 * scale).round() as usize).max(1));
    (
        bitmap.resize((width, height), Interpolation::Bilinear),
        scale,
    )
}

/// Batches of a split.
struct Scenes {
    loader: DetectionLoader,
    /// Its images by their numbers among those of all splits.
    numbers: Vec<usize>,
    first: usize,
    /// The seed, of training.
    training: Option<u64>,
}

impl Source for Scenes {
    type Input = SceneBatch;

    fn indices(&self) -> &[usize] {
        &self.numbers
    }

    fn batches(&self) -> usize {
        self.loader.batches()
    }

    fn problem(&self) -> Option<Error> {
        self.loader.problem().map(Error::from)
    }

    fn epoch<'a>(
        &'a self,
        epoch: u64,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<SceneBatch>> + 'a> {
        self.rest_of_epoch(epoch, 0, device)
    }

    fn rest_of_epoch<'a>(
        &'a self,
        epoch: u64,
        skip: usize,
        device: &'a Device,
    ) -> Box<dyn Iterator<Item = Batch<SceneBatch>> + 'a> {
        let batches = self.loader.epoch_from(epoch, skip);
        Box::new(batches.zip(skip as u64..).map(move |(batch, number)| {
            let objects: Arc<[Objects]> = batch.objects.iter().map(|list| objects(list)).collect();
            let input = SceneBatch {
                images: batch.images(device),
                objects: self.training.map(|_| Arc::clone(&objects)),
                seed: seed([self.training.unwrap_or(0), epoch, number]),
            };
            let DetectionBatch { indices, .. } = batch;
            let numbers = indices
                .into_iter()
                .map(|index| self.first + index)
                .collect();
            Batch::new(input, Targets::objects(objects, device), numbers)
        }))
    }
}

/// The objects of an image as losses take them. Boxes of the loader have a width and a height, and a class above 0.
fn objects(list: &[kd_data::detection::Annotation]) -> Objects {
    let boxes = list.iter().map(|object| object.corners).collect();
    let classes = list.iter().map(|object| object.class).collect();
    Objects::new(boxes, classes).unwrap_or_default()
}

/// One number of several that are unlike.
fn seed(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0, crate::step::mix)
}
