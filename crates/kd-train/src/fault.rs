//! Ends the process where a test wants it to end.

/// Aborts the process when the environment variable `KD_FAULT` is `NAME:N`, the name of this point, at its
/// N-th time. `cargo xtask chaos` ends runs by it in the middle of writing. Builds without debug assertions
/// have no such points.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let fault = std::env::var("KD_FAULT").ok()?;
        let (name, count) = fault.rsplit_once(':')?;
        Some((name.into(), AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((wanted, left)) = wanted
        && wanted == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
