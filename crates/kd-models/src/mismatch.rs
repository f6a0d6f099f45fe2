//! Weights that do not fit: what exactly, and what they may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::keys::Key;
use crate::network::{Network, NetworkConfig};
use crate::registry;

/// How many keys of each kind a message spells out.
const SHOWN: usize = 6;

/// Shapes by state-dict key.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// A tensor that has another shape than the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// The key.
    pub key: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// Its shape in the network.
    pub expected: Vec<usize>,
}

/// Everything that is wrong between a file of weights and a network.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// The network.
    pub model: String,
    /// Keys of the network that the file lacks.
    pub missing: Vec<String>,
    /// Keys of the file that the network lacks.
    pub unexpected: Vec<String>,
    /// Keys of both whose shapes differ.
    pub shapes: Vec<WrongShape>,
    /// What the file seems to hold, and the cure.
    pub hint: Option<String>,
}

impl Mismatch {
    /// Compares a file with a network.
    ///
    /// # Errors
    /// The mismatch, when there is one.
    pub(crate) fn check(
        path: PathBuf,
        network: &Network,
        keys: &[Key],
        found: &Shapes,
    ) -> Result<(), Box<Self>> {
        let known: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        let mut mismatch = Self {
            path,
            model: network.config().model.clone(),
            missing: Vec::new(),
            unexpected: found
                .keys()
                .filter(|name| !known.contains(name.as_str()))
                .cloned()
                .collect(),
            shapes: Vec::new(),
            hint: None,
        };
        for key in keys {
            match found.get(&key.name) {
                None => mismatch.missing.push(key.name.clone()),
                Some(shape) if *shape != key.shape => mismatch.shapes.push(WrongShape {
                    key: key.name.clone(),
                    found: shape.clone(),
                    expected: key.shape.clone(),
                }),
                Some(_) => {}
            }
        }
        if mismatch.missing.is_empty()
            && mismatch.unexpected.is_empty()
            && mismatch.shapes.is_empty()
        {
            return Ok(());
        }
        mismatch.hint = hint(network, keys, found);
        Err(Box::new(mismatch))
    }
}

/// Names what the file fits: this network with other counts, or another network.
fn hint(network: &Network, keys: &[Key], found: &Shapes) -> Option<String> {
    let config = network.config();
    let fitting = fits(keys, found);
    if let Some(counts) = fitting {
        return Some(match (counts.classes, counts.channels) {
            (classes, channels) if channels == config.channels => format!(
                "these are weights for {classes} classes; set `classes = {classes}`, or choose \
                 weights for {}",
                config.classes
            ),
            (classes, channels) if classes == config.classes => format!(
                "these are weights for images of {channels} channels; this network is built for \
                 {}",
                config.channels
            ),
            (classes, channels) => {
                format!("these are weights for {classes} classes and images of {channels} channels")
            }
        });
    }
    let device = network.device().unwrap_or_default();
    registry::models().iter().find_map(|info| {
        let other = NetworkConfig::new(info.name, config.classes, config.channels);
        let network = Network::lazy(&other, &device).ok()?;
        let counts = fits(&network.keys(), found)?;
        Some(format!(
            "these look like weights of `{}` for {} classes",
            info.name, counts.classes
        ))
    })
}

/// Class and channel count of a file.
struct Counts {
    classes: usize,
    channels: usize,
}

/// The counts under which a file has exactly these keys and shapes.
fn fits(keys: &[Key], found: &Shapes) -> Option<Counts> {
    let classifier = keys.iter().find(|key| key.shape.len() == 2)?;
    let bias = classifier.name.replace(".weight", ".bias");
    // The stem is the convolution that the reference calls `conv1`, or VGG's first.
    let stem = keys.iter().find(|key| {
        matches!(
            key.name.as_str(),
            "conv1.weight" | "conv1.0.weight" | "block0.0.weight"
        )
    })?;
    let classes = *found.get(&classifier.name)?.first()?;
    let channels = *found.get(&stem.name)?.get(1)?;
    let same = |key: &Key| {
        let mut expected = key.shape.clone();
        if key.name == classifier.name || key.name == bias {
            expected[0] = classes;
        } else if key.name == stem.name {
            expected[1] = channels;
        }
        found.get(&key.name) == Some(&expected)
    };
    (keys.len() == found.len() && keys.iter().all(same)).then_some(Counts { classes, channels })
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the weights in {} do not fit `{}`:",
            self.path.display(),
            self.model
        )?;
        list(f, "missing", &self.missing)?;
        list(f, "unexpected", &self.unexpected)?;
        let shapes: Vec<String> = self
            .shapes
            .iter()
            .map(|wrong| {
                format!(
                    "{} is {:?} instead of {:?}",
                    wrong.key, wrong.found, wrong.expected
                )
            })
            .collect();
        list(f, "of another shape", &shapes)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    let shown = items[..items.len().min(SHOWN)].join(", ");
    write!(f, "\n  {} {what}: {shown}", items.len())?;
    if items.len() > SHOWN {
        write!(f, ", and {} more", items.len() - SHOWN)?;
    }
    Ok(())
}

impl std::error::Error for Mismatch {}
