//! A part of the log read while the log is being written.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::headers::{Named, Segment, read_headers};
use super::report::{OpenError, Origin, RangeError, io_error};
use super::segments_dir;
use super::walk::Walk;
use crate::clock::UnixMs;
use crate::journal::{Item, Lsn, Record};
use crate::wal::fs::{Filesystem, OsFs};
use crate::wal::segment;

/// How often segments are looked for that go meanwhile, and the pause before.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Reads every record behind `from` up to and including `upto` while the log is being written.
/// `upto` must be settled; what is behind it is not looked at, finished or not. Segments that end
/// before are not read. `visit` may break off. Blocks: run it where blocking is allowed.
///
/// # Errors
/// [`RangeError`]; what was visited until then is not all there is.
pub fn read_range(
    data: &Path,
    from: Lsn,
    upto: Lsn,
    mut visit: impl FnMut(Origin, Record<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    read_items(data, from, upto, |origin, item| match item {
        Item::Record(record) => visit(origin, record),
        Item::Note(_) => ControlFlow::Continue(()),
    })
}

/// As [`read_range`], with the notes between the records.
///
/// # Errors
/// [`RangeError`]; what was visited until then is not all there is.
pub fn read_items(
    data: &Path,
    from: Lsn,
    upto: Lsn,
    visit: impl FnMut(Origin, Item<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    read_items_on(&OsFs, data, from, upto, visit)
}

fn read_items_on<F: Filesystem>(
    fs: &F,
    data: &Path,
    from: Lsn,
    upto: Lsn,
    visit: impl FnMut(Origin, Item<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    if upto <= from {
        return Ok(());
    }
    let segments =
        present::<_, RangeError>(fs, data, |found| Ok(up_to(reaching(found, from)?, upto)))?;
    let walk = Walk { fs, segments: &segments, from, upto, proven: 0 };
    match walk.run(visit, |_| ControlFlow::Continue(()))? {
        Some(end) if end.next_lsn <= upto => {
            Err(RangeError::Short { found: end.next_lsn.saturating_sub(1), wanted: upto })
        }
        _ => Ok(()),
    }
}

/// The headers of those that `choose` picks. A deletion that was decided before the log was held may
/// still be going on, the oldest first: then it is looked again.
fn present<F: Filesystem, E: From<OpenError>>(
    fs: &F,
    data: &Path,
    choose: impl Fn(&[Named]) -> Result<&[Named], E>,
) -> Result<Vec<Segment>, E> {
    let dir = segments_dir(data);
    let mut tries = TRIES;
    loop {
        let found = segment::list(fs, &dir).map_err(io_error("list", &dir))?;
        tries -= 1;
        match read_headers(fs, choose(&found)?, None) {
            Err(OpenError::Io { source, .. })
                if tries > 0 && source.kind() == io::ErrorKind::NotFound =>
            {
                std::thread::sleep(PAUSE);
            }
            read => return Ok(read?),
        }
    }
}

/// The segments from the last one on that begins at or before the first LSN asked for.
fn reaching(found: &[Named], from: Lsn) -> Result<&[Named], RangeError> {
    let wanted = from.saturating_add(1);
    match found.iter().rposition(|(_, first_lsn, _)| *first_lsn <= wanted) {
        Some(at) => Ok(&found[at..]),
        None => {
            let begins = found.first().map_or(0, |(_, first_lsn, _)| *first_lsn);
            Err(RangeError::Gone { begins, wanted: from })
        }
    }
}

/// Those that begin at or before `upto`, and the next, which tells where they end.
fn up_to(found: &[Named], upto: Lsn) -> &[Named] {
    let begun = found.partition_point(|(_, first_lsn, _)| *first_lsn <= upto);
    &found[..found.len().min(begun + 1)]
}

/// The first LSN of every segment there is, and when it was begun.
///
/// # Errors
/// [`OpenError`]: a header cannot be read, or is damaged.
pub(in crate::wal) fn starts(data: &Path) -> Result<Vec<(Lsn, UnixMs)>, OpenError> {
    let segments = present::<_, OpenError>(&OsFs, data, |found| Ok(found))?;
    Ok(segments.iter().map(|s| (s.header.first_lsn, s.header.created_ms)).collect())
}
