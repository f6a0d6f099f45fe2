//! Graphs of nodes with features and classes: Cora, Citeseer, and tables of one's own.

mod npz;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Error;

/// A graph with the features and classes of its nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphSet {
    /// Features that are not 0.
    pub features: SparseRows,
    /// Directed edges from node to node, each both ways, without self-loops and each once.
    pub edges: Vec<[usize; 2]>,
    /// The class of each node.
    pub labels: Vec<u32>,
    /// Names of the classes, by the alphabet.
    pub classes: Vec<String>,
    /// Lines of the list of edges that name a node that is not there: Citeseer has some.
    pub left_out: usize,
}

/// Rows of which most numbers are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows {
    /// The row of each number.
    pub rows: Vec<usize>,
    /// Its place in the row.
    pub places: Vec<usize>,
    /// The numbers.
    pub values: Vec<f32>,
    /// Rows, and numbers in a row.
    pub shape: [usize; 2],
}

/// Nodes of a split, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NodeSplit {
    /// Nodes whose class may be learned from.
    pub train: Vec<usize>,
    /// Nodes that select the epoch.
    #[serde(alias = "val")]
    pub validation: Vec<usize>,
    /// Nodes that are read at the end.
    pub test: Vec<usize>,
}

impl GraphSet {
    /// Reads a table of nodes, each line an identifier, the node's features and its class, and a table of edges, each line
    /// two identifiers: `cora.content` and `cora.cites`, or the same as csv or tsv. Cells are parted by white space or by
    /// commas. A first line of nodes whose features are no numbers is a header.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Format`] for a line that is none, an identifier that comes twice, and edges of which
    /// none is between nodes that are there.
    pub fn read(nodes: impl AsRef<Path>, edges: impl AsRef<Path>) -> Result<Self, Error> {
        let (nodes, edges) = (nodes.as_ref(), edges.as_ref());
        let mut set = read_nodes(nodes)?;
        let (pairs, left_out) = read_edges(edges, &set.numbers)?;
        set.set.edges = pairs;
        set.set.left_out = left_out;
        Ok(set.set)
    }

    /// The same with each node's features divided by their sum, as the Planetoid files have them; a node without any keeps
    /// none.
    #[must_use]
    pub fn normalised_rows(mut self) -> Self {
        let mut sums = vec![0.0_f32; self.features.shape[0]];
        for (row, value) in self.features.rows.iter().zip(&self.features.values) {
            sums[*row] += value;
        }
        let values = self.features.values.iter_mut();
        for (row, value) in self.features.rows.iter().zip(values) {
            if sums[*row] != 0.0 {
                *value /= sums[*row];
            }
        }
        self
    }
}

impl NodeSplit {
    /// Reads a split, `{ "train": [..], "validation": [..], "test": [..] }` of the numbers of nodes in the order of their
    /// table; `val` means `validation` too.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Format`] for numbers that no node of `nodes` has and for a split without nodes.
    pub fn read(path: impl AsRef<Path>, nodes: usize) -> Result<Self, Error> {
        let path = path.as_ref();
        let split: Self =
            serde_json::from_str(&text(path)?).map_err(|e| wrong(path, e.to_string()))?;
        for (name, part) in [
            ("train", &split.train),
            ("validation", &split.validation),
            ("test", &split.test),
        ] {
            if let Some(node) = part.iter().find(|node| **node >= nodes) {
                let problem =
                    format!("`{name}` names node {node}, and there are {nodes} nodes, from 0");
                return Err(wrong(path, problem));
            }
            if part.is_empty() {
                return Err(wrong(path, format!("`{name}` has no node")));
            }
        }
        Ok(split)
    }
}

struct Nodes {
    set: GraphSet,
    numbers: HashMap<String, usize>,
}

fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io {
        what: "read the graph in",
        path: path.to_owned(),
        source,
    })
}

fn wrong(path: &Path, problem: String) -> Error {
    Error::Format {
        path: path.to_owned(),
        problem,
    }
}

/// Lines with their numbers, split into cells.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| {
        let cells = match line.contains(',') {
            true => line.split(',').map(str::trim).collect(),
            false => line.split_whitespace().collect(),
        };
        (at + 1, cells)
    })
}

