//! What stands before the names of a network in a file: wrappers of training scripts.
//!
//! `DataParallel` puts `module.` before every key, `torch.compile` `_orig_mod.`, a checkpoint `state_dict.` or
//! `model.`, an averaged model `module.` beside a counter, and some files nest several of them. Nothing of this is
//! a list here: a prefix is what stands before the names that the network has.

use std::collections::{BTreeMap, BTreeSet};

use crate::keys::Key;
use crate::mismatch::Shapes;

/// Where in a file a network is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind this prefix, which ends with a dot or is empty.
    Behind(String),
    /// Behind each of these, so that the user has to say which one.
    Several(Vec<String>),
}

/// Where in a file the network with these keys is: where names and shapes are its own, else where most of the
/// names are, else behind what all names share.
pub(crate) fn find(found: &Shapes, keys: &[Key]) -> Place {
    let likely = likely(found, keys);
    let fitting: Vec<String> = likely
        .iter()
        .filter(|prefix| {
            let own = behind(found, prefix, &likely);
            own.len() == keys.len() && keys.iter().all(|k| own.get(&*k.name) == Some(&&k.shape))
        })
        .cloned()
        .collect();
    let candidates = if fitting.is_empty() { likely } else { fitting };
    match candidates.as_slice() {
        [] => Place::Behind(shared(found)),
        [only] => Place::Behind(only.clone()),
        several => Place::Several(several.to_vec()),
    }
}

/// How many of a network's names stand behind the prefix that has most of them.
pub(crate) fn most(found: &Shapes, keys: &[Key]) -> usize {
    counts(found, keys).into_values().max().unwrap_or(0)
}

/// Prefixes behind which at least half of a network's names are.
fn likely(found: &Shapes, keys: &[Key]) -> Vec<String> {
    let half = keys.len().div_ceil(2).max(1);
    let most = counts(found, keys)
        .into_iter()
        .filter(|(_, count)| *count >= half);
    most.map(|(prefix, _)| prefix.to_owned()).collect()
}

/// How many of a network's names stand behind each prefix.
fn counts<'a>(found: &'a Shapes, keys: &[Key]) -> BTreeMap<&'a str, usize> {
    let names: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for key in found.keys() {
        let dots = key.match_indices('.').map(|(at, _)| at + 1);
        for at in std::iter::once(0).chain(dots) {
            if names.contains(&key[at..]) {
                *counts.entry(&key[..at]).or_default() += 1;
            }
        }
    }
    counts
}

/// Keys behind a prefix, without it, and without those behind a longer one of `others`: a second network
/// that lies inside the first one's names.
pub(crate) fn behind<'a>(
    found: &'a Shapes,
    prefix: &str,
    others: &[String],
) -> BTreeMap<&'a str, &'a Vec<usize>> {
    let inner: Vec<&String> = others
        .iter()
        .filter(|other| other.len() > prefix.len() && other.starts_with(prefix))
        .collect();
    found
        .iter()
        .filter(|(key, _)| !inner.iter().any(|inner| key.starts_with(inner.as_str())))
        .filter_map(|(key, shape)| Some((key.strip_prefix(prefix)?, shape)))
        .collect()
}

/// The longest prefix of whole names that all keys share.
fn shared(found: &Shapes) -> String {
    let mut keys = found.keys();
    let Some(first) = keys.next() else {
        return String::new();
    };
    let mut shared = first.rfind('.').map_or("", |at| &first[..=at]);
    for key in keys {
        while !key.starts_with(shared) {
            let shorter = shared[..shared.len() - 1].rfind('.');
            shared = shorter.map_or("", |at| &shared[..=at]);
        }
    }
    shared.to_owned()
}

/// Keys behind the prefix that a user names, `teacher` as `teacher.`; of the empty one, those that no named
/// network takes. None when there are none.
pub(crate) fn chosen(found: &Shapes, keys: &[Key], prefix: &str) -> Option<BTreeSet<String>> {
    let prefix = with_dot(prefix);
    let others = match prefix.as_str() {
        "" => likely(found, keys),
        _ => Vec::new(),
    };
    let names = behind(found, &prefix, &others).into_keys();
    let names: BTreeSet<String> = names.map(|name| format!("{prefix}{name}")).collect();
    (!names.is_empty()).then_some(names)
}

/// A prefix as it stands before a key.
pub(crate) fn with_dot(prefix: &str) -> String {
    match prefix.trim_end_matches('.') {
        "" => String::new(),
        name => format!("{name}."),
    }
}

/// The first names of a file's keys, for people.
pub(crate) fn tops(found: &Shapes) -> Vec<String> {
    let tops: BTreeSet<&str> = found
        .keys()
        .filter_map(|key| key.split_once('.').map(|(top, _)| top))
        .collect();
    tops.into_iter().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<Key> {
        ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"]
            .map(|name| Key {
                path: name.into(),
                name: name.into(),
                shape: vec![2],
                trainable: true,
            })
            .to_vec()
    }

    fn found(groups: &[(&str, usize)]) -> Shapes {
        let names = keys();
        let group = |&(prefix, extent): &(&str, usize)| {
            let names = names.iter();
            let named = names.map(move |key| (format!("{prefix}{}", key.name), vec![extent]));
            named.collect::<Vec<_>>()
        };
        groups.iter().flat_map(group).collect()
    }

    #[test]
    fn any_wrapper_in_any_order_is_taken_off() {
        for prefix in [
            "",
            "module.",
            "_orig_mod.module.",
            "module._orig_mod.",
            "state_dict.model.net.module.",
            "whatever.it.is.called.",
        ] {
            let mut found = found(&[(prefix, 2)]);
            assert_eq!(find(&found, &keys()), Place::Behind(prefix.into()));
            if !prefix.is_empty() {
                found.insert("optimizer.state.0.exp_avg".into(), vec![7]);
                assert_eq!(find(&found, &keys()), Place::Behind(prefix.into()));
            }
        }
    }

    #[test]
    fn of_several_networks_the_one_that_fits_is_taken_and_else_all_are_named() {
        let fits = |groups: &[(&str, usize)]| find(&found(groups), &keys());
        let one = Place::Behind("student.".into());
        assert_eq!(fits(&[("student.", 2), ("teacher.", 9)]), one);
        let both = |prefixes: [&str; 2]| Place::Several(prefixes.map(String::from).to_vec());
        let two = both(["student.", "teacher."]);
        assert_eq!(fits(&[("student.", 2), ("teacher.", 2)]), two);
        assert_eq!(fits(&[("student.", 8), ("teacher.", 9)]), two);
        // An average inside the model's own names.
        assert_eq!(fits(&[("", 2), ("ema.", 2)]), both(["", "ema."]));
        let top = chosen(&found(&[("", 2), ("ema.", 2)]), &keys(), "").unwrap();
        assert!(top.len() == 3 && top.contains("fc.weight"), "{top:?}");
    }

    #[test]
    fn of_another_network_what_all_names_share_is_taken_off() {
        let of = |names: &[&str]| {
            let names = names.iter();
            find(
                &names.map(|n| ((*n).to_owned(), vec![1])).collect(),
                &keys(),
            )
        };
        let place = |prefix: &str| Place::Behind(prefix.into());
        assert_eq!(of(&["a.b.x.w", "a.b.y.w", "a.b.y"]), place("a.b."));
        assert_eq!(of(&["a.x", "b.x"]), place(""));
        assert_eq!(of(&["ab.x", "abc.x"]), place(""));
        assert_eq!(of(&["w"]), place(""));
    }
}
