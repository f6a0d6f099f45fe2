//! Which kernels run.

#[cfg(feature = "flex")]
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

#[cfg(feature = "flex")]
use crate::simd::Isa;

/// Which kernels run on Flex devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// None: every operation is composed of burn's own.
    Off,
    /// The kernels of this crate, with one of the processor's instruction sets.
    #[cfg(feature = "flex")]
    On(Isa),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            #[cfg(feature = "flex")]
            Self::On(isa) => write!(f, "{isa}"),
        }
    }
}

/// A value of `KD_KERNELS` that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMode(String);

impl fmt::Display for BadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = choices().iter().map(Mode::to_string).collect();
        write!(
            f,
            "KD_KERNELS={}: this build on this processor knows {}; unset it for the fastest",
            self.0,
            names.join(", ")
        )
    }
}

impl std::error::Error for BadMode {}

/// What can be chosen here, the fastest first.
fn choices() -> Vec<Mode> {
    #[cfg(feature = "flex")]
    let on = Isa::available().into_iter().map(Mode::On);
    #[cfg(not(feature = "flex"))]
    let on = std::iter::empty();
    on.chain([Mode::Off]).collect()
}

/// What `KD_KERNELS` asks for, or the fastest there is; read once a process.
///
/// # Errors
/// [`BadMode`] when the variable names what is not there. The kernels then take the fastest, so a
/// program should ask this first.
pub fn mode() -> Result<Mode, BadMode> {
    static MODE: OnceLock<Result<Mode, BadMode>> = OnceLock::new();
    MODE.get_or_init(|| match std::env::var("KD_KERNELS") {
        Ok(name) if !name.is_empty() => parse(&name),
        _ => Ok(fastest()),
    })
    .clone()
}

fn fastest() -> Mode {
    choices().first().copied().unwrap_or(Mode::Off)
}

fn parse(name: &str) -> Result<Mode, BadMode> {
    choices()
        .into_iter()
        .find(|mode| mode.to_string() == name)
        .ok_or_else(|| BadMode(name.into()))
}

#[cfg(feature = "flex")]
thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has called kernels: for tests, which else could compare burn with itself.
#[doc(hidden)]
pub fn kernel_calls() -> u64 {
    #[cfg(feature = "flex")]
    return CALLS.get();
    #[cfg(not(feature = "flex"))]
    0
}

/// Counts a call of a kernel, once for all of its tasks.
#[cfg(feature = "flex")]
pub(crate) fn called() {
    CALLS.set(CALLS.get() + 1);
}

/// The instruction set of a kernel that is about to be called.
#[cfg(feature = "flex")]
pub(crate) fn isa() -> Isa {
    called();
    match mode() {
        Ok(Mode::On(isa)) => isa,
        _ => Isa::PORTABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_goes_by_its_name_and_another_name_is_refused_with_the_choices() {
        for mode in choices() {
            assert_eq!(parse(&mode.to_string()), Ok(mode));
        }
        let message = parse("sse9").expect_err("there is none").to_string();
        assert!(message.contains("KD_KERNELS=sse9"), "{message}");
        assert!(message.contains("off"), "{message}");
    }
}
