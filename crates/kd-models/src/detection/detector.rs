//! Detectors by name, as a trainer takes them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::module::Module;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Device, Tensor};
use kd_core::detection::{
    BoxCoder, BoxRows, RegionHead, RegionOfInterest, RoiPredictions, RowScores,
};
use kd_core::{Output, Part, Taps};

use super::faster_rcnn::regions;
use super::state::State;
use super::{
    Detected, FasterRcnn, FasterRcnnBody, FasterRcnnConfig, Filter, RetinaNet, RetinaNetBody,
    RetinaNetConfig, Ssd, SsdConfig, SsdLite, SsdNormed, SsdNormedConfig, SsdOutput, SsdTrunk,
};
use crate::keys;
use crate::standardise::Standardise;
use crate::{Backbone, Error, SceneBatch};

/// The names of the detectors, each with the side of the images that it is made for in pixels, and what it is.
pub const DETECTORS: [(&str, usize, &str); 20] = [
    ("ssd300_vgg16", 300, "SSD300 on VGG-16 (torchvision)"),
    ("ssd300_vgg16_half", 300, "the same with half the channels"),
    (
        "ssd300_vgg16_quarter",
        300,
        "the same with a quarter of the channels",
    ),
    (
        "ssd300_vgg16_eighth",
        300,
        "the same with an eighth of the channels",
    ),
    (
        "ssd300_resnet18",
        300,
        "SSD300 on ResNet-18, with batch normalisation",
    ),
    (
        "ssd300_resnet18_half",
        300,
        "the same with half the channels",
    ),
    (
        "ssd300_resnet18_quarter",
        300,
        "the same with a quarter of the channels",
    ),
    (
        "ssd300_mobilenet_v2",
        300,
        "SSD300 on MobileNetV2, depthwise separable",
    ),
    (
        "ssdlite320_mobilenet_v3_large",
        320,
        "SSDLite320 on MobileNetV3 (torchvision)",
    ),
    (
        "fasterrcnn_resnet50_fpn",
        800,
        "Faster R-CNN on ResNet-50 with a pyramid (torchvision)",
    ),
    (
        "fasterrcnn_resnet50_fpn_coco",
        800,
        "the same for torchvision's COCO_V1 weights, with an epsilon of 0",
    ),
    (
        "fasterrcnn_mobilenet_v3_large_fpn",
        800,
        "Faster R-CNN on MobileNetV3 with a pyramid (torchvision)",
    ),
    (
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        320,
        "the same, with 150 regions an image (torchvision)",
    ),
    (
        "fasterrcnn_resnet18_fpn",
        800,
        "Faster R-CNN on ResNet-18 with a pyramid",
    ),
    (
        "fasterrcnn_resnet18_fpn_small",
        300,
        "half its width, for images of about 300 pixels",
    ),
    (
        "retinanet_resnet50_fpn",
        800,
        "RetinaNet on ResNet-50 with a pyramid (torchvision)",
    ),
    (
        "retinanet_resnet50_fpn_coco",
        800,
        "the same for torchvision's COCO_V1 weights, with an epsilon of 0",
    ),
    (
        "retinanet_resnet18_fpn",
        800,
        "RetinaNet on ResNet-18 with a pyramid",
    ),
    (
        "retinanet_resnet18_fpn_small",
        300,
        "half its width, for images of about 300 pixels",
    ),
    (
        "retinanet_resnet18_quarter_fpn_small",
        300,
        "the same on a quarter of ResNet-18's channels",
    ),
];

/// Mean and standard deviation of the channels, in 0..1.
type Statistics = ([f32; 3], [f32; 3]);

