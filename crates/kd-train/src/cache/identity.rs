//! What a cache's answers follow from.

use std::fmt::Write;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_data::{Augment, Dataset};
use kd_models::Backbone;
use sha2::{Digest, Sha256};

use super::CacheConfig;
use super::layout::Layout;
use crate::Error;

/// Teacher, data, augmentation and storage of a cache: answers of one are no answers of another.
///
/// `views` is not part of it. An answer belongs to the view that it was given to, whichever others
/// there are, so a file that was filled with eight views an image serves a run with sixteen.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Name of the teacher.
    pub(super) model: String,
    /// SHA-256 of its parameters and running statistics, with their shapes.
    pub(super) weights: String,
    /// SHA-256 of the data.
    pub(super) data: String,
    /// Channels, height and width of an image.
    pub(super) shape: [usize; 3],
    /// Mean and standard deviation of each channel.
    pub(super) normalize: (Vec<f32>, Vec<f32>),
    pub(super) augment: Augment,
    pub(super) layout: Layout,
}

impl Identity {
    /// The identity of the answers that `teacher`, on the plain `device`, gives to the training
    /// images of `dataset` under an augmentation. `model` names it for people.
    ///
    /// # Errors
    /// [`Error::Recipe`] when the configuration does not suit the number of classes.
    pub fn new<T: Backbone<Input = Tensor<4>>>(
        config: &CacheConfig,
        teacher: &T,
        model: &str,
        dataset: &Dataset,
        augment: Augment,
        device: &Device,
    ) -> Result<Self, Error> {
        let images = &dataset.train;
        let shape = [images.channels, images.height, images.width];
        let [channels, height, width] = shape;
        let taps = Taps::levels(Part::Embedding, /*BOOL*/config.embedding);
        let shown = teacher.forward(Tensor::zeros([2, channels, height, width], device), &taps);
        let [_, classes] = shown.logits.dims();
        let embedding = shown.embedding.map_or(0, |e| e.dims()[1]);
        Ok(Self {
            model: model.into(),
            weights: hash(teacher),
            data: dataset.sha256.clone(),
            shape,
            normalize: (dataset.mean.clone(), dataset.std.clone()),
            augment,
            layout: Layout::new(config, classes, embedding)?,
        })
    }

    /// Height and width of an image.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.shape[1], self.shape[2])
    }

    /// Name and value of every part, as a file's header spells them.
    fn parts(&self) -> Vec<(&'static str, String)> {
        let Layout {
            classes,
            embedding,
            precision,
            top_k,
        } = self.layout;
        let Augment { crop, flip, cutout } = self.augment;
        let [channels, height, width] = self.shape;
        let (mean, std) = &self.normalize;
        vec![
            ("teacher", self.model.clone()),
            ("SHA-256 of the teacher's weights", self.weights.clone()),
            ("SHA-256 of the data", self.data.clone()),
            ("size of an image", format!("{channels}x{height}x{width}")),
            ("data.normalize", format!("mean {mean:?}, std {std:?}")),
            (
                "data.augment",
                format!("crop {crop}, flip {flip}, cutout {cutout}"),
            ),
            ("classes", classes.to_string()),
            (
                "teacher.cache.embedding",
                match embedding {
                    0 => "false".into(),
                    width => format!("true, of width {width}"),
                },
            ),
            ("teacher.cache.precision", precision.to_string()),
            (
                "teacher.cache.top_k",
                top_k.map_or("all".into(), |k| k.to_string()),
            ),
        ]
    }

    /// The text of a file's header: a line a part.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.parts() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} = {}", value.replace('\n', " "));
        }
        text
    }

    /// The name of a file that no other cache has.
    pub(crate) fn file_name(&self) -> String {
        let digest = hex(&Sha256::digest(self.text()));
        format!("{}-{}.kdcache", self.model, &digest[..12])
    }

    /// What is another in the header of a file; empty when nothing is.
    pub(super) fn differences(&self, text: &str) -> Vec<String> {
        let ours = self.text();
        let mut theirs = text.lines();
        ours.lines()
            .filter_map(|line| {
                let their = theirs.next().unwrap_or_default();
                let (name, our) = line.split_once(" = ")?;
                let value = their.split_once(" = ").map_or(their, |(_, value)| value);
                (line != their).then(|| format!("{name} is {value} there and {our} in this run"))
            })
            .collect()
    }
}

/// SHA-256 of a network's parameters and running statistics, in the order of the module.
pub(crate) fn hash(network: &impl Module) -> String {
    struct Hash(Sha256);
    impl ModuleVisitor for Hash {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            for &side in data.shape().iter() {
                self.0.update((side as u64).to_le_bytes());
            }
            let bytes: Vec<u8> = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
            self.0.update(bytes);
        }
    }
    let mut visitor = Hash(Sha256::new());
    network.visit(&mut visitor);
    hex(&visitor.0.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
