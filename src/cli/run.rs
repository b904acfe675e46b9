//! `seawall run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

/// What the daemon is started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunArgs {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
}

pub(super) fn run(config: Option<PathBuf>, daemon: impl FnOnce(RunArgs) -> ExitCode) -> ExitCode {
    daemon(RunArgs { config })
}
