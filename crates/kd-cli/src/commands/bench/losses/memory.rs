//! Peak memory of a loss, as the operating system sees it.
//!
//! The kernel keeps the largest resident size of a process and forgets it on request, so a loss is
//! measured between such a request and a look at it. That says something of single tensors only
//! when memory that was freed goes back at once, which the allocator is told through the
//! environment; so a process of its own does it, and times are taken in one that runs as usual.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Arguments, Bench};
use crate::device::Selection;

/// Bytes of each loss at its peak.
pub type Peaks = BTreeMap<String, u64>;

/// Less is noise of the kernel's own counting, which goes by pages and threads.
pub const RESOLUTION: u64 = 1_000_000;

/// Runs this program again with `--memory`.
///
/// # Errors
/// When this is not Linux, the device has memory of its own, or the measurement fails.
pub fn measure(arguments: &Arguments, selection: &Selection) -> Result<Peaks> {
    ensure!(cfg!(target_os = "linux"), "it is measured on Linux only");
    ensure!(selection.on_cpu(), "{selection} has memory of its own");
    let output = Command::new(std::env::current_exe().context("find this program")?)
        .args(["bench", "losses", "--memory", "--only", &arguments.only])
        .args(["--batch", &arguments.timing.batch.to_string()])
        .args(["--threads", &arguments.timing.threads.to_string()])
        .args(["--device", &selection.to_string()])
        // Large blocks come from the kernel and go back to it.
        .env("MALLOC_MMAP_THRESHOLD_", "32768")
        .env("MALLOC_MMAP_MAX_", "1000000")
        .env("MALLOC_TRIM_THRESHOLD_", "0")
        .stderr(Stdio::piped())
        .output()
        .context("start this program again")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    serde_json::from_slice(&output.stdout).context("read the measurement")
}

/// Measures in this process and prints the result as JSON. Losses that cannot work on these
/// networks are left out.
pub fn print(bench: &Bench, names: &[&str]) -> Result<()> {
    let mut peaks = Peaks::new();
    for name in names {
        let Ok(objective) = bench.objective(name) else {
            continue;
        };
        // Threads and tables that stay are no part of a step.
        if bench.compute(&objective).is_err() {
            continue;
        }
        fs::write("/proc/self/clear_refs", "5").context("reset the peak of the memory")?;
        let before = resident("VmRSS:")?;
        bench.compute(&objective)?;
        let peak = resident("VmHWM:")?.saturating_sub(before);
        peaks.insert((*name).into(), peak);
    }
    crate::commands::print(serde_json::to_string(&peaks)?)
}

/// A size of this process in bytes.
fn resident(key: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    parse(&status, key).with_context(|| format!("/proc/self/status has no {key}"))
}

fn parse(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_in_kibibytes() {
        let status = "Name:\tkd\nVmHWM:\t   2048 kB\nVmRSS:\t  12 kB\n";
        assert_eq!(parse(status, "VmHWM:"), Some(2_097_152));
        assert_eq!(parse(status, "VmSwap:"), None);
    }
}
