//! Memory between steps.

/// Asks the allocator to keep what is freed instead of handing it back to the system.
///
/// A training step frees hundreds of megabytes that the next step needs again. glibc returns
/// blocks of that size at once, and the system then clears every page anew: about a sixth of a
/// ResNet-20 step. A program that trains calls this once, at its start; it is a function, not a
/// default, because the memory belongs to the program. Elsewhere than on Linux with glibc it does
/// nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGEST: libc::c_int = 1 << 30;
        // SAFETY: sets two numbers of the allocator, which any value leaves in a valid state.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_TOP_PAD, 1 << 26);
        }
    }
}
