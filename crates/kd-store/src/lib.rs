//! A [`Store`] that several machines share, and [`Leases`] on it.
//!
//! A lease says who does a piece of work. Its holder renews it; that of a holder who stopped doing so is taken over by
//! another. No clocks are compared: a lease has expired for whoever has watched it unchanged, by its own clock, for as
//! long as the lease lasts. Every change is a conditional replacement, so of two who change a lease one learns that it
//! came too late. A holder that was away too long finds its lease in other hands and must not go on.
//!
//! ```
//! use std::time::Duration;
//! use kd_store::{Claim, Folder, Leases};
//!
//! # fn main() -> Result<(), kd_store::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! let store = Folder::new(folder.path())?;
//! let leases = Leases::new(store, Duration::from_secs(60));
//! match leases.claim("a-training")? {
//!     Claim::Granted(mut lease) => {
//!         // Every few seconds, while it works:
//!         assert!(leases.renew(&mut lease)?);
//!         leases.release(lease)?;
//!     }
//!     Claim::Busy { holder } => println!("{holder} does it"),
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod archive;
mod attempt;
mod clock;
mod error;
mod folder;
mod held;
mod lease;
#[cfg(feature = "object-stores")]
mod objects;
mod publish;
mod store;

pub use address::{is_address, open};
pub use archive::Archive;
pub use attempt::attempt;
pub use clock::{Clock, Monotonic};
pub use error::Error;
pub use folder::Folder;
pub use held::Held;
pub use lease::{Claim, Lease, Leases};
#[cfg(feature = "object-stores")]
pub use objects::Objects;
pub use publish::{publish, unfinished};
pub use store::{AnyStore, Object, Store, Version, check_conditions};
