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
use kd_core::{Objective, Output, Part, Taps};
use kd_models::{Backbone, Input};

use self::file::CacheFile;
use self::layout::{Layout, Numbers};
use self::memory::Memory;
use crate::Error;
use crate::records::CacheStats;
use crate::state::CacheState;

pub use config::{CacheConfig, Place, Precision, Views};
pub use forecast::{Forecast, showings};
pub use identity::{DataPart, Identity};
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
    stats: CacheStats,
    /// Answers that an interrupted run left after its last saved state: the run that goes on counts each as
    /// asked again, as the teacher was asked in the part that was lost.
    unclaimed: HashSet<u64>,
}

#[derive(Debug)]
enum Answers {
    Memory(Memory),
    File(CacheFile),
}

impl Answers {
    fn push(&mut self, key: u64, answer: &[u8]) -> Result<(), Error> {
        match self {
            Self::Memory(memory) => memory.push(answer),
            Self::File(file) => file.push(key, answer)?,
        }
        Ok(())
    }

    fn get(&self, number: usize) -> &[u8] {
        match self {
            Self::Memory(memory) => memory.get(number),
            Self::File(file) => file.get(number),
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
            views: identity.views,
            identity,
            numbers: keys.into_iter().zip(0..).collect(),
            answers,
            stats: CacheStats::default(),
            unclaimed: HashSet::new(),
        })
    }

    /// Whether it can serve every term of an objective.
    ///
    /// # Errors
    /// [`Error::Recipe`] that names the first term it cannot serve, and what that needs.
    pub fn serves(&self, objective: &Objective) -> Result<(), Error> {
        let layout = &self.identity.layout;
        let maps: Vec<usize> = layout.maps.iter().map(|map| map.level).collect();
        check(objective, layout.embedding > 0, &maps)
    }

    /// The outputs of `teacher` for an `input` on the plain device. `samples` are the number of each
    /// sample in the data set, and the number of the view in which it is shown. Only those that were not
    /// seen before go through the teacher.
    ///
    /// # Errors
    /// [`Error::Recipe`] when a number does not fit the precision, [`Error::Io`] when the file
    /// cannot be written.
    pub fn output<T: Backbone>(
        &mut self,
        teacher: &T,
        input: T::Input,
        samples: &[(usize, u64)],
    ) -> Result<Output, Error> {
        let device = input.device();
        let (keys, missing) = self.fill(teacher, input, samples, |_| true)?;
        let claimed = keys.iter().filter(|key| self.unclaimed.remove(*key));
        let asked = missing + claimed.count();
        self.stats.misses += asked as u64;
        self.stats.hits += (keys.len() - asked) as u64;
        let layout = &self.identity.layout;
        let mut numbers = Numbers::default();
        for key in &keys {
            layout.decode(self.answers.get(self.numbers[key]), &mut numbers);
        }
        let Layout {
            classes,
            embedding: width,
            ..
        } = *layout;
        let tensor = |values, width| {
            Tensor::from_data(TensorData::new(values, [keys.len(), width]), &device)
        };
        let mut output = Output::new(tensor(numbers.logits, classes));
        if width > 0 {
            let embedding: Tensor<2> = tensor(numbers.embedding, width);
            output.push(Part::Embedding, &embedding, &Taps::part(Part::Embedding));
        }
        if !layout.maps.is_empty() {
            let taps = layout.taps();
            let mut maps: HashMap<usize, Tensor<4>> = HashMap::new();
            for (map, values) in layout.maps.iter().zip(numbers.maps) {
                let [channels, height, width] = map.shape;
                let data = TensorData::new(values, [keys.len(), channels, height, width]);
                maps.insert(map.level, Tensor::from_data(data, &device));
            }
            for level in 0..layout.levels {
                match maps.remove(&level) {
                    Some(map) => output.push(Part::Maps, &map, &taps),
                    None => output.skip(Part::Maps),
                }
            }
        }
        Ok(output)
    }

    /// Asks `teacher` for what is not there yet of the samples that are wanted, by their numbers in the data set. Returns the
    /// keys of all, and how many were asked for.
    pub(crate) fn fill<T: Backbone>(
        &mut self,
        teacher: &T,
        input: T::Input,
        samples: &[(usize, u64)],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<(Vec<u64>, usize), Error> {
        let keys: Vec<u64> = samples
            .iter()
            .map(|(index, view)| *index as u64 * self.views + view)
            .collect();
        // A batch may hold a view twice.
        let mut new = HashSet::new();
        let missing: Vec<usize> = (0..keys.len())
            .filter(|&row| wanted(samples[row].0) && !self.numbers.contains_key(&keys[row]))
            .filter(|&row| new.insert(keys[row]))
            .collect();
        if !missing.is_empty() {
            self.ask(teacher, input, &keys, &missing)?;
        }
        Ok((keys, missing.len()))
    }

    /// Takes the answers of another cache that are not there yet, in their order.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub(crate) fn take_from(&mut self, other: &Self) -> Result<(), Error> {
        let mut theirs: Vec<(usize, u64)> = other.numbers.iter().map(|(k, n)| (*n, *k)).collect();
        theirs.sort_unstable();
        for (number, key) in theirs {
            if !self.numbers.contains_key(&key) {
                self.answers.push(key, other.answers.get(number))?;
                self.numbers.insert(key, self.numbers.len());
            }
        }
        Ok(())
    }

    /// Runs the teacher on the rows `missing` of a batch, and keeps what it says.
    fn ask<T: Backbone>(
        &mut self,
        teacher: &T,
        input: T::Input,
        keys: &[u64],
        missing: &[usize],
    ) -> Result<(), Error> {
        let layout = &self.identity.layout;
        let taps = layout.taps();
        let mut rows: Vec<i64> = missing.iter().map(|&row| row as i64).collect();
        if rows.len() == 1 && keys.len() > 1 {
            // The classifier's product of one row is summed in another order than that of several,
            // and the answer must be the one that the whole batch would have got.
            rows.push(rows[0]);
        }
        let input = if missing.len() == keys.len() {
            input
        } else {
            let count = rows.len();
            let rows = TensorData::new(rows, [count]);
            let rows = Tensor::<1, Int>::from_data(rows, &input.device());
            input.select(rows)
        };
        let output = teacher.forward(input, &taps);
        let logits: Vec<f32> = output.logits.clone().into_data().iter::<f32>().collect();
        let embedding: Vec<f32> = if layout.embedding > 0 {
            output.embedding()?.into_data().iter::<f32>().collect()
        } else {
            Vec::new()
        };
        let maps = layout.maps.iter().map(|map| {
            let map = output.map(map.level)?;
            Ok(map.into_data().iter::<f32>().collect())
        });
        let maps: Vec<Vec<f32>> = maps.collect::<Result<_, Error>>()?;
        for (at, &row) in missing.iter().enumerate() {
            fn of(values: &[f32], at: usize, width: usize) -> &[f32] {
                &values[at * width..][..width]
            }
            let maps = maps.iter().zip(layout.of_maps());
            let maps: Vec<&[f32]> = maps.map(|(map, count)| of(map, at, count)).collect();
            let answer = layout.encode(
                of(&logits, at, layout.classes),
                of(&embedding, at, layout.embedding),
                &maps,
            )?;
            self.answers.push(keys[row], &answer)?;
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

    /// What a run has of it, to go on with by [`TeacherCache::restore`].
    pub(crate) fn state(&self) -> CacheState {
        CacheState {
            stats: self.stats,
            answers: self.len() - self.unclaimed.len(),
        }
    }

    /// Goes on counting where an interrupted run was.
    pub(crate) fn restore(&mut self, state: CacheState) {
        self.stats = state.stats;
        let numbers = self.numbers.iter();
        let later = numbers.filter(|(_, number)| **number >= state.answers);
        self.unclaimed = later.map(|(key, _)| *key).collect();
    }

    /// How often it was asked since it was opened.
    pub fn stats(&self) -> CacheStats {
        self.stats
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
