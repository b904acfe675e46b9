//! Commands that are families of subcommands: dispatch, arity and HELP, all from the table.

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::table::Subcommand;

/// How much of a name that a client made up is shown back to it, in bytes; Redis' number.
const SHOWN: usize = 128;

/// Finds the subcommand that argument 1 names and checks its arity.
///
/// # Errors
/// Redis' texts for an unknown subcommand and for a wrong number of arguments.
pub fn find(
    parent: &'static str,
    subcommands: &'static [Subcommand],
    args: &Args<'_>,
) -> Result<&'static Subcommand, Refusal> {
    let Some(sub) = subcommands.iter().find(|sub| args.is(1, sub.name)) else {
        return Err(unknown(parent, args));
    };
    let arity = usize::from(sub.arity.unsigned_abs());
    let fits = if sub.arity < 0 { args.len() >= arity } else { args.len() == arity };
    if fits { Ok(sub) } else { Err(Refusal::Arity(format!("{parent}|{}", sub.name).into())) }
}

/// Redis' refusal of a subcommand that does not exist.
#[must_use]
pub fn unknown(parent: &str, args: &Args<'_>) -> Refusal {
    Refusal::other(format!(
        "ERR unknown subcommand '{}'. Try {} HELP.",
        shown(args.get(1)),
        parent.to_ascii_uppercase()
    ))
}

/// What a client sent, bounded and fit for an error line.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes)).into_owned()
}

/// `<parent> HELP`: every subcommand with its syntax and its sentence.
pub fn help(parent: &str, subcommands: &[Subcommand], reply: &mut Reply<'_>) {
    let listed = subcommands.iter().filter(|sub| sub.name != "help");
    reply.array(1 + 2 * (listed.clone().count() + 1));
    reply.simple(&format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        parent.to_ascii_uppercase()
    ));
    for sub in listed {
        let name = sub.name.to_ascii_uppercase();
        reply.simple(format!("{name} {}", sub.syntax).trim_end());
        reply.simple(&format!("    {}", sub.summary));
    }
    reply.simple("HELP");
    reply.simple("    Print this help.");
}
