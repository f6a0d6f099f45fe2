//! What a cache's answers follow from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use kd_models::Backbone;
use sha2::{Digest, Sha256};

use super::CacheConfig;
use super::layout::{Layout, taps};
use crate::Error;

/// Teacher, data, augmentation and storage of a cache: answers of one are no answers of another.
///
/// `views` of the recipe is not part of it. An answer belongs to the view that it was given to, whichever
/// others there are, so a file that was filled with eight views a sample serves a run with sixteen.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Name of the teacher.
    pub(super) model: String,
    /// SHA-256 of its parameters and running statistics, with their shapes.
    pub(super) weights: String,
    /// What the samples follow from.
    pub(super) data: Vec<DataPart>,
    /// Views that a sample can be shown in.
    pub(super) views: u64,
    pub(super) layout: Layout,
}

/// Name and value of something that the samples of a cache follow from, such as the SHA-256 of the data.
pub type DataPart = (&'static str, String);

impl Identity {
    /// The identity of the answers that `teacher`, on the plain device, gives to samples that follow from
    /// `data` and can be shown in so many `views`. `model` names it for people, and `example` is a batch
    /// of two samples, from which shapes are read.
    ///
    /// # Errors
    /// [`Error::Recipe`] when the configuration does not suit the number of classes.
    pub fn new<T: Backbone>(
        config: &CacheConfig,
        teacher: &T,
        model: &str,
        example: T::Input,
        data: Vec<DataPart>,
        views: u64,
    ) -> Result<Self, Error> {
        let shown = teacher.forward(example, &taps(config));
        Ok(Self {
            model: model.into(),
            weights: hash(teacher),
            data,
            views,
            layout: Layout::of(config, &shown)?,
        })
    }

    /// Name and value of every part, as a file's header spells them.
    fn parts(&self) -> Vec<DataPart> {
        let Layout {
            classes,
            embedding,
            maps,
            precision,
            top_k,
            ..
        } = &self.layout;
        let teacher = [
            ("teacher", self.model.clone()),
            ("SHA-256 of the teacher's weights", self.weights.clone()),
        ];
        let layout = [
            ("classes", classes.to_string()),
            (
                "teacher.cache.embedding",
                match *embedding {
                    0 => "false".into(),
                    width => format!("true, of width {width}"),
                },
            ),
            ("teacher.cache.precision", precision.to_string()),
            (
                "teacher.cache.top_k",
                top_k.map_or("all".into(), |k| k.to_string()),
            ),
        ];
        // What is not there has no line, so that files of earlier versions are found.
        let spelled = || {
            let maps = maps.iter();
            let maps = maps.map(|map| format!("level {} of {:?}", map.level, map.shape));
            maps.collect::<Vec<_>>().join(", ")
        };
        let maps = (!maps.is_empty()).then(|| ("teacher.cache.maps", spelled()));
        let data = self.data.iter().cloned();
        let parts = teacher.into_iter().chain(data).chain(layout);
        parts.chain(maps).collect()
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
        let parts = |text: &str| -> BTreeMap<String, String> {
            let parts = text.lines().filter_map(|line| line.split_once(" = "));
            parts
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let (own, theirs) = (parts(&ours), parts(text));
        let names: BTreeSet<&String> = own.keys().chain(theirs.keys()).collect();
        let value = |parts: &BTreeMap<String, String>, name: &String| {
            parts
                .get(name)
                .map_or("not given", String::as_str)
                .to_owned()
        };
        let mut differences: Vec<String> = names
            .into_iter()
            .filter(|name| own.get(*name) != theirs.get(*name))
            .map(|name| {
                let (their, our) = (value(&theirs, name), value(&own, name));
                format!("{name} is {their} there and {our} in this run")
            })
            .collect();
        if differences.is_empty() && ours != text {
            differences.push("its header is in another form".into());
        }
        differences
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
