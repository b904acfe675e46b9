//! What commands with subcommands share: HELP, and refusals that name the subcommand.

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::table::Subcommand;

/// Finds the subcommand that argument 1 names and checks its arity; `parent` in lower case.
///
/// # Errors
/// Redis' texts for an unknown subcommand and for a wrong number of arguments.
pub fn find(
    parent: &str,
    subcommands: &'static [Subcommand],
    args: &Args<'_>,
) -> Result<&'static str, Refusal> {
    let Some(found) = subcommands.iter().find(|s| args.is(1, s.name)) else {
        let name = String::from_utf8_lossy(args.get(1));
        let name: String = name.chars().take(128).collect();
        return Err(Refusal::other(format!(
            "ERR unknown subcommand '{name}'. Try {} HELP.",
            parent.to_ascii_uppercase()
        )));
    };
    let arity = usize::from(found.arity.unsigned_abs());
    let fits = if found.arity < 0 { args.len() >= arity } else { args.len() == arity };
    if fits {
        Ok(found.name)
    } else {
        Err(Refusal::Arity(format!("{parent}|{}", found.name).into()))
    }
}

/// Answers HELP as Redis lays it out: each subcommand with its arguments, then what it does.
pub fn help(parent: &str, subcommands: &[Subcommand], reply: &mut Reply<'_>) {
    reply.array(1 + subcommands.len() * 2);
    reply.simple(&format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        parent.to_ascii_uppercase()
    ));
    for subcommand in subcommands {
        let space = if subcommand.syntax.is_empty() { "" } else { " " };
        let name = subcommand.name.to_ascii_uppercase();
        reply.simple(&format!("{name}{space}{}", subcommand.syntax));
        reply.simple(&format!("    {}", subcommand.summary));
    }
}

/// What a client sent, shortened to what Redis shows of it (128 bytes) and fit for an error line.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..128).unwrap_or(bytes)).into_owned()
}
