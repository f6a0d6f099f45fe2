//! What the files beside weights say of them: those of the Hugging Face hub's `transformers`, and of timm.

use std::collections::BTreeMap;
use std::path::Path;

use kd_files::Interpolation;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::header::{WeightsHeader, named_interpolations};
use crate::{Error, registry};

/// Channels of an image where nothing is said of them.
const CHANNELS: usize = 3;

/// `config.json`, of timm and of transformers.
#[derive(Default, Deserialize)]
struct Config {
    architecture: Option<String>,
    architectures: Option<Vec<String>>,
    num_classes: Option<usize>,
    pretrained_cfg: Option<Pretrained>,
    label_names: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, String>>,
    num_channels: Option<usize>,
    image_size: Option<Side>,
    model_type: Option<String>,
    /// Blocks of each stage of a ResNet, and their kind.
    depths: Option<Vec<usize>>,
    layer_type: Option<String>,
    /// Width and patch of a ViT.
    hidden_size: Option<usize>,
    patch_size: Option<Side>,
    /// What layer normalisation adds to variances, in transformers.
    layer_norm_eps: Option<f64>,
    /// What timm builds a network with.
    model_args: Option<Arguments>,
}

/// Of timm's arguments those that change what weights mean.
#[derive(Default, Deserialize)]
struct Arguments {
    /// What batch normalisation adds to variances.
    bn_eps: Option<f64>,
}

/// How timm prepares images.
#[derive(Default, Deserialize)]
struct Pretrained {
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    input_size: Option<[usize; 3]>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
}

/// `preprocessor_config.json` of transformers.
#[derive(Default, Deserialize)]
struct Preprocessor {
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<Vec<f64>>,
    image_std: Option<Vec<f64>>,
    do_resize: Option<bool>,
    size: Option<Side>,
    do_center_crop: Option<bool>,
    crop_size: Option<Side>,
    crop_pct: Option<f64>,
    resample: Option<u32>,
}

/// Height and width, in any of the spellings that there have been.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Pair([usize; 2]),
    Both { height: usize, width: usize },
    Shortest { shortest_edge: usize },
}

impl Side {
    /// The side of a square.
    fn square(self) -> Option<usize> {
        match self {
            Self::Square(side) => Some(side),
            Self::Pair([height, width]) | Self::Both { height, width } => {
                (height == width).then_some(height)
            }
            Self::Shortest { .. } => None,
        }
    }

    /// The shorter side.
    fn shorter(self) -> usize {
        match self {
            Self::Square(side)
            | Self::Shortest {
                shortest_edge: side,
            } => side,
            Self::Pair([height, width]) | Self::Both { height, width } => height.min(width),
        }
    }
}

/// What a folder says of its weights, where their own header, `own`, does not say it.
///
/// # Errors
/// [`Error::Described`] for a file that is there and cannot be read, or says what is not known.
pub(crate) fn of_folder(folder: &Path, own: WeightsHeader) -> Result<WeightsHeader, Error> {
    let config: Config = read(&folder.join("config.json"))?;
    let prepared: Preprocessor = read(&folder.join("preprocessor_config.json"))?;
    let mut found = WeightsHeader::default();
    let same = config.of_timms_networks();
    let pretrained = config.pretrained_cfg.unwrap_or_default();
    let first = config
        .architectures
        .and_then(|names| names.into_iter().next());
    found.architecture = config.architecture.or(first);
    let called = same.as_ref().or(found.architecture.as_ref());
    found.model = called.and_then(|name| of_timm(name));
    let names = config
        .label_names
        .or_else(|| names_of(config.id2label.as_ref()?));
    let labels = config.id2label.map(|labels| labels.len());
    found.classes = config
        .num_classes
        .or(labels)
        .or(names.as_ref().map(Vec::len));
    found.class_names = names.filter(|names| Some(names.len()) == found.classes);
    found.channels = config
        .num_channels
        .or(pretrained.input_size.map(|[c, _, _]| c));
    let channels = found.channels.unwrap_or(CHANNELS);
    (found.mean, found.std) = (pretrained.mean, pretrained.std);
    if let Some((mean, std)) = prepared.statistics(channels) {
        (found.mean, found.std) = (Some(mean), Some(std));
    }
    let square = pretrained
        .input_size
        .filter(|[_, height, width]| height == width);
    let side = config.image_size.and_then(Side::square);
    found.size = prepared
        .size()
        .or(square.map(|[_, height, _]| height))
        .or(side);
    let unknown = |file: &str, value: String| Error::Described {
        path: folder.join(file),
        problem: format!("{value} is none of {}", named_interpolations()),
    };
    if let Some(name) = &pretrained.interpolation {
        let value = || unknown("config.json", format!("interpolation = \"{name}\""));
        found.interpolation = Some(Interpolation::named(name).ok_or_else(value)?);
    }
    if let Some(number) = prepared.resample {
        let value = || unknown("preprocessor_config.json", format!("resample = {number}"));
        found.interpolation = Some(Interpolation::of_pil(number).ok_or_else(value)?);
    }
    found.crop = prepared.crop().or(pretrained.crop_pct);
    Ok(own.or(found))
}

