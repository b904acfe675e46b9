//! What SW.EXEC ROLLBACK can take back, and what it says. Pure: the connection runs it.

use std::borrow::Cow;

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::table::{Command, Flags, Run};
use crate::resp::transaction::Queued;

/// What a transaction does about a command that fails while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnError {
    /// As Redis: the error is that command's reply, and the others stand.
    GoOn,
    /// Everything is undone.
    RollBack,
}

impl OnError {
    /// From the arguments of SW.EXEC.
    pub(super) fn parse(args: &Args<'_>) -> Result<Self, Refusal> {
        match args.len() {
            1 => Ok(Self::GoOn),
            2 if args.is(1, "ROLLBACK") => Ok(Self::RollBack),
            _ => Err(Refusal::Syntax),
        }
    }
}

/// Refuses a transaction with a command that could not be undone, before any of it has run.
pub(super) fn check(queue: &[Queued]) -> Result<(), Refusal> {
    let found = (1..).zip(queue).find(|(_, queued)| !can_undo(queued.command));
    found.map_or(Ok(()), |(number, queued)| {
        let name = queued.command.name;
        Err(Refusal::other(format!(
            "EXECABORT Transaction discarded, nothing was applied: command {number} '{name}' \
             can not be rolled back; run it outside, or use EXEC"
        )))
    })
}

/// Whether everything that a command changes can be taken back: entries, and the selected
/// database. A flush or a swap changes whole stores at once, and keeping every entry of them
/// would have no bound; commands that wait run when the stores have gone home.
fn can_undo(command: &Command) -> bool {
    match command.run {
        Run::Data(_) | Run::Transaction(_) => true,
        Run::AllShards(_) => !command.flags.has(Flags::WRITE),
        Run::Session(_) => matches!(command.name, "select" | "ping" | "echo" | "time"),
        Run::Async(_) | Run::NeedsTier => false,
    }
}

/// The text of a reply that is an error.
pub(super) fn error_in(reply: &[u8]) -> Option<Cow<'_, str>> {
    let text = reply.strip_prefix(b"-")?;
    Some(String::from_utf8_lossy(text.strip_suffix(b"\r\n").unwrap_or(text)))
}

/// The answer of a transaction that was undone; commands count from 1.
pub(super) fn rolled_back(number: usize, command: &Command, error: &str) -> Refusal {
    let name = command.name;
    Refusal::other(format!(
        "EXECABORT Transaction rolled back, nothing was applied: command {number} '{name}': \
         {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::commands;

    #[test]
    fn what_changes_whole_stores_the_session_or_the_server_can_not_be_rolled_back() {
        let refused: Vec<&str> = commands::all()
            .filter(|c| !matches!(c.run, Run::NeedsTier | Run::Async(_)) && !can_undo(c))
            .filter(|c| c.flags.has(Flags::WRITE))
            .map(|c| c.name)
            .collect();
        assert_eq!(refused, ["flushdb", "flushall", "swapdb", "migrate", "restore-asking"]);
        for name in ["config", "client", "reset", "shutdown", "debug"] {
            let command = commands::all().find(|c| c.name == name);
            assert!(command.is_some_and(|c| !can_undo(c)), "{name}");
        }
    }

    #[test]
    fn only_a_reply_that_is_an_error_is_one() {
        assert_eq!(error_in(b"-ERR no\r\n").as_deref(), Some("ERR no"));
        for reply in [&b""[..], b"+OK\r\n", b":-1\r\n", b"$4\r\n-ERR\r\n", b"*1\r\n-ERR\r\n"] {
            assert_eq!(error_in(reply), None);
        }
    }
}
