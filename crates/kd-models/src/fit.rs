//! What in a file is made to fit a network: names, positions, a classifier that is left out.

use std::collections::BTreeMap;
use std::path::Path;

use burn::store::burn_pack::Tensor as Stored;
use burn::tensor::TensorData;

use crate::keys::Key;
use crate::mismatch::Shapes;
use crate::network::Network;
use crate::spelling::{self, Spelling};
use crate::variant::Variant;
use crate::{Error, Origin, described, header};

/// The entry of a header that says whose weights a vision transformer has: our files have the names of timm,
/// whosever the weights are.
pub(crate) const ORIGIN: &str = "weights_origin";

/// The entry of a header that says what is added to variances, where that is not what goes with the names.
pub(crate) const EPSILON: &str = "epsilon";

/// The entry of a header that says what a network does otherwise than its reference.
pub(crate) const VARIANT: &str = "variant";

/// What stands before every path of the family's module.
const FAMILY: &str = "family.";

pub(crate) const NO_CLASSIFIER: &str = "these are weights without a classifier: `Network::from_backbone_file` reads them and draws \
                             one, which has to be trained (`new_classifier = true` of a student or a stage in a recipe); `kd probe` does both";

/// How much of a network a file is to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    WithoutClassifier,
}

/// Whose weights are in a file with these names.
pub(crate) fn origin(path: &Path, names: Origin) -> Result<Origin, Error> {
    match names {
        Origin::Timm => Ok(header::entry(path, ORIGIN)?.unwrap_or_default()),
        other => Ok(other),
    }
}

impl Network {
    /// The names that a file follows; none for a family whose names are everywhere the same.
    pub(crate) fn spelling(&self, found: &Shapes, own: &[Key]) -> Option<Spelling> {
        let names: Vec<String> = own.iter().map(|key| key.name.clone()).collect();
        spelling::of_file(found, self.family.spellings(&names), own)
    }

    /// How the paths of the classifiers begin: those that the family names, else the last linear layer's.
    pub(crate) fn classifiers(&self, keys: &[Key]) -> Vec<String> {
        let named = self.family.classifiers().iter();
        let named: Vec<String> = named.map(|name| format!("{FAMILY}{name}")).collect();
        if !named.is_empty() {
            return named;
        }
        let of_family = |key: &&Key| key.path.starts_with(FAMILY) && key.shape.len() == 2;
        let last = keys.iter().rfind(of_family);
        let module = last.and_then(|key| key.path.rsplit_once('.'));
        module
            .map(|(module, _)| format!("{module}."))
            .into_iter()
            .collect()
    }

    /// Takes the epsilon that the header of the file `path` says, else `config.json` where `named` is a folder, else
    /// what was `said` beside its tensors, else that of the program whose names the file has.
    pub(crate) fn take_epsilon(
        &mut self,
        named: &Path,
        path: &Path,
        said: Option<f64>,
        spelling: Option<&Spelling>,
    ) -> Result<(), Error> {
        let described = match header::entry(path, EPSILON)? {
            Some(epsilon) => Some(epsilon),
            None if named.is_dir() => described::epsilon(named)?,
            None => None,
        };
        let said = described.or(said);
        let epsilon = said.or(spelling.and_then(|spelling| spelling.epsilon));
        let problem = match epsilon {
            Some(epsilon) if !(epsilon > 0.0 && epsilon < 1.0) => {
                format!("they say the epsilon {epsilon:e}, which is not between 0 and 1")
            }
            epsilon if self.family.set_epsilon(epsilon) => return Ok(()),
            epsilon => format!(
                "they need the epsilon {:e}, and `{}` has its own",
                epsilon.unwrap_or_default(),
                self.config.model
            ),
        };
        Err(Error::Format {
            path: named.to_owned(),
            problem,
        })
    }

    /// Takes what the header of a file, or what was `said` beside its tensors, says of strides and padding.
    pub(crate) fn take_variant(&mut self, path: &Path, said: Variant) -> Result<(), Error> {
        let variant = header::entry(path, VARIANT)?.unwrap_or(said);
        match self.family.set_variant(variant) {
            true => Ok(()),
            false => Err(Error::Format {
                path: path.to_owned(),
                problem: format!(
                    "its network pads or strides as `{}` cannot ({variant:?})",
                    self.config.model
                ),
            }),
        }
    }

    /// Resizes the positions of a file, where they are those of images of another size.
    pub(crate) fn refit(
        &self,
        path: &Path,
        keys: &[Key],
        stored: &mut BTreeMap<String, Stored>,
    ) -> Result<(), Error> {
        let places = self
            .family
            .positions()
            .map(|place| format!("{FAMILY}{place}"));
        let positions = keys.iter().find(|key| Some(&key.path) == places.as_ref());
        let Some((key, tensor)) = positions.and_then(|key| Some((key, stored.get_mut(&key.name)?)))
        else {
            return Ok(());
        };
        let shape: Vec<usize> = tensor.shape.iter().copied().collect();
        if shape == key.shape || !tensor.dtype.is_float() {
            return Ok(());
        }
        let bytes = tensor.to_bytes().map_err(|e| Error::Format {
            path: path.to_owned(),
            problem: e.to_string(),
        })?;
        let values = TensorData::from_bytes(bytes, shape, tensor.dtype);
        let device = self.device().unwrap_or_default();
        if let Some(fitting) = self.family.refit(&values, &device) {
            let (name, dtype) = (tensor.name.clone(), fitting.dtype());
            let shape = fitting.shape().clone();
            *tensor = Stored::new(name, dtype, shape, None, fitting.into_bytes());
        }
        Ok(())
    }
}
