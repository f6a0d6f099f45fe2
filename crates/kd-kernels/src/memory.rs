//! Memory between steps.

/// Asks the allocator to keep what is freed instead of handing it back to the system, and to take it in
/// huge pages where the system has them.
///
/// A training step frees hundreds of megabytes that the next step needs again. glibc returns
/// blocks of that size at once, and the system then clears every page anew: about a sixth of a
/// ResNet-20 step. Huge pages are worth another twentieth. A program that trains calls this once, at its
/// start, before it has threads; it is a function, not a default, because the memory belongs to the program.
/// Elsewhere than on Linux with glibc it does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGEST: libc::c_int = 1 << 30;
        // SAFETY: sets numbers of the allocator, which any value leaves in a valid state.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_TOP_PAD, 1 << 26);
            // Threads share the one heap that is kept.
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
        #[cfg(target_pointer_width = "64")]
        prefer_huge_pages();
    }
}

/// Marks the addresses that the heap grows into.
///
/// A block is asked for and given back untouched: it takes addresses, not memory, and as nothing is handed
/// back they stay the heap's.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
fn prefer_huge_pages() {
    /// Below the largest block that still comes from the heap.
    const ROOM: usize = 1 << 29;
    const HUGE: usize = 1 << 21;
    // SAFETY: the advice concerns whole pages within a block that is ours, and changes no content; where it
    // is refused, or there is no such block, memory stays as it is.
    unsafe {
        let block = libc::malloc(ROOM);
        if block.is_null() {
            return;
        }
        let skip = block.addr().next_multiple_of(HUGE) - block.addr();
        libc::madvise(block.byte_add(skip), ROOM - HUGE, libc::MADV_HUGEPAGE);
        libc::free(block);
    }
}
