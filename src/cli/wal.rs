//! `seawall wal`: what is in the log of a data directory, and its repair.

mod dump;
mod repair;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use seawall_actors::wal::inspect::Verdict;
use seawall_actors::wal::{DataDir, OpenError};

use super::complain;
use crate::config::Loader;
use crate::exit::Exit;

/// What `seawall wal` takes.
#[derive(Debug, Args)]
pub struct WalArgs {
    /// The data directory [default: as configured]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(subcommand)]
    command: WalCommand,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
enum WalCommand {
    /// Check every segment, frame and snapshot; exits with 0 if clean, 84 if torn, 83 if corrupt
    Verify(verify::VerifyArgs),
    /// Print the records, one a line
    Dump(dump::DumpArgs),
    /// Cut off everything from the first damage on, with a copy; without --yes only say so
    Repair(repair::RepairArgs),
}

pub(super) fn wal(config: Option<PathBuf>, args: WalArgs) -> Exit {
    let data = match args.data {
        Some(data) => data,
        None => match Loader::new(config).load() {
            Ok(loaded) => loaded.settings.data.dir.clone(),
            Err(errors) => {
                complain("the configuration is wrong, so where the log is is not known:");
                complain(&errors.to_string());
                return Exit::Config;
            }
        },
    };
    match args.command {
        WalCommand::Verify(args) => verify::verify(&data, &args),
        WalCommand::Dump(args) => dump::dump(&data, &args),
        WalCommand::Repair(args) => repair::repair(&data, &args),
    }
}

/// A daemon that has the directory, and its process id if it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder(Option<u32>);

impl Holder {
    fn of(data: &Path) -> Option<Self> {
        // A lock file that cannot be read says nothing about the log.
        DataDir::holder(data).ok().flatten().map(Self)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid} uses this directory"),
            None => f.write_str("another process uses this directory"),
        }
    }
}

/// The exit code for what was found. Beside a daemon, an unfinished end is a write under way.
fn exit_for(verdict: Verdict, holder: Option<Holder>) -> Exit {
    match verdict {
        Verdict::Clean => Exit::Ok,
        Verdict::Torn if holder.is_some() => Exit::Ok,
        Verdict::Torn => Exit::Torn,
        Verdict::OtherVersion | Verdict::Corrupt => Exit::Corrupt,
    }
}

/// The log could not be read at all.
fn unreadable(error: &OpenError) -> Exit {
    complain(&format!("{error}\nis --data the right directory, and may this user read it?"));
    Exit::System
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::Torn => "torn",
        Verdict::OtherVersion => "other version",
        Verdict::Corrupt => "corrupt",
    }
}

#[cfg(test)]
mod tests;
