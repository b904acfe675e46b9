//! The writer's decisions and file operations, without a thread, a clock or a wait: all of them
//! are handed in, so that a test can drive it through any schedule.
//!
//! One [`Writer::step`] writes what has arrived, frame by frame, and says what to do next. Frames
//! are kept in memory until a sync has made them durable, in two buffers: `older` is what the
//! running sync covers, `newer` came after it began. When a sync fails, both are written again
//! to a fresh segment and the failed file is left alone: its dirty pages may be gone, and the
//! kernel would report success the next time. The buffers are bounded: at [`UNSYNCED_SOON`] a
//! sync is asked for before it is due, at [`UNSYNCED_MAX`] writing waits for it.

mod anew;
mod cached;
mod open;
mod place;
mod segments;
mod successor;
mod syncer;
mod syncing;
mod thread;
mod trust;
mod turn;
mod zeros;

pub(super) use open::read_header;
pub(super) use syncer::{SyncJob, Synced};
pub(super) use thread::{End, Orders, spawn};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::cached::Cached;
use self::place::Place;
use self::syncing::Syncing;
use self::trust::{FAILURES, PROOFS, Trust, WINDOW, probe};
use self::zeros::write_zeros;
use super::frame::{self, Digest, FrameHeader, LogId};
use super::fs::{Filesystem, LogFile};
use super::intake::Intake;
use super::pending::{Chunk, Pending};
use super::settings::{FsyncMode, RETRY_EVERY, SYNC_EVERY, SYNC_SLOW};
use super::stats::add;
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::packed::Packer;
use crate::journal::{Lsn, Release};

/// How long the log must be quiet before a seal records that all of it is durable.
const SEAL_AFTER: Duration = Duration::from_secs(1);

/// The open end of the log.
#[derive(Debug)]
pub(super) struct Writer<F: Filesystem, P: Release> {
    fs: F,
    dir: PathBuf,
    clock: Clock,
    intake: Intake<P>,
    log: LogId,
    file: Arc<F::File>,
    sequence: u64,
    /// Length of the segment's valid part, bytes.
    len: u64,
    /// Where the zeros end that were written ahead of the frames; not above `len`: there are none.
    zeroed: u64,
    /// Last LSN written, and the digest behind it.
    written: Lsn,
    chain: Digest,
    /// Last LSN on disk for certain, and the digest behind it.
    durable: Lsn,
    durable_chain: Digest,
    /// The highest durable LSN that a frame has recorded.
    recorded: Lsn,
    older: Vec<u8>,
    newer: Vec<u8>,
    syncing: Option<Syncing>,
    sync_begun: Instant,
    last_write: Instant,
    /// The segment must not be written or synced any more.
    broken: bool,
    /// The segment's name is not durable yet: the next sync is of the directory too.
    name_due: bool,
    /// The next segment could not be prepared; no next try before this time.
    prepare_at: Option<Instant>,
    /// A segment whose making failed half way; it has to go before anything else is written.
    leftover: Option<PathBuf>,
    /// No next try before this time.
    retry_at: Option<Instant>,
    /// The segment's file, and whether it is there.
    path: PathBuf,
    place: Place,
    /// Whether the disk may have the log. A successor begins with trust.
    trust: Trust,
    packer: Packer,
    cached: Cached,
    /// Before this time the thread writes alone: a write was slow.
    thread_only_until: Option<Instant>,
    due: Vec<P>,
}

/// What to do after a step.
#[derive(Debug)]
pub(super) struct Plan<L> {
    /// A sync to start.
    pub(super) sync: Option<SyncJob<L>>,
    /// Segments whose pages the system may have back.
    pub(super) forget: Vec<PathBuf>,
    /// Step again at this time at the latest.
    pub(super) until: Option<Instant>,
    /// Step again when records arrive.
    pub(super) for_work: bool,
}

/// What failed, for people.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {source}")]
pub(super) struct Trouble {
    doing: &'static str,
    source: io::Error,
    /// A sync has failed: it counts against the disk.
    in_sync: bool,
}

