//! The subset of Python's pickle that CIFAR's Python archives use, parsed and never executed.
//!
//! [`kd_files::pickle`] reads a pickle as inert values. Only the names are taken that NumPy needs (`_reconstruct`,
//! `ndarray`, `dtype`, and `_codecs.encode`, which holds bytes in protocol 2 as written by Python 3); a pickle with
//! another one is refused.

use std::borrow::Cow;

use kd_files::pickle::{self, Id, Record, Value};

/// A parsed pickle whose outermost value is a dictionary.
pub(super) struct Pickle<'a> {
    values: pickle::Pickle<'a>,
}

/// A NumPy array.
struct Array<'a> {
    shape: Vec<usize>,
    dtype: &'a str,
    fortran: bool,
    data: Id,
}

/// Parses a pickle; the error says what is wrong and where.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let values = pickle::parse(bytes)
        .map_err(|problem| format!("{problem}; the file is damaged or no CIFAR batch"))?;
    for value in values.values() {
        match value {
            Value::Global { module, name } if !is_known(module, name) => {
                return Err(format!(
                    "it wants to use `{module}.{name}`, which is refused; the file is damaged or no CIFAR batch"
                ));
            }
            Value::Record(record) if values.called(record).is_none() => {
                return Err("a call of something that cannot be called".into());
            }
            _ => {}
        }
    }
    match values.value(values.root()) {
        Value::Dict(_) => Ok(Pickle { values }),
        _ => Err("the pickle holds no dictionary".into()),
    }
}

fn is_known(module: &str, name: &str) -> bool {
    matches!(
        (module, name),
        (
            "numpy.core.multiarray" | "numpy._core.multiarray",
            "_reconstruct"
        ) | ("numpy", "ndarray" | "dtype")
            | ("_codecs", "encode")
    )
}

impl Pickle<'_> {
    fn get(&self, key: &str) -> Result<Id, String> {
        let found = self.values.get(self.values.root(), key);
        found.ok_or_else(|| format!("the pickled dictionary has no `{key}`"))
    }

    fn record(&self, id: Id) -> Option<(&str, &Record)> {
        let Value::Record(record) = self.values.value(id) else {
            return None;
        };
        Some((self.values.called(record)?.1, record))
    }

    fn array(&self, id: Id) -> Option<Array<'_>> {
        let values = &self.values;
        let ("_reconstruct", record) = self.record(id)? else {
            return None;
        };
        let [_, shape, dtype, fortran, data] = *values.items(record.state?) else {
            return None;
        };
        let ("dtype", named) = self.record(dtype)? else {
            return None;
        };
        let shape = values.items(shape).iter();
        Some(Array {
            shape: shape.map(|&n| values.count(n)).collect::<Option<_>>()?,
            dtype: values.text(*values.items(named.arguments).first()?)?,
            fortran: matches!(values.value(fortran), Value::Bool(true)),
            data,
        })
    }

    /// Bytes as Python 2 or 3 writes them.
    fn bytes(&self, id: Id) -> Option<Cow<'_, [u8]>> {
        if let Value::Bytes(bytes) = self.values.value(id) {
            return Some(Cow::Borrowed(bytes));
        }
        let ("encode", record) = self.record(id)? else {
            return None;
        };
        let text = self.values.items(record.arguments).first()?;
        let byte = |c: char| u8::try_from(c).ok();
        let bytes: Option<Vec<u8>> = self.values.text(*text)?.chars().map(byte).collect();
        bytes.map(Cow::Owned)
    }

    /// Shape and content of an array of bytes.
    pub(super) fn bytes_array(&self, key: &str) -> Result<(Vec<usize>, Cow<'_, [u8]>), String> {
        let array = self
            .array(self.get(key)?)
            .ok_or_else(|| format!("`{key}` is no NumPy array"))?;
        if array.dtype != "u1" {
            let name: String = array.dtype.chars().take(16).collect();
            return Err(format!("`{key}` has elements of type {name}, not u1"));
        }
        if array.fortran {
            return Err(format!(
                "`{key}` is stored column by column; row by row is right"
            ));
        }
        let data = self
            .bytes(array.data)
            .ok_or_else(|| format!("`{key}` holds no bytes"))?;
        let size = array
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d));
        if size != Some(data.len()) {
            let (shape, got) = (&array.shape, data.len());
            return Err(format!("`{key}` has shape {shape:?} and {got} bytes"));
        }
        Ok((array.shape, data))
    }

    fn list(&self, key: &str) -> Result<&[Id], String> {
        match self.values.value(self.get(key)?) {
            Value::List(items) => Ok(items),
            _ => Err(format!("`{key}` is no list")),
        }
    }

    /// A list of integers.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<i64>, String> {
        let integer = |&id: &Id| match self.values.value(id) {
            Value::Int(value) => Ok(*value),
            _ => Err(format!("`{key}` holds something that is no integer")),
        };
        self.list(key)?.iter().map(integer).collect()
    }

    /// A list of strings.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let text = |&id: &Id| match self.values.value(id) {
            Value::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Value::Text(text) => Ok((*text).to_string()),
            _ => Err(format!("`{key}` holds something that is no string")),
        };
        self.list(key)?.iter().map(text).collect()
    }
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
