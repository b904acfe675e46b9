//! A log whose files were removed goes on in new ones, see [`crate::wal::ground`].

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Trouble, Writer, trouble};
use crate::clock::Clock;
use crate::journal::Release;
use crate::wal::frame::{self, LogId};
use crate::wal::fs::Filesystem;
use crate::wal::intake::Intake;
use crate::wal::manifest::Floor;
use crate::wal::pending::Pending;
use crate::wal::segment::{self, SegmentHeader};

/// What clients are told until a snapshot stands for what was removed.
pub(super) const BASELESS: &str = "its files were removed; it goes on in new ones, and new writes are refused until a snapshot \
     of what is in memory stands for the old ones, which is being taken; a write that waited for \
     it may or may not be kept";

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Leaves the segment that is gone. What was not durable is written to the next one; what was
    /// is in memory.
    pub(super) fn begin_anew(&mut self) -> Result<(), Trouble> {
        let floor = Floor {
            sequence: self.sequence + 1,
            first_lsn: self.durable + 1,
            link: self.durable_chain,
        };
        let ground = self.intake.ground();
        let restored = ground.restore(&self.fs, &self.dir, floor.sequence);
        restored.map_err(trouble("make the log's directory again"))?;
        self.clear_leftover()?;
        self.start_afresh()?;
        self.intake.ground().find(Some(floor));
        say(floor.sequence);
        self.intake.block(BASELESS);
        Ok(())
    }
}

/// Makes the segment that a successor begins with, whose predecessor's is gone: it starts where the
/// records start that are still waiting. What was before is in memory.
pub(super) fn begin<F: Filesystem, P: Release>(
    fs: &F,
    dir: &Path,
    clock: &Clock,
    intake: &Intake<P>,
    flight: &Pending,
    log: LogId,
) -> std::io::Result<()> {
    intake.ground().lose();
    // Whatever waits may be in the files that are gone, and in no others.
    intake.block(BASELESS);
    let sequence = intake.counters().segment.load(Ordering::Relaxed) + 1;
    intake.ground().restore(fs, dir, sequence)?;
    let waiting = flight.peek().map(|chunk| chunk.first);
    let header = SegmentHeader {
        format: segment::FORMAT_VERSION,
        log,
        sequence,
        first_lsn: waiting.unwrap_or_else(|| intake.first_waiting()),
        link: [0; frame::DIGEST_LEN],
        created_ms: clock.unix_ms(),
    };
    segment::create(fs, dir, &header, &[]).map_err(|error| error.source)?;
    say(sequence);
    Ok(())
}

fn say(sequence: u64) {
    tracing::warn!(
        path = "wal",
        event = "begun_anew",
        sequence,
        "the log's files were removed; it goes on in a new segment, and a snapshot of what is in \
         memory is taken to stand for them"
    );
}