fn trouble(doing: &'static str) -> impl FnOnce(io::Error) -> Trouble {
    move |source| Trouble { doing, source, in_sync: false }
}

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Writes what has arrived. `flight` is the writer's seat.
    pub(super) fn step(&mut self, now: Instant, flight: &mut Pending) -> Plan<F::File> {
        let held = self.retry_at.is_some_and(|at| now < at);
        if !held {
            self.retry_at = None;
            if !self.has_proven_good(now) {
                self.retry_at = self.trust.probe_at();
            } else if let Err(trouble) = self.advance(now, flight) {
                self.suffer(&trouble, now);
            } else if self.is_well() && flight.is_empty() && self.intake.unblock() {
                tracing::info!(path = "wal", event = "healed", "the log can be written again");
            }
        }
        let sync = self.begin_sync(now);
        let stalled = self.stalled(now);
        let for_work = self.retry_at.is_none() && !stalled && !self.broken;
        let until = self.next_look(now, for_work && !flight.is_empty());
        let forget = std::iter::from_fn(|| self.cached.pop()).collect();
        Plan { sync, forget, until, for_work }
    }

    /// Whether nothing but records that wait stands against new ones.
    fn is_well(&self) -> bool {
        !self.broken && self.intake.ground().is_sound()
    }

    fn advance(&mut self, now: Instant, flight: &mut Pending) -> Result<(), Trouble> {
        self.look_around(now)?;
        self.clear_leftover()?;
        if self.broken {
            // A running sync still owns the file's fate; its end wakes the writer.
            return if self.syncing.is_some() { Ok(()) } else { self.start_afresh() };
        }
        if self.stalled(now) {
            return Ok(());
        }
        if flight.is_empty() {
            self.intake.take(flight);
            failpoint::hit(Point::WriterTake);
        }
        self.write_all(now, flight)?;
        self.seal_if_quiet(now)
    }

    fn write_all(&mut self, now: Instant, flight: &mut Pending) -> Result<(), Trouble> {
        let always = self.intake.fsync() == FsyncMode::Always;
        while !self.stalled(now) {
            self.rotate_if_due(now)?;
            let Some(chunk) = flight.peek() else { break };
            failpoint::hit(Point::WriterWrite);
            self.write_chunk(&chunk)?;
            failpoint::hit(Point::WriterWrote);
            let count = chunk.count;
            flight.pop();
            failpoint::hit(Point::WriterPublish);
            self.last_write = now;
            add(&self.intake.counters().records, u64::from(count));
            // In `always` everything in the seat shares one sync.
            if !always {
                self.publish();
            }
        }
        if always && self.written > self.durable && self.syncing.is_none() {
            self.sync_now(now)?;
        }
        Ok(())
    }

    /// Writes a frame of these records, with large values packed.
    fn write_chunk(&mut self, chunk: &Chunk<'_>) -> Result<(), Trouble> {
        let above = self.intake.plain_up_to();
        let mut packer = std::mem::take(&mut self.packer);
        let packed = if chunk.largest > above { packer.pack(chunk.payload, above) } else { None };
        let payload = packed.unwrap_or(chunk.payload);
        let header = FrameHeader {
            payload_len: payload.len() as u64,
            count: chunk.count,
            first_lsn: chunk.first,
            durable_lsn: self.durable,
            wall_ms: self.clock.unix_ms(),
            packed: packed.is_some(),
        };
        let written = self.write_frame(&header, payload);
        if written.is_ok() {
            let saved = chunk.payload.len() - payload.len();
            add(&self.intake.counters().saved_bytes, saved as u64);
        }
        packer.trim();
        self.packer = packer;
        written
    }

    /// Builds the frame behind the ones that are not durable yet, and writes it from there.
    fn write_frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Trouble> {
        let start = self.newer.len();
        let chain = frame::append_frame(&mut self.newer, &self.log, &self.chain, header, payload);
        let bytes = &self.newer[start..];
        if self.intake.fsync() == FsyncMode::Always {
            let end = self.len + bytes.len() as u64;
            self.zeroed = write_zeros(&*self.file, self.zeroed, end, self.intake.segment_size());
        }
        if let Err(error) = self.file.write_at(bytes, self.len) {
            self.newer.truncate(start);
            add(&self.intake.counters().write_errors, 1);
            // A full disk has left the file whole: the same bytes go to the same place later.
            self.broken = !is_full(&error);
            return Err(trouble("write the log")(error));
        }
        self.len += bytes.len() as u64;
        self.chain = chain;
        self.written = header.next_lsn() - 1;
        self.recorded = header.durable_lsn;
        let counters = self.intake.counters();
        add(&counters.bytes, header.frame_len());
        add(&counters.frames, 1);
        counters.segment_bytes.store(self.len, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// An empty frame that records what is durable: from now on damage to the frames before it
    /// cannot pass for a torn end.
    fn seal_if_quiet(&mut self, now: Instant) -> Result<(), Trouble> {
        let quiet = now.saturating_duration_since(self.last_write) >= SEAL_AFTER;
        if quiet { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), Trouble> {
        if self.broken || self.written != self.durable || self.recorded == self.durable {
            return Ok(());
        }
        failpoint::hit(Point::WriterSeal);
        let header = FrameHeader {
            payload_len: 0,
            count: 0,
            first_lsn: self.written + 1,
            durable_lsn: self.durable,
            wall_ms: self.clock.unix_ms(),
            packed: false,
        };
        self.write_frame(&header, &[])
    }

    fn publish(&mut self) {
        self.intake.publish(self.written, self.durable, &mut self.due);
    }

    /// Writes nothing until the next try, and says so.
    fn suffer(&mut self, trouble: &Trouble, now: Instant) {
        let counts = trouble.in_sync && !is_full(&trouble.source);
        let lost = counts && self.trust.sync_failed(now);
        self.retry_at = self.trust.probe_at().or(Some(now + RETRY_EVERY));
        let healing = if self.trust.is_lost() {
            let secs = WINDOW.as_secs();
            format!(
                "{FAILURES} syncs have failed within {secs} s, so the disk is not trusted: new \
                 writes are refused until {PROOFS} probes of it in a row go well"
            )
        } else {
            let ms = RETRY_EVERY.as_millis();
            format!("tried again every {ms} ms, new writes are refused until it works")
        };
        let why =
            format!("{trouble}; {healing}; a write that waited for it may or may not be kept");
        if lost {
            tracing::error!(path = "wal", event = "distrusted", reason = %trouble, "{why}");
        } else if self.intake.stats().blocked.is_none() {
            tracing::error!(path = "wal", event = "blocked", reason = %trouble, "{why}");
        }
        self.intake.block(&why);
    }

    /// Whether the disk may be written. While it is not trusted it is probed here.
    fn has_proven_good(&mut self, now: Instant) -> bool {
        if !self.trust.is_lost() {
            return true;
        }
        let outcome = probe(&self.fs, &self.dir, self.clock.unix_ms());
        let won = self.trust.probed(outcome.is_ok(), now);
        if let Err(error) = outcome {
            let next_in = self.trust.probe_at().map(|at| at.saturating_duration_since(now));
            tracing::warn!(
                path = "wal",
                event = "probe_failed",
                %error,
                ?next_in,
                "the disk does not prove good; the log stays read-only"
            );
        } else if won {
            tracing::info!(path = "wal", event = "trusted", "the disk has proven good");
        }
        won
    }

    // === waiting ===

    fn next_look(&mut self, now: Instant, more: bool) -> Option<Instant> {
        if more {
            return Some(now);
        }
        let mut until = self.retry_at;
        let mut look = |at: Instant| until = Some(until.map_or(at, |until| until.min(at)));
        if self.retry_at.is_none() {
            look(self.place.next());
        }
        if let Some(sync) = &mut self.syncing {
            let took = now.saturating_duration_since(sync.since);
            if took < SYNC_SLOW {
                look(sync.since + SYNC_SLOW);
            } else if !std::mem::replace(&mut sync.said_slow, true) {
                add(&self.intake.counters().slow_syncs, 1);
                tracing::warn!(
                    path = "wal",
                    event = "slow_sync",
                    secs = took.as_secs_f64(),
                    "a sync of the log is slow; with fsync = everysec writes wait for it"
                );
            }
        } else if self.broken {
            look(self.retry_at.unwrap_or(now));
        } else if self.written > self.durable {
            if self.intake.fsync() == FsyncMode::EverySec {
                look(self.sync_begun + SYNC_EVERY);
            }
        } else if self.recorded < self.durable {
            look(self.last_write + SEAL_AFTER);
        }
        // Later than now: what did not begin at its time is not wanted any more.
        if let Some(at) = self.prepare_at.filter(|at| *at > now) {
            look(at);
        }
        until
    }

    /// Whether nothing is left to write or sync, or nothing can be done about it.
    fn idle(&self, flight: &Pending) -> bool {
        self.retry_at.is_some()
            || (self.syncing.is_none()
                && !self.broken
                && flight.is_empty()
                && !self.intake.has_pending())
    }

    /// The last act of an orderly stop: sync and seal. Returns what is lost to a power cut.
    fn finish(&mut self, now: Instant, flight: &Pending) -> Result<(), String> {
        if self.retry_at.is_none()
            && self.written > self.durable
            && let Err(trouble) = self.sync_now(now)
        {
            self.suffer(&trouble, now);
        }
        if let Some(why) = self.intake.stats().blocked {
            let bytes = flight.len() as u64 + self.intake.stats().pending_bytes;
            return Err(format!("stopped with {bytes} bytes of records not written: {why}"));
        }
        self.seal().map_err(|trouble| trouble.to_string())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
