//! `seawall export`: what a data directory holds, for Redis or Valkey.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use seawall_actors::clock::Clock;
use seawall_actors::wal::OpenError;

use super::progress::Progress;
use super::{complain, print};
use crate::config::Loader;
use crate::config::units::{format_duration, format_size};
use crate::exit::Exit;
use crate::interchange::export::{Export, ExportError, Format, Report, To, export};

/// What `seawall export` takes.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The form
    #[arg(long, value_enum)]
    format: Format,
    /// The file, which is replaced if it is there; `-` is standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The data directory; a daemon may be using it [default: as configured]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn run(config: Option<PathBuf>, args: ExportArgs) -> Exit {
    let data = match args.data {
        Some(data) => data,
        None => match Loader::new(config).load() {
            Ok(loaded) => loaded.settings.data.dir.clone(),
            Err(errors) => {
                complain("the configuration is wrong, so where the data are is not known:");
                complain(&errors.to_string());
                return Exit::Config;
            }
        },
    };
    let to = if args.to.as_os_str() == "-" { To::Stdout } else { To::File(args.to) };
    let task = Export { data, format: args.format, to };
    let mut told = Progress::begin();
    let exported = export(&task, &Clock::System, |bytes, total_bytes| {
        told.tell("reading the log", bytes, total_bytes);
    });
    match exported {
        Ok(report) => {
            let text = as_text(&report, &task);
            if task.to == To::Stdout {
                complain(text.trim_end());
                Exit::Ok
            } else {
                print(&text)
            }
        }
        Err(error) => {
            complain(&error.to_string());
            exit_for(&error)
        }
    }
}

fn exit_for(error: &ExportError) -> Exit {
    match error {
        ExportError::Log(OpenError::Io { .. } | OpenError::BrokenOff)
        | ExportError::File { .. }
        | ExportError::Stdout(_) => Exit::System,
        ExportError::Log(_) | ExportError::Record(_) => Exit::Corrupt,
    }
}

/// The report for people.
fn as_text(report: &Report, task: &Export) -> String {
    let keys: u64 = report.by_database.values().sum();
    let to = match &task.to {
        To::File(path) => path.display().to_string(),
        To::Stdout => "standard output".to_owned(),
    };
    let took = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
    let mut out = format!(
        "exported {keys} keys of {} to {to} ({}), up to LSN {}, in {}\n",
        task.data.display(),
        format_size(report.bytes),
        report.seen.last_lsn,
        format_duration(Duration::from_millis(took)),
    );
    // Writing to a string does not fail.
    for (db, count) in &report.by_database {
        let _ = writeln!(out, "  database {db}: {count}");
    }
    for flawed in &report.seen.flawed {
        let _ = writeln!(out, "passed over a snapshot: {flawed}");
    }
    match &report.seen.torn {
        Some(torn) if !report.in_use => {
            let _ = writeln!(out, "left out a torn end, as a start would: {torn}");
        }
        _ => {}
    }
    if report.in_use {
        out.push_str("a daemon uses this directory: what it has written since is not there\n");
    }
    out
}
