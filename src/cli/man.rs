//! `seawall man`: the manual page, as troff.

use clap::CommandFactory as _;

use super::{complain, print};
use crate::exit::Exit;

pub(super) fn man() -> Exit {
    match page() {
        Ok(page) => print(&String::from_utf8_lossy(&page)),
        Err(e) => {
            complain(&format!("the manual page cannot be made: {e}"));
            Exit::Internal
        }
    }
}

/// The page: what clap knows, and the exit codes.
pub(super) fn page() -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    clap_mangen::Man::new(super::Cli::command()).render(&mut out)?;
    let mut codes = String::from(".SH \"EXIT STATUS\"\n");
    for exit in Exit::ALL {
        let meaning = exit.meaning().replace('`', "");
        codes.push_str(&format!(".TP\n{}\n{meaning}\n", exit.code()));
    }
    out.extend_from_slice(codes.as_bytes());
    Ok(out)
}
