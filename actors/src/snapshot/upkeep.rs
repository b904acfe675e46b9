//! When a snapshot is due, and what of log and snapshots may go: a pure machine.
//!
//! # What may go
//!
//! A segment goes only if all of this holds:
//!
//! - its records are at or below the begin of the second newest verified snapshot: should the
//!   newest turn out to be damaged, the one before and the log behind it are there;
//! - nobody [holds](crate::wal::Holds) it;
//! - it is older than the retention, and so is the end of a snapshot that stands for it. So every
//!   moment within the retention can be restored: from that snapshot, and the log behind it.
//!
//! Where the log is larger than it may be, the third gives way, the oldest first; the others never
//! do. A snapshot is taken where it would help.
//!
//! Snapshots that stay: the newest few; the newest that is older than the retention, from which its
//! first moments are restored; and between them as many as it takes that another one is there to
//! take its place at least every half retention. So the log of one and a half retentions is the most
//! that is kept, give or take the time between two snapshots.

mod kept;

use std::time::{Duration, Instant};

use crate::clock::UnixMs;
use crate::journal::Lsn;
use crate::wal::{Held, Removal, Survey};

/// The first pause after a snapshot that failed; every further one doubles it ...
const RETRY_SOON: Duration = Duration::from_secs(5);
/// ... up to this.
const RETRY_LATE: Duration = Duration::from_secs(600);
/// The disk is looked at this often at least, and at most.
const LOOK_LATE: Duration = Duration::from_secs(60);
const LOOK_SOON: Duration = Duration::from_secs(1);
/// After this time already, if there is a new segment.
const LOOK_ANEW: Duration = Duration::from_secs(2);
/// Between two snapshots that are taken because the log is too large.
const PRESSED_EVERY: Duration = Duration::from_secs(2);
/// Of the time between two such snapshots, the share that taking them may cost: one in so many.
const PRESSED_SHARE: u32 = 4;

/// What the machine goes by. All of it changes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpkeepSettings {
    /// Time between two snapshots; `None`: none for its sake.
    pub every: Option<Duration>,
    /// Bytes of log between two snapshots; `None`: none for their sake.
    pub after_bytes: Option<u64>,
    /// The newest so many snapshots stay; at least 2.
    pub keep: usize,
    /// How far back every moment can be restored.
    pub retention: Duration,
    /// Bytes of log on the disk above which retention gives way; `None`: it never does.
    pub max_size: Option<u64>,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(3600)),
            after_bytes: Some(256_000_000),
            keep: 2,
            retention: Duration::from_secs(24 * 3600),
            max_size: Some(10_000_000_000),
        }
    }
}

/// How far the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Its last LSN.
    pub lsn: Lsn,
    /// Bytes written to it since the process started.
    pub bytes: u64,
    /// The segment that is being written.
    pub segment: u64,
    /// Its files were removed, and it waits for a snapshot to begin anew.
    pub baseless: bool,
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For pauses.
    pub instant: Instant,
    /// For ages of files.
    pub wall_ms: UnixMs,
}

/// What has happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Some time has passed.
    Beat(Gauge),
    /// The disk was looked at.
    Surveyed(&'a Survey, Gauge),
    /// A snapshot was begun, whoever asked for it.
    Begun(Gauge),
    /// It has come to its end: the LSN that it stands for, or `None` if it failed.
    Ended(Option<Lsn>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at the disk.
    Survey,
    /// Take a snapshot.
    Take,
    /// Write something to the log that changes nothing: a snapshot of an LSN that has one stands for
    /// no more than that one.
    Mark,
    /// Let this go.
    Remove(Removal),
    /// The log has become larger than it may be, or is small enough again. Said once a change.
    Pressed(Option<Pressure>),
}

/// A log that is larger than it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressure {
    /// Bytes it had.
    pub bytes: u64,
    /// Bytes it may have.
    pub max: u64,
    /// Whoever needs the oldest part of it, if anybody does.
    pub held: Option<Held>,
}

/// The machine.
#[derive(Debug)]
pub struct Upkeep {
    settings: UpkeepSettings,
    /// The newest snapshot stands for the log up to here; 0: there is none.
    newest_end: Lsn,
    /// When the last one was begun, or the machine.
    last_at: Instant,
    /// What the log's gauge of bytes showed then.
    last_bytes: u64,
    /// Until the first survey it is not known how much log there was behind the newest.
    seeded: bool,
    began: Option<Instant>,
    took: Duration,
    failures: u32,
    retry_at: Option<Instant>,
    surveyed_at: Option<Instant>,
    surveyed_segment: u64,
    surveyed_lsn: Lsn,
    surveying: bool,
    pressed: bool,
}

