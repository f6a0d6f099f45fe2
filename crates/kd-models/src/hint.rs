//! What a file of weights that does not fit seems to hold.

use crate::config::NetworkConfig;
use crate::keys::Key;
use crate::mismatch::Shapes;
use crate::network::Network;
use crate::registry;

/// Names what the file fits: this network with other counts, or another network.
pub(crate) fn of(network: &Network, keys: &[Key], found: &Shapes) -> Option<String> {
    let config = network.config();
    let channels = config.channels().ok()?;
    let fitting = fits(keys, found);
    if let Some(found) = fitting {
        return Some(match (found.classes, found.channels) {
            (classes, found) if found == channels => format!(
                "these are weights for {classes} classes, and the network is built for {}: choose \
                 weights for {0}, or data of {classes} classes",
                config.classes
            ),
            (classes, found) if classes == config.classes => format!(
                "these are weights for images of {found} channels; this network is built for \
                 {channels}"
            ),
            (classes, found) => {
                format!("these are weights for {classes} classes and images of {found} channels")
            }
        });
    }
    let device = network.device().unwrap_or_default();
    registry::models().iter().find_map(|info| {
        let other = NetworkConfig::new(info.name, config.classes, channels);
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
