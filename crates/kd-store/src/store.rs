use std::sync::Arc;

use crate::Error;

/// Which state of an object is meant. A change makes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its state, for a conditional replacement.
    pub version: Version,
}

/// Objects by key, shared by machines.
///
/// An object is seen whole or not at all. When a call fails it may have been done all the same: an answer can be
/// lost.
pub trait Store {
    /// What a key holds; none where there is no such.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn get(&self, key: &str) -> Result<Option<Object>, Error>;

    /// Puts an object where there is none, and says its version; none, and no change, where there is one.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error>;

    /// Puts another content in the place of that of a version, and says the new version; none, and no change, where
    /// that is no longer there.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn replace(&self, key: &str, bytes: &[u8], version: &Version)
    -> Result<Option<Version>, Error>;

    /// The keys that begin with a text, in order.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, Error>;
}

/// A store of any kind, for several threads.
pub type AnyStore = Arc<dyn Store + Send + Sync>;

/// Whether a key is one that every store can hold.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
    if key.is_empty() || key.starts_with('.') || !key.chars().all(fits) {
        return Err(Error::Key(key.into()));
    }
    Ok(())
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
impl<S: Store + ?Sized> Store for $pointer {
    fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        (**self).get(key)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error> {
        (**self).create(key, bytes)
    }

    fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        version: &Version,
    ) -> Result<Option<Version>, Error> {
        (**self).replace(key, bytes, version)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        (**self).list(prefix)
    }
}
    )*};
}

forward!(&S, Arc<S>);

/// The key of [`check_conditions`].
const CONDITIONS: &str = "conditions";

/// Tries whether a store keeps the conditions of [`Store::create`] and [`Store::replace`], which some servers ignore. On
/// one that does, nobody could rely on a lease.
///
/// # Errors
/// [`Error::Unconditional`] when it does not, and when the store cannot be reached.
pub fn check_conditions(store: &impl Store) -> Result<(), Error> {
    store.create(CONDITIONS, b"first")?;
    if store.create(CONDITIONS, b"second")?.is_some() {
        return Err(Error::Unconditional("if there is none"));
    }
    let Some(there) = store.get(CONDITIONS)? else {
        return Ok(());
    };
    // Another process may try the same meanwhile, so that neither is first.
    let other: &[u8] = if there.bytes == b"first" {
        b"third"
    } else {
        b"first"
    };
    store.replace(CONDITIONS, other, &there.version)?;
    match store.replace(CONDITIONS, b"fourth", &there.version)? {
        Some(_) => Err(Error::Unconditional("in the place of a version")),
        None => Ok(()),
    }
}
