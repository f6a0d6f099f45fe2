//! Layers one after another.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::{Add, Channels, Convolution, Data, Images, IntegerError, IntegerSet, Map, Pool};
use crate::tasks;

/// A layer of a program.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Of one map, or of one and a residual.
    Convolution(Convolution),
    /// Of two maps.
    Add(Add),
    /// Of one map.
    Pool(Pool),
    /// Of any number of maps.
    Channels(Channels),
}

/// A layer, and which maps it reads and writes, by their places in the list of maps.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it computes.
    pub operation: Operation,
    /// What it reads.
    pub inputs: Vec<usize>,
    /// What it writes.
    pub output: usize,
}

/// A network of integers: from images of floats to floats of one pixel.
///
/// Where maps lie is planned once; a map takes the place of an earlier one of its form that nothing reads any more. An image
/// goes through all layers before the next one does, so its maps stay in a cache.
#[derive(Debug)]
pub struct Program {
    images: Images,
    input: usize,
    maps: Vec<Map>,
    /// The memory of each map.
    places: Vec<usize>,
    /// A map for each memory.
    forms: Vec<Map>,
    steps: Vec<Step>,
    output: usize,
    /// Memory that no thread has at the moment.
    free: Mutex<Vec<Vec<Data>>>,
}

impl Program {
    /// A program that puts an image on `input`, takes the steps in their order, and gives `output`.
    ///
    /// # Errors
    /// [`IntegerError`] for a map that is not there, that is read before it is written or written twice, and for an output that
    /// is not floats of one pixel.
    pub fn new(
        set: IntegerSet,
        maps: Vec<Map>,
        input: usize,
        steps: Vec<Step>,
        output: usize,
    ) -> Result<Self, IntegerError> {
        let wrong = |problem: String| Err(IntegerError(problem));
        let mut written = vec![false; maps.len()];
        let outputs = steps.iter().map(|step| (&step.inputs[..], step.output));
        for (inputs, output) in [(&[][..], input)].into_iter().chain(outputs) {
            if let Some(unknown) = inputs
                .iter()
                .find(|map| !written.get(**map).unwrap_or(&false))
            {
                return wrong(format!("map {unknown} is read before it is written"));
            }
            match written.get_mut(output) {
                Some(written) if !*written => *written = true,
                _ => return wrong(format!("map {output} is written twice, or is not there")),
            }
        }
        let floats = |map: &Map| map.grid.is_none() && map.height == 1 && map.width == 1;
        if !(written.get(output) == Some(&true) && floats(&maps[output])) {
            return wrong("the output is not floats of one pixel".into());
        }
        let (places, forms) = planned(&maps, input, &steps, output);
        Ok(Self {
            images: Images::new(set, maps[input])?,
            input,
            maps,
            places,
            forms,
            steps,
            output,
            free: Mutex::default(),
        })
    }

    /// Floats of an image, `[channels, height, width]`.
    pub fn image_len(&self) -> usize {
        let map = &self.maps[self.input];
        map.channels * map.height * map.width
    }

    /// Floats that are given for an image.
    pub fn outputs(&self) -> usize {
        self.maps[self.output].channels
    }

    /// Bytes of the maps of one image.
    pub fn memory(&self) -> usize {
        let bytes = |map: &Map| map.len() * if map.grid.is_some() { 1 } else { 4 };
        self.forms.iter().map(bytes).sum()
    }

    /// Bytes of all packed weights.
    pub fn weights(&self) -> usize {
        let bytes = self.steps.iter().map(|step| match &step.operation {
            Operation::Convolution(convolution) => convolution.bytes(),
            _ => 0,
        });
        bytes.sum()
    }

