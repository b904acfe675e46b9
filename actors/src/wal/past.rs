//! What the cache held at an LSN of the past: the newest snapshot that had ended by then, and the
//! log behind it.
//!
//! It is read twice. The first time, [`survey`] finds out where the last value of each key asked
//! for stands; the second time, [`Survey::visit`] hands out those values, in the order in which
//! they were written. So what has to be kept in memory is names and places, not values.
//!
//! [`state`] reads it once, for a caller that keeps everything.

mod places;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use self::places::{Place, Places, Stands};
use super::replay::{OpenError, Progress, RangeError, read_range, starts, verify};
use super::snapshot::{Flawed, Snapshots};
use crate::clock::{Clock, UnixMs};
use crate::journal::{Lsn, Record};

/// Which keys are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// This one.
    One(Box<[u8]>),
    /// Those that begin with these bytes.
    Prefix(Box<[u8]>),
}

impl Keys {
    fn include(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => key == &**one,
            Self::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

/// When in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Right behind this record.
    Lsn(Lsn),
    /// Behind the last record that was logged by this time: Unix milliseconds.
    Time(UnixMs),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Database number, as it was then.
    pub db: u8,
    /// Which keys.
    pub keys: Keys,
    /// When.
    pub at: Moment,
}

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// It has not come yet.
    #[error("LSN {asked} has not been reached: the log is at LSN {last}")]
    Future {
        /// The LSN asked for.
        asked: Lsn,
        /// The last settled one.
        last: Lsn,
    },
    /// The log of that time was deleted.
    #[error(
        "the log does not reach back to {asked}: the earliest state it can still tell is {earliest}"
    )]
    Forgotten {
        /// What was asked for.
        asked: String,
        /// What can be had.
        earliest: String,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] RangeError),
    /// The snapshots cannot be read.
    #[error("the snapshots cannot be read: {0}")]
    Snapshots(#[from] std::io::Error),
    /// The snapshot that was read first is gone, or damaged.
    #[error("the snapshot {} cannot be read a second time: {why}; try again", path.display())]
    Changed {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: Flawed,
    },
}

impl From<OpenError> for PastError {
    fn from(error: OpenError) -> Self {
        Self::Log(error.into())
    }
}

/// A snapshot that the past is built on.
#[derive(Debug)]
struct Base {
    path: PathBuf,
    begin: Lsn,
}

/// Where the values stand that the keys held.
#[derive(Debug)]
pub struct Survey {
    data: PathBuf,
    snapshots: Snapshots,
    wanted: Wanted,
    base: Option<Base>,
    places: HashMap<Box<[u8]>, Place>,
    /// What was surveyed.
    pub lsn: Lsn,
}

/// What a key held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// When it would expire, Unix milliseconds; `None`: never.
    pub expires_at: Option<UnixMs>,
}

/// Finds out where the values stand that the wanted keys held. `settled` is the last LSN that may
/// be read. Blocks: run it where blocking is allowed.
///
/// # Errors
/// [`PastError`].
pub fn survey(
    data: &Path,
    snapshots: &Snapshots,
    wanted: Wanted,
    settled: Lsn,
) -> Result<Survey, PastError> {
    let (places, base, lsn) = rebuild(
        data,
        snapshots,
        wanted.at,
        settled,
        || Places::new(&wanted),
        |places, stands, record| places.apply(stands, record),
    )?;
    let places = places.finish();
    Ok(Survey { data: data.to_owned(), snapshots: snapshots.clone(), wanted, base, places, lsn })
}

