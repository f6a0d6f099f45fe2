//! Where a store is: a folder, or an address.

use std::path::Path;
use std::sync::Arc;

use crate::{AnyStore, Error, Folder};

/// Whether a text is the address of an object store, and not a folder.
pub fn is_address(text: &str) -> bool {
    text.contains("://")
}

/// A part of the store at a place: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, or a folder.
///
/// # Errors
/// [`Error::Address`] when an address is none, or this was built without the feature `object-stores`; [`Error::Io`] when a
/// folder cannot be made.
pub fn open(place: &str, part: &str) -> Result<AnyStore, Error> {
    if !is_address(place) {
        return Ok(Arc::new(Folder::new(&Path::new(place).join(part))?));
    }
    objects(place, part)
}

#[cfg(feature = "object-stores")]
fn objects(address: &str, part: &str) -> Result<AnyStore, Error> {
    Ok(Arc::new(crate::Objects::open(address, part)?))
}

#[cfg(not(feature = "object-stores"))]
fn objects(address: &str, _part: &str) -> Result<AnyStore, Error> {
    Err(Error::Address {
        address: address.into(),
        problem: "this kd was built without object stores: build it with `--features object-stores`, or give a folder"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_needs_no_feature() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let store = open(place, "leases").unwrap();
        store.create("a", b"1").unwrap().unwrap();
        assert!(folder.path().join("leases/a").exists());
    }

    #[test]
    #[cfg(not(feature = "object-stores"))]
    fn an_address_names_the_feature() {
        let message = open("s3://bucket/a", "leases").err().unwrap().to_string();
        assert!(message.contains("--features object-stores"), "{message}");
    }
}