    /// The outputs of all images, `[images, outputs]`, of floats `[images, channels, height, width]`. Threads share images, or
    /// the rows of the maps of a single one.
    ///
    /// # Panics
    /// When `images` are not whole ones, or a step has other maps than its layer was built for.
    pub fn run(&self, images: &[f32]) -> Vec<f32> {
        let (each, outputs) = (self.image_len(), self.outputs());
        assert!(images.len().is_multiple_of(each), "whole images");
        let count = images.len() / each;
        let mut found = vec![0.0; count * outputs];
        let threads = rayon::current_num_threads();
        if count == 1 || threads == 1 {
            tasks::together(|| self.some(images, &mut found, threads > 1));
            return found;
        }
        // Some turns for each thread, which does not have the processor to itself.
        let turn = count.div_ceil(4 * threads);
        let turns = images.par_chunks(turn * each);
        turns
            .zip(found.par_chunks_mut(turn * outputs))
            .for_each(|(images, found)| self.some(images, found, false));
        found
    }

    fn some(&self, images: &[f32], found: &mut [f32], spread: bool) {
        let lock = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().pop();
        let mut memory = kept.unwrap_or_else(|| self.forms.iter().map(Map::zeros).collect());
        let images = images.chunks_exact(self.image_len());
        for (image, found) in images.zip(found.chunks_exact_mut(self.outputs())) {
            self.images.run(image, &mut memory[self.places[self.input]]);
            for step in &self.steps {
                self.step(step, &mut memory, spread);
            }
            if let Data::Floats(floats) = &memory[self.places[self.output]] {
                found.copy_from_slice(&floats[self.maps[self.output].at(0, 0)..][..found.len()]);
            }
        }
        lock().push(memory);
    }

    fn step(&self, step: &Step, memory: &mut [Data], spread: bool) {
        let place = self.places[step.output];
        let mut y = std::mem::replace(&mut memory[place], Data::Bytes(Vec::new()));
        let at = |input: usize| &memory[self.places[step.inputs[input]]];
        match &step.operation {
            Operation::Convolution(convolution) => {
                let residual = (step.inputs.len() > 1).then(|| at(1));
                convolution.run(at(0), residual, &mut y, spread);
            }
            Operation::Add(add) => add.run([at(0), at(1)], &mut y),
            Operation::Pool(pool) => pool.run(at(0), &mut y),
            Operation::Channels(channels) => {
                let inputs: Vec<&Data> = (0..step.inputs.len()).map(at).collect();
                channels.run(&inputs, &mut y);
            }
        }
        memory[place] = y;
    }
}

/// The memory of each map, and a map for each memory.
fn planned(maps: &[Map], input: usize, steps: &[Step], output: usize) -> (Vec<usize>, Vec<Map>) {
    /// What has to be the same: what lies around and between values stays from one image to the next.
    fn alike(one: &Map, other: &Map) -> bool {
        let zero = |map: &Map| map.grid.map(|grid| grid.zero_byte());
        one.is_over(other) && one.border == other.border && zero(one) == zero(other)
    }
    let mut last: Vec<usize> = vec![0; maps.len()];
    for (at, step) in steps.iter().enumerate() {
        for &read in &step.inputs {
            last[read] = at;
        }
    }
    last[output] = steps.len();
    let mut places = vec![0; maps.len()];
    let mut forms: Vec<Map> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let place_of = |map: &Map, free: &mut Vec<usize>, forms: &mut Vec<Map>| match free
        .iter()
        .position(|place| alike(&forms[*place], map))
    {
        Some(at) => free.swap_remove(at),
        None => {
            forms.push(*map);
            forms.len() - 1
        }
    };
    places[input] = place_of(&maps[input], &mut free, &mut forms);
    for (at, step) in steps.iter().enumerate() {
        places[step.output] = place_of(&maps[step.output], &mut free, &mut forms);
        let mut read = step.inputs.clone();
        read.sort_unstable();
        read.dedup();
        let over = read.into_iter().filter(|read| last[*read] == at);
        free.extend(over.map(|read| places[read]));
    }
    (places, forms)
}
