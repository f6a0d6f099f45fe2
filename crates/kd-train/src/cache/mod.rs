//! The teacher's answers, kept so that it is asked only once for every view of an image.
//!
//! A view is told apart by what the augmentation drew: how the image was moved, whether it was
//! mirrored, what was cut out. Crop 4 and flip have 162 views, of which 240 epochs draw about 125, so
//! nearly half of the teacher's work is repetition. With [`Views::Count`] an image has only a few
//! views, as in FKD (Shen and Xing, "A Fast Knowledge Distillation Framework for Visual
//! Recognition", ECCV 2022), and after as many epochs the teacher has nothing left to do.

mod config;
mod file;
mod forecast;
pub(crate) mod identity;
mod layout;
mod memory;
mod serves;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use kd_core::{Objective, Output, Taps};
use kd_data::View;
use kd_models::Backbone;
use serde::{Deserialize, Serialize};

use self::file::CacheFile;
use self::layout::Layout;
use self::memory::Memory;
use crate::Error;

pub use config::{CacheConfig, Place, Precision, Views};
pub use forecast::{Budget, Forecast};
pub use identity::Identity;
pub(crate) use serves::check;

/// A frozen teacher's answers by view of an image.
#[derive(Debug)]
pub struct TeacherCache {
    identity: Identity,
    /// Views an image.
    views: u64,
    /// Number of the answer to a view, by its key.
    numbers: HashMap<u64, usize>,
    answers: Answers,
    asked: Asked,
}

#[derive(Debug)]
enum Answers {
    Memory(Memory),
    File(CacheFile),
}

/// How often a cache was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Images that it answered.
    pub hits: u64,
    /// Images that went through the teacher.
    pub misses: u64,
}

impl Asked {
    /// Share of the teacher's work that was saved, in percent.
    pub fn saved(&self) -> f64 {
        100.0 * self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }

    /// What was asked since an earlier count.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            hits: self.hits - earlier.hits,
            misses: self.misses - earlier.misses,
        }
    }
}

impl TeacherCache {
    /// An empty cache in memory, or with `file` the one that is kept there.
    ///
    /// # Errors
    /// [`Error::Format`] when the file is in use, is not a cache, is one of something else, was cut
    /// off or is damaged; [`Error::Io`].
    pub fn open(identity: Identity, file: Option<&Path>) -> Result<Self, Error> {
        let views = identity.augment.views(identity.size());
        let (answers, keys) = match file {
            None => (
                Answers::Memory(Memory::new(identity.layout.bytes())),
                Vec::new(),
            ),
            Some(path) => {
                let (file, keys) = CacheFile::open(path, &identity)?;
                (Answers::File(file), keys)
            }
        };
        Ok(Self {
            identity,
            views,
            numbers: keys.into_iter().zip(0..).collect(),
            answers,
            asked: Asked::default(),
        })
    }

    /// Whether it can serve every term of an objective.
    ///
    /// # Errors
    /// [`Error::Recipe`] that names the first term it cannot serve, and what that needs.
    pub fn serves(&self, objective: &Objective) -> Result<(), Error> {
        check(objective, self.identity.layout.embedding > 0)
    }

