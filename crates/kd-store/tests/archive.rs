//! Folders in a store whose calls fail, whose answers are lost, and whose users die between any two calls.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kd_store::{AnyStore, Archive, Error, Object, Store, Version, check_conditions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Objects in memory, with the number of times that each was written.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
}

impl Bucket {
    fn versions(&self, key: &str) -> u64 {
        self.objects.lock().unwrap().get(key).map_or(0, |o| o.0)
    }
}

/// What goes wrong with the calls of one process.
enum Faults {
    None,
    /// It dies at the call of this number, counted from 0; with `late`, after it was done.
    Dies {
        at: usize,
        late: bool,
    },
    /// A share of calls fails, half of them after they were done, and all are slow.
    Some(Box<Mutex<StdRng>>),
}

/// A process's way to a part of the bucket.
struct Link {
    bucket: Arc<Bucket>,
    part: &'static str,
    faults: Arc<Faults>,
    calls: Arc<AtomicUsize>,
}

fn unreachable() -> Error {
    Error::Objects {
        what: "reach",
        place: "bucket".into(),
        problem: "timed out".into(),
    }
}

impl Link {
    fn call<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<String, (u64, Vec<u8>)>) -> T,
    ) -> Result<T, Error> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let (before, after) = match &*self.faults {
            Faults::None => (false, false),
            Faults::Dies { at, late } => (number > *at || number == *at && !late, number == *at),
            Faults::Some(random) => {
                let mut random = random.lock().unwrap();
                let micros = random.random_range(0..200);
                let fails: f64 = random.random();
                drop(random);
                std::thread::sleep(Duration::from_micros(micros));
                (fails < 0.1, fails < 0.2)
            }
        };
        if before {
            return Err(unreachable());
        }
        let answer = work(&mut self.bucket.objects.lock().unwrap());
        if after {
            Err(unreachable())
        } else {
            Ok(answer)
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}/{key}", self.part)
    }
}

impl Store for Link {
    fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let key = self.key(key);
        self.call(|objects| {
            objects.get(&key).map(|(version, bytes)| Object {
                bytes: bytes.clone(),
                version: Version(version.to_string()),
            })
        })
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error> {
        let key = self.key(key);
        self.call(|objects| {
            let new = !objects.contains_key(&key);
            new.then(|| {
                objects.insert(key, (1, bytes.to_vec()));
                Version("1".into())
            })
        })
    }

    fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        version: &Version,
    ) -> Result<Option<Version>, Error> {
        let key = self.key(key);
        self.call(|objects| {
            let there = objects.get_mut(&key)?;
            if there.0.to_string() != version.0 {
                return None;
            }
            *there = (there.0 + 1, bytes.to_vec());
            Some(Version(there.0.to_string()))
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let prefix = self.key(prefix);
        self.call(|objects| {
            let keys = objects.keys().filter(|key| key.starts_with(&prefix));
            keys.cloned().collect()
        })
    }
}

/// The archive as a process sees it, and how many calls it made.
fn archive(bucket: &Arc<Bucket>, faults: Faults) -> (Archive, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let faults = Arc::new(faults);
    let part = |part| -> AnyStore {
        Arc::new(Link {
            bucket: bucket.clone(),
            part,
            faults: faults.clone(),
            calls: calls.clone(),
        })
    };
    (Archive::new(part("folders"), part("contents")), calls)
}

const NAME: &str = "0123456789abcdef";

/// A training of a worker: weights that all find, and records with its own seconds.
fn training(worker: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("inputs.json", "{}".to_owned()),
        ("metrics.jsonl", format!("{worker} seconds\n")),
        ("network-0.safetensors", "weights".repeat(1000)),
        ("result.json", format!("[\"{worker}\"]")),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// Whose training a folder is; it must be whole, and all of one worker.
fn whose(folder: &Path) -> usize {
    let read = |name| fs::read_to_string(folder.join(name)).expect("a whole folder");
    let worker = read("metrics.jsonl");
    let worker = worker.split(' ').next().and_then(|w| w.parse().ok());
    let worker: usize = worker.expect("a worker");
    assert_eq!(read("result.json"), format!("[\"{worker}\"]"));
    assert_eq!(read("network-0.safetensors"), "weights".repeat(1000));
    assert_eq!(fs::read_dir(folder).expect("a folder").count(), 4);
    worker
}

/// What another process finds.
fn found(bucket: &Arc<Bucket>) -> Option<usize> {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("place");
    let there = archive(bucket, Faults::None).0.get(NAME, &place);
    there.expect("nothing is damaged").then(|| whose(&place))
}

#[test]
fn who_dies_between_any_two_calls_leaves_all_or_nothing() {
    let calls = {
        let (archive, calls) = archive(&Arc::default(), Faults::None);
        assert!(archive.put(NAME, training(0).path()).unwrap());
        calls.load(Ordering::SeqCst)
    };
    assert!(calls >= 5, "four contents and what is in the folder");
    for (at, late) in (0..calls).flat_map(|at| [(at, false), (at, true)]) {
        let bucket = Arc::default();
        let (dying, _) = archive(&bucket, Faults::Dies { at, late });
        dying.put(NAME, training(1).path()).unwrap_err();
        let first = found(&bucket);
        let last = (at, late) == (calls - 1, true);
        assert_eq!(first, last.then_some(1), "died at call {at}, late: {late}");
        // Another does the work again; what was there stays.
        let (other, _) = archive(&bucket, Faults::None);
        assert_eq!(other.put(NAME, training(2).path()).unwrap(), !last);
        assert_eq!(found(&bucket), Some(if last { 1 } else { 2 }));
        assert_eq!(bucket.versions(&format!("folders/{NAME}")), 1);
    }
}

#[test]
fn of_many_who_put_the_same_at_once_one_stays() {
    let workers = 6;
    let mut publishers = std::collections::BTreeSet::new();
    for round in 0..40 {
        let bucket: Arc<Bucket> = Arc::default();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|worker| {
                    let bucket = &bucket;
                    scope.spawn(move || {
                        let random = StdRng::seed_from_u64(round * 100 + worker as u64);
                        let (archive, _) =
                            archive(bucket, Faults::Some(Box::new(Mutex::new(random))));
                        let training = training(worker);
                        while archive.put(NAME, training.path()).is_err() {}
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut seen = None;
                while !ended.load(Ordering::SeqCst) {
                    let now = found(&bucket);
                    assert!(seen.is_none() || seen == now, "{seen:?} became {now:?}");
                    seen = now;
                }
            });
            for thread in threads {
                thread.join().unwrap();
            }
            ended.store(true, Ordering::SeqCst);
            reader.join().unwrap();
        });
        assert_eq!(bucket.versions(&format!("folders/{NAME}")), 1);
        publishers.insert(found(&bucket));
    }
    assert!(publishers.len() > 2, "always the same is first");
}

#[test]
fn what_is_damaged_is_told_and_put_anew() {
    let bucket: Arc<Bucket> = Arc::default();
    let (archive, _) = archive(&bucket, Faults::None);
    archive.put(NAME, training(1).path()).unwrap();
    let keys: Vec<String> = bucket.objects.lock().unwrap().keys().cloned().collect();
    let place = tempfile::tempdir().unwrap();
    for key in &keys {
        for damage in ["changed", "shorter", "removed", "foreign"] {
            let mut objects = bucket.objects.lock().unwrap();
            let (version, mut bytes) = objects[key].clone();
            match damage {
                "changed" => bytes[0] ^= 1,
                "shorter" => bytes.truncate(bytes.len() / 2),
                "foreign" => {
                    bytes = br#"{"files":[{"name":"../a","bytes":0,"sha256":"a"}]}"#.to_vec()
                }
                _ => {}
            }
            match damage {
                "removed" => objects.remove(key),
                _ => objects.insert(key.clone(), (version + 1, bytes)),
            };
            drop(objects);
            let got = archive.get(NAME, &place.path().join("a"));
            if damage == "removed" && key.starts_with("folders/") {
                assert!(!got.unwrap());
            } else {
                let message = got.unwrap_err().to_string();
                assert!(
                    message.contains(NAME) && message.contains("damaged"),
                    "{message}"
                );
            }
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
            assert!(archive.put(NAME, training(1).path()).unwrap());
            assert_eq!(found(&bucket), Some(1));
        }
    }
}

/// A server that ignores conditions, of one kind or the other.
struct Careless(Link, &'static str);

impl Store for Careless {
    fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        self.0.get(key)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error> {
        match (self.1, self.0.get(key)?) {
            ("create", Some(there)) => self.0.replace(key, bytes, &there.version),
            _ => self.0.create(key, bytes),
        }
    }

    fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        version: &Version,
    ) -> Result<Option<Version>, Error> {
        match (self.1, self.0.get(key)?) {
            ("replace", Some(there)) => self.0.replace(key, bytes, &there.version),
            _ => self.0.replace(key, bytes, version),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.0.list(prefix)
    }
}

#[test]
fn a_server_that_ignores_conditions_is_refused() {
    let link = || Link {
        bucket: Arc::default(),
        part: "leases",
        faults: Arc::new(Faults::None),
        calls: Arc::default(),
    };
    let good = link();
    for _ in 0..5 {
        check_conditions(&good).unwrap();
    }
    for kind in ["create", "replace"] {
        let store = Careless(link(), kind);
        let error = check_conditions(&store).unwrap_err();
        assert!(error.is_of_the_user());
        assert!(error.to_string().contains("If-None-Match"), "{error}");
    }
}
