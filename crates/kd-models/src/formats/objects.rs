//! Pickled modules and other objects of PyTorch, as records of what they are: no class is looked up, nothing is
//! called.
//!
//! A module keeps its tensors in `_parameters` and `_buffers` and its parts in `_modules`; their names are those of
//! its state dict. A compiled module (TorchScript) has tensors and parts among its attributes, and so has any other
//! object that holds a network.

use std::collections::BTreeMap;
use std::sync::Arc;

use kd_files::pickle::{Id, Pickle, Record, Value};

use super::Tensors;
use super::view::{View, of_storage};

/// Objects inside of objects: no network has more.
const DEEPEST: usize = 64;
/// What an object costs beside its name. Parts may be shared, so a few bytes could name them without end: a pickle
/// has room for all names of a network, but not for more than grows with its length.
const COST: usize = 32;

/// Where the content of tensors lies.
pub(super) trait Storages {
    /// The content of a storage by its name in the pickle.
    fn storage(&mut self, key: &str) -> Result<Arc<Vec<u8>>, String>;
}

/// Every tensor of a pickled object.
pub(super) fn tensors(pickle: &Pickle<'_>, storages: &mut dyn Storages) -> Result<Tensors, String> {
    let mut walk = Walk {
        pickle,
        storages,
        read: BTreeMap::new(),
        found: Tensors::new(),
        room: (1 << 16) + 256 * pickle.length(),
    };
    walk.value(pickle.root(), &mut String::new(), 0)?;
    Ok(walk.found)
}

/// The kind of elements and the name of a storage that a pickle names; none of what is no storage.
pub(super) fn named_storage<'a>(pickle: &Pickle<'a>, id: Id) -> Option<(&'a str, &'a str)> {
    let Value::Outside(name) = *pickle.value(id) else {
        return None;
    };
    let [tag, kind, key, ..] = *pickle.items(name) else {
        return None;
    };
    let Value::Global { name: kind, .. } = *pickle.value(kind) else {
        return None;
    };
    (pickle.text(tag) == Some("storage")).then_some((kind, pickle.text(key)?))
}