impl Upkeep {
    /// A machine that knows the newest snapshot, if there is one: the LSN that it stands for, and
    /// when it was begun.
    #[must_use]
    pub fn new(settings: UpkeepSettings, newest: Option<(Lsn, UnixMs)>, now: Now) -> Self {
        let age = newest.map_or(0, |(_, created_ms)| now.wall_ms.saturating_sub(created_ms));
        let age = Duration::from_millis(age);
        // A clock that began less than that ago: due, and not overdue.
        let due = settings.every.map_or(now.instant, |every| back(now.instant, every));
        Self {
            settings,
            newest_end: newest.map_or(0, |(end, _)| end),
            last_at: now.instant.checked_sub(age).unwrap_or(due),
            last_bytes: 0,
            seeded: false,
            began: None,
            took: Duration::ZERO,
            failures: 0,
            retry_at: None,
            surveyed_at: None,
            surveyed_segment: 0,
            surveyed_lsn: 0,
            surveying: false,
            pressed: false,
        }
    }

    /// New settings; they hold from the next event on.
    pub fn configure(&mut self, settings: UpkeepSettings) {
        if self.settings != settings {
            self.settings = settings;
            self.surveyed_at = None;
        }
    }

    /// Takes in what has happened; what is to be done.
    pub fn on(&mut self, event: Event<'_>, now: Now) -> Vec<Effect> {
        match event {
            Event::Beat(gauge) => self.beat(gauge, now),
            Event::Surveyed(survey, gauge) => self.surveyed(survey, gauge, now),
            Event::Begun(gauge) => {
                self.began = Some(now.instant);
                (self.last_at, self.last_bytes) = (now.instant, gauge.bytes);
                self.seeded = true;
                Vec::new()
            }
            Event::Ended(end) => self.ended(end, now),
        }
    }

    /// The look at the disk has failed, or the removal after it: look again in due time.
    pub fn survey_failed(&mut self) {
        self.surveying = false;
    }

    /// Something has changed on the disk: look again with the next beat.
    pub fn look_again(&mut self) {
        self.surveyed_at = None;
    }

    fn beat(&mut self, gauge: Gauge, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.began.is_none() && self.is_due(gauge, now.instant) {
            effects.push(Effect::Take);
        }
        let late = if self.pressed { PRESSED_EVERY } else { LOOK_LATE };
        let look_every = (self.settings.retention / 10).clamp(LOOK_SOON, late);
        let look = self.surveyed_at.is_none_or(|at| {
            let since = now.instant.saturating_duration_since(at);
            since >= look_every || (since >= LOOK_ANEW && gauge.segment != self.surveyed_segment)
        });
        if look && !self.surveying {
            self.surveying = true;
            self.surveyed_at = Some(now.instant);
            self.surveyed_segment = gauge.segment;
            effects.push(Effect::Survey);
        }
        effects
    }

    fn is_due(&self, gauge: Gauge, now: Instant) -> bool {
        let UpkeepSettings { every, after_bytes, .. } = self.settings;
        if gauge.baseless {
            // Nothing is taken until then, so this does not wait for ever longer.
            let soon = self.last_at + RETRY_SOON;
            return self.retry_at.is_none_or(|at| now >= at.min(soon));
        }
        if gauge.lsn <= self.newest_end || (every.is_none() && after_bytes.is_none()) {
            return false;
        }
        if let Some(retry_at) = self.retry_at {
            return now >= retry_at;
        }
        let written = gauge.bytes.saturating_sub(self.last_bytes);
        every.is_some_and(|every| now.saturating_duration_since(self.last_at) >= every)
            || (self.seeded && after_bytes.is_some_and(|after| written >= after))
    }

    fn ended(&mut self, end: Option<Lsn>, now: Now) -> Vec<Effect> {
        if let Some(began) = self.began.take() {
            self.took = now.instant.saturating_duration_since(began);
        }
        match end {
            Some(end) => {
                self.newest_end = self.newest_end.max(end);
                (self.failures, self.retry_at) = (0, None);
            }
            None => {
                let pause = RETRY_SOON * 2u32.saturating_pow(self.failures.min(16));
                self.retry_at = Some(now.instant + pause.min(RETRY_LATE));
                self.failures = self.failures.saturating_add(1);
            }
        }
        // It may make room.
        self.look_again();
        Vec::new()
    }

