//! Graphs in NumPy's archives.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{GraphSet, SparseRows, both_ways, wrong};
use crate::Error;

/// What an archive may hold, for its errors.
const ARRAYS: &str = "a graph has `labels`; `edges`, or `adj_indptr` and `adj_indices`; and `features` or `attr_matrix`, or \
                      `attr_indptr`, `attr_indices`, `attr_data` and `attr_shape`";

impl GraphSet {
    /// Reads an archive of NumPy (`numpy.savez`) with these arrays:
    ///
    /// | of | arrays |
    /// | --- | --- |
    /// | nodes | `labels` `[nodes]`, numbers of classes from 0 |
    /// | edges | `edges` `[edges, 2]` or `[2, edges]`, numbers of nodes from 0; or `adj_indptr` and `adj_indices`, the rows of a sparse adjacency |
    /// | features | `features` or `attr_matrix` `[nodes, features]`; or `attr_indptr`, `attr_indices`, `attr_data` and `attr_shape`, sparse rows |
    ///
    /// Those with `adj` and `attr` are the files of Shchur et al. ("Pitfalls of Graph Neural Network Evaluation", 2018), which
    /// GLNN's data have. Classes are called by their numbers. Edges count both ways and once, without self-loops.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Format`] for an archive that is none, an array that is missing, of another shape, or of
    /// something else than numbers, and for numbers of nodes that are not there.
    pub fn read_npz(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut archive = Archive::open(path)?;
        let labels = archive.indices("labels")?;
        let nodes = labels.len();
        let features = match archive.first(&["features", "attr_matrix"])? {
            Some((name, dense)) => dense_rows(dense).ok_or_else(|| {
                wrong(
                    path,
                    format!("`{name}` is no table of numbers: it needs two axes"),
                )
            })?,
            None => archive.sparse_rows()?,
        };
        if features.shape[0] != nodes {
            let rows = features.shape[0];
            return Err(wrong(
                path,
                format!("there are features of {rows} nodes and labels of {nodes}"),
            ));
        }
        let pairs = archive.edges(nodes)?;
        let there = |node: &&[usize; 2]| node.iter().all(|node| *node < nodes);
        let left_out = pairs.len() - pairs.iter().filter(there).count();
        let edges = both_ways(pairs.iter().filter(there));
        if edges.is_empty() {
            return Err(wrong(
                path,
                "no edge is between two nodes that are there".into(),
            ));
        }
        let classes = labels.iter().max().map_or(0, |most| most + 1);
        if classes > nodes {
            let most = classes - 1;
            return Err(wrong(
                path,
                format!("`labels` names class {most} of {nodes} nodes: number the classes from 0"),
            ));
        }
        Ok(Self {
            features,
            edges,
            labels: labels.into_iter().map(|label| label as u32).collect(),
            classes: (0..classes).map(|class| class.to_string()).collect(),
            left_out,
        })
    }
}

