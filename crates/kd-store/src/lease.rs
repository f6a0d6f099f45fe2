//! Who does which work.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Clock, Error, Monotonic, Store, Version};

/// What the store holds of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Who holds it; none when it is free.
    holder: Option<String>,
    /// Grows with every holder.
    token: u64,
    /// Grows with every change.
    beat: u64,
}

/// A piece of work that this process does.
#[derive(Debug)]
pub struct Lease {
    key: String,
    record: Record,
    version: Version,
    /// Until when the holder may count on it, by its own clock.
    until: Duration,
}

impl Lease {
    /// The number of this holder: larger than that of all before it.
    pub fn token(&self) -> u64 {
        self.record.token
    }

    /// What it is a lease of.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The answer to a claim.
#[derive(Debug)]
pub enum Claim {
    /// This process does the work.
    Granted(Lease),
    /// Another does it.
    Busy {
        /// As it calls itself.
        holder: String,
    },
}

/// A state of a lease, and since when this process has seen it.
struct Seen {
    record: Record,
    since: Duration,
}

/// Leases on a store.
pub struct Leases<S, C = Monotonic> {
    store: S,
    clock: C,
    holder: String,
    lasts: Duration,
    seen: Mutex<HashMap<String, Seen>>,
}

impl<S: Store> Leases<S> {
    /// Leases that this process holds under a name of its own. One that is not renewed for as long as `lasts` is taken
    /// over; a holder stops counting on it after two thirds of that, so clocks may differ in speed by a third.
    pub fn new(store: S, lasts: Duration) -> Self {
        let machine = std::env::var("HOSTNAME").unwrap_or_else(|_| "machine".into());
        let random = RandomState::new().hash_one(std::time::SystemTime::now());
        let holder = format!("{machine}-{}-{random:016x}", std::process::id());
        Self::with_clock(store, lasts, holder, Monotonic::default())
    }
}

impl<S: Store, C: Clock> Leases<S, C> {
    /// [`Leases::new`] with another clock, and a name that no other process has.
    pub fn with_clock(store: S, lasts: Duration, holder: String, clock: C) -> Self {
        Self {
            store,
            clock,
            holder,
            lasts,
            seen: Mutex::default(),
        }
    }

    /// How this process calls itself.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// How often a holder should renew.
    pub fn interval(&self) -> Duration {
        self.lasts / 6
    }

    /// Asks for a piece of work. It is granted when it is free, or its holder was not seen to renew it for as long as a
    /// lease lasts; so ask again, now and then. Who asks for what it holds gets it anew, and the lease before counts no
    /// more.
    ///
    /// # Errors
    /// When the store cannot be reached, or the key holds something else.
    pub fn claim(&self, key: &str) -> Result<Claim, Error> {
        let began = self.clock.now();
        let Some(there) = self.store.get(key)? else {
            let record = Record {
                holder: Some(self.holder.clone()),
                token: 1,
                beat: 1,
            };
            let made = self.store.create(key, &bytes(&record));
            return self.granted(key, record, made, began);
        };
        let record = read(key, &there.bytes)?;
        if let Some(holder) = record.holder.clone()
            // Its own, whose granting it did not hear of.
            && holder != self.holder
            && !self.expired(key, &record, began)
        {
            return Ok(Claim::Busy { holder });
        }
        let mine = Record {
            holder: Some(self.holder.clone()),
            token: record.token + 1,
            beat: record.beat + 1,
        };
        let made = self.store.replace(key, &bytes(&mine), &there.version);
        self.granted(key, mine, made, began)
    }

    /// Says that the holder lives. False when the lease is another's: the work must end, and its result must not
    /// be written.
    ///
    /// # Errors
    /// When the store cannot be reached; the lease may still be held, as [`Leases::holds`] says.
    pub fn renew(&self, lease: &mut Lease) -> Result<bool, Error> {
        let began = self.clock.now();
        // A second time where an earlier answer was lost: the version is then another than was known.
        for _ in 0..2 {
            let next = Record {
                beat: lease.record.beat + 1,
                ..lease.record.clone()
            };
            if let Some(version) = self
                .store
                .replace(&lease.key, &bytes(&next), &lease.version)?
            {
                lease.record = next;
                lease.version = version;
                lease.until = self.until(began);
                return Ok(true);
            }
            let Some(there) = self.store.get(&lease.key)? else {
                return Ok(false);
            };
            let record = read(&lease.key, &there.bytes)?;
            if (&record.holder, record.token) != (&lease.record.holder, lease.record.token) {
                return Ok(false);
            }
            lease.record = record;
            lease.version = there.version;
        }
        Ok(false)
    }

    /// Whether the holder may still count on a lease without asking the store.
    pub fn holds(&self, lease: &Lease) -> bool {
        self.clock.now() < lease.until
    }

    /// Gives a piece of work back, done or not. It does no harm where it is another's already.
    ///
    /// # Errors
    /// When the store cannot be reached; the lease then expires.
    pub fn release(&self, lease: Lease) -> Result<(), Error> {
        let free = Record {
            holder: None,
            beat: lease.record.beat + 1,
            ..lease.record
        };
        self.store
            .replace(&lease.key, &bytes(&free), &lease.version)?;
        Ok(())
    }

    fn until(&self, began: Duration) -> Duration {
        began + self.lasts * 2 / 3
    }

    fn granted(
        &self,
        key: &str,
        record: Record,
        made: Result<Option<Version>, Error>,
        began: Duration,
    ) -> Result<Claim, Error> {
        if let Some(version) = made? {
            return Ok(Claim::Granted(Lease {
                key: key.into(),
                record,
                version,
                until: self.until(began),
            }));
        }
        let there = self.store.get(key)?;
        let there = there.map(|there| read(key, &there.bytes)).transpose()?;
        let holder = there.and_then(|there| there.holder);
        Ok(Claim::Busy {
            holder: holder.unwrap_or_else(|| "another".into()),
        })
    }

    /// Whether a state has been seen for as long as a lease lasts before the store was asked.
    fn expired(&self, key: &str, record: &Record, began: Duration) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(key) {
            Some(then) if then.record == *record => began >= then.since + self.lasts,
            _ => {
                let then = Seen {
                    record: record.clone(),
                    since: self.clock.now(),
                };
                seen.insert(key.into(), then);
                false
            }
        }
    }
}

fn bytes(record: &Record) -> Vec<u8> {
    serde_json::json!(record).to_string().into_bytes()
}

fn read(key: &str, bytes: &[u8]) -> Result<Record, Error> {
    serde_json::from_slice(bytes).map_err(|problem| Error::Lease {
        key: key.into(),
        problem: problem.to_string(),
    })
}
