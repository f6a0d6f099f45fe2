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

impl<S: Store + ?Sized> Store for &S {
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
