//! What outlives the actor: how far Redis was, what is needed of the log, and what was let go of it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cursor::Cursor;
use super::debts::Debts;
use super::deletions::Deletions;
use super::sealed::SealedFile;
use crate::journal::Lsn;
use crate::wal::{Follower, Hold, HoldError, Holds, Portion, RangeError, Tail};

/// Who holds the log, as [`crate::wal::Held::who`] has it.
pub const WHO: &str = "redis-outbox";

/// How much of the log is looked through at a time.
const PORTION: Portion = Portion { records: 1 << 20, bytes: 32 << 20 };

/// See the module.
#[derive(Debug)]
pub struct Keeping {
    cursor: SealedFile<Cursor>,
    debts: SealedFile<Debts>,
    holds: Holds,
    state: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    hold: Option<Hold>,
    written: Option<Cursor>,
    debts: Option<Arc<Debts>>,
    /// What this process found is measured.
    measured: bool,
}

/// A part of the log on its way to what it leaves deleted.
#[derive(Debug)]
pub(super) struct Condensing {
    follower: Follower,
    debts: Debts,
}

/// Why a part of the log cannot be kept in short.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    #[error("too many keys were deleted in it")]
    Full,
    #[error("it cannot be read: {0}")]
    Unread(#[from] RangeError),
    #[error("OUTBOX.gone cannot be written: {0}")]
    Unwritten(#[from] io::Error),
}

impl Condensing {
    /// Looks through the next portion; whether that was all up to `upto`. Blocks.
    ///
    /// # Errors
    /// There is no room for it, or it cannot be read.
    pub fn step(&mut self, upto: Lsn) -> Result<bool, NotKept> {
        let gone = &mut self.debts.gone;
        self.follower.read(upto, PORTION, |followed| {
            gone.take(&followed.record, followed.expiry, followed.origin.wall_ms);
        })?;
        if gone.full {
            return Err(NotKept::Full);
        }
        self.debts.upto = self.follower.position();
        Ok(self.debts.upto >= upto)
    }
}

impl Keeping {
    /// Reads the cursor of the log of this name in the data directory, and holds what is behind it.
    /// Call it before anything of the log is deleted. Blocks.
    ///
    /// # Errors
    /// The cursor is there and cannot be read.
    pub fn open(data: &Path, log: &str, holds: &Holds) -> io::Result<Self> {
        let cursor = SealedFile::<Cursor>::new(data, log);
        let debts = SealedFile::<Debts>::new(data, log);
        let (written, owed) = (cursor.read()?, debts.read()?);
        let behind = written.map(|cursor| cursor.lsn).max(owed.as_ref().map(|debts| debts.upto));
        let hold = match behind {
            Some(lsn) => holds.take(WHO, lsn),
            // Nothing was ever sent.
            None => holds.take_all(WHO),
        };
        // What is gone cannot be held; Redis' own marker says whether it is missed.
        let hold = hold.or_else(|_| holds.take_all(WHO)).ok();
        let kept = Kept { hold, written, debts: owed.map(Arc::new), measured: false };
        Ok(Self { cursor, debts, holds: holds.clone(), state: Mutex::new(kept) })
    }

    fn state(&self) -> MutexGuard<'_, Kept> {
        // Every field is replaced whole, so poison says nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written down last.
    pub(super) fn written(&self) -> Option<Cursor> {
        self.state().written
    }

    /// Writes down that Redis has everything up to here, and needs no more of the log than what
    /// is behind. Blocks.
    pub(super) fn advance(&self, cursor: Cursor) -> io::Result<()> {
        self.cursor.write(&cursor)?;
        let mut state = self.state();
        state.written = Some(cursor);
        match &state.hold {
            Some(hold) => hold.pass(cursor.lsn),
            None => match self.holds.take(WHO, cursor.lsn) {
                Ok(hold) => state.hold = Some(hold),
                // It is told when it reads; a full registry has room another time.
                Err(HoldError::Gone { .. } | HoldError::Full) => {}
            },
        }
        let paid = state.debts.as_ref().is_some_and(|debts| debts.upto <= cursor.lsn);
        drop(state);
        if paid { self.pay() } else { Ok(()) }
    }

    /// How much there was for Redis when the process began, the first time it is asked; `None` if
    /// nothing was ever sent. Blocks.
    pub(super) fn measure(&self, tail: &Tail, begun: Lsn) -> Option<(Cursor, u64)> {
        let cursor = {
            let mut state = self.state();
            state.measured = true;
            state.written?
        };
        // A measure that cannot be had is one of 0.
        Some((cursor, tail.bytes_between(cursor.lsn, begun).unwrap_or(0)))
    }

    /// Whether that was asked.
    pub(super) fn is_measured(&self) -> bool {
        self.state().measured
    }

    /// Whether the log is held.
    pub(super) fn holds(&self) -> bool {
        self.state().hold.is_some()
    }

    /// Lets go of the log, whatever is in it.
    pub(super) fn let_go(&self) {
        self.state().hold = None;
    }

    /// Begins to keep in short what is in the log behind `reached`, up to which Redis has it.
    pub(super) fn condense(&self, tail: &Tail, reached: Lsn) -> Condensing {
        let debts = match self.debts() {
            Some(debts) if debts.upto >= reached => (*debts).clone(),
            _ => Debts { from: reached, upto: reached, gone: Deletions::default() },
        };
        Condensing { follower: Follower::new(&tail.data, debts.upto), debts }
    }

    /// Keeps it in short, and needs no more of the log than what is behind. Blocks.
    ///
    /// # Errors
    /// It could not be written; the log is still held.
    pub(super) fn owe(&self, condensed: Condensing) -> Result<Arc<Debts>, NotKept> {
        let debts = Arc::new(condensed.debts);
        self.debts.write(&debts)?;
        let mut state = self.state();
        state.debts = Some(Arc::clone(&debts));
        if let Some(hold) = &state.hold {
            hold.pass(debts.upto);
        }
        Ok(debts)
    }

    /// What is kept in short.
    pub(super) fn debts(&self) -> Option<Arc<Debts>> {
        self.state().debts.clone()
    }

    /// Redis has what was kept in short. Blocks.
    pub(super) fn pay(&self) -> io::Result<()> {
        self.state().debts = None;
        self.debts.remove()
    }
}