struct Walk<'a> {
    pickle: &'a Pickle<'a>,
    storages: &'a mut dyn Storages,
    read: BTreeMap<&'a str, Arc<Vec<u8>>>,
    found: Tensors,
    room: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, id: Id, path: &mut String, depth: usize) -> Result<(), String> {
        let room = self.room.checked_sub(path.len() + COST);
        self.room = room.ok_or("its objects hold each other without end")?;
        if depth > DEEPEST {
            return Err(format!(
                "`{path}` is an object in more than {DEEPEST} others"
            ));
        }
        let pickle = self.pickle;
        if let Value::Record(record) = pickle.value(id) {
            if let Some(tensor) = self.rebuilt(record)? {
                return self.tensor(tensor, path);
            }
            self.attributes(record, path, depth)?;
        }
        for &(key, value) in pickle.entries(id) {
            self.part(key, value, path, depth)?;
        }
        for (place, item) in pickle.items(id).iter().enumerate() {
            self.named(&place.to_string(), *item, path, depth)?;
        }
        Ok(())
    }

    fn part(&mut self, key: Id, value: Id, path: &mut String, depth: usize) -> Result<(), String> {
        match (self.pickle.text(key), self.pickle.value(key)) {
            (Some(name), _) => self.named(name, value, path, depth),
            (None, Value::Int(number)) => self.named(&number.to_string(), value, path, depth),
            _ => Ok(()),
        }
    }

    fn named(
        &mut self,
        name: &str,
        value: Id,
        path: &mut String,
        depth: usize,
    ) -> Result<(), String> {
        // What holds no tensor needs no name.
        if !matches!(
            self.pickle.value(value),
            Value::Record(_) | Value::Dict(_) | Value::List(_)
        ) {
            return Ok(());
        }
        let before = path.len();
        if before > 0 {
            path.push('.');
        }
        path.push_str(name);
        self.value(value, path, depth + 1)?;
        path.truncate(before);
        Ok(())
    }

    /// What an object's state holds: a module's tables, or all attributes.
    fn attributes(
        &mut self,
        record: &Record,
        path: &mut String,
        depth: usize,
    ) -> Result<(), String> {
        let pickle = self.pickle;
        let Some(state) = record.state else {
            return Ok(());
        };
        let (Some(parameters), Some(modules)) = (
            pickle.get(state, "_parameters"),
            pickle.get(state, "_modules"),
        ) else {
            for &(key, value) in pickle.entries(state) {
                self.part(key, value, path, depth)?;
            }
            return Ok(());
        };
        for &(key, value) in pickle.entries(parameters) {
            self.part(key, value, path, depth)?;
        }
        let passing = self.passing(state);
        for &(key, value) in pickle
            .get(state, "_buffers")
            .map_or(&[][..], |id| pickle.entries(id))
        {
            if pickle.text(key).is_none_or(|name| !passing.contains(&name)) {
                self.part(key, value, path, depth)?;
            }
        }
        for &(key, value) in pickle.entries(modules) {
            self.part(key, value, path, depth)?;
        }
        Ok(())
    }

    /// Names of the buffers that are no part of a state dict.
    fn passing(&self, state: Id) -> Vec<&'a str> {
        let pickle = self.pickle;
        let Some(set) = pickle.get(state, "_non_persistent_buffers_set") else {
            return Vec::new();
        };
        let listed = match pickle.value(set) {
            // `set([...])`, before there was an instruction for it.
            Value::Record(record) => pickle.items(record.arguments).first().copied(),
            _ => Some(set),
        };
        let names = listed.map_or(&[][..], |id| pickle.items(id)).iter();
        names.filter_map(|&id| pickle.text(id)).collect()
    }

    /// The arguments of the function that makes a tensor; none of what makes something else.
    fn rebuilt(&self, record: &'a Record) -> Result<Option<&'a [Id]>, String> {
        let pickle = self.pickle;
        let mut called = pickle.called(record);
        let mut arguments = pickle.items(record.arguments);
        // A parameter is made of a tensor, and a tensor's child class of a parameter.
        for _ in 0..3 {
            match called {
                Some(("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor")) => {
                    return Ok(Some(arguments));
                }
                Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")) => {
                    let tensor = arguments.first().map(|&id| pickle.value(id));
                    let Some(Value::Record(tensor)) = tensor else {
                        return Err("a parameter without a tensor".into());
                    };
                    called = pickle.called(tensor);
                    arguments = pickle.items(tensor.arguments);
                }
                Some(("torch._tensor", "_rebuild_from_type_v2")) => {
                    let [function, _, inner, ..] = *arguments else {
                        return Err("a tensor of a class without its content".into());
                    };
                    called = match pickle.value(function) {
                        Value::Global { module, name } => Some((module, name)),
                        _ => None,
                    };
                    arguments = pickle.items(inner);
                }
                Some(("torch._utils", name)) if name.starts_with("_rebuild") => {
                    return Err(format!(
                        "it has tensors that are sparse, quantised or the like (`torch._utils.{name}`)"
                    ));
                }
                _ => return Ok(None),
            }
        }
        Err("a tensor in a tensor in a tensor".into())
    }

    fn tensor(&mut self, arguments: &[Id], name: &str) -> Result<(), String> {
        let pickle = self.pickle;
        let wrong = || format!("`{name}` is a tensor that PyTorch would not write");
        let [storage, offset, shape, strides, ..] = *arguments else {
            return Err(wrong());
        };
        let (kind, key) = named_storage(pickle, storage).ok_or_else(wrong)?;
        let dtype = of_storage(kind).ok_or_else(|| {
            format!("`{name}` has elements of a kind that is not read (`{kind}`)")
        })?;
        let sizes = |id: Id| -> Option<Vec<usize>> {
            pickle.items(id).iter().map(|&n| pickle.count(n)).collect()
        };
        let view = View {
            dtype,
            offset: pickle.count(offset).ok_or_else(wrong)?,
            shape: sizes(shape).ok_or_else(wrong)?,
            strides: sizes(strides).ok_or_else(wrong)?,
        };
        let storage = match self.read.get(key) {
            Some(storage) => storage.clone(),
            None => {
                let storage = self.storages.storage(key)?;
                self.read.insert(key, storage.clone());
                storage
            }
        };
        let tensor = view.of(name.to_owned(), storage)?;
        self.found.insert(name.to_owned(), tensor);
        Ok(())
    }
}
