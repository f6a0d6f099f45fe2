//! What a file of weights that does not fit seems to hold.

use std::collections::BTreeSet;

use crate::config::NetworkConfig;
use crate::keys::Key;
use crate::mismatch::Shapes;
use crate::network::Network;
use crate::registry;

/// Names what the file fits: this network with other counts, or another network.
/// `stands_before` was taken off the names.
pub(crate) fn of(
    network: &Network,
    keys: &[Key],
    found: &Shapes,
    stands_before: &str,
) -> Option<String> {
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
    let known: Vec<(&str, Vec<Key>)> = registry::models()
        .iter()
        .filter_map(|info| {
            let other = NetworkConfig::new(info.name, config.classes, channels);
            Some((info.name, Network::lazy(&other, &device).ok()?.keys()))
        })
        .collect();
    let stems: BTreeSet<&str> = known
        .iter()
        .filter_map(|(_, keys)| Some(stem(keys)?.name.as_str()))
        .collect();
    let fitting = groups(found, &stems)
        .into_iter()
        .flat_map(|(prefix, found)| {
            let place = match prefix.trim_end_matches('.') {
                "" => String::new(),
                prefix => format!(" behind the prefix `{stands_before}{prefix}`"),
            };
            let fitting = known.iter().filter_map(|(name, keys)| {
                let classes = fits(keys, &found)?.classes;
                let [.., height, width] = stem(keys)?.shape[..] else {
                    return None;
                };
                Some((
                    *name,
                    format!("`{name}` for {classes} classes{place} ({height}×{width} stem)"),
                ))
            });
            fitting.collect::<Vec<_>>()
        });
    let (names, fitting): (Vec<&str>, Vec<String>) = fitting.unzip();
    let cure = match names[..] {
        [name] => format!(": set `model = \"{name}\"`"),
        _ => String::new(),
    };
    (!fitting.is_empty())
        .then(|| format!("these are weights of {}{cure}", fitting.join(", and of ")))
}

/// The first convolution.
fn stem(keys: &[Key]) -> Option<&Key> {
    keys.iter().find(|key| key.shape.len() == 4)
}

/// The keys behind each prefix that the name of a stem has, without it; all keys come first.
fn groups(found: &Shapes, stems: &BTreeSet<&str>) -> Vec<(String, Shapes)> {
    let prefixes = found.keys().filter_map(|key| {
        let of = |stem: &&str| key.strip_suffix(*stem);
        let prefix = stems.iter().find_map(of)?;
        prefix.ends_with('.').then_some(prefix)
    });
    let behind = |prefix: &str| -> Shapes {
        let keys = found.iter();
        keys.filter_map(|(key, shape)| Some((key.strip_prefix(prefix)?.to_owned(), shape.clone())))
            .collect()
    };
    // A block has a stem's name too, but few keys.
    const FEWEST: usize = 12;
    let prefixes: BTreeSet<&str> = prefixes.collect();
    let inner = prefixes
        .into_iter()
        .map(|prefix| (prefix.to_owned(), behind(prefix)));
    let inner = inner.filter(|(_, keys)| keys.len() >= FEWEST);
    std::iter::once((String::new(), found.clone()))
        .chain(inner)
        .collect()
}

/// Class and channel count of a file.
struct Counts {
    classes: usize,
    channels: usize,
}

/// The counts under which a file has exactly these keys and shapes.
fn fits(keys: &[Key], found: &Shapes) -> Option<Counts> {
    let classifier = keys.iter().rfind(|key| key.shape.len() == 2)?;
    let bias = classifier.name.replace(".weight", ".bias");
    let stem = stem(keys)?;
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
