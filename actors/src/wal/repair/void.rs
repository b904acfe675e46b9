//! Filling the LSNs of what was taken out of a log, so that its next record has one of its own.

use std::io;
use std::path::Path;

use crate::clock::UnixMs;
use crate::journal::{Lsn, voids};
use crate::wal::frame::{FrameHeader, append_frame};
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::reader::{Next, SegmentReader};
use crate::wal::replay::{OpenError, io_error, segments_dir};
use crate::wal::segment;
use crate::wal::writer::read_header;

/// Records in one frame, at most.
const FRAME: u64 = 1 << 19;
/// More are not believed to have been lost: two bytes each is half a gigabyte.
const MOST: u64 = 1 << 28;

/// Goes on in the last segment, if there is one, with records that stand for nothing, up to the LSN
/// `last`. On return they are durable.
///
/// # Errors
/// [`OpenError::Io`]; also if that would be more records than any log loses.
pub(super) fn fill<F: Filesystem>(
    fs: &F,
    data: &Path,
    last: Lsn,
    now: UnixMs,
) -> Result<(), OpenError> {
    let dir = segments_dir(data);
    let segments = segment::list(fs, &dir).map_err(io_error("list", &dir))?;
    let Some((_, _, path)) = segments.last() else { return Ok(()) };
    let file = fs.open(path, true).map_err(io_error("open", path))?;
    let header = read_header(&file).map_err(io_error("read", path))?;
    let header = header.map_err(|error| io_error("go on in", path)(io::Error::other(error)))?;
    let mut reader = SegmentReader::new(&file, &header, None).map_err(io_error("read", path))?;
    loop {
        match reader.next().map_err(io_error("read", path))? {
            Next::Frame { .. } => {}
            Next::End => break,
            Next::Bad(flaw) => return Err(io_error("go on in", path)(io::Error::other(flaw))),
        }
    }
    let (mut at, mut chain, mut next) = (reader.offset(), reader.chain(), reader.next_lsn());
    let missing = last.saturating_add(1).saturating_sub(next);
    if missing > MOST {
        let many = format!("{missing} records would be missing, which is not believable");
        return Err(io_error("go on in", path)(io::Error::other(many)));
    }
    if missing == 0 {
        return Ok(());
    }
    // Zeros that were written ahead.
    file.cut(at).map_err(io_error("cut", path))?;
    let mut bytes = Vec::new();
    while next <= last {
        let count = (last + 1 - next).min(FRAME);
        let payload = voids(count as usize);
        let frame = FrameHeader {
            payload_len: payload.len() as u64,
            count: count as u32,
            first_lsn: next,
            durable_lsn: next - 1,
            wall_ms: now,
            packed: false,
        };
        bytes.clear();
        chain = append_frame(&mut bytes, &header.log, &chain, &frame, &payload);
        file.write_at(&bytes, at).map_err(io_error("write", path))?;
        at += bytes.len() as u64;
        next += count;
    }
    file.sync().map_err(io_error("sync", path))
}
