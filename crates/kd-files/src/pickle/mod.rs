//! Python's pickles as inert values: nothing is looked up, called or executed.
//!
//! A pickle is a program for a stack machine that names classes and calls them. [`parse`] runs the program on values
//! that only say what was meant: a name is a [`Value::Global`], a call of it a [`Record`] with its arguments and what
//! is put into it. Whoever reads a file knows which names it means, and sees others for what they are.
//!
//! ```
//! use kd_files::pickle::{Value, parse};
//!
//! // What `pickle.dumps({"a": 1}, 2)` gives.
//! let pickle = parse(b"\x80\x02}q\0X\x01\0\0\0aq\x01K\x01s.").unwrap();
//! let entry = pickle.get(pickle.root(), "a").unwrap();
//! assert!(matches!(pickle.value(entry), Value::Int(1)));
//! ```

mod machine;

use machine::Machine;

/// A place among the values of a [`Pickle`]. Values are remembered and used again, so they form no tree, and may
/// hold themselves.
pub type Id = usize;

/// A value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// None, and numbers of more than 64 bits.
    Other,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A Python 2 `str` or Python 3 `bytes`.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// A dictionary, in its order; of an entry that comes twice the last one counts.
    Dict(Vec<(Id, Id)>),
    /// A class or function by its name.
    Global {
        /// Its module, such as `torch.nn.modules.conv`.
        module: &'a str,
        /// Its name there, such as `Conv2d`.
        name: &'a str,
    },
    /// What a class or function would make.
    Record(Box<Record>),
    /// What lies outside of the pickle, by its name there.
    Outside(Id),
}

/// What a call would make, and what would be put into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What is called.
    pub class: Id,
    /// A list of its arguments.
    pub arguments: Id,
    /// The state that it gets: most often a dictionary of its attributes.
    pub state: Option<Id>,
    /// Its elements, of a kind of list.
    pub items: Vec<Id>,
    /// Its entries, of a kind of dictionary.
    pub entries: Vec<(Id, Id)>,
}

/// A parsed pickle.
#[derive(Clone, Debug)]
pub struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    length: usize,
}

/// Parses the pickle that some bytes begin with.
///
/// # Errors
/// What is wrong with it, and at which byte.
pub fn parse(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    Machine::run(bytes)
}

impl<'a> Pickle<'a> {
    /// The outermost value.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Bytes of the pickle; others may follow.
    pub fn length(&self) -> usize {
        self.length
    }

    /// A value by its place.
    pub fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }

    /// Every value, in the order in which they are made.
    pub fn values(&self) -> &[Value<'a>] {
        &self.values
    }

    /// The elements of a list; none of anything else.
    pub fn items(&self, id: Id) -> &[Id] {
        match self.value(id) {
            Value::List(items) => items,
            Value::Record(record) => &record.items,
            _ => &[],
        }
    }

    /// The entries of a dictionary; none of anything else.
    pub fn entries(&self, id: Id) -> &[(Id, Id)] {
        match self.value(id) {
            Value::Dict(entries) => entries,
            Value::Record(record) => &record.entries,
            _ => &[],
        }
    }

    /// The value of a key of a dictionary.
    pub fn get(&self, id: Id, key: &str) -> Option<Id> {
        let mut entries = self.entries(id).iter().rev();
        let found = entries.find(|(name, _)| self.text(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// A text, also one of Python 2.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A number that counts something.
    pub fn count(&self, id: Id) -> Option<usize> {
        match self.value(id) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Module and name of what is called; none of what no name was given for.
    pub fn called(&self, record: &Record) -> Option<(&'a str, &'a str)> {
        match self.value(record.class) {
            Value::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
