//! Other programs' names for the tensors of a network.
//!
//! A network has the names of its reference. Where other programs have names of their own, its family lists them as
//! [`Spelling`]s, and the names of a file say which of them it follows. A tensor may be in several pieces there, whose
//! rows are joined.

use std::collections::BTreeMap;
use std::path::Path;

use burn::store::burn_pack::Tensor as Stored;
use burn::tensor::{Bytes, Shape};

use crate::Error;
use crate::keys::Key;
use crate::mismatch::Shapes;
use crate::prefix;
use crate::vit::Origin;

/// The names that one program gives to the tensors of a network.
#[derive(Clone, Debug)]
pub(crate) struct Spelling {
    /// The program.
    pub origin: Origin,
    /// Its names for each of ours; several for a tensor that is in pieces there, in the order of their rows.
    pub names: BTreeMap<String, Vec<String>>,
    /// Shapes of as many numbers that tensors have there, by our names; others have ours.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// What its networks add to variances, where that is not what ours do.
    pub epsilon: Option<f64>,
    /// How names begin that the network has no use for.
    pub ignored: Vec<String>,
}

impl Spelling {
    /// Our names, in a program that has them, too.
    pub fn own(origin: Origin) -> Self {
        Self {
            origin,
            names: BTreeMap::new(),
            shapes: BTreeMap::new(),
            epsilon: None,
            ignored: Vec::new(),
        }
    }

    /// The keys of a network as a file of this program has them. Pieces of one tensor have one path.
    pub fn keys(&self, own: &[Key]) -> Vec<Key> {
        own.iter().flat_map(|key| self.pieces(key)).collect()
    }

    /// A key as it is there, in its pieces.
    pub fn pieces(&self, key: &Key) -> Vec<Key> {
        let Some(names) = self.names.get(&key.name) else {
            return vec![key.clone()];
        };
        let piece = |name: &String| {
            let shape = self.shapes.get(&key.name).unwrap_or(&key.shape);
            let mut shape = shape.clone();
            if let Some(rows) = shape.first_mut() {
                *rows /= names.len();
            }
            Key {
                name: name.clone(),
                shape,
                ..key.clone()
            }
        };
        names.iter().map(piece).collect()
    }

    /// Whether a network has no use for a name.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignored.iter().any(|start| name.starts_with(start))
    }
}

/// The spelling that most names of a file follow, of those that a family lists; the first of several that fit alike.
/// None when the family lists none.
pub(crate) fn of_file(found: &Shapes, spellings: Vec<Spelling>, own: &[Key]) -> Option<Spelling> {
    let share = |spelling: &Spelling| {
        let keys = spelling.keys(own);
        // As a share of the names that are wanted, without fractions.
        prefix::most(found, &keys) * 1_000_000 / keys.len().max(1)
    };
    let mut spellings = spellings.into_iter();
    let mut best = spellings.next()?;
    let mut most = share(&best);
    for other in spellings {
        let share = share(&other);
        if share > most {
            (best, most) = (other, share);
        }
    }
    Some(best)
}

/// The tensors of a file under the paths of the module, in the shapes of `own`, its keys. `keys` are the file's;
/// pieces of one path are joined.
///
/// # Errors
/// [`Error::Format`] for pieces of several number types.
pub(crate) fn take(
    path: &Path,
    mut stored: BTreeMap<String, Stored>,
    keys: &[Key],
    own: &[Key],
) -> Result<Vec<Stored>, Error> {
    let shapes = own.iter().map(|key| (key.path.as_str(), &key.shape));
    let shapes: BTreeMap<&str, &Vec<usize>> = shapes.collect();
    let mut tensors = Vec::new();
    for pieces in keys.chunk_by(|one, other| one.path == other.path) {
        let found = pieces.iter().filter_map(|key| stored.remove(&key.name));
        let mut found: Vec<Stored> = found.collect();
        let Some(first) = found.first() else { continue };
        if let Some(other) = found.iter().find(|piece| piece.dtype != first.dtype) {
            return Err(Error::Format {
                path: path.to_owned(),
                problem: format!(
                    "`{}` holds {:?} and `{}` {:?}, which are pieces of one tensor",
                    first.name, first.dtype, other.name, other.dtype
                ),
            });
        }
        let mut tensor = match found.len() {
            1 => found.remove(0),
            _ => joined(found),
        };
        tensor.name.clone_from(&pieces[0].path);
        if let Some(&shape) = shapes.get(tensor.name.as_str()) {
            tensor.shape = Shape::from(shape.clone());
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

/// Tensors of one number type, the rows of one below those of the other.
fn joined(pieces: Vec<Stored>) -> Stored {
    let first = &pieces[0];
    let mut shape: Vec<usize> = first.shape.iter().copied().collect();
    shape[0] = pieces
        .iter()
        .filter_map(|piece| piece.shape.iter().next())
        .sum();
    let (name, dtype) = (first.name.clone(), first.dtype);
    let length = pieces.iter().map(Stored::byte_len).sum();
    Stored::deferred(name, dtype, Shape::from(shape), None, length, move || {
        let mut bytes = Vec::with_capacity(length);
        for piece in &pieces {
            bytes.extend_from_slice(&piece.to_bytes()?);
        }
        Ok(Bytes::from_bytes_vec(bytes))
    })
}
