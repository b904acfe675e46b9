//! A part of the log read while the log is being written.

use std::ops::ControlFlow;
use std::path::Path;

use super::headers::read_headers;
use super::report::{Origin, RangeError};
use super::segments_dir;
use super::walk::Walk;
use crate::journal::{Lsn, Record};
use crate::wal::fs::{Filesystem, OsFs};

/// Reads every record up to and including `upto` while the log is being written, to rebuild one
/// shard. `upto` must be settled; what is behind it is not looked at, finished or not.
/// `visit` may break off. Blocks: run it where blocking is allowed.
///
/// # Errors
/// [`RangeError`]; what was visited until then is not all there is.
pub fn read_range(
    data: &Path,
    upto: Lsn,
    visit: impl FnMut(Origin, Record<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    read_range_on(&OsFs, data, upto, visit)
}

fn read_range_on<F: Filesystem>(
    fs: &F,
    data: &Path,
    upto: Lsn,
    visit: impl FnMut(Origin, Record<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    if upto == 0 {
        return Ok(());
    }
    let segments = read_headers(fs, &segments_dir(data))?;
    let walk = Walk { fs, segments: &segments, from: 0, upto, proven: 0 };
    match walk.run(visit, |_| ControlFlow::Continue(()))? {
        Some(end) if end.next_lsn <= upto => {
            Err(RangeError::Short { found: end.next_lsn.saturating_sub(1), wanted: upto })
        }
        _ => Ok(()),
    }
}
