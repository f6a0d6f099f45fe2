//! Weights that a recipe names: files, folders, and addresses of the hub.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_data::hub::{Address, Hub};
use kd_data::{DataConfig, Normalize};
use kd_models::WeightsHeader;

use crate::recipe::ClassifierStart;
use crate::task::tell;
use crate::{Error, Event, Observer, Recipe, TaskSpec};

/// The path of weights on this machine. An address of the hub, such as `hf://timm/resnet18.a1_in1k`, is fetched
/// unless it is in the hub's cache; a path stays what it is.
///
/// # Errors
/// When the address leads to nothing, or cannot be fetched.
pub fn fetch_weights(weights: &Path, observer: &mut dyn Observer) -> Result<PathBuf, Error> {
    match Address::of_path(weights)? {
        Some(address) => {
            let fetched = Hub::from_env().fetch(&address, &mut |p| tell(p, observer))?;
            Ok(fetched.path)
        }
        None => Ok(weights.to_owned()),
    }
}

/// The path of weights that were fetched before.
///
/// # Errors
/// When they were not, or are gone.
pub(crate) fn local(weights: &Path) -> Result<PathBuf, Error> {
    let Some(address) = Address::of_path(weights)? else {
        return Ok(weights.to_owned());
    };
    let cached = Hub::from_env().cached(&address);
    cached.map(|fetched| fetched.path).ok_or_else(|| {
        Error::Recipe(format!(
            "{address} is not in the cache of the hub: `Recipe::complete` fetches it"
        ))
    })
}

/// A network with the weights of a file, and the classifier that a recipe says.
pub(crate) fn load<T: TaskSpec>(
    task: &T,
    model: &str,
    (path, prefix): (&Path, Option<&str>),
    classifier: &ClassifierStart,
    device: &Device,
) -> Result<T::Network, Error> {
    let path = local(path)?;
    match classifier {
        ClassifierStart::Weights => task.load_behind(model, &path, prefix, device),
        ClassifierStart::Fresh => task.load_backbone(model, (&path, prefix), None, device),
        ClassifierStart::File(file) => {
            task.load_backbone(model, (&path, prefix), Some(&local(file)?), device)
        }
    }
}

impl Recipe {
    /// The recipe with its weights on this machine, and with what they say of themselves. [`run`](fn@crate::run) does
    /// this by itself.
    ///
    /// Weights of the hub are fetched, and their addresses then name the commit, so that they mean the same files for
    /// ever. What the recipe does not say of its teacher is what the weights say: `teacher.model` always, and of
    /// a folder also `teacher.normalize`. An image folder without `data.size` gets that of the weights; of a folder of
    /// weights, images of its size also `data.crop_pct` and `data.interpolation`.
    ///
    /// # Errors
    /// When weights cannot be fetched, or do not say which network they are of and the recipe does not either.
    pub fn complete(mut self, observer: &mut dyn Observer) -> Result<Self, Error> {
        for weights in self.weights_mut() {
            if let Some(address) = Address::of_path(weights)? {
                let fetched = Hub::from_env().fetch(&address, &mut |p| tell(p, observer))?;
                *weights = fetched.address.to_string().into();
            }
        }
        self.describe_teacher(observer)?;
        self.data = self.data.with_interpolation();
        Ok(self)
    }

    /// Fills in what the teacher's weights say of it.
    fn describe_teacher(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let Some(teacher) = &mut self.teacher else {
            return Ok(());
        };
        let Some(weights) = &teacher.weights else {
            return Ok(());
        };
        let path = local(weights)?;
        let folder = path.is_dir();
        if !folder && !teacher.model.is_empty() {
            return Ok(());
        }
        let header = WeightsHeader::read(&path)?;
        let mut told = Vec::new();
        let mut tell = |text: String| told.push(text);
        match &header.model {
            Some(model) if teacher.model.is_empty() => {
                tell(format!("teacher.model = \"{model}\""));
                teacher.model.clone_from(model);
            }
            None if teacher.model.is_empty() => {
                let called = header.architecture.iter();
                let called = called.map(|name| format!(" (they call it `{name}`)"));
                return Err(Error::Recipe(format!(
                    "teacher.weights = {}: these weights do not say which network of `kd models` they are of{}: \
                     give teacher.model",
                    weights.display(),
                    called.collect::<String>()
                )));
            }
            Some(model) if is_another(model, &teacher.model) => {
                observer.event(Event::Note(&format!(
                    "warning: teacher.weights = {}: they say that they are of a {model}, and teacher.model = \"{}\"",
                    weights.display(),
                    teacher.model
                )));
            }
            _ => {}
        }
        if folder
            && teacher.normalize.is_none()
            && let (Some(mean), Some(std)) = (header.mean, header.std)
        {
            tell(format!(
                "teacher.normalize = {{ mean = {mean:?}, std = {std:?} }}"
            ));
            teacher.normalize = Some(Normalize::Given { mean, std });
        }
        if self.data.lacks_size()
            && let Some(size) = header.size
        {
            tell(format!("data.size = {size}"));
            self.data.size = Some(size);
        }
        let data = &mut self.data;
        // How images come to a size goes with that size.
        if folder && data.name == "folder" && data.size == header.size && teacher.size.is_none() {
            if data.resize.is_none()
                && data.crop_pct.is_none()
                && let Some(share) = header.crop
            {
                tell(format!("data.crop_pct = {share}"));
                data.crop_pct = Some(share);
            }
            if data.interpolation.is_none()
                && let Some(interpolation) = header.interpolation
            {
                tell(format!("data.interpolation = \"{interpolation}\""));
                data.interpolation = Some(interpolation);
            }
        }
        if !told.is_empty() {
            observer.event(Event::Note(&format!(
                "{} says: {}",
                weights.display(),
                told.join(", ")
            )));
        }
        Ok(())
    }

    /// Whether weights may say of the data what the recipe does not.
    pub(crate) fn leaves_data_to_weights(&self) -> bool {
        let teacher = self.teacher.as_ref();
        teacher.is_some_and(|teacher| teacher.weights.is_some())
    }

    /// The data as they may be once weights are here: a size that is left out may be the teacher's.
    pub(crate) fn data_to_be(&self) -> DataConfig {
        let mut data = self.data.clone();
        if data.lacks_size() && self.leaves_data_to_weights() {
            data.size = Some(1);
        }
        data
    }

    fn weights_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let teacher = self.teacher.iter_mut();
        let teacher = teacher.flat_map(|t| [&mut t.weights, &mut t.classifier_weights]);
        let stages = self.stages.values_mut().chain([&mut self.student]);
        let of_stages = stages.flat_map(|s| [&mut s.weights, &mut s.classifier_weights]);
        teacher.chain(of_stages).filter_map(Option::as_mut)
    }
}

/// Whether two names are of different networks. A name that is not known is another one's to refuse.
fn is_another(one: &str, other: &str) -> bool {
    match (kd_models::find(one), kd_models::find(other)) {
        (Ok(one), Ok(other)) => one.name != other.name,
        _ => false,
    }
}
