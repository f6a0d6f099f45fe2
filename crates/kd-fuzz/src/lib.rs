//! Mutated files for every parser: none may panic, hang, or allocate far more than the file holds.
//!
//! A [`Target`] is one parser: what it is given ([`Target::run`]), files that it accepts ([`Target::seeds`]), and how
//! much it may allocate. [`fuzz`] mutates the seeds, blindly and by their structure: what a format protects by a
//! checksum or wraps in a compressed stream is mutated inside, and the checksum made right again, so that a parser is
//! reached behind it. A case is a pure function of target, seed and number, so it can be repeated.
//!
//! `cargo xtask fuzz` runs a million cases a parser, the tests a few thousand, and `cargo fuzz` has a target for each
//! in `fuzz/`, with coverage.

mod driver;
mod files;
mod mutate;
mod scratch;
pub mod targets;
mod zip;

pub use driver::{Fault, Limits, Report, case, fuzz, repeat};
pub use mutate::Mutator;
pub use scratch::Scratch;
pub use targets::{Seed, Target, targets};

/// The body of a target on some bytes, for `cargo fuzz`.
///
/// # Panics
/// When the parser does, and for a name that no target has.
pub fn body(name: &str, bytes: &[u8]) {
    thread_local! {
        static SCRATCH: Scratch = Scratch::new();
    }
    let target = targets().into_iter().find(|target| target.name == name);
    let target = target.expect("a target of this name");
    // What is wrong with the bytes is the parser's to say, and nothing to find.
    SCRATCH.with(|scratch| drop((target.run)(scratch, bytes)));
}
