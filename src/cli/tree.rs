//! `seawall tree`: asks a running daemon for its tree of actors.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ask::{Whom, ask};
use super::print;
use crate::exit::Exit;

/// How long the daemon may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `seawall tree` takes.
#[derive(Debug, Args)]
pub struct TreeArgs {
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn tree(config: Option<PathBuf>, args: &TreeArgs) -> Exit {
    match ask(config, &args.whom, &[&["SW.TREE"]], PATIENCE, Exit::Unavailable) {
        Ok(text) => print(&format!("{}\n", text.trim_end())),
        Err(exit) => exit,
    }
}