/// Numbers with their shape.
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<File>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Io {
            what: "read the graph in",
            path: path.to_owned(),
            source,
        })?;
        match ZipArchive::new(file) {
            Ok(zip) => Ok(Self { path, zip }),
            Err(problem) => Err(wrong(path, format!("is no .npz of NumPy: {problem}"))),
        }
    }

    /// An array, if there is one of this name.
    fn get(&mut self, name: &str) -> Result<Option<Array>, Error> {
        let mut bytes = Vec::new();
        match self.zip.by_name(&format!("{name}.npy")) {
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(problem) => return Err(wrong(self.path, format!("`{name}`: {problem}"))),
            Ok(mut file) => file
                .read_to_end(&mut bytes)
                .map_err(|problem| wrong(self.path, format!("`{name}`: {problem}")))?,
        };
        match array(&bytes) {
            Ok(array) => Ok(Some(array)),
            Err(problem) => Err(wrong(self.path, format!("`{name}` {problem}"))),
        }
    }

    fn first(&mut self, names: &[&'static str]) -> Result<Option<(&'static str, Array)>, Error> {
        for name in names {
            if let Some(found) = self.get(name)? {
                return Ok(Some((name, found)));
            }
        }
        Ok(None)
    }

    fn need(&mut self, name: &str) -> Result<Array, Error> {
        let found = self.get(name)?;
        found.ok_or_else(|| wrong(self.path, format!("there is no array `{name}`: {ARRAYS}")))
    }

    /// Whole numbers from 0.
    fn indices(&mut self, name: &str) -> Result<Vec<usize>, Error> {
        let Array { shape, values } = self.need(name)?;
        let whole =
            |value: &f64| *value >= 0.0 && value.fract() == 0.0 && *value <= f64::from(u32::MAX);
        match values.iter().find(|value| !whole(value)) {
            Some(value) => Err(wrong(
                self.path,
                format!("`{name}` has {value}, and its numbers count from 0"),
            )),
            None if shape.len() != 1 => Err(wrong(
                self.path,
                format!("`{name}` has the shape {shape:?}; it needs one axis"),
            )),
            None => Ok(values.into_iter().map(|value| value as usize).collect()),
        }
    }

    /// Where the entries of each row of a sparse matrix end, and the places of the entries.
    fn rows_of(&mut self, matrix: &str) -> Result<(Vec<usize>, Vec<usize>), Error> {
        let ends = self.indices(&format!("{matrix}_indptr"))?;
        let places = self.indices(&format!("{matrix}_indices"))?;
        let grows = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        match (ends.first(), ends.last()) {
            (Some(0), Some(last)) if grows && *last == places.len() => Ok((ends, places)),
            _ => Err(wrong(
                self.path,
                format!(
                    "`{matrix}_indptr` does not divide the {} entries of `{matrix}_indices` into rows",
                    places.len()
                ),
            )),
        }
    }

    fn sparse_rows(&mut self) -> Result<SparseRows, Error> {
        let (ends, places) = self.rows_of("attr")?;
        let values = self.need("attr_data")?.values;
        let shape = self.indices("attr_shape")?;
        let [rows, width] = shape[..] else {
            return Err(wrong(
                self.path,
                "`attr_shape` is not of two numbers".into(),
            ));
        };
        if rows + 1 != ends.len() || values.len() != places.len() {
            return Err(wrong(
                self.path,
                "`attr_shape`, `attr_indptr`, `attr_indices` and `attr_data` are not of one matrix"
                    .into(),
            ));
        }
        if let Some(place) = places.iter().find(|place| **place >= width) {
            return Err(wrong(
                self.path,
                format!("`attr_indices` names feature {place}, and there are {width}, from 0"),
            ));
        }
        let entries = entries(&ends, &places).zip(values);
        Ok(sparse(
            [rows, width],
            entries.map(|([row, place], value)| (row, place, value)),
        ))
    }

    fn edges(&mut self, nodes: usize) -> Result<Vec<[usize; 2]>, Error> {
        let Some(Array { shape, values }) = self.get("edges")? else {
            let (ends, places) = self.rows_of("adj")?;
            if ends.len() != nodes + 1 {
                return Err(wrong(
                    self.path,
                    format!(
                        "`adj_indptr` is of {} nodes, and there are {nodes}",
                        ends.len() - 1
                    ),
                ));
            }
            return Ok(entries(&ends, &places).collect());
        };
        if let Some(value) = values.iter().find(|v| **v < 0.0 || v.fract() != 0.0) {
            return Err(wrong(
                self.path,
                format!("`edges` has {value}, and nodes are counted from 0"),
            ));
        }
        let node = |at: usize| values[at] as usize;
        match shape[..] {
            [count, 2] => Ok((0..count)
                .map(|edge| [node(2 * edge), node(2 * edge + 1)])
                .collect()),
            [2, count] => Ok((0..count)
                .map(|edge| [node(edge), node(count + edge)])
                .collect()),
            _ => Err(wrong(
                self.path,
                format!("`edges` has the shape {shape:?}; it needs [edges, 2] or [2, edges]"),
            )),
        }
    }
}

/// Row and place of every entry.
fn entries<'a>(ends: &'a [usize], places: &'a [usize]) -> impl Iterator<Item = [usize; 2]> + 'a {
    let rows = ends.windows(2).enumerate();
    rows.flat_map(|(row, of)| places[of[0]..of[1]].iter().map(move |place| [row, *place]))
}

fn dense_rows(array: Array) -> Option<SparseRows> {
    let [rows, width] = array.shape[..] else {
        return None;
    };
    let values = array.values.into_iter().enumerate();
    let entries = values.map(|(at, value)| (at / width.max(1), at % width.max(1), value));
    Some(sparse([rows, width], entries))
}

/// Those that are not 0.
fn sparse(shape: [usize; 2], entries: impl Iterator<Item = (usize, usize, f64)>) -> SparseRows {
    let mut found = SparseRows {
        rows: Vec::new(),
        places: Vec::new(),
        values: Vec::new(),
        shape,
    };
    for (row, place, value) in entries.filter(|(_, _, value)| *value != 0.0) {
        found.rows.push(row);
        found.places.push(place);
        found.values.push(value as f32);
    }
    found
}

/// An array as NumPy writes it: magic, version, a Python dictionary of type, order and shape, and the numbers.
///
/// Source: "NEP 1: a simple file format for NumPy arrays".
fn array(bytes: &[u8]) -> Result<Array, String> {
    let cut = || "is cut off".to_owned();
    let (length, start) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (usize::from(u16::from_le_bytes([*a, *b])), 10)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12)
        }
        _ => return Err("is no array of NumPy".into()),
    };
    let header = bytes.get(start..start + length).ok_or_else(cut)?;
    let header = String::from_utf8_lossy(header);
    let field = |key: &str| {
        let from = header.find(&format!("'{key}':"))? + key.len() + 3;
        Some(header[from..].trim_start())
    };
    let strange = || "has a header that is not understood".to_owned();
    let kind = field("descr").and_then(|text| text.strip_prefix('\'')?.split('\'').next());
    let kind = kind.ok_or_else(|| "holds records; save plain numbers".to_owned())?;
    if !field("fortran_order")
        .ok_or_else(strange)?
        .starts_with("False")
    {
        return Err("is stored column by column; save `numpy.ascontiguousarray` of it".into());
    }
    let shape = field("shape").and_then(|text| text.strip_prefix('(')?.split(')').next());
    let shape = shape.ok_or_else(strange)?.split(',').map(str::trim);
    let shape: Result<Vec<usize>, _> = shape
        .filter(|side| !side.is_empty())
        .map(str::parse)
        .collect();
    let shape = shape.map_err(|_| strange())?;
    let count = shape
        .iter()
        .try_fold(1usize, |all, side| all.checked_mul(*side));
    let count = count.ok_or_else(strange)?;
    let data = &bytes[start + length..];
    let values = numbers(kind, data)?;
    match values.len() == count {
        true => finite(Array { shape, values }),
        false => Err(cut()),
    }
}

