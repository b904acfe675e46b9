//! Whether the segment is still where the next start will look for it.
//!
//! A file that loses its name goes on taking writes, and is gone with the daemon; one that somebody
//! cuts has a hole. To acknowledge them would be a lie. So the writer looks around every [`LOOK_EVERY`], with or without work, and
//! before it begins a segment. If the file is not back under its name at the next try, the log
//! begins anew. An offline tool has nothing in memory to begin from: it waits for the file.

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
    /// Looks, if it is time to. What was missed before and still is, is left behind.
    ///
    /// # Errors
    /// The segment is not under its name, or the log could not begin anew.
    pub(super) fn look_around(&mut self, now: Instant) -> Result<(), Trouble> {
        if !self.place.gone {
            return if now >= self.place.next { self.look(now) } else { Ok(()) };
        }
        let outcome = self.look(now);
        // A running sync still owns the file's fate; the next try comes soon.
        if !self.place.gone
            || self.syncing.is_some()
            || self.intake.ground().can_begin_anew().is_none()
        {
            return outcome;
        }
        self.begin_anew()?;
        self.place.gone = false;
        Ok(())
    }

    /// Looks.
    ///
    /// # Errors
    /// The segment is not under its name, or another process has taken the directory.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), Trouble> {
        self.place.next = now + LOOK_EVERY;
        let was_gone = self.place.gone;
        let found = self.fs.is_at(&self.file, &self.path, self.len);
        self.place.gone = matches!(found, Ok(false));
        if self.place.gone {
            self.intake.ground().lose();
            let missing =
                io::Error::new(io::ErrorKind::NotFound, "its file was removed, replaced or cut");
            return Err(trouble("find the log in its directory")(missing));
        }
        if was_gone {
            self.intake.ground().find(None);
        }
        self.intake.ground().secure().map_err(trouble("keep the data directory"))?;
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
