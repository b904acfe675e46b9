//! The command line. One file per subcommand; completions and the manual page come from the same
//! definitions.

mod ask;
mod check;
mod completions;
mod export;
mod import;
mod man;
mod progress;
mod query;
mod restore;
mod run;
mod snapshot;
mod tree;
mod version;
mod wal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

pub use run::RunArgs;

/// A supervised cache that any Redis client can use.
#[derive(Debug, Parser)]
#[command(
    name = "seawall",
    version,
    about,
    long_about = "Seawall is a cache daemon that any Redis client can use. It answers from memory, \
                  logs every write to a checksummed log, and supervises every part of itself.\n\n\
                  Without a command it runs the daemon. Without a configuration file it runs on \
                  its defaults: RESP on 127.0.0.1:6380, admin HTTP on 127.0.0.1:6381, data in \
                  ./data.",
    after_help = "Environment: SEAWALL__<SECTION>__<KEY> sets a key, SEAWALL_PROFILE chooses a \
                  profile of the configuration file."
)]
pub struct Cli {
    /// The configuration file [default: ./config/seawall.toml, else /etc/seawall/seawall.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do; runs the daemon if left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon (the default)
    Run,
    /// Validate the configuration and print the settings in effect; exits with 0 or 78
    Check,
    /// Print the tree of actors of a running daemon
    Tree(tree::TreeArgs),
    /// Let a running daemon take a snapshot, and wait until it is finished
    Snapshot(snapshot::SnapshotArgs),
    /// Verify, dump or repair the log of a data directory, offline
    Wal(wal::WalArgs),
    /// Import what Redis or Valkey has saved (RDB, AOF) into a data directory, offline
    Import(import::ImportArgs),
    /// Export a data directory as an RDB file or as commands; a daemon may be using it
    Export(export::ExportArgs),
    /// Make a data directory of what another one held in the past, from its snapshots and its log
    Restore(restore::RestoreArgs),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    Man,
}

/// Reads the command line and does what it says. `daemon` runs the daemon until it ends.
///
/// Ends the process with code 2 after a word on standard error if the command line is wrong, and
/// with 0 after `--help` and `--version`.
pub fn main(daemon: impl FnOnce(RunArgs) -> ExitCode) -> ExitCode {
    dispatch(Cli::parse(), daemon)
}

fn dispatch(cli: Cli, daemon: impl FnOnce(RunArgs) -> ExitCode) -> ExitCode {
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(cli.config, daemon),
        Command::Check => check::check(cli.config).into(),
        Command::Tree(args) => tree::tree(cli.config, &args).into(),
        Command::Snapshot(args) => snapshot::snapshot(cli.config, &args).into(),
        Command::Wal(args) => wal::wal(cli.config, args).into(),
        Command::Import(args) => import::run(cli.config, args).into(),
        Command::Export(args) => export::run(cli.config, args).into(),
        Command::Restore(args) => restore::run(cli.config, args).into(),
        Command::Version => version::version().into(),
        Command::Completions(args) => completions::completions(&args).into(),
        Command::Man => man::man().into(),
    }
}

/// Writes to standard output. A reader that has gone away, as in `seawall man | head`, is none of
/// our failures.
fn print(text: &str) -> Exit {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(e) => {
            complain(&format!("cannot write to standard output: {e}"));
            Exit::System
        }
    }
}

/// Says what is wrong on standard error.
fn complain(what: &str) {
    use std::io::Write as _;
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "seawall: {what}");
}

#[cfg(test)]
mod tests;