    fn surveyed(&mut self, survey: &Survey, gauge: Gauge, now: Now) -> Vec<Effect> {
        self.surveying = false;
        if !std::mem::replace(&mut self.seeded, true) {
            // What the earlier runs have written behind the newest snapshot counts as if it had
            // been written now; the segment that it began in is not counted.
            let begin = survey.snapshots.last().map_or(0, |newest| newest.begin);
            let behind = survey.segments.iter().filter(|segment| segment.first_lsn > begin);
            let behind: u64 = behind.map(|segment| segment.bytes).sum();
            self.last_bytes = gauge.bytes.saturating_sub(behind);
        }
        let mut effects = Vec::new();
        let bytes = survey.bytes();
        let pressed = self.press(bytes);
        let idle = std::mem::replace(&mut self.surveyed_lsn, gauge.lsn) == gauge.lsn;
        let goal = self.goal(idle).filter(|_| pressed);
        let first = self.first_to_stay(survey, now.wall_ms, goal);
        let snapshots = kept::to_go(survey, first, &self.settings, now.wall_ms);
        let raised = survey.segments.get(first).filter(|_| first > 0);
        let removal = Removal {
            first: raised.map(|segment| segment.sequence),
            snapshots,
            left_over: survey.left_over > 0,
        };
        if !removal.is_nothing() && !survey.being_read {
            effects.push(Effect::Remove(removal));
        }
        if pressed != self.pressed {
            self.pressed = pressed;
            let pressure = Pressure {
                bytes,
                max: self.settings.max_size.unwrap_or(u64::MAX),
                held: survey.held.clone(),
            };
            effects.push(Effect::Pressed(pressed.then_some(pressure)));
        }
        if goal.is_some_and(|goal| self.would_help(survey, first, goal, now)) {
            let newest = survey.snapshots.last().map_or(0, |newest| newest.begin);
            effects.push(if gauge.lsn > newest { Effect::Take } else { Effect::Mark });
        }
        effects
    }

    /// Whether the log is too large. It has been until a tenth of the room is free again: a log
    /// that is cut down to its limit time and again is one alarm.
    fn press(&self, bytes: u64) -> bool {
        let Some(max) = self.settings.max_size else { return false };
        bytes > max || (self.pressed && bytes > max - max / 10)
    }

    /// What a log that is too large is cut down to. While it is written, the alarm goes on; when it is
    /// not, there is nobody else to end it.
    fn goal(&self, idle: bool) -> Option<u64> {
        let max = self.settings.max_size?;
        Some(if idle { max - max / 10 } else { max })
    }

    /// The index of the first segment that stays; above `goal` bytes retention gives way.
    fn first_to_stay(&self, survey: &Survey, wall_ms: UnixMs, goal: Option<u64>) -> usize {
        let needed = needed_behind(survey);
        let horizon = kept::horizon(&self.settings, wall_ms);
        let anchor = kept::anchor(&survey.snapshots, horizon).map_or(0, |one| one.begin);
        let mut bytes = survey.bytes();
        let mut first = 0;
        for (segment, next) in survey.segments.iter().zip(survey.segments.iter().skip(1)) {
            let last_lsn = next.first_lsn.saturating_sub(1);
            let old = horizon.is_some_and(|horizon| next.created_ms <= horizon);
            let old = old && last_lsn <= anchor;
            let gives_way = goal.is_some_and(|goal| bytes > goal);
            if last_lsn > needed || !(old || gives_way) {
                break;
            }
            bytes = bytes.saturating_sub(segment.bytes);
            first += 1;
        }
        first
    }

    /// Whether the log, which begins with the segment of this index, could be made smaller if there
    /// were another snapshot, and it is time for one.
    fn would_help(&self, survey: &Survey, first: usize, goal: u64, now: Now) -> bool {
        let stays = survey.segments.get(first..).unwrap_or_default();
        let bytes: u64 = stays.iter().map(|segment| segment.bytes).sum();
        let held = survey.held.as_ref().map_or(Lsn::MAX, |held| held.behind);
        // The oldest is full, and nothing but a snapshot is missing for it to go.
        let free = stays.get(1).is_some_and(|next| next.first_lsn.saturating_sub(1) <= held);
        let pause = PRESSED_EVERY.max(self.took * PRESSED_SHARE);
        let rested = now.instant.saturating_duration_since(self.last_at) >= pause;
        let may = self.retry_at.is_none_or(|at| now.instant >= at);
        bytes > goal && free && self.began.is_none() && rested && may
    }
}

/// Records behind this LSN are needed whatever their age: by recovery, or by whoever holds them.
fn needed_behind(survey: &Survey) -> Lsn {
    let second = survey.snapshots.iter().rev().nth(1).map_or(0, |second| second.begin);
    survey.held.as_ref().map_or(second, |held| second.min(held.behind))
}

fn back(from: Instant, by: Duration) -> Instant {
    from.checked_sub(by).unwrap_or(from)
}

#[cfg(test)]
mod tests;
