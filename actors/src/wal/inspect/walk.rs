//! Through every segment, over every flaw.

use std::ops::ControlFlow;
use std::path::Path;

use super::headers::{Candidate, log_id};
use super::known::Known;
use super::{Entry, Finding, Inspection, SegmentSummary, Verdict};
use crate::journal::{DecodeError, Lsn, Records};
use crate::wal::frame::{DIGEST_LEN, Digest, FrameHeader, HeaderError, LogId};
use crate::wal::fs::Filesystem;
use crate::wal::reader::{Flaw, Next, SegmentReader};
use crate::wal::replay::{OpenError, io_error};
use crate::wal::segment::{HEADER_LEN, SegmentError};

/// A link that no segment has: its place is taken where a header cannot be read. (Zeros say that
/// a log begins, and no frame's digest is zero.)
const NO_LINK: Digest = [0; DIGEST_LEN];

pub(super) fn walk<F: Filesystem>(
    fs: &F,
    dir: &Path,
    candidates: &[Candidate],
    known: Known,
    visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<Inspection, OpenError> {
    let log = log_id(candidates);
    let (sequence, lsn, chain) = known.floor(candidates);
    let report = Inspection {
        manifest: known.summary(),
        intact_lsn: lsn.saturating_sub(1),
        ..Inspection::default()
    };
    let due = Due { sequence, lsn };
    let proven = known.durable();
    let mut walk = Walk { fs, log, visit, report, chain, due, proven };
    for (index, candidate) in candidates.iter().enumerate() {
        if walk.segment(candidate, candidates.get(index + 1))?.is_break() {
            return Ok(walk.report);
        }
    }
    known.compare(dir, candidates, walk.due.lsn, &mut walk.report);
    Ok(walk.report)
}

/// What the next segment has to begin with.
struct Due {
    sequence: u64,
    lsn: Lsn,
}

struct Walk<'a, F, V> {
    fs: &'a F,
    log: LogId,
    visit: V,
    report: Inspection,
    /// The digest that the next segment links to; `None` where damage hides it.
    chain: Option<Digest>,
    due: Due,
    /// The log was on disk up to here.
    proven: Lsn,
}