fn finite(array: Array) -> Result<Array, String> {
    match array.values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(format!("has {value}")),
        None => Ok(array),
    }
}

fn numbers(kind: &str, data: &[u8]) -> Result<Vec<f64>, String> {
    fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let whole = data.as_chunks::<N>();
        whole.0.iter().map(|bytes| number(*bytes)).collect()
    }
    Ok(match kind {
        "<f4" => each(data, |b| f64::from(f32::from_le_bytes(b))),
        "<f8" => each(data, f64::from_le_bytes),
        "|b1" | "|u1" => each(data, |b| f64::from(u8::from_le_bytes(b))),
        "|i1" => each(data, |b| f64::from(i8::from_le_bytes(b))),
        "<u2" => each(data, |b| f64::from(u16::from_le_bytes(b))),
        "<i2" => each(data, |b| f64::from(i16::from_le_bytes(b))),
        "<u4" => each(data, |b| f64::from(u32::from_le_bytes(b))),
        "<i4" => each(data, |b| f64::from(i32::from_le_bytes(b))),
        "<u8" => each(data, |b| u64::from_le_bytes(b) as f64),
        "<i8" => each(data, |b| i64::from_le_bytes(b) as f64),
        "|O" => return Err("holds Python objects; save it as numbers".into()),
        other => {
            return Err(format!(
                "is of the type {other}; save it as float32, float64 or integers of this machine's order"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Result<GraphSet, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/graphs");
        GraphSet::read_npz(folder.join(name)).map_err(|e| e.to_string())
    }

    #[test]
    fn both_kinds_of_archives_are_the_same_graph() {
        let set = golden("sparse.npz").unwrap();
        assert_eq!(set.labels, [1, 0, 2, 1]);
        assert_eq!(set.classes, ["0", "1", "2"]);
        assert_eq!(set.edges, [[0, 1], [1, 0], [1, 3], [3, 1]]);
        assert_eq!(set.features.shape, [4, 3]);
        assert_eq!(set.features.rows, [0, 1, 3, 3]);
        assert_eq!(set.features.places, [1, 0, 0, 2]);
        assert_eq!(set.features.values, [2.0, 0.5, 1.0, -1.5]);
        assert_eq!(set.left_out, 0);
        for other in ["dense.npz", "columns.npz"] {
            assert_eq!(golden(other).unwrap(), set, "{other}");
        }
        let outside = golden("outside.npz").unwrap();
        assert_eq!((outside.edges.len(), outside.left_out), (4, 1));
    }

    #[test]
    fn what_is_wrong_names_the_array_and_the_cure() {
        for (name, part) in [
            (
                "objects.npz",
                "`labels` holds Python objects; save it as numbers",
            ),
            (
                "missing.npz",
                "there is no array `adj_indptr`: a graph has `labels`",
            ),
            (
                "order.npz",
                "`features` is stored column by column; save `numpy.ascontiguousarray`",
            ),
            ("unlike.npz", "features of 3 nodes and labels of 4"),
            (
                "gaps.npz",
                "`labels` names class 90 of 4 nodes: number the classes from 0",
            ),
            (
                "unlabelled.npz",
                "`labels` has -1, and its numbers count from 0",
            ),
            ("infinite.npz", "`features` has inf"),
            ("bare.npy", "is no .npz of NumPy"),
        ] {
            let problem = golden(name).unwrap_err();
            assert!(problem.contains(part), "{problem}, without {part}");
        }
    }

    #[test]
    fn an_array_that_is_cut_off_is_refused() {
        let mut bytes = b"\x93NUMPY\x01\x00\x3a\x00".to_vec();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}";
        bytes.extend(format!("{header:57}\n").bytes());
        for value in [1.0f32, 2.0, 3.0, 4.0] {
            bytes.extend(value.to_le_bytes());
        }
        let whole = array(&bytes).unwrap();
        assert_eq!(
            (whole.shape, whole.values),
            (vec![2, 2], vec![1.0, 2.0, 3.0, 4.0])
        );
        for length in 0..bytes.len() {
            assert!(array(&bytes[..length]).is_err(), "{length}");
        }
    }
}