fn read_nodes(path: &Path) -> Result<Nodes, Error> {
    let text = text(path)?;
    let mut numbers = HashMap::new();
    let mut features = SparseRows {
        rows: Vec::new(),
        places: Vec::new(),
        values: Vec::new(),
        shape: [0, 0],
    };
    let mut names: Vec<&str> = Vec::new();
    let mut width = None;
    for (at, (line, cells)) in lines(&text).enumerate() {
        let [id, middle @ .., class] = cells.as_slice() else {
            return Err(wrong(
                path,
                format!("line {line} has no identifier and class"),
            ));
        };
        let parsed: Result<Vec<f32>, usize> = middle
            .iter()
            .enumerate()
            .map(|(place, cell)| cell.parse().map_err(|_| place))
            .collect();
        let row = match parsed {
            Ok(row) => row,
            Err(_) if at == 0 => continue,
            Err(place) => {
                let problem = format!(
                    "line {line}: feature {} is `{}`, no number",
                    place + 1,
                    middle[place]
                );
                return Err(wrong(path, problem));
            }
        };
        let width = *width.get_or_insert(row.len());
        if row.len() != width {
            let problem = format!(
                "line {line} has {} features and the first node {width}",
                row.len()
            );
            return Err(wrong(path, problem));
        }
        let node = names.len();
        if numbers.insert((*id).to_owned(), node).is_some() {
            return Err(wrong(
                path,
                format!("line {line}: the node `{id}` is there already"),
            ));
        }
        for (place, value) in row.into_iter().enumerate() {
            if !value.is_finite() {
                return Err(wrong(
                    path,
                    format!("line {line}: feature {} is {value}", place + 1),
                ));
            }
            if value != 0.0 {
                features.rows.push(node);
                features.places.push(place);
                features.values.push(value);
            }
        }
        names.push(class);
    }
    features.shape = [names.len(), width.unwrap_or(0)];
    if names.is_empty() {
        return Err(wrong(path, "it holds no node".into()));
    }
    let mut classes: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    classes.sort();
    classes.dedup();
    let label = |name: &&str| classes.iter().position(|class| class == name).unwrap_or(0) as u32;
    let labels = names.iter().map(label).collect();
    Ok(Nodes {
        set: GraphSet {
            features,
            edges: Vec::new(),
            labels,
            classes,
            left_out: 0,
        },
        numbers,
    })
}

/// Edges both ways, and the lines that were left out.
fn read_edges(
    path: &Path,
    numbers: &HashMap<String, usize>,
) -> Result<(Vec<[usize; 2]>, usize), Error> {
    let text = text(path)?;
    let (mut pairs, mut left_out) = (Vec::new(), 0);
    for (line, cells) in lines(&text) {
        let [from, to] = cells.as_slice() else {
            return Err(wrong(
                path,
                format!(
                    "line {line} has {} cells; an edge is two nodes",
                    cells.len()
                ),
            ));
        };
        match (numbers.get(*from), numbers.get(*to)) {
            (Some(from), Some(to)) => pairs.push([*from, *to]),
            _ => left_out += 1,
        }
    }
    let edges = both_ways(pairs.iter());
    match edges.is_empty() {
        true => Err(wrong(
            path,
            "no edge is between two nodes that are there".into(),
        )),
        false => Ok((edges, left_out)),
    }
}

/// Each edge in both directions and once, without self-loops.
fn both_ways<'a>(pairs: impl Iterator<Item = &'a [usize; 2]>) -> Vec<[usize; 2]> {
    let others = pairs.filter(|[from, to]| from != to);
    let mut edges: Vec<[usize; 2]> = others.flat_map(|&[a, b]| [[a, b], [b, a]]).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(nodes: &str, edges: &str) -> Result<GraphSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let [at, other] = ["nodes", "edges"].map(|name| folder.path().join(name));
        fs::write(&at, nodes).unwrap();
        fs::write(&other, edges).unwrap();
        GraphSet::read(&at, &other).map_err(|e| e.to_string())
    }

    #[test]
    fn a_graph_is_read_with_or_without_commas() {
        let content = "31\t0\t2\tNeural\n7\t1\t1\tGenetic\n9\t0\t0\tNeural\n";
        let set = read(content, "31 7\n7 31\n7 9\n9 9\n9 1000\n").unwrap();
        assert_eq!(set.classes, ["Genetic", "Neural"]);
        assert_eq!(set.labels, [1, 0, 1]);
        assert_eq!(set.edges, [[0, 1], [1, 0], [1, 2], [2, 1]]);
        assert_eq!(set.left_out, 1);
        assert_eq!(set.features.shape, [3, 2]);
        assert_eq!(set.features.rows, [0, 1, 1]);
        assert_eq!(
            set.clone().normalised_rows().features.values,
            [1.0, 0.5, 0.5]
        );
        let csv = "id,a,b,class\n31,0,2,Neural\n7,1,1,Genetic\n9,0,0,Neural\n";
        assert_eq!(read(csv, "31,7\n7,9\n9,1000\n").unwrap(), set);
    }

    #[test]
    fn what_is_wrong_names_the_line() {
        let good = "1 0 a\n2 1 b\n";
        for (nodes, edges, part) in [
            ("1 0 a\n2 x b\n", "1 2", "line 2: feature 1 is `x`"),
            ("1 0 a\n2 1 1 b\n", "1 2", "line 2 has 2 features"),
            (
                "1 0 a\n1 1 b\n",
                "1 2",
                "line 2: the node `1` is there already",
            ),
            ("1 inf a\n2 1 b\n", "1 2", "line 1: feature 1 is inf"),
            ("", "1 2", "no node"),
            (good, "1 2 3", "line 1 has 3 cells"),
            (good, "1 3", "no edge"),
        ] {
            let refused = read(nodes, edges).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn a_split_names_nodes_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split.json");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            NodeSplit::read(&path, 3).map_err(|e| e.to_string())
        };
        let split = read(r#"{ "train": [0], "val": [1], "test": [2] }"#).unwrap();
        assert_eq!(
            (split.train, split.validation, split.test),
            (vec![0], vec![1], vec![2])
        );
        let refused = read(r#"{ "train": [0], "val": [1], "test": [3] }"#).unwrap_err();
        assert!(
            refused.ends_with("`test` names node 3, and there are 3 nodes, from 0"),
            "{refused}"
        );
        let refused = read(r#"{ "train": [], "val": [1], "test": [2] }"#).unwrap_err();
        assert!(refused.ends_with("`train` has no node"), "{refused}");
    }
}