/// Caffe's mean, and values of up to ±120.
const SSD: Statistics = ([0.482_35, 0.458_82, 0.407_84], [1.0 / 255.0; 3]);
const SSDLITE: Statistics = ([0.5; 3], [0.5; 3]);
const IMAGENET: Statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Any detector of this crate.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_models::detection::Detector;
///
/// let device = Device::default();
/// let network = Detector::new("ssd300_vgg16_eighth", 4, &device)?;
/// let found = network.detect(Tensor::zeros([1, 3, 300, 300], &device))?;
/// assert_eq!(found.len(), 1); // a list for the image
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are few of them, and a box is no module"
)]
pub enum Detector {
    /// SSD300.
    Ssd(Ssd),
    /// SSD300 with batch normalisation.
    SsdNormed(SsdNormed),
    /// SSDLite320.
    SsdLite(SsdLite),
    /// Faster R-CNN.
    FasterRcnn(FasterRcnn),
    /// RetinaNet.
    RetinaNet(RetinaNet),
}

impl Detector {
    /// Builds the detector of a name ([`DETECTORS`]) for so many classes with the background.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] for another name, and as the networks' own `new`.
    pub fn new(name: &str, classes: usize, device: &Device) -> Result<Self, Error> {
        let ssd = |divisor| {
            let config = SsdConfig::ssd300(classes).with_divisor(divisor);
            Ssd::new(&config, device).map(Self::Ssd)
        };
        let normed = |trunk, divisor| {
            let config = SsdNormedConfig::new(trunk, classes).with_divisor(divisor);
            SsdNormed::new(&config, device).map(Self::SsdNormed)
        };
        let faster =
            |config: FasterRcnnConfig| FasterRcnn::new(&config, device).map(Self::FasterRcnn);
        let (resnet18, resnet50) = (FasterRcnnBody::ResNet18, FasterRcnnBody::ResNet50);
        let retina = |config: RetinaNetConfig| RetinaNet::new(&config, device).map(Self::RetinaNet);
        let of18 = RetinaNetConfig::small(RetinaNetBody::ResNet18, classes);
        let of50 = RetinaNetConfig::new(RetinaNetBody::ResNet50, classes);
        match name {
            "ssd300_vgg16" => ssd(1),
            "ssd300_vgg16_half" => ssd(2),
            "ssd300_vgg16_quarter" => ssd(4),
            "ssd300_vgg16_eighth" => ssd(8),
            "ssd300_resnet18" => normed(SsdTrunk::ResNet18, 1),
            "ssd300_resnet18_half" => normed(SsdTrunk::ResNet18, 2),
            "ssd300_resnet18_quarter" => normed(SsdTrunk::ResNet18, 4),
            "ssd300_mobilenet_v2" => normed(SsdTrunk::MobileNetV2, 1),
            "ssdlite320_mobilenet_v3_large" => SsdLite::new(classes, device).map(Self::SsdLite),
            "fasterrcnn_resnet50_fpn" => faster(FasterRcnnConfig::new(resnet50, classes)),
            "fasterrcnn_resnet50_fpn_coco" => faster(FasterRcnnConfig {
                epsilon: 0.0,
                ..FasterRcnnConfig::new(resnet50, classes)
            }),
            "fasterrcnn_mobilenet_v3_large_fpn" => faster(FasterRcnnConfig::mobilenet_v3(classes)),
            "fasterrcnn_mobilenet_v3_large_320_fpn" => {
                faster(FasterRcnnConfig::mobilenet_v3_320(classes))
            }
            "fasterrcnn_resnet18_fpn" => faster(FasterRcnnConfig::new(resnet18, classes)),
            "fasterrcnn_resnet18_fpn_small" => faster(FasterRcnnConfig::small(resnet18, classes)),
            "retinanet_resnet50_fpn" => retina(of50),
            "retinanet_resnet50_fpn_coco" => retina(RetinaNetConfig {
                epsilon: 0.0,
                ..of50
            }),
            "retinanet_resnet18_fpn" => {
                retina(RetinaNetConfig::new(RetinaNetBody::ResNet18, classes))
            }
            "retinanet_resnet18_fpn_small" => retina(of18),
            "retinanet_resnet18_quarter_fpn_small" => retina(of18.with_divisor(4)),
            _ => Err(unknown(name)),
        }
    }

