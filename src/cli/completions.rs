//! `seawall completions`: a script for the shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::exit::Exit;

/// What `seawall completions` takes.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    super::print(&String::from_utf8_lossy(&script(args.shell)))
}

pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut super::Cli::command(), "seawall", &mut out);
    out
}