/// What a folder says is added to variances; none where it does not say so.
///
/// # Errors
/// As [`of_folder`].
pub(crate) fn epsilon(folder: &Path) -> Result<Option<f64>, Error> {
    let config: Config = read(&folder.join("config.json"))?;
    let arguments = config.model_args.unwrap_or_default();
    Ok(config.layer_norm_eps.or(arguments.bn_eps))
}

impl Config {
    /// The name that timm has for a network of `transformers`, of those whose tensors are renamed.
    fn of_timms_networks(&self) -> Option<String> {
        match self.model_type.as_deref()? {
            "resnet" => {
                let depth = match (self.layer_type.as_deref()?, self.depths.as_deref()?) {
                    ("basic", [2, 2, 2, 2]) => 18,
                    ("basic", [3, 4, 6, 3]) => 34,
                    ("bottleneck", [3, 4, 6, 3]) => 50,
                    ("bottleneck", [3, 4, 23, 3]) => 101,
                    ("bottleneck", [3, 8, 36, 3]) => 152,
                    _ => return None,
                };
                Some(format!("resnet{depth}"))
            }
            kind @ ("vit" | "deit") => {
                let width = match (kind, self.hidden_size?) {
                    (_, 192) => "tiny",
                    (_, 384) => "small",
                    (_, 768) => "base",
                    ("vit", 1024) => "large",
                    _ => return None,
                };
                let (patch, size) = (self.patch_size?.square()?, self.image_size?.square()?);
                Some(format!("{kind}_{width}_patch{patch}_{size}"))
            }
            _ => None,
        }
    }
}

/// A file as JSON; the default where there is none.
fn read<T: Default + DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(source) => {
            return Err(Error::Open {
                path: path.to_owned(),
                source,
            });
        }
    };
    serde_json::from_slice(&text).map_err(|e| Error::Described {
        path: path.to_owned(),
        problem: e.to_string(),
    })
}

/// The network of a name that timm uses: it has one of a name for images of ImageNet's size, and this registry
/// marks those with `_224`. None when there is no such network here.
fn of_timm(architecture: &str) -> Option<String> {
    of_timm_among(architecture, &|name| Some(registry::find(name).ok()?.name))
}

fn of_timm_among(
    architecture: &str,
    known: &dyn Fn(&str) -> Option<&'static str>,
) -> Option<String> {
    // What stands behind the dot is how it was trained.
    let name = architecture.split('.').next().unwrap_or(architecture);
    let sized = known(&format!("{name}_224"));
    let own = || known(name).filter(|name| name.ends_with("_224") || name.contains("_patch"));
    sized.or_else(own).map(String::from)
}

/// Names in the order of their labels; none unless every label has one of its own.
fn names_of(labels: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let each = (0..labels.len()).map(|label| labels.get(&label.to_string()).cloned());
    let names: Vec<String> = each.collect::<Option<_>>()?;
    // What transformers writes where nobody gave names.
    let made = |(label, name): (usize, &String)| *name == format!("LABEL_{label}");
    (!names.iter().enumerate().all(made)).then_some(names)
}

impl Preprocessor {
    /// Mean and standard deviation in units of 255: `(p · factor - mean) / std` for a pixel `p` of 0 to 255.
    fn statistics(&self, channels: usize) -> Option<(Vec<f32>, Vec<f32>)> {
        let factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / 255.0),
        };
        let unit = factor * 255.0;
        let scaled = |values: &[f64]| values.iter().map(|v| (v / unit) as f32).collect();
        match (self.do_normalize, &self.image_mean, &self.image_std) {
            (Some(false), ..) => Some((scaled(&vec![0.0; channels]), scaled(&vec![1.0; channels]))),
            (_, Some(mean), Some(std)) => Some((scaled(mean), scaled(std))),
            _ => None,
        }
    }

    /// The side of the images that the network gets.
    fn size(&self) -> Option<usize> {
        let cropped = self
            .crop_size
            .filter(|_| self.do_center_crop != Some(false));
        let resized = self.size.filter(|_| self.do_resize != Some(false));
        match (cropped, resized, self.crop_pct) {
            (Some(crop), ..) => crop.square(),
            // Resized to more by the share, and then cropped to this.
            (None, Some(size), Some(_)) => Some(size.shorter()),
            (None, size, None) => size?.square(),
            (None, None, Some(_)) => None,
        }
    }

    /// The share of the shorter side that is cut out.
    fn crop(&self) -> Option<f64> {
        let resized = self.size.filter(|_| self.do_resize != Some(false));
        let cropped = self
            .crop_size
            .filter(|_| self.do_center_crop != Some(false));
        match (resized, cropped) {
            (Some(size), Some(crop)) if size.shorter() > 0 => {
                Some(WeightsHeader::crop_of(crop.shorter(), size.shorter()))
            }
            _ => self.crop_pct,
        }
    }
}

#[cfg(test)]
#[path = "described_tests.rs"]
mod tests;
