//! `seawall snapshot`: lets a running daemon take a snapshot, and waits for its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ask::{Whom, ask};
use super::print;
use crate::exit::Exit;

/// How long a snapshot may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What `seawall snapshot` takes.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn snapshot(config: Option<PathBuf>, args: &SnapshotArgs) -> Exit {
    let questions: [&[&str]; 2] = [&["SAVE"], &["INFO", "persistence"]];
    match ask(config, &args.whom, &questions, PATIENCE, Exit::System) {
        Ok(info) => print(&as_text(&info)),
        Err(exit) => exit,
    }
}

/// The result, from what INFO says after it.
fn as_text(info: &str) -> String {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("?").trim().to_owned()
    };
    format!(
        "snapshot taken: begun at {} (Unix time), took {} s, {} of this run\n",
        field("rdb_last_save_time"),
        field("rdb_last_bgsave_time_sec"),
        field("rdb_saves"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_read_from_info() {
        let info = "# Persistence\r\nrdb_saves:3\r\nrdb_last_save_time:17\r\n\
                    rdb_last_bgsave_time_sec:2\r\n";
        let text = as_text(info);
        assert_eq!(text, "snapshot taken: begun at 17 (Unix time), took 2 s, 3 of this run\n");
    }
}
