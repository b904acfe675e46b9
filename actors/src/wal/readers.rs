//! Readers in other processes, which take no [hold](super::Holds): `seawall export` and `restore` may
//! read the directory of a running daemon.
//!
//! They share a lock (`flock`) on the directory of the segments, which needs no file and no right to
//! write, and goes with its process. While anybody has it, the daemon deletes nothing. Where the file
//! system knows no such locks, a reader may find a file gone, and says so.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::replay::segments_dir;

/// How long a reader waits for a deletion to end before it reads all the same.
const WITHIN: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Keeps a daemon from deleting segments and snapshots until it is dropped.
#[derive(Debug)]
pub struct Reading {
    _shared: Option<File>,
}

impl Reading {
    /// Begins to read the data directory `data`. Blocks, for two seconds at most.
    #[must_use]
    pub fn begin(data: &Path) -> Self {
        let until = Instant::now() + WITHIN;
        let Ok(dir) = File::open(segments_dir(data)) else {
            // What reads it will say what is wrong.
            return Self { _shared: None };
        };
        loop {
            match flock(&dir, FlockOperation::NonBlockingLockShared) {
                Ok(()) => return Self { _shared: Some(dir) },
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                    std::thread::sleep(ASK_EVERY);
                }
                Err(error) => {
                    tracing::debug!(%error, "the log is read without keeping a daemon from deleting");
                    return Self { _shared: None };
                }
            }
        }
    }
}

/// While it lives, nobody begins to read.
#[derive(Debug, Default)]
pub struct Alone {
    _exclusive: Option<File>,
}

impl Alone {
    /// Keeps readers of the segments in `dir` out; `None` if one is there. Never waits.
    pub(super) fn try_in(dir: &Path) -> io::Result<Option<Self>> {
        let dir = File::open(dir)?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _exclusive: Some(dir) })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            // No such locks here: there cannot be a reader who has one.
            Err(_) => Ok(Some(Self::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    #[test]
    fn readers_share_and_keep_whoever_deletes_out() {
        let data = tempfile::tempdir().unwrap();
        let dir = segments_dir(data.path());
        std::fs::create_dir(&dir).unwrap();
        let (one, two) = (Reading::begin(data.path()), Reading::begin(data.path()));
        assert!(Alone::try_in(&dir).unwrap().is_none());
        drop(one);
        assert!(Alone::try_in(&dir).unwrap().is_none());
        drop(two);
        let alone = Alone::try_in(&dir).unwrap().unwrap();
        let reader = std::thread::scope(|scope| {
            let reader = scope.spawn(|| Reading::begin(data.path()));
            drop(alone);
            reader.join().unwrap()
        });
        assert!(reader._shared.is_some(), "it waited");
        assert!(Alone::try_in(&dir).unwrap().is_none());
    }

    #[test]
    fn without_a_log_there_is_nothing_to_keep() {
        let data = tempfile::tempdir().unwrap();
        assert!(Reading::begin(data.path())._shared.is_none());
        assert!(Alone::try_in(&segments_dir(data.path())).is_err());
    }
}
