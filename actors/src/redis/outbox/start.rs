//! Where to go on, from what the file, the log and Redis each know. Pure.
//!
//! Redis keeps a *marker*: a key that says up to which LSN it has this log's writes, written behind
//! them. A Redis that comes back with an older data set has an older marker, one that lost it has
//! none: what is lost is told by the marker. Only where it is missing it counts who Redis is (see `who`): from
//! one that can't have lost its data it was taken away, and it is as if it was there.

use crate::journal::Lsn;

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Redis has everything up to here.
    Behind(Lsn),
    /// Nobody knows what Redis has: all of it is to be compared.
    Compare(Why),
}

/// Why everything is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    /// There is no marker, though there was one or should have been.
    #[error("Redis has no trace of this log: it is another one, or lost its data")]
    NoMarker,
    /// The log does not reach back.
    #[error("the log that Redis has not seen was deleted to keep wal.max_size")]
    Gone,
    /// Redis has what this log never had.
    #[error("Redis has writes up to LSN {0}, which this log lost in a power cut")]
    Ahead(Lsn),
    /// More values than can be kept had expired before they were sent.
    #[error("some values that expired on their way to Redis may have been prolonged later")]
    Lapsed,
    /// Databases changed places.
    #[error("SWAPDB put another database in the place of the one behind which Redis stands")]
    Swapped,
}

impl Why {
    /// Whether Redis is known to hold another data set than the one that was written to.
    pub fn is_other_data(self) -> bool {
        matches!(self, Self::NoMarker | Self::Swapped)
    }
}

/// `marker` is what Redis says; `begun` where the log ended at the start, before anything was
/// written by this process; `sent` up to where this process has sent, if it has.
pub(super) fn decide(marker: Option<Lsn>, begun: Lsn, sent: Option<Lsn>) -> Start {
    match marker {
        // A new log: it has everything that was ever written.
        None if begun == 0 && sent.is_none() => Start::Behind(0),
        None => Start::Compare(Why::NoMarker),
        Some(marker) if marker > sent.unwrap_or(0).max(begun) => Start::Compare(Why::Ahead(marker)),
        Some(marker) => Start::Behind(marker),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_says_where_to_go_on() {
        assert_eq!(decide(Some(5), 9, None), Start::Behind(5));
        assert_eq!(decide(Some(12), 9, Some(12)), Start::Behind(12));
        assert_eq!(decide(Some(7), 9, Some(12)), Start::Behind(7), "Redis lost some");
    }

    #[test]
    fn without_a_marker_everything_is_compared_unless_the_log_is_new() {
        assert_eq!(decide(None, 0, None), Start::Behind(0));
        assert_eq!(decide(None, 9, None), Start::Compare(Why::NoMarker));
        assert_eq!(decide(None, 0, Some(4)), Start::Compare(Why::NoMarker));
    }

    #[test]
    fn what_a_power_cut_took_from_the_log_is_noticed_however_much_came_since() {
        assert_eq!(decide(Some(15), 9, None), Start::Compare(Why::Ahead(15)));
        assert_eq!(decide(Some(15), 9, Some(12)), Start::Compare(Why::Ahead(15)));
    }
}
