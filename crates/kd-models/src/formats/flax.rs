//! Files of Flax: nested maps in msgpack, whose leaves are arrays.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Tensors;
use super::layers::{self, Array, Config, Kind, Layer, Names, Said};

/// What Flax adds to variances where nothing is said of it.
const EPSILON: f64 = 1e-5;

/// Maps are not deeper.
const DEEPEST: usize = 64;

/// The number of Flax's extension for an array.
const ARRAY: i8 = 1;

/// The tensors of a file under the names of PyTorch's network. `bytes` are the whole file `path`. Flax has no names for
/// networks of its own, so that those of the user say which layer is which.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<(Tensors, Said), String> {
    let layers = of_file(bytes)?;
    let names = Names::of(path, &layers)?;
    layers::tensors(&layers, &Config::default(), &names, EPSILON)
}

/// The layers of a file: of parameters and statistics, where it has both, those of one path are one layer.
fn of_file(bytes: &[u8]) -> Result<Vec<Layer>, String> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEEPEST);
    let root = Value::deserialize(&mut reader).map_err(|e| e.to_string())?;
    let Value::Map(root) = root else {
        return Err("it holds no map of parameters".into());
    };
    let mut found = BTreeMap::new();
    match root.contains_key("params") {
        true => {
            for name in ["params", "batch_stats"] {
                if let Some(value) = root.get(name) {
                    collect(value, "", &mut found)?;
                }
            }
        }
        false => collect(&Value::Map(root), "", &mut found)?,
    }
    let layers = found.into_iter().map(|(name, arrays)| Layer {
        name,
        kind: Kind::Other,
        arrays,
    });
    let layers: Vec<Layer> = layers.collect();
    match layers.is_empty() {
        true => Err("it holds no arrays".into()),
        false => Ok(layers),
    }
}

type Found = BTreeMap<String, Vec<(String, Array)>>;

/// The arrays behind a path, with the name that Keras has for each.
fn collect(value: &Value, path: &str, found: &mut Found) -> Result<(), String> {
    let Value::Map(entries) = value else {
        return Ok(());
    };
    let normalisation = entries.contains_key("scale") || entries.contains_key("mean");
    for (name, value) in entries {
        let full = match path {
            "" => name.clone(),
            path => format!("{path}/{name}"),
        };
        let Value::Extension(ARRAY, bytes) = value else {
            collect(value, &full, found)?;
            continue;
        };
        let keras = match name.as_str() {
            "scale" => "gamma",
            "bias" if normalisation => "beta",
            "mean" => "moving_mean",
            "var" => "moving_variance",
            other => other,
        };
        let array = array(bytes).map_err(|problem| format!("`{full}`: {problem}"))?;
        let layer = found.entry(path.to_owned()).or_default();
        layer.push((keras.to_owned(), array));
    }
    Ok(())
}

/// An array: its shape, the name of its elements, and their bytes.
fn array(bytes: &[u8]) -> Result<Array, String> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEEPEST);
    let value = Value::deserialize(&mut reader).map_err(|e| e.to_string())?;
    let Value::List(parts) = value else {
        return Err("it is no array".into());
    };
    let [Value::List(shape), Value::Text(kind), Value::Bytes(bytes)] = &parts[..] else {
        return Err("it is no array of a shape, a kind and bytes".into());
    };
    let extents = shape.iter().map(|extent| match extent {
        Value::Number(extent) => usize::try_from(*extent).ok(),
        _ => None,
    });
    let shape: Vec<usize> = extents
        .collect::<Option<_>>()
        .ok_or("its shape is no list of numbers")?;
    let values: Vec<f32> = match kind.as_str() {
        "float32" => {
            let (each, _) = bytes.as_chunks::<4>();
            each.iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        }
        // The upper half of a number.
        "bfloat16" => {
            let (each, _) = bytes.as_chunks::<2>();
            let bits = each.iter().map(|bytes| u16::from_le_bytes(*bytes));
            bits.map(|bits| f32::from_bits(u32::from(bits) << 16))
                .collect()
        }
        other => {
            return Err(format!(
                "its elements are `{other}`, and float32 and bfloat16 are read"
            ));
        }
    };
    let count = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    match count == Some(values.len()) {
        true => Ok(Array { shape, values }),
        false => Err(format!("{} elements for the shape {shape:?}", values.len())),
    }
}

/// What msgpack holds, as far as arrays need it.
enum Value {
    Map(BTreeMap<String, Value>),
    List(Vec<Value>),
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    Extension(i8, Vec<u8>),
    Other,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of msgpack")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<Value, Value>()? {
            let key = match key {
                Value::Text(key) => key,
                // Layers of a list.
                Value::Number(number) => number.to_string(),
                _ => return Err(A::Error::custom("a map with a key that is no text")),
            };
            entries.insert(key, value);
        }
        Ok(Value::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(ExtensionVisitor)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Other, Value::Number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }
}

/// The number of an extension and its bytes.
struct ExtensionVisitor;

impl<'de> Visitor<'de> for ExtensionVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an extension of msgpack")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let number = parts.next_element::<i8>()?;
        let bytes = parts.next_element::<Value>()?;
        match (number, bytes) {
            (Some(number), Some(Value::Bytes(bytes))) => Ok(Value::Extension(number, bytes)),
            _ => Err(A::Error::custom("an extension without content")),
        }
    }
}