    /// What `teacher` says of `images`, `[batch, channels, height, width]` on the plain device:
    /// `images` holds each one's index in the training set and its view. Only those that were not
    /// seen before go through the teacher.
    ///
    /// # Errors
    /// [`Error::Recipe`] when a number does not fit the precision, [`Error::Io`] when the file
    /// cannot be written.
    pub fn output<T: Backbone<Input = Tensor<4>>>(
        &mut self,
        teacher: &T,
        images: Tensor<4>,
        images: &[(usize, View)],
    ) -> Result<Output, Error> {
        let device = images.device();
        let size = self.identity.size();
        let keys: Vec<u64> = images
            .iter()
            .map(|(index, view)| {
                *index as u64 * self.views + self.identity.augment.number(size, view)
            })
            .collect();
        // A batch may hold a view twice.
        let mut new = HashSet::new();
        let missing: Vec<usize> = (0..keys.len())
            .filter(|&row| !self.numbers.contains_key(&keys[row]) && new.insert(keys[row]))
            .collect();
        if !missing.is_empty() {
            self.ask(teacher, images, &keys, &missing)?;
        }
        self.asked.misses += missing.len() as u64;
        self.asked.hits += (keys.len() - missing.len()) as u64;
        let (mut logits, mut embedding) = (Vec::new(), Vec::new());
        for key in &keys {
            let number = self.numbers[key];
            let answer = match &self.answers {
                Answers::Memory(memory) => memory.get(number),
                Answers::File(file) => file.get(number),
            };
            self.identity
                .layout
                .decode(answer, &mut logits, &mut embedding);
        }
        let Layout {
            classes,
            embedding: width,
            ..
        } = self.identity.layout;
        let tensor = |values, width| {
            Tensor::from_data(TensorData::new(values, [keys.len(), width]), &device)
        };
        let mut output = Output::new(tensor(logits, classes));
        output.embedding = (width > 0).then(|| tensor(embedding, width));
        Ok(output)
    }

    /// Runs the teacher on the rows `missing` of a batch, and keeps what it says.
    fn ask<T: Backbone<Input = Tensor<4>>>(
        &mut self,
        teacher: &T,
        images: Tensor<4>,
        keys: &[u64],
        missing: &[usize],
    ) -> Result<(), Error> {
        let layout = self.identity.layout;
        let taps = Taps::levels(Part::Embedding, /*BOOL*/layout.embedding > 0);
        let mut rows: Vec<i64> = missing.iter().map(|&row| row as i64).collect();
        if rows.len() == 1 && keys.len() > 1 {
            // The classifier's product of one row is summed in another order than that of several,
            // and the answer must be the one that the whole batch would have got.
            rows.push(rows[0]);
        }
        let images = match missing.len() == keys.len() {
            true => images,
            false => {
                let count = rows.len();
                let rows = TensorData::new(rows, [count]);
                let rows = Tensor::<1, Int>::from_data(rows, &images.device());
                images.select(0, rows)
            }
        };
        let output = teacher.forward(images, &taps);
        let logits: Vec<f32> = output.logits.into_data().iter::<f32>().collect();
        let embedding: Vec<f32> = match output.embedding {
            Some(embedding) => embedding.into_data().iter::<f32>().collect(),
            None => Vec::new(),
        };
        for (at, &row) in missing.iter().enumerate() {
            let of = |values: &[f32], width: usize| values[at * width..][..width].to_vec();
            let answer = layout.encode(
                &of(&logits, layout.classes),
                &of(&embedding, layout.embedding),
            )?;
            match &mut self.answers {
                Answers::Memory(memory) => memory.push(&answer),
                Answers::File(file) => file.push(keys[row], &answer)?,
            }
            self.numbers.insert(keys[row], self.numbers.len());
        }
        Ok(())
    }

    /// Waits until a cache in a file is on the disk; training does so after every epoch.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn commit(&mut self) -> Result<(), Error> {
        match &mut self.answers {
            Answers::Memory(_) => Ok(()),
            Answers::File(file) => file.commit(),
        }
    }

    /// How often it was asked since it was opened.
    pub fn asked(&self) -> Asked {
        self.asked
    }

    /// Views that it has an answer to.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Bytes of the answers, in memory or in the file.
    pub fn bytes(&self) -> u64 {
        match &self.answers {
            Answers::Memory(memory) => memory.bytes(),
            Answers::File(file) => file.bytes(),
        }
    }

    /// Where the answers are kept; none in memory.
    pub fn path(&self) -> Option<&Path> {
        match &self.answers {
            Answers::Memory(_) => None,
            Answers::File(file) => Some(file.path()),
        }
    }
}
