//! Commands about the connection itself.

mod auth;
mod basics;
mod client;
mod hello;
mod kill;
mod listing;
mod naming;
#[cfg(test)]
mod tests;
mod tracking;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const FREE: Flags = Flags::FAST.and(Flags::LOADING);
const OPEN: Flags = FREE.and(Flags::NO_AUTH);

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    command("ping", -1, Flags::FAST, Run::Session(basics::ping)).doc(
        "1.0.0",
        "Answers PONG, or the message if one is given.",
        "[message]",
        "O(1)",
    ),
    command("echo", 2, FREE, Run::Session(basics::echo)).doc(
        "1.0.0",
        "Answers with the message.",
        "message",
        "O(1)",
    ),
    command("select", 2, FREE, Run::Session(basics::select)).doc(
        "1.0.0",
        "Changes the selected database.",
        "index",
        "O(1)",
    ),
    command("quit", -1, OPEN, Run::Session(basics::quit)).doc(
        "1.0.0",
        "Closes the connection after its replies were sent.",
        "",
        "O(1)",
    ),
    command("reset", 1, OPEN, Run::Session(basics::reset)).doc(
        "6.2.0",
        "Puts the connection back into the state of a new one.",
        "",
        "O(1)",
    ),
    command("auth", -2, OPEN.and(Flags::NO_MULTI), Run::Session(auth::auth)).doc(
        "1.0.0",
        "Authenticates the connection.",
        "[username] password",
        "O(1)",
    ),
    command("hello", -1, OPEN.and(Flags::NO_MULTI), Run::Session(hello::hello)).doc(
        "6.0.0",
        "Chooses the protocol, and authenticates and names the connection if asked to.",
        "[protover [AUTH username password] [SETNAME clientname]]",
        "O(1)",
    ),
    command("client", -2, Flags::LOADING, Run::Session(client::client))
        .doc(
            "2.4.0",
            "Looks at connections, names, pauses and closes them.",
            "subcommand [argument …]",
            "O(1), or O(n) over the connections where they are listed or searched",
        )
        .with(client::SUBCOMMANDS),
];

const fn command(name: &'static str, arity: i8, flags: Flags, run: Run) -> Command {
    Command::new(name, arity, flags, Keys::NONE, Family::Connection, run)
}
