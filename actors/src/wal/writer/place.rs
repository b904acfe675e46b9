//! Whether the segment is still where the next start will look for it.
//!
//! A file that loses its name goes on taking writes, and is gone with the daemon: to acknowledge
//! them would be a lie. So the writer looks around every [`LOOK_EVERY`], with or without work, and
//! before it begins a segment. What was removed cannot be put back from here, for the frames that
//! are durable are nowhere but in it; until it is back under its name nothing is written.

use std::io;
use std::time::{Duration, Instant};

use super::{Trouble, Writer, trouble};
use crate::journal::Release;
use crate::wal::fs::Filesystem;

/// Between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the last look has found.
#[derive(Debug)]
pub(super) struct Place {
    next: Instant,
    gone: bool,
    /// The next segment could not be made; it has been said.
    read_only: bool,
}

impl Place {
    pub(super) const fn new(now: Instant) -> Self {
        Self { next: now, gone: false, read_only: false }
    }

    /// When to look again.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }
}

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Looks, if it is time to.
    ///
    /// # Errors
    /// The segment is not under its name.
    pub(super) fn look_around(&mut self, now: Instant) -> Result<(), Trouble> {
        if self.place.gone || now >= self.place.next { self.look(now) } else { Ok(()) }
    }

    /// Looks.
    ///
    /// # Errors
    /// The segment is not under its name.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), Trouble> {
        self.place.next = now + LOOK_EVERY;
        let found = self.fs.is_at(&self.file, &self.path);
        self.place.gone = matches!(found, Ok(false));
        if self.place.gone {
            let what = "its log file was removed or replaced; what is in it ends with this process, so \
                        nothing more is written to it. Put it back where it was, or copy the entries \
                        out by a client before the daemon stops";
            let missing = io::Error::new(io::ErrorKind::NotFound, what);
            return Err(trouble("find the log in its directory")(missing));
        }
        match (self.fs.can_change(&self.dir), self.place.read_only) {
            (Err(error), false) => tracing::warn!(
                path = "wal",
                event = "read_only",
                %error,
                "the log's directory cannot be changed: the segment that is being written takes \
                 writes, and at twice its size they are refused"
            ),
            (Ok(()), true) => {
                tracing::info!(
                    path = "wal",
                    event = "writable",
                    "the log's directory can be changed"
                );
            }
            (Err(_), true) | (Ok(()), false) => return Ok(()),
        }
        self.place.read_only = !self.place.read_only;
        Ok(())
    }
}
