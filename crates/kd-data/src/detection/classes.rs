//! The classes of a set of boxes.

use std::path::Path;

use crate::Error;

/// Classes by their numbers, from 1 on; 0 is the background.
///
/// A training and a validation set must have one map between ids and classes. So the second set is read with the
/// classes of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    ids: Vec<i64>,
    names: Vec<String>,
}

impl Classes {
    /// Classes from their ids in a file and their names: in the order of the ids, without the gaps between them.
    ///
    /// # Errors
    /// When an id is there twice, which is said of `path`.
    pub(super) fn new(mut named: Vec<(i64, String)>, path: &Path) -> Result<Self, Error> {
        named.sort_by_key(|(id, _)| *id);
        if let Some(pair) = named.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (id, one, other) = (pair[0].0, &pair[0].1, &pair[1].1);
            return Err(Error::format(
                path,
                format!(
                    "categories `{one}` and `{other}` both have the id {id}; give each its own"
                ),
            ));
        }
        let (ids, names) = named.into_iter().unzip();
        Ok(Self { ids, names })
    }

    /// Classes of these names, in this order.
    pub(super) fn numbered(names: &[&str]) -> Self {
        Self {
            ids: (1..=names.len() as i64).collect(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Classes that have their ids as their numbers, and the number of each of these; none where an id is below 1 or above
    /// 1000.
    pub(super) fn by_id(&self) -> Option<(Self, Vec<usize>)> {
        let fits = |id: &i64| {
            usize::try_from(*id)
                .ok()
                .filter(|id| (1..=1000).contains(id))
        };
        let numbers: Vec<usize> = self.ids.iter().map(fits).collect::<Option<_>>()?;
        let last = numbers.last().copied().unwrap_or(0);
        let mut names: Vec<String> = (1..=last).map(|id| format!("(no class {id})")).collect();
        for (number, name) in numbers.iter().zip(&self.names) {
            names[number - 1].clone_from(name);
        }
        let ids = (1..=last as i64).collect();
        Some((Self { ids, names }, numbers))
    }

    /// Ids with names, for people.
    pub(super) fn listed(&self) -> String {
        let all = self.ids.iter().zip(&self.names);
        let all: Vec<String> = all.map(|(id, name)| format!("{id} `{name}`")).collect();
        all.join(", ")
    }

    /// How many there are, without the background.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Their names, of which the first is that of class 1.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The class of an id of the file; none where the file does not list it.
    pub fn of_id(&self, id: i64) -> Option<usize> {
        self.ids.binary_search(&id).ok().map(|place| place + 1)
    }

    /// The class of a name; none where there is none.
    pub fn of_name(&self, name: &str) -> Option<usize> {
        let place = self.names.iter().position(|known| known == name);
        place.map(|place| place + 1)
    }

    /// The id that a class has in files, for results in COCO's form; none for the background.
    pub fn id(&self, class: usize) -> Option<i64> {
        self.ids.get(class.checked_sub(1)?).copied()
    }
}