impl<F: Filesystem, V: FnMut(Entry<'_>) -> ControlFlow<()>> Walk<'_, F, V> {
    fn segment(
        &mut self,
        at: &Candidate,
        next: Option<&Candidate>,
    ) -> Result<ControlFlow<()>, OpenError> {
        self.report.segments.push(SegmentSummary {
            path: at.path.clone(),
            sequence: at.sequence,
            first_lsn: at.first_lsn,
            bytes: at.size,
            frames: 0,
            records: 0,
        });
        self.report.last_lsn = self.report.last_lsn.max(at.first_lsn.saturating_sub(1));
        let readable = self.begin(at);
        let chain = self.chain.take();
        self.due = Due { sequence: at.sequence.saturating_add(1), lsn: at.first_lsn };
        if !readable {
            return Ok(ControlFlow::Continue(()));
        }
        self.chain = chain;
        self.frames(at, next)
    }

    /// Checks the segment against its name and what is before it. Whether it has frames that can
    /// be looked for.
    fn begin(&mut self, at: &Candidate) -> bool {
        let flaw = |verdict, what: String| Finding {
            verdict,
            path: at.path.clone(),
            offset: 0,
            bytes: HEADER_LEN as u64,
            first_lsn: at.first_lsn,
            last_lsn: None,
            what,
        };
        let first = self.report.segments.len() == 1;
        if at.sequence != self.due.sequence {
            let what = format!("segment {} is missing before this one", self.due.sequence);
            let last_lsn = at.first_lsn.checked_sub(1).filter(|last| *last >= self.due.lsn);
            let first_lsn = self.due.lsn;
            self.report.note(Finding { first_lsn, last_lsn, ..flaw(Verdict::Corrupt, what) });
            self.chain = None;
        }
        let wrong = match &at.header {
            Err(error @ SegmentError::OtherVersion(_)) => {
                self.report.note(flaw(Verdict::OtherVersion, error.to_string()));
                return false;
            }
            Err(error @ SegmentError::Damaged) => Some(error.to_string()),
            Ok(header) if header.log != self.log => {
                self.report.note(flaw(Verdict::Corrupt, "it belongs to another log".to_owned()));
                return false;
            }
            Ok(header) if (header.sequence, header.first_lsn) != (at.sequence, at.first_lsn) => {
                Some(format!(
                    "its header says segment {} from LSN {}, which is not its name",
                    header.sequence, header.first_lsn
                ))
            }
            Ok(_) if first && at.sequence == self.due.sequence && at.first_lsn != self.due.lsn => {
                Some(format!("the log begins with LSN {}, not {}", at.first_lsn, self.due.lsn))
            }
            Ok(header) if self.chain.is_some_and(|chain| chain != header.link) => {
                Some("it does not continue the segment before".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(what) = wrong {
            self.report.note(flaw(Verdict::Corrupt, what));
        }
        true
    }

    fn frames(
        &mut self,
        at: &Candidate,
        next: Option<&Candidate>,
    ) -> Result<ControlFlow<()>, OpenError> {
        let path = &at.path;
        let read = || io_error("read", path);
        let file = self.fs.open(path, false).map_err(io_error("open", path))?;
        let limit = next.map(|next| (next.first_lsn, next.link().unwrap_or(NO_LINK)));
        let until = limit.map(|(lsn, _)| lsn);
        let presumed = at.presumed(self.log);
        let mut reader = SegmentReader::new(&file, &presumed, limit).map_err(read())?;
        reader.set_durable(self.proven);
        // Behind a damaged header, the first frame has to stand by itself.
        let mut lost = at.header.is_err() && !reader.resync(HEADER_LEN as u64).map_err(read())?;
        while !lost {
            let (offset, due) = (reader.offset(), reader.next_lsn());
            let flaw = match reader.next().map_err(read())? {
                Next::Frame { header, payload, bytes } => {
                    if self.frame(at, offset, &header, payload, bytes.len()).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
                Next::End => break,
                Next::Bad(flaw) => flaw,
            };
            lost = true;
            if matches!(flaw, Flaw::Overlap(_)) && limit.is_some_and(|(_, link)| link == NO_LINK) {
                // Superseded frames: the next header, which would have said so, is damaged.
                break;
            }
            let verdict = match &flaw {
                Flaw::Header(HeaderError::Unsupported { .. }) => Verdict::OtherVersion,
                flaw if next.is_none() && reader.is_torn(flaw).map_err(read())? => Verdict::Torn,
                _ => Verdict::Corrupt,
            };
            if verdict == Verdict::Corrupt && reader.resync(offset + 1).map_err(read())? {
                // Frames that the next segment supersedes are none of this one's.
                lost = until.is_some_and(|until| reader.next_lsn() >= until);
            }
            let follows = if lost { until } else { Some(reader.next_lsn()) };
            let end = if lost { at.size } else { reader.offset() };
            self.report.note(Finding {
                verdict,
                path: path.clone(),
                offset,
                bytes: end.saturating_sub(offset),
                first_lsn: due,
                last_lsn: follows.and_then(|lsn| lsn.checked_sub(1)).filter(|&last| last >= due),
                what: flaw.to_string(),
            });
        }
        self.due.lsn = reader.next_lsn();
        self.chain = (!lost).then(|| reader.chain());
        if let Some(until) = until.filter(|&until| !lost && until != reader.next_lsn()) {
            let due = reader.next_lsn();
            self.chain = None;
            self.report.note(Finding {
                verdict: Verdict::Corrupt,
                path: path.clone(),
                offset: reader.offset(),
                bytes: 0,
                first_lsn: due,
                last_lsn: until.checked_sub(1).filter(|&last| last >= due),
                what: format!("it ends at LSN {}, short of {until}", due.saturating_sub(1)),
            });
        }
        Ok(ControlFlow::Continue(()))
    }

    fn frame(
        &mut self,
        at: &Candidate,
        offset: u64,
        header: &FrameHeader,
        payload: &[u8],
        bytes: usize,
    ) -> ControlFlow<()> {
        let report = &mut self.report;
        let last = header.next_lsn().saturating_sub(1);
        if let Some((verdict, what)) = unreadable(header, payload) {
            report.note(Finding {
                verdict,
                path: at.path.clone(),
                offset,
                bytes: bytes as u64,
                first_lsn: header.first_lsn,
                last_lsn: Some(last),
                what,
            });
        }
        let intact = report.findings.is_empty();
        let mut shown = 0;
        let mut records = Records::new(payload);
        while let Some(Ok(item)) = records.next_item() {
            let lsn = header.first_lsn.saturating_add(records.position() - 1);
            (self.visit)(Entry { lsn, wall_ms: header.wall_ms, item, intact })?;
            shown += 1;
        }
        report.last_lsn = report.last_lsn.max(last);
        if intact {
            report.intact_lsn = last;
        } else {
            report.readable_behind += shown;
        }
        if let Some(segment) = report.segments.last_mut() {
            segment.frames += 1;
            segment.records += shown;
        }
        ControlFlow::Continue(())
    }
}

/// What is wrong with the records of a frame whose digest fits: not damage, but a writer that
/// knows more, or made a mistake.
fn unreadable(header: &FrameHeader, payload: &[u8]) -> Option<(Verdict, String)> {
    let mut records = Records::new(payload);
    match records.find_map(Result::err) {
        Some(error @ DecodeError::UnknownCritical(_)) => {
            Some((Verdict::OtherVersion, error.to_string()))
        }
        Some(error @ DecodeError::Malformed) => Some((Verdict::Corrupt, error.to_string())),
        None if records.position() != u64::from(header.count) => {
            let (found, says) = (records.position(), header.count);
            let what = format!("records in the frame: {found}; its header says {says}");
            Some((Verdict::Corrupt, what))
        }
        None => None,
    }
}
