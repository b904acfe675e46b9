//! What every end-to-end test stands on: a daemon, a raw client, a real Redis.

pub mod certificates;
pub mod coherence;
pub mod daemon;
pub mod http;
pub mod linear;
pub mod load;
pub mod port;
pub mod proxy;
pub mod raw;
pub mod redis;
pub mod reply;
pub mod tier;

use std::time::{Duration, Instant};

pub use daemon::{Daemon, Setup};
pub use load::Load;
pub use raw::Raw;
pub use reply::Reply;

/// Nothing that a test waits for takes longer, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something.
///
/// # Panics
/// Names what did not come.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Whether the long campaigns are to go through every case: `SEAWALL_CASES=whole`.
pub fn whole() -> bool {
    std::env::var("SEAWALL_CASES").is_ok_and(|cases| cases == "whole")
}

/// A number from the environment, or `default`.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// The seed of a random test, `SEAWALL_SEED` or a fresh one. Printed, so that a failure says
/// how to repeat it.
pub fn seed() -> u64 {
    let fresh = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |now| now.as_nanos() as u64 % 1_000_000_000);
    let seed = setting("SEAWALL_SEED", fresh);
    println!("SEAWALL_SEED={seed}");
    seed
}
