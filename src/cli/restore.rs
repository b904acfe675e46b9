//! `seawall restore`: what a data directory held in the past, as a new data directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use seawall_actors::clock::{Clock, UnixMs};
use seawall_actors::journal::Lsn;
use seawall_actors::wal::past::{Moment, PastError};
use seawall_actors::wal::{LockError, OpenError, RangeError};

use super::progress::Progress;
use super::{complain, print};
use crate::boot::wal_settings;
use crate::config::Loader;
use crate::config::units::format_duration;
use crate::exit::Exit;
use crate::interchange::restore::{Report, Restore, RestoreError, restore};

/// What `seawall restore` takes.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The data directory to read, or a snapshot in it; a daemon may be using it
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// The data directory to make; there may be nothing in it yet
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// As of this time: RFC 3339 (2026-01-31T12:00:00Z), or Unix milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "to_lsn")]
    to_time: Option<UnixMs>,
    /// As of this LSN, which SW.HISTORY and `seawall wal dump` tell
    #[arg(long, value_name = "LSN")]
    to_lsn: Option<Lsn>,
}

pub(super) fn run(config: Option<PathBuf>, args: RestoreArgs) -> Exit {
    let settings = match Loader::new(config).load() {
        Ok(loaded) => loaded.settings,
        Err(errors) => {
            complain("the configuration is wrong, so how to write a log is not known:");
            complain(&errors.to_string());
            return Exit::Config;
        }
    };
    let at = args.to_time.map(Moment::Time).or(args.to_lsn.map(Moment::Lsn));
    let task = Restore {
        from: directory_of(args.from),
        data: args.data,
        at,
        log: wal_settings(&settings),
    };
    let mut told = Progress::begin();
    let restored = restore(&task, &Clock::System, |bytes, total_bytes| {
        told.tell("reading the log", bytes, total_bytes);
    });
    match restored {
        Ok(report) => print(&as_text(&report, &task)),
        Err(error) => {
            complain(&error.to_string());
            exit_for(&error)
        }
    }
}

/// The data directory that a snapshot, `<data>/snap/<lsn>.snap`, is in; anything else is one.
fn directory_of(from: PathBuf) -> PathBuf {
    if from.extension().is_none_or(|ending| ending != "snap") {
        return from;
    }
    match from.parent().and_then(Path::parent) {
        Some(data) if data.as_os_str().is_empty() => PathBuf::from("."),
        Some(data) => data.to_owned(),
        None => from,
    }
}

fn parse_time(text: &str) -> Result<UnixMs, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| {
        format!("{error}; write it like 2026-01-31T12:00:00Z, or as Unix milliseconds")
    })?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| "it is before 1970".to_owned())?;
    u64::try_from(since.as_millis()).map_err(|error| error.to_string())
}

fn exit_for(error: &RestoreError) -> Exit {
    match error {
        RestoreError::Past(PastError::Future { .. } | PastError::Forgotten { .. })
        | RestoreError::NotEmpty { .. } => Exit::Usage,
        RestoreError::Lock(LockError::Held { .. }) => Exit::Locked,
        RestoreError::Past(PastError::Log(RangeError::Open(error)))
        | RestoreError::Target(error)
            if !matches!(error, OpenError::Io { .. } | OpenError::BrokenOff) =>
        {
            Exit::Corrupt
        }
        RestoreError::Record(_) => Exit::Corrupt,
        RestoreError::Past(_)
        | RestoreError::Lock(_)
        | RestoreError::Target(_)
        | RestoreError::BrokenOff { .. } => Exit::System,
    }
}

/// The report for people.
fn as_text(report: &Report, task: &Restore) -> String {
    let keys: u64 = report.by_database.values().sum();
    let took = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
    let mut out = format!(
        "restored {keys} keys of {}, as of LSN {}, to {}, in {}\n",
        task.from.display(),
        report.lsn,
        task.data.display(),
        format_duration(Duration::from_millis(took)),
    );
    // Writing to a string does not fail.
    for (db, count) in &report.by_database {
        let _ = writeln!(out, "  database {db}: {count}");
    }
    if report.in_use && task.at.is_none() {
        out.push_str("a daemon uses the source: what it has written since is not there\n");
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_unix_milliseconds() {
        assert_eq!(parse_time("1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(parse_time("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert_eq!(parse_time("2023-11-14 22:13:20"), Ok(1_700_000_000_000));
        assert!(parse_time("yesterday").unwrap_err().contains("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn a_snapshot_stands_for_the_directory_it_is_in() {
        for (from, data) in [
            ("/d/snap/00000000000000000007.snap", "/d"),
            ("snap/00000000000000000007.snap", "."),
            ("/d", "/d"),
        ] {
            assert_eq!(directory_of(PathBuf::from(from)), Path::new(data), "{from}");
        }
    }
}