    /// As [`Detector::new`], with the weights of a file, strictly: safetensors, or PyTorch's.
    ///
    /// # Errors
    /// As [`Detector::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        name: &str,
        classes: usize,
        path: &Path,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::new(name, classes, device)?;
        match &mut network {
            Self::Ssd(network) => network.fill(path)?,
            Self::SsdNormed(network) => network.fill(path)?,
            Self::SsdLite(network) => network.fill(path)?,
            Self::FasterRcnn(network) => network.fill(path)?,
            Self::RetinaNet(network) => network.fill(path)?,
        }
        Ok(network)
    }

    /// Writes the state dict as safetensors with torchvision's names, and entries for the header.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: &Path, entries: &[(String, String)]) -> Result<(), Error> {
        match self {
            Self::Ssd(network) => network.write_with(path, entries),
            Self::SsdNormed(network) => network.write_with(path, entries),
            Self::SsdLite(network) => network.write_with(path, entries),
            Self::FasterRcnn(network) => network.write_with(path, entries),
            Self::RetinaNet(network) => network.write_with(path, entries),
        }
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        let keys = match self {
            Self::Ssd(network) => network.keys(),
            Self::SsdNormed(network) => network.keys(),
            Self::SsdLite(network) => network.keys(),
            Self::FasterRcnn(network) => network.keys(),
            Self::RetinaNet(network) => network.keys(),
        };
        keys::trained(&keys)
    }

    /// Multiply-accumulates for one image of so many pixels a side; of two stages with all the regions that get a
    /// second look when it is used.
    pub fn macs(&self, side: usize) -> u64 {
        match self {
            Self::Ssd(network) => network.macs(side),
            Self::SsdNormed(network) => network.macs(side),
            Self::SsdLite(network) => network.macs(side),
            Self::FasterRcnn(network) => network.macs(side, network.config().proposals[1].an_image),
            Self::RetinaNet(network) => network.macs(side),
        }
    }

    /// Which boxes its reference tells.
    pub fn filter(&self) -> Filter {
        match self {
            Self::Ssd(_) | Self::SsdNormed(_) => SsdConfig::FILTER,
            Self::SsdLite(_) => SsdLite::FILTER,
            Self::FasterRcnn(_) => FasterRcnnConfig::FILTER,
            Self::RetinaNet(_) => RetinaNetConfig::FILTER,
        }
    }

    /// What is found in images, RGB in 0..1, best first, by [`Detector::filter`].
    ///
    /// # Errors
    /// None that a network of this crate can cause.
    pub fn detect(&self, images: Tensor<4>) -> Result<Vec<Vec<Detected>>, kd_core::Error> {
        let [_, _, height, width] = images.dims();
        let (image, filter) = ([height, width], self.filter());
        match self {
            Self::Ssd(network) => {
                let output = network.forward(normalised(images, SSD));
                network.detect(&output, image, &filter)
            }
            Self::SsdNormed(network) => {
                let output = network.forward(normalised(images, IMAGENET));
                network.detect(&output, image, &filter)
            }
            Self::SsdLite(network) => {
                let output = network.forward(normalised(images, SSDLITE));
                network.detect(&output, image, &filter)
            }
            Self::FasterRcnn(network) => network.detect(
                normalised(images, IMAGENET),
                &network.config().proposals[1],
                &filter,
            ),
            Self::RetinaNet(network) => {
                let output = network.forward(normalised(images, IMAGENET), false);
                network.detect(&output, image, &filter)
            }
        }
    }
}

