//! The recipe's `[teacher.cache]`.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// What is kept of the teacher's answers, and where. Without the table nothing is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Which views of an image the students are shown. Default: `all`.
    pub views: Views,
    /// How a number is stored. Default: `f32`, which changes nothing.
    pub precision: Precision,
    /// Keep only the so many largest logits of an image, and what the softmax leaves for the other
    /// classes, spread evenly over them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Keep the embedding too, for terms that compare embeddings. Default: `false`.
    pub embedding: bool,
    /// Keep the teacher's maps of these levels too, for terms that compare maps; 0 is the first. Of a vision
    /// transformer they are its patches as a grid. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<usize>,
    /// Where the answers are kept. Default: `memory`.
    pub place: Place,
    /// The file, relative to the recipe; only with `place = "file"`. Default: a name that follows
    /// from teacher, data and this table, in `teacher-cache` beside the run folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// Which views of an image there are in training. In a recipe: `"all"` or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// Those that the augmentation draws.
    #[default]
    All,
    /// So many, drawn once and shown in turn (Shen and Xing, ECCV 2022): another distribution of
    /// the data.
    Count(NonZeroU64),
}

/// How a number is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As it is, 4 bytes.
    #[default]
    F32,
    /// Rounded to 11 significant bits, 2 bytes.
    F16,
}

/// Where answers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In memory, for this run.
    #[default]
    Memory,
    /// In a file, which later runs read.
    File,
}

impl CacheConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.top_k == Some(0) {
            return Err(
                "teacher.cache.top_k = 0: must be at least 1; leave the key out to keep all classes"
                    .into(),
            );
        }
        let repeated = |at: usize| self.maps[..at].contains(&self.maps[at]);
        if (0..self.maps.len()).any(repeated) {
            return Err(format!(
                "teacher.cache.maps = {:?}: list each level once",
                self.maps
            ));
        }
        if self.path.is_some() && self.place == Place::Memory {
            return Err(
                "teacher.cache.path is for a cache in a file: set teacher.cache.place = \"file\", \
                 or leave the path out"
                    .into(),
            );
        }
        Ok(())
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

impl Serialize for Views {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Views {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ViewsVisitor;
        impl Visitor<'_> for ViewsVisitor {
            type Value = Views;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"all\" or a number of views of at least 1")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Views, E> {
                match value {
                    "all" => Ok(Views::All),
                    _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Views, E> {
                match NonZeroU64::new(value) {
                    Some(count) => Ok(Views::Count(count)),
                    None => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Views, E> {
                match u64::try_from(value) {
                    Ok(count) => self.visit_u64(count),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(ViewsVisitor)
    }
}