/// Puts together what the log in `data` held at a moment; `None`: at its end. `fresh` makes what
/// the records are put into by `apply`, anew for each snapshot that is tried. Returns it with
/// the LSN it stands for. The whole log is verified first, of which `progress` hears; nothing on
/// disk changes. Blocks.
///
/// Takes no lock. Beside a daemon that deletes a segment it may fail where another try does not.
///
/// # Errors
/// [`PastError`]; the log is damaged anywhere, for one.
pub fn state<T>(
    data: &Path,
    clock: Clock,
    at: Option<Moment>,
    fresh: impl FnMut() -> T,
    mut apply: impl FnMut(&mut T, &Record<'_>),
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(T, Lsn), PastError> {
    let (snapshots, last) = verify(data, clock, progress)?;
    let at = at.unwrap_or(Moment::Lsn(last));
    let apply = |state: &mut T, _, record: &Record<'_>| apply(state, record);
    let (state, _, lsn) = rebuild(data, &snapshots, at, last, fresh, apply)?;
    Ok((state, lsn))
}

/// What was put together, from which snapshot, and the LSN it stands for.
type Rebuilt<T> = (T, Option<Base>, Lsn);

fn rebuild<T>(
    data: &Path,
    snapshots: &Snapshots,
    at: Moment,
    settled: Lsn,
    mut fresh: impl FnMut() -> T,
    mut apply: impl FnMut(&mut T, Stands, &Record<'_>),
) -> Result<Rebuilt<T>, PastError> {
    let starts = starts(data)?;
    let floor = starts.first().map_or(1, |(first, _)| *first);
    let lsn = match at {
        Moment::Lsn(asked) if asked > settled => {
            return Err(PastError::Future { asked, last: settled });
        }
        Moment::Lsn(asked) => asked,
        Moment::Time(time) => lsn_at(data, &starts, time, settled)?,
    };
    let mut earliest = None;
    let mut state = fresh();
    let mut base = None;
    for (begin, path) in snapshots.list()? {
        // What is behind `begin` must be there.
        if begin > lsn || begin.saturating_add(1) < floor {
            continue;
        }
        let mut number = 0;
        let each = |record: Record<'_>| {
            number += 1;
            apply(&mut state, Stands::InSnapshot(number), &record);
        };
        let loaded = snapshots.load(&path, each, |_| ControlFlow::Continue(()));
        match loaded {
            Ok(loaded) if loaded.end <= lsn => {
                base = Some(Base { path, begin });
                break;
            }
            Ok(loaded) => earliest = Some(loaded.end),
            // The start will say so and set it aside; there may be another one.
            Err(flaw) => {
                let file = path.display();
                tracing::warn!(%file, why = %flaw, "a snapshot is passed over");
            }
        }
        state = fresh();
    }
    if base.is_none() && floor > 1 {
        let earliest = earliest.or_else(|| later_end(snapshots, lsn, floor));
        return Err(PastError::Forgotten {
            asked: format!("LSN {lsn}"),
            earliest: earliest.map_or_else(|| "none".to_owned(), |lsn| format!("LSN {lsn}")),
        });
    }
    let from = base.as_ref().map_or(0, |base| base.begin);
    read_range(data, from, lsn, |origin, record| {
        apply(&mut state, Stands::InLog(origin.lsn), &record);
        ControlFlow::Continue(())
    })?;
    Ok((state, base, lsn))
}

/// The end of the oldest snapshot that was begun behind `lsn` and that the log reaches back to.
fn later_end(snapshots: &Snapshots, lsn: Lsn, floor: Lsn) -> Option<Lsn> {
    let found = snapshots.list().ok()?;
    let later = found.iter().rev().filter(|(begin, _)| *begin > lsn && begin + 1 >= floor);
    let mut whole = later
        .filter_map(|(_, path)| snapshots.load(path, |_| {}, |_| ControlFlow::Continue(())).ok());
    whole.next().map(|loaded| loaded.end)
}

/// The last LSN that was logged by `time`. A clock may be set back, also within a segment, and frames
/// that were written again are older than theirs: so the first later one is not the end of it.
fn lsn_at(
    data: &Path,
    starts: &[(Lsn, UnixMs)],
    time: UnixMs,
    settled: Lsn,
) -> Result<Lsn, PastError> {
    let Some(&(first, _)) = starts.iter().rev().find(|(_, created)| *created <= time) else {
        let earliest = starts.first().map_or(0, |(_, created)| *created);
        return Err(PastError::Forgotten {
            asked: format!("time {time}"),
            earliest: format!("of time {earliest}, in milliseconds since 1970"),
        });
    };
    let mut last = first.saturating_sub(1);
    read_range(data, last, settled, |origin, _| {
        if origin.wall_ms <= time {
            last = origin.lsn;
        }
        ControlFlow::Continue(())
    })?;
    Ok(last)
}

impl Survey {
    /// How many of the keys were there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Hands out what the keys held, each once, until `visit` breaks off. Blocks.
    ///
    /// # Errors
    /// [`PastError`]; what was visited until then is right, but not all there is.
    pub fn visit(
        &self,
        mut visit: impl FnMut(Held<'_>) -> ControlFlow<()>,
    ) -> Result<(), PastError> {
        let over = std::cell::Cell::new(false);
        if let Some(base) = &self.base
            && self.places.values().any(|place| matches!(place.stands, Stands::InSnapshot(_)))
        {
            let mut number = 0;
            let each = |record: Record<'_>| {
                number += 1;
                if !over.get() {
                    over.set(self.show(Stands::InSnapshot(number), &record, &mut visit).is_break());
                }
            };
            let go_on = |_| match over.get() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            match self.snapshots.load(&base.path, each, go_on) {
                Ok(_) => {}
                Err(_) if over.get() => {}
                Err(why) => return Err(PastError::Changed { path: base.path.clone(), why }),
            }
        }
        let in_log = || {
            self.places.values().filter_map(|place| match place.stands {
                Stands::InLog(lsn) => Some(lsn),
                Stands::InSnapshot(_) => None,
            })
        };
        if let (Some(first), Some(last), false) = (in_log().min(), in_log().max(), over.get()) {
            read_range(&self.data, first.saturating_sub(1), last, |origin, record| {
                self.show(Stands::InLog(origin.lsn), &record, &mut visit)
            })?;
        }
        Ok(())
    }

    fn show(
        &self,
        stands: Stands,
        record: &Record<'_>,
        visit: &mut impl FnMut(Held<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (Record::Set { key, value, .. } | Record::Fill { key, value, .. }) = *record else {
            return ControlFlow::Continue(());
        };
        match self.places.get(key).filter(|_| self.wanted.keys.include(key)) {
            Some(place) if place.stands == stands => {
                visit(Held { key, value, expires_at: place.expires_at })
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests;