impl Detector {
    /// What a network of one stage says of all its boxes, for programs that suppress by themselves: of images, RGB in
    /// 0..1, `[batch, boxes, 4 + classes]`: x1, y1, x2, y2 in 0..1 of the image, not cut to it, and the probability of each
    /// class, the background first (of RetinaNet class 0, which nothing is of).
    ///
    /// # Errors
    /// [`kd_core::Error::MissingTap`] for a network of two stages, whose boxes depend on what it finds.
    pub fn boxes_and_scores(&self, images: Tensor<4>) -> Result<Tensor<3>, kd_core::Error> {
        let [_, _, height, width] = images.dims();
        let image = [height, width];
        let of_ssd = |said: SsdOutput, references| {
            let scores = softmax(said.logits, 2);
            (scores, said.offsets, references, BoxCoder::SSD)
        };
        let (scores, offsets, references, coder) = match self {
            Self::Ssd(network) => {
                let said = network.forward(normalised(images, SSD));
                let references = network.default_boxes(image, &said);
                of_ssd(said, references)
            }
            Self::SsdNormed(network) => {
                let said = network.forward(normalised(images, IMAGENET));
                let references = network.default_boxes(image, &said);
                of_ssd(said, references)
            }
            Self::SsdLite(network) => {
                let said = network.forward(normalised(images, SSDLITE));
                let references = network.default_boxes(image, &said);
                of_ssd(said, references)
            }
            Self::RetinaNet(network) => {
                let said = network.forward(normalised(images, IMAGENET), false);
                let references = network.anchors(image, &said);
                let scores = sigmoid(said.logits);
                (scores, said.offsets, references, BoxCoder::RPN)
            }
            Self::FasterRcnn(_) => {
                return Err(kd_core::Error::MissingTap {
                    what: "fixed boxes: it is a network of two stages".into(),
                });
            }
        };
        let [w, h] = [width, height].map(|side| side as f64);
        let shares: Vec<[f64; 4]> = references
            .iter()
            .map(|[x1, y1, x2, y2]| [x1 / w, y1 / h, x2 / w, y2 / h])
            .collect();
        let corners = coder.decode_images(offsets, &shares)?;
        Ok(Tensor::cat(vec![corners, scores], 2))
    }

    /// The name in the reference's state dict of a parameter, by its path in the module.
    pub fn pytorch_name(&self, path: &str) -> String {
        let own = path.trim_start_matches('.');
        let inside = |name: &str| {
            let rest = own
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('.'));
            rest.unwrap_or(own).to_owned()
        };
        match self {
            Self::Ssd(network) => network.reference_key(&inside("Ssd")),
            Self::SsdNormed(network) => network.reference_key(&inside("SsdNormed")),
            Self::SsdLite(network) => network.reference_key(&inside("SsdLite")),
            Self::FasterRcnn(network) => network.reference_key(&inside("FasterRcnn")),
            Self::RetinaNet(network) => network.reference_key(&inside("RetinaNet")),
        }
    }
}

/// A network of one stage shows its rows and the maps that distillation compares: of RetinaNet C2 to C5, beside its head
/// ([`Part::DenseHead`]). A network of two stages shows C2 to C5
/// and its box head ([`Part::Regions`]); its rows are the boxes that it chose itself: of training, of images without
/// being asked for anything else, and none where it is asked, as a teacher is.
impl Backbone for Detector {
    type Input = SceneBatch;

    fn forward(&self, input: SceneBatch, taps: &Taps) -> Output {
        let [_, _, height, width] = input.images.dims();
        let image = [height, width];
        match self {
            Self::Ssd(network) => {
                let said = network.forward(normalised(input.images, SSD));
                let references = network.default_boxes(image, &said);
                of_one_stage(said, references, image, taps)
            }
            Self::SsdNormed(network) => {
                let said = network.forward(normalised(input.images, IMAGENET));
                let references = network.default_boxes(image, &said);
                of_one_stage(said, references, image, taps)
            }
            Self::SsdLite(network) => {
                let said = network.forward(normalised(input.images, SSDLITE));
                let references = network.default_boxes(image, &said);
                of_one_stage(said, references, image, taps)
            }
            Self::FasterRcnn(network) => of_two_stages(network, input, image, taps),
            Self::RetinaNet(network) => {
                let shows_head = taps.wants(Part::DenseHead, 0);
                let said = network.forward(normalised(input.images, IMAGENET), shows_head);
                let references = network.anchors(image, &said);
                let rows = BoxRows::new(image, references).with_scores(RowScores::Sigmoid);
                let mut output = of_rows(said.logits, said.offsets, &said.levels, rows, taps);
                if let Some(head) = &said.head {
                    output.push(Part::DenseHead, head, taps);
                }
                output
            }
        }
    }
}

