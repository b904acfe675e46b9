//! Huge pages only once there is something to put into them.
//!
//! The allocator asks the kernel for transparent huge pages (2 MiB) for all it holds. Under a
//! large data set that spares the CPU page-table walks; in an idle daemon it turns the few pages
//! that each thread touches into many times their size. So the process does without at first.

use seawall_actors::metrics::Published;

use crate::http::metrics::catalog;

/// Bytes of entries from which on huge pages pay.
const LARGE: f64 = (16 << 20) as f64;

/// Does without them from now on. `false` if there are none, or somebody else decided already.
#[cfg(target_os = "linux")]
pub(super) fn avoid() -> bool {
    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};
    transparent_huge_pages_are_disabled() == Ok(false)
        && disable_transparent_huge_pages(true).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn avoid() -> bool {
    false
}

/// Allows them again, for good, at the first beat of the metrics that shows many entries.
pub(super) fn allow_when_large(published: &Published) {
    let mut newest = published.subscribe();
    tokio::spawn(async move {
        let held = |series: &seawall_actors::metrics::Series| {
            (series.metric.name == catalog::MEMORY.name).then(|| series.value.number())
        };
        // An error: the daemon ends.
        if newest.wait_for(|s| s.series().filter_map(held).sum::<f64>() >= LARGE).await.is_ok() {
            allow();
        }
    });
}

#[cfg(target_os = "linux")]
fn allow() {
    match rustix::thread::disable_transparent_huge_pages(false) {
        Ok(()) => tracing::debug!("huge pages are used from here on"),
        // Slower by a little, and nothing else.
        Err(error) => tracing::debug!(%error, "huge pages can't be used"),
    }
}

#[cfg(not(target_os = "linux"))]
fn allow() {}
