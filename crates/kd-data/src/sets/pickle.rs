//! The subset of Python's pickle that CIFAR's Python archives use, parsed and never executed.
//!
//! A pickle is a program for a stack machine. This reader knows the instructions that build
//! dictionaries, lists, numbers, strings and NumPy byte arrays, and refuses every other one; a
//! call is understood only for the three names that NumPy needs (`_reconstruct`, `dtype`, and
//! `_codecs.encode`, which holds bytes in protocol 2 as written by Python 3).

use std::borrow::Cow;

use super::pickle_machine::Machine;

/// A place in the arena: lists and arrays may be filled after they were remembered.
pub(super) type Id = usize;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// None, a boolean, a float: nothing that we read.
    Other,
    Int(i64),
    /// A Python 2 `str` or Python 3 `bytes`.
    Bytes(Cow<'a, [u8]>),
    Text(&'a str),
    /// A list, tuple.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Call(Callable),
    /// NumPy's name of an element type, such as `u1`.
    Dtype(String),
    Array(Option<Array>),
}

/// A NumPy array.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Id,
    pub(super) fortran: bool,
    pub(super) data: Id,
}

/// The names that may be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callable {
    Reconstruct,
    Ndarray,
    Dtype,
    Encode,
}

/// A parsed pickle whose outermost value is a dictionary.
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    entries: Vec<(Id, Id)>,
}

/// Parses a pickle; the error says what is wrong and where.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let (nodes, root) = Machine::run(bytes)?;
    match nodes[root].clone() {
        Node::Dict(entries) => Ok(Pickle { nodes, entries }),
        _ => Err("the pickle holds no dictionary".into()),
    }
}

impl Pickle<'_> {
    fn get(&self, key: &str) -> Result<&Node<'_>, String> {
        let named = |id: Id| match &self.nodes[id] {
            Node::Bytes(bytes) => &bytes[..] == key.as_bytes(),
            Node::Text(text) => *text == key,
            _ => false,
        };
        let entry = self.entries.iter().rev().find(|(name, _)| named(*name));
        entry
            .map(|(_, value)| &self.nodes[*value])
            .ok_or_else(|| format!("the pickled dictionary has no `{key}`"))
    }

    /// Shape and content of an array of bytes.
    pub(super) fn bytes_array(&self, key: &str) -> Result<(&[usize], &[u8]), String> {
        let Node::Array(Some(array)) = self.get(key)? else {
            return Err(format!("`{key}` is no NumPy array"));
        };
        let Node::Bytes(data) = &self.nodes[array.data] else {
            return Err(format!("`{key}` holds no bytes"));
        };
        match &self.nodes[array.dtype] {
            Node::Dtype(name) if name == "u1" => {}
            Node::Dtype(name) => {
                return Err(format!("`{key}` has elements of type {name}, not u1"));
            }
            _ => return Err(format!("`{key}` has no element type")),
        }
        if array.fortran {
            return Err(format!(
                "`{key}` is stored column by column; row by row is right"
            ));
        }
        let size = array
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d));
        if size != Some(data.len()) {
            let (shape, got) = (&array.shape, data.len());
            return Err(format!("`{key}` has shape {shape:?} and {got} bytes"));
        }
        Ok((&array.shape, data))
    }

    fn list(&self, key: &str) -> Result<&[Id], String> {
        match self.get(key)? {
            Node::List(items) => Ok(items),
            _ => Err(format!("`{key}` is no list")),
        }
    }

    /// A list of integers.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<i64>, String> {
        let integer = |&id: &Id| match self.nodes[id] {
            Node::Int(value) => Ok(value),
            _ => Err(format!("`{key}` holds something that is no integer")),
        };
        self.list(key)?.iter().map(integer).collect()
    }

    /// A list of strings.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let text = |&id: &Id| match &self.nodes[id] {
            Node::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Node::Text(text) => Ok((*text).to_string()),
            _ => Err(format!("`{key}` holds something that is no string")),
        };
        self.list(key)?.iter().map(text).collect()
    }
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
