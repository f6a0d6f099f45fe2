//! A store in S3, Google Cloud Storage or Azure.

mod http;

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreScheme, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use tokio::runtime::Builder;

use crate::store::check_key;
use crate::{Error, Object, Store, Version};

/// Objects under a prefix of a bucket.
///
/// Credentials and settings come from the environment: variables that begin with `AWS_`, `GOOGLE_` and `AZURE_`, as of the
/// crate `object_store`.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What an address looks like.
const RIGHT: &str = "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";

/// A worker asks again by itself, and must learn in time that it has lost its lease.
const RETRY: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(3),
        base: 2.0,
    },
    max_retries: 4,
    retry_timeout: Duration::from_secs(20),
};

impl Objects {
    /// A part of the store at an address.
    ///
    /// # Errors
    /// [`Error::Address`] when it is none, or the environment lacks something.
    pub fn open(address: &str, part: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Address {
            address: address.into(),
            problem,
        };
        let of_store = |problem: object_store::Error| wrong(problem.to_string());
        let url = address.parse();
        let url = url.map_err(|problem| wrong(format!("{problem}: {RIGHT}")))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| wrong(RIGHT.into()))?;
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let builder = AmazonS3Builder::from_env()
                    .with_url(address)
                    .with_retry(RETRY);
                Arc::new(
                    builder
                        .with_http_connector(http::Connector)
                        .build()
                        .map_err(of_store)?,
                )
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(address);
                let builder = builder
                    .with_retry(RETRY)
                    .with_http_connector(http::Connector);
                Arc::new(builder.build().map_err(of_store)?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(address);
                let builder = builder
                    .with_retry(RETRY)
                    .with_http_connector(http::Connector);
                Arc::new(builder.build().map_err(of_store)?)
            }
            _ => return Err(wrong(RIGHT.into())),
        };
        Ok(Self::new(store, prefix.join(part)))
    }

    /// Objects under a prefix of any store of the crate `object_store`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    fn place(&self, key: &str) -> Result<Path, Error> {
        check_key(key)?;
        Ok(self.prefix.clone().join(key))
    }

    fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Result<Option<Version>, Error> {
        let place = self.place(key)?;
        let replaces = matches!(mode, PutMode::Update(_));
        let options = PutOptions::from(mode);
        let put = self.store.put_opts(&place, bytes.to_vec().into(), options);
        match wait(put) {
            Ok(put) => Ok(Some(version(put.e_tag, put.version))),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(None),
            // The version to replace is gone; of a new object it is the bucket that is missing.
            Err(object_store::Error::NotFound { .. }) if replaces => Ok(None),
            Err(problem) => Err(failed("write", &place, &problem)),
        }
    }
}

/// Runs a call to its end. Each has a runtime of its own, so that no thread waits for another's.
fn wait<T>(call: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|source| object_store::Error::Generic {
        store: "runtime",
        source: source.into(),
    })?;
    runtime.block_on(call)
}

fn failed(what: &'static str, place: &Path, problem: &object_store::Error) -> Error {
    Error::Objects {
        what,
        place: place.to_string(),
        problem: problem.to_string(),
    }
}

/// Stores name a state by its tag, its version, or both.
fn version(e_tag: Option<String>, version: Option<String>) -> Version {
    Version(serde_json::json!([e_tag, version]).to_string())
}

fn update(version: &Version) -> Option<UpdateVersion> {
    let (e_tag, version) = serde_json::from_str(&version.0).ok()?;
    Some(UpdateVersion { e_tag, version })
}

impl Store for Objects {
    fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let place = self.place(key)?;
        let got = wait(async {
            let got = self.store.get_opts(&place, GetOptions::default()).await?;
            let version = version(got.meta.e_tag.clone(), got.meta.version.clone());
            let bytes = got.bytes().await?.to_vec();
            Ok(Object { bytes, version })
        });
        match got {
            Ok(object) => Ok(Some(object)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(problem) => Err(failed("read", &place, &problem)),
        }
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error> {
        self.put(key, bytes, PutMode::Create)
    }

    fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        version: &Version,
    ) -> Result<Option<Version>, Error> {
        match update(version) {
            Some(version) => self.put(key, bytes, PutMode::Update(version)),
            None => Ok(None),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let listed = wait(self.store.list_with_delimiter(Some(&self.prefix)));
        let listed = listed.map_err(|problem| failed("list", &self.prefix, &problem))?;
        let names = listed
            .objects
            .iter()
            .filter_map(|object| object.location.filename());
        let mut keys: Vec<String> = names
            .filter(|name| name.starts_with(prefix))
            .map(Into::into)
            .collect();
        keys.sort();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::check_conditions;

    #[test]
    fn objects_are_put_on_conditions() {
        let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let [store, other] =
            ["a", "ab"].map(|part| Objects::new(bucket.clone(), Path::from("prefix").join(part)));
        check_conditions(&store).unwrap();
        assert_eq!(store.get("key").unwrap(), None);
        let first = store.create("key", b"one").unwrap().unwrap();
        assert_eq!(store.create("key", b"two").unwrap(), None);
        let second = store.replace("key", b"two", &first).unwrap().unwrap();
        assert_eq!(store.replace("key", b"three", &first).unwrap(), None);
        let there = store.get("key").unwrap().unwrap();
        assert_eq!(
            (there.bytes, there.version),
            (b"two".to_vec(), second.clone())
        );
        assert_eq!(store.replace("none", b"", &second).unwrap(), None);
        // A part sees only its own.
        other.create("kez", b"").unwrap().unwrap();
        assert_eq!(store.list("k").unwrap(), ["key"]);
        assert_eq!(other.get("key").unwrap(), None);
    }

    #[test]
    fn what_is_no_address_is_told() {
        for address in [
            "ftp://host/a",
            "s3:///a",
            "s4://bucket/a",
            "://",
            "http://host/a",
        ] {
            let message = Objects::open(address, "leases").unwrap_err().to_string();
            assert!(message.starts_with(address), "{message}");
            assert!(message.contains("s3://BUCKET/PREFIX"), "{message}");
        }
    }
}
