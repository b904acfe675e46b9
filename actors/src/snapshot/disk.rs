//! Looking at the disk, and making room: on a thread that may block, one thing at a time.

use std::io;
use std::sync::Arc;

use tracing::{error, info};

use super::upkeep::{Event, Pressure};
use super::{SnapshotMsg, SnapshotState};
use crate::cache::Job;
use crate::supervise::Me;
use crate::wal::{Removal, Removed, Retention, Survey};

/// What is to be done on the disk.
#[derive(Debug)]
pub(super) enum Work {
    Survey,
    Remove(Removal),
}

/// What came of it. Opaque: only the snapshotter's own task makes one.
#[derive(Debug)]
pub struct Done {
    /// `None` if the thread died with it.
    retention: Option<Retention>,
    outcome: io::Result<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Surveyed(Survey),
    Removed(Removed),
}

impl<J: Job> SnapshotState<J> {
    /// Sends the work to its thread, unless something is at work there already: then the next look
    /// finds it again.
    pub(super) fn on_disk(&mut self, me: &Me<SnapshotMsg>, work: Work) {
        let Some(mut retention) = self.retention.take() else { return };
        let (me, durable) = (me.clone(), self.args.intake.stats().durable);
        let done = tokio::task::spawn_blocking(move || {
            let outcome = match work {
                Work::Survey => retention.survey(durable).map(Outcome::Surveyed),
                Work::Remove(removal) => retention.remove(&removal).map(Outcome::Removed),
            };
            Done { retention: Some(retention), outcome }
        });
        tokio::spawn(async move {
            let done = done.await.unwrap_or_else(|died| Done {
                retention: None,
                outcome: Err(io::Error::other(format!("the thread that did it died: {died}"))),
            });
            me.send(SnapshotMsg::Disk(Box::new(done)));
        });
    }

    pub(super) fn disk_done(&mut self, me: &Me<SnapshotMsg>, done: Done) {
        let Done { retention, outcome } = done;
        self.retention = Some(retention.unwrap_or_else(|| self.args.snapshots.retention()));
        match outcome {
            Ok(Outcome::Surveyed(survey)) => {
                self.note(&survey);
                let gauge = self.gauge();
                self.on(me, Event::Surveyed(&survey, gauge));
            }
            Ok(Outcome::Removed(removed)) => {
                self.failed_with(None);
                self.removed(removed);
                if let Some(upkeep) = &mut self.upkeep {
                    upkeep.look_again();
                }
            }
            Err(error) => {
                self.failed_with(Some(error.to_string().into()));
                if let Some(upkeep) = &mut self.upkeep {
                    upkeep.survey_failed();
                }
            }
        }
    }

    fn note(&self, survey: &Survey) {
        self.args.status.send_modify(|status| {
            let disk = &mut status.disk;
            disk.log_bytes = survey.bytes();
            disk.segments = survey.segments.len() as u64;
            disk.snapshots = survey.snapshots.len() as u64;
            disk.snapshot_bytes = survey.snapshots.iter().map(|one| one.bytes).sum();
            if let Some(first) = survey.segments.first() {
                (disk.first_lsn, disk.oldest_ms) = (first.first_lsn, first.created_ms);
            }
        });
        let pressure = self.args.status.borrow().disk.pressure.clone();
        if let Some(pressure) = pressure {
            // As large as it is now.
            self.args.troubles.pressure(Some(&Pressure { bytes: survey.bytes(), ..pressure }));
        }
        self.failed_with(None);
    }

    fn removed(&self, removed: Removed) {
        let Removed { segments, bytes, snapshots, held_up } = removed;
        info!(path = "snapshots", segments, bytes, snapshots, held_up, "old log is deleted");
        self.args.status.send_modify(|status| status.disk.deleted += segments);
    }

    /// Said once, until it works again.
    fn failed_with(&self, failure: Option<Arc<str>>) {
        let before = self.args.status.borrow().disk.failure.clone();
        match (&before, &failure) {
            (None, Some(why)) => error!(
                path = "snapshots",
                %why,
                "old log and snapshots cannot be deleted, and the disk fills up; tried again every \
                 minute"
            ),
            (Some(_), None) => info!(path = "snapshots", "old log can be deleted again"),
            _ => {}
        }
        if before != failure {
            self.args.troubles.disk(failure.as_deref());
            self.args.status.send_modify(|status| status.disk.failure = failure);
        }
    }

    pub(super) fn pressed(&self, pressure: Option<Pressure>) {
        match &pressure {
            Some(Pressure { bytes, max, held }) => error!(
                path = "snapshots",
                bytes,
                max,
                held_by = held.as_ref().map(|held| &*held.who),
                held_behind = held.as_ref().map(|held| held.behind),
                "the log is larger than wal.max_size: what two snapshots stand for is deleted \
                 before wal.retention, and a snapshot is taken where that helps; what recovery or \
                 a reader needs stays"
            ),
            None => info!(path = "snapshots", "the log is smaller than wal.max_size again"),
        }
        self.args.troubles.pressure(pressure.as_ref());
        self.args.status.send_modify(|status| status.disk.pressure = pressure);
    }
}
