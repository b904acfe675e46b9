//! The segments of a log, whatever is wrong with their headers.

use std::io;
use std::path::{Path, PathBuf};

use super::known::Known;
use crate::journal::Lsn;
use crate::wal::frame::{DIGEST_LEN, Digest, LogId};
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::replay::{OpenError, io_error};
use crate::wal::segment::{FORMAT_VERSION, SegmentError, SegmentHeader};
use crate::wal::writer::read_header;

/// A file that is named like a segment.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// What its name says.
    pub(super) sequence: u64,
    pub(super) first_lsn: Lsn,
    /// What its header says.
    pub(super) header: Result<SegmentHeader, SegmentError>,
}

impl Candidate {
    /// The digest that this segment continues, if its header can be read.
    pub(super) fn link(&self) -> Option<Digest> {
        self.header.as_ref().ok().map(|header| header.link)
    }

    /// The header, or one made from the name that is good enough to look for frames.
    pub(super) fn presumed(&self, log: LogId) -> SegmentHeader {
        self.header.clone().unwrap_or(SegmentHeader {
            format: FORMAT_VERSION,
            log,
            sequence: self.sequence,
            first_lsn: self.first_lsn,
            link: [0; DIGEST_LEN],
            created_ms: 0,
        })
    }
}

/// Those of the named ones that count, by number.
pub(super) fn read<F: Filesystem>(
    fs: &F,
    dir: &Path,
    named: Vec<(u64, Lsn, PathBuf)>,
    known: &Known,
) -> Result<Vec<Candidate>, OpenError> {
    let mut candidates = Vec::new();
    for (sequence, first_lsn, path) in named {
        if sequence < known.first_sequence() {
            continue;
        }
        let file = fs.open(&path, false).map_err(io_error("open", &path))?;
        let size = file.size().map_err(io_error("measure", &path))?;
        let header = read_header(&file).map_err(io_error("read", &path))?;
        candidates.push(Candidate { path, size, sequence, first_lsn, header });
    }
    if candidates.is_empty() && known.is_nothing() {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "it holds no segment of a log");
        return Err(io_error("inspect", dir)(nothing));
    }
    Ok(candidates)
}

/// The log that the segments belong to: that of the first header that can be read.
pub(super) fn log_id(candidates: &[Candidate]) -> LogId {
    let intact = candidates.iter().find_map(|candidate| candidate.header.as_ref().ok());
    intact.map_or(LogId::new([0; 16]), |header| header.log)
}
