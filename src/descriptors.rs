//! File descriptors: clients never get the last of them.
//!
//! A daemon whose clients hold every descriptor cannot begin a log segment, and so refuses writes.
//! [`RESERVE`] of them are for the daemon itself, whatever clients do: the soft limit is raised to
//! what both need, and where the hard limit is below that, fewer clients are admitted.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http;
use crate::resp::front::FAREWELLS;

/// Segments, snapshots, what reads them back (a rebuilt shard, `SW.HISTORY`), configuration files,
/// listeners, timers, standard streams: about twenty at a time, and as many again.
const OWN: usize = 48;
/// Descriptors that are not for clients.
pub const RESERVE: usize = OWN + http::Limits::DEFAULT.connections + FAREWELLS;

/// What there is for `clients` clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// The soft limit to set, if it is not high enough.
    raise_to: Option<u64>,
    /// How many clients the hard limit allows; not more than were wanted.
    clients: usize,
}

/// `None` as a limit: there is none.
fn plan(clients: usize, soft: Option<u64>, hard: Option<u64>) -> Plan {
    let reserve = RESERVE as u64;
    let needed = (clients as u64).saturating_add(reserve);
    let possible = hard.map_or(needed, |hard| needed.min(hard));
    let room = usize::try_from(possible.saturating_sub(reserve)).unwrap_or(usize::MAX);
    let enough = soft.is_none_or(|soft| soft >= possible);
    Plan { raise_to: (!enough).then_some(possible), clients: room }
}

/// Sees to it that `clients` clients and the daemon have enough of them. Returns how many clients
/// there is room for: `clients`, or fewer if the system does not allow so many.
#[must_use]
pub fn provide(clients: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Plan { raise_to, clients } = plan(clients, current, maximum);
    let Some(soft) = raise_to else { return clients };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum }) {
        Ok(()) => clients,
        // What there is has to do.
        Err(error) => {
            tracing::warn!(%error, soft, "the limit of file descriptors cannot be raised");
            plan(clients, current, current).clients
        }
    }
}

/// Why not all clients can be had, and what to do.
#[must_use]
pub fn shortage(wanted: usize, room: usize) -> String {
    format!(
        "the system allows {} file descriptors (ulimit -Hn), {RESERVE} of which are for the daemon \
         itself: there is room for {room} clients and not for {wanted}; raise LimitNOFILE to {} or \
         lower server.max_clients",
        limit(),
        wanted.saturating_add(RESERVE),
    )
}

fn limit() -> String {
    getrlimit(Resource::Nofile).maximum.map_or_else(|| "unlimited".to_owned(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: u64 = RESERVE as u64;

    #[test]
    fn the_soft_limit_is_raised_as_far_as_needed() {
        assert_eq!(plan(100, Some(R + 100), None), Plan { raise_to: None, clients: 100 });
        assert_eq!(plan(100, Some(R), None), Plan { raise_to: Some(R + 100), clients: 100 });
        assert_eq!(plan(100, None, None), Plan { raise_to: None, clients: 100 });
        let hard = Some(R + 5000);
        assert_eq!(plan(100, Some(R), hard), Plan { raise_to: Some(R + 100), clients: 100 });
    }

    #[test]
    fn where_the_hard_limit_is_too_low_clients_give_way_and_the_reserve_does_not() {
        let hard = Some(R + 30);
        assert_eq!(plan(100, Some(R), hard), Plan { raise_to: Some(R + 30), clients: 30 });
        assert_eq!(plan(100, hard, hard), Plan { raise_to: None, clients: 30 });
        for hard in [0, 3, R] {
            assert_eq!(plan(100, Some(hard), Some(hard)).clients, 0);
        }
        assert_eq!(plan(usize::MAX, Some(R), hard).clients, 30);
    }

    #[test]
    fn what_there_is_now_is_found_out() {
        assert_eq!(provide(1), 1);
        assert_eq!(RESERVE, 128, "the manual says so");
        let why = shortage(2, 1);
        assert!(why.contains("room for 1 clients and not for 2"), "{why}");
    }
}
