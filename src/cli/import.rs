//! `seawall import`: what Redis has saved, into the log of a data directory.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use seawall_actors::clock::Clock;
use seawall_actors::wal::{LockError, OpenError};

use super::{complain, print, progress};
use crate::boot::wal_settings;
use crate::config::Loader;
use crate::config::units::{format_duration, format_size};
use crate::exit::Exit;
use crate::interchange::ReadError;
use crate::interchange::import::{
    Admission, Import, ImportError, Reason, Report, Stage, Unreadable, import,
};

/// What `seawall import` takes.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// An RDB file, an append-only file, its manifest, or the directory that it is in
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// The data directory, which no daemon may be using [default: as configured]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Import over what is in the log already: keys of the same names are overwritten
    #[arg(long)]
    into_existing: bool,
    /// Import keys that [validation] refuses as well
    #[arg(long)]
    all_keys: bool,
    /// Read the source to its end and report, but change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(config: Option<PathBuf>, args: ImportArgs) -> Exit {
    let settings = match Loader::new(config).load() {
        Ok(loaded) => loaded.settings,
        Err(errors) => {
            complain("the configuration is wrong, so which keys may be imported is not known:");
            complain(&errors.to_string());
            return Exit::Config;
        }
    };
    if !settings.wal.enabled {
        complain("warning: wal.enabled is off: the daemon will not read what is imported");
    }
    let admission =
        if args.all_keys { Admission::of_all_keys(&settings) } else { Admission::of(&settings) };
    let task = Import {
        from: args.from,
        data: args.data.unwrap_or_else(|| settings.data.dir.clone()),
        into_existing: args.into_existing,
        dry_run: args.dry_run,
        admission,
        log: wal_settings(&settings),
    };
    let mut told = progress::Progress::begin();
    let imported = import(&task, &Clock::System, |so_far| {
        told.tell(doing(so_far.stage), so_far.bytes, so_far.total_bytes);
    });
    match imported {
        Ok(report) => print(&as_text(&report, &task)),
        Err(error) => {
            complain(&error.to_string());
            exit_for(&error)
        }
    }
}

fn exit_for(error: &ImportError) -> Exit {
    match error {
        ImportError::Source(Unreadable { error: ReadError::Io { .. }, .. })
        | ImportError::Lock(LockError::Io { .. })
        | ImportError::Log(OpenError::Io { .. } | OpenError::BrokenOff)
        | ImportError::BrokenOff { .. } => Exit::System,
        ImportError::Source(_) => Exit::Input,
        ImportError::Lock(LockError::Held { .. }) => Exit::Locked,
        ImportError::Log(_) => Exit::Corrupt,
        ImportError::NotEmpty { .. } => Exit::Usage,
    }
}

const fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Checking => "checking the source",
        Stage::Opening => "verifying the log that is there",
        Stage::Adding => "importing",
    }
}

/// The report for people.
pub(super) fn as_text(report: &Report, task: &Import) -> String {
    let tally = &report.tally;
    let mut out = format!(
        "{} {} keys of {}, {} ({}), in {}\n",
        if task.dry_run { "would import" } else { "imported" },
        tally.imported(),
        task.from.display(),
        report.source,
        format_size(report.bytes),
        format_duration(Duration::from_millis(
            u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX)
        )),
    );
    // Writing to a string does not fail.
    for (db, count) in &tally.by_database {
        let _ = writeln!(out, "  database {db}: {count}");
    }
    if tally.expired > 0 {
        let _ = writeln!(out, "left out, expired: {}", tally.expired);
    }
    for (kind, count) in &tally.others {
        let _ = writeln!(out, "left out, not held here, {}: {count}", kind.name());
    }
    for (reason, left_out) in &tally.left_out {
        let advice = match reason {
            Reason::Database => "raise server.databases to import them",
            Reason::Key | Reason::Value | Reason::TimeToLive => {
                "--all-keys imports all but empty keys"
            }
        };
        let (count, example, why) = (left_out.count, &left_out.example, &left_out.why);
        let _ = writeln!(out, "left out, refused: {count}, the first {example}: {why}; {advice}");
    }
    if let Some(replayed) = &report.replayed {
        let _ = writeln!(out, "commands run: {}", replayed.applied);
        for (name, count) in &replayed.elsewhere {
            let _ = writeln!(out, "commands not held here, {}: {count}", name.escape_debug());
        }
        if replayed.unfinished > 0 {
            let unfinished = replayed.unfinished;
            let _ = writeln!(out, "commands of a transaction that does not end: {unfinished}");
        }
    }
    if let Some(lsn) = report.last_lsn {
        let data = task.data.display();
        let _ = writeln!(out, "the log of {data} ends with LSN {lsn}, all of it on disk");
    }
    out
}
