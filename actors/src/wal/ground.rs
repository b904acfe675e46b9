//! What the log stands on: its directory, and that no other process writes there.
//!
//! When the log's files are removed under the daemon, everything it ever acknowledged is in memory
//! still, and nowhere else. So it begins anew: the directory is taken and made again, the next
//! segment begins there, and a snapshot of what is in memory becomes its [`Base`]. Until that is
//! finished nothing new is taken. All of it outlives the writer, who may die on the way.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::LogId;
use super::fs::Filesystem;
use super::intake::Intake;
use super::lock::DataDir;
use super::manifest::Floor;
use super::segment;
use crate::journal::Release;

/// Where a log begins anew. The snapshot that it is handed to stands for everything before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base(pub(super) Floor);

/// Whether the log's files are there.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// Anything but [`Lost::Nothing`]; changes with it.
    lost: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Takes the directory again. Without it nobody would write the snapshot: what is removed
    /// stays so.
    keeper: Option<Arc<DataDir>>,
    /// The log's id, once it was opened.
    log: Option<LogId>,
    lost: Lost,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Lost {
    #[default]
    Nothing,
    /// The segment that was being written is not there.
    Files,
    /// There is another segment, and a snapshot has to stand for what was before it.
    Base(Base),
}

impl Ground {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every field is replaced whole, so poison says nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log on the disk holds what it is said to hold.
    pub(super) fn is_sound(&self) -> bool {
        !self.lost.load(Ordering::Acquire)
    }

    fn set(&self, lost: Lost) {
        self.state().lost = lost;
        self.lost.store(lost != Lost::Nothing, Ordering::Release);
    }

    /// The log's id, from its first segment that is opened.
    pub(super) fn know(&self, log: LogId) {
        self.state().log.get_or_insert(log);
    }

    /// The log's id, if a log whose files are gone can begin anew.
    pub(super) fn can_begin_anew(&self) -> Option<LogId> {
        let state = self.state();
        state.keeper.as_ref().and(state.log)
    }

    /// The segment is gone. One that a snapshot was wanted for is as good as none.
    pub(super) fn lose(&self) {
        self.set(Lost::Files);
    }

    /// The segment is there; `anew` if it is not the one that was lost.
    pub(super) fn find(&self, anew: Option<Floor>) {
        if self.state().lost == Lost::Files {
            self.set(anew.map_or(Lost::Nothing, |floor| Lost::Base(Base(floor))));
        }
    }

    /// Makes sure that no other process can take the directory.
    ///
    /// # Errors
    /// One has taken it, or it cannot be made.
    pub(super) fn secure(&self) -> io::Result<()> {
        let keeper = self.state().keeper.clone();
        keeper.map_or(Ok(()), |data| data.renew().map_err(io::Error::other))
    }

    /// Makes the log's directory again, for the segment with this number.
    ///
    /// # Errors
    /// Whatever the system reports; [`Ground::secure`]; there are segments that are newer.
    pub(super) fn restore<F: Filesystem>(&self, fs: &F, dir: &Path, next: u64) -> io::Result<()> {
        self.secure()?;
        fs.create_dir(dir)?;
        if let Some(data) = dir.parent() {
            fs.sync_dir(data)?;
        }
        match segment::list(fs, dir)?.into_iter().next_back() {
            Some((sequence, _, path)) if sequence >= next => {
                let path = path.display();
                Err(io::Error::other(format!("{path} is not of this log; move it away")))
            }
            _ => Ok(()),
        }
    }
}

impl<P: Release> Intake<P> {
    /// The log may begin anew in this directory if its files are removed: from now on somebody
    /// looks at [`Intake::base_wanted`] and writes snapshots.
    pub fn keep(&self, data: Arc<DataDir>) {
        self.ground().state().keeper = Some(data);
    }

    /// The log has begun anew, and wants a snapshot that begins from now on to stand for what was
    /// before.
    #[must_use]
    pub fn base_wanted(&self) -> Option<Base> {
        if self.ground().is_sound() {
            return None;
        }
        match self.ground().state().lost {
            Lost::Base(base) => Some(base),
            Lost::Nothing | Lost::Files => None,
        }
    }

    /// There is a snapshot, durable and in the manifest, that was made for this.
    pub fn based(&self, base: Base) {
        if self.base_wanted() == Some(base) {
            self.ground().set(Lost::Nothing);
            self.poke();
        }
    }
}