fn of_one_stage(
    said: SsdOutput,
    references: Vec<[f64; 4]>,
    image: [usize; 2],
    taps: &Taps,
) -> Output {
    let rows = BoxRows::new(image, references);
    of_rows(said.logits, said.offsets, &said.levels, rows, taps)
}

fn of_rows(
    logits: Tensor<3>,
    offsets: Tensor<3>,
    levels: &[Tensor<4>],
    rows: BoxRows,
    taps: &Taps,
) -> Output {
    let [batch, boxes, classes] = logits.dims();
    let mut output = Output::new(logits.reshape([batch * boxes, classes]));
    for level in levels {
        output.push(Part::Maps, level, taps);
    }
    output.push_with(Part::Boxes, taps, || offsets.reshape([batch * boxes, 4]));
    output.boxes = Some(rows);
    output
}

fn of_two_stages(
    network: &FasterRcnn,
    input: SceneBatch,
    image: [usize; 2],
    taps: &Taps,
) -> Output {
    let device = input.images.device();
    let stages = network.stages(normalised(input.images, IMAGENET));
    let mut rows = BoxRows::new(image, []);
    let asked = taps.iter().next().is_some();
    let said = match &input.objects {
        Some(objects) if device.is_autodiff() => {
            let pyramid = network.pyramid(&stages);
            let trained = network.losses(&pyramid, image, objects, input.seed);
            trained.map(|trained| {
                rows.losses = Ok(trained.losses);
                Some(trained.said)
            })
        }
        _ if asked => Ok(None),
        _ => {
            let pyramid = network.pyramid(&stages);
            let found = network.second_look(&pyramid, image, &network.config().proposals[1]);
            found.map(|(said, _)| Some(said))
        }
    };
    let logits = match said {
        Ok(said) => said.map(|said| said.logits),
        Err(problem) => {
            rows.losses = Err(problem);
            None
        }
    };
    let nothing = || Tensor::zeros([0, network.config().classes], &device);
    let mut output = Output::new(logits.unwrap_or_else(nothing));
    output.boxes = Some(rows);
    for stage in &stages {
        output.push(Part::Maps, stage, taps);
    }
    output.push_with(Part::Regions, taps, || -> Arc<dyn RegionHead> {
        Arc::new(SecondStage {
            network: network.clone(),
            stages,
            pyramid: OnceLock::new(),
            image,
        })
    });
    output
}

/// Images of 0..1 as a network wants them.
fn normalised(images: Tensor<4>, own: Statistics) -> Tensor<4> {
    let (mean, std) = own;
    let plain: Statistics = ([0.0; 3], [1.0; 3]);
    // Constants of three channels each.
    match Standardise::new((&plain.0, &plain.1), (&mean, &std), 3) {
        Ok(standardise) => standardise.apply(images),
        Err(_) => images,
    }
}

fn unknown(name: &str) -> Error {
    let names = DETECTORS.iter().map(|(name, ..)| *name);
    Error::UnknownModel {
        name: name.into(),
        nearest: kd_core::nearest_name(name, names).into_iter().collect(),
    }
}

/// The second stage of a network, with the maps of a batch.
#[derive(Debug)]
struct SecondStage {
    network: FasterRcnn,
    stages: Vec<Tensor<4>>,
    /// Made when a region is asked about.
    pyramid: OnceLock<Vec<Tensor<4>>>,
    image: [usize; 2],
}

impl SecondStage {
    fn pyramid(&self) -> &[Tensor<4>] {
        let made = || self.network.pyramid(&self.stages);
        self.pyramid.get_or_init(made)
    }
}

impl RegionHead for SecondStage {
    fn regions(&self) -> Result<Vec<RegionOfInterest>, kd_core::Error> {
        let proposals = self.network.propose(self.pyramid());
        let filter = &self.network.config().proposals[1];
        let selected = self.network.select(&proposals, self.image, filter)?;
        Ok(regions(&selected))
    }

    fn judge(&self, regions: &[RegionOfInterest]) -> Result<RoiPredictions, kd_core::Error> {
        self.network.classify(self.pyramid(), self.image, regions)
    }
}
