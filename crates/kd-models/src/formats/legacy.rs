//! Files of `torch.save` before PyTorch 1.6: pickles one after the other, and then the content of tensors.
//!
//! A whole module has the source of its classes there, which nobody needs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kd_files::pickle::{self, Pickle, Value};

use super::Tensors;
use super::objects::{self, Storages, named_storage};
use super::view::of_storage;

/// The pickle of a number, with which every such file begins.
const MAGIC: [u8; 14] = [
    0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
];

/// Whether a file begins like one of these.
pub(crate) fn is_legacy(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Every tensor of the object in a file.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn tensors(path: &Path) -> Result<Tensors, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let mut rest = &bytes[..];
    let [_magic, _protocol, system, object, keys] = [
        next(&mut rest)?,
        next(&mut rest)?,
        next(&mut rest)?,
        next(&mut rest)?,
        next(&mut rest)?,
    ];
    let little = system.get(system.root(), "little_endian");
    if little.is_some_and(|id| *system.value(id) != Value::Bool(true)) {
        return Err("its numbers are stored with the largest byte first".into());
    }
    let mut content = content(&object, &keys, rest)?;
    objects::tensors(&object, &mut content)
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>, String> {
    let pickle = pickle::parse(rest)?;
    *rest = &rest[pickle.length()..];
    Ok(pickle)
}

/// The content of tensors by the names of storages.
struct Content(BTreeMap<String, Arc<Vec<u8>>>);

impl Storages for Content {
    fn storage(&mut self, key: &str) -> Result<Arc<Vec<u8>>, String> {
        let found = self.0.get(key).cloned();
        found.ok_or_else(|| format!("it has no storage `{key}`"))
    }
}

/// Storages in the order of their names in `keys`: the number of elements, and then these.
fn content(object: &Pickle<'_>, keys: &Pickle<'_>, bytes: &[u8]) -> Result<Content, String> {
    let ids = 0..object.values().len();
    let kinds = ids.filter_map(|id| named_storage(object, id));
    let kinds: BTreeMap<&str, &str> = kinds.map(|(kind, key)| (key, kind)).collect();
    let mut rest = bytes;
    let mut take = |count: usize| {
        let (taken, after) = rest
            .split_at_checked(count)
            .ok_or("it ends within the content of its tensors")?;
        rest = after;
        Ok::<_, String>(taken)
    };
    let mut content = BTreeMap::new();
    for &key in keys.items(keys.root()) {
        let key = keys.text(key).ok_or("a storage without a name")?;
        let kind = kinds
            .get(key)
            .ok_or_else(|| format!("nothing uses its storage `{key}`"))?;
        let dtype = of_storage(kind)
            .ok_or_else(|| format!("it has elements of a kind that is not read (`{kind}`)"))?;
        let mut count = [0; 8];
        count.copy_from_slice(take(8)?);
        let count = usize::try_from(u64::from_le_bytes(count)).ok();
        let length = count.and_then(|count| count.checked_mul(dtype.size()));
        let storage = take(length.unwrap_or(usize::MAX))?;
        content.insert(key.to_owned(), Arc::new(storage.to_vec()));
    }
    Ok(Content(content))
}
