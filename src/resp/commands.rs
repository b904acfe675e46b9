//! The commands, one file per family, and the one list of them all.

use std::sync::LazyLock;

use super::table::Command;

mod connection;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod docs;
mod expiry;
mod keyspace;
mod numbers;
mod pubsub;
mod server;
mod strings;
pub(crate) mod subcommand;
#[cfg(test)]
mod testing;
mod tier;
mod transactions;

static ALL: LazyLock<Box<[Command]>> = LazyLock::new(|| {
    [
        strings::COMMANDS,
        numbers::COMMANDS,
        keyspace::COMMANDS,
        expiry::COMMANDS,
        transactions::COMMANDS,
        pubsub::COMMANDS,
        connection::COMMANDS,
        server::COMMANDS,
        tier::COMMANDS,
    ]
    .into_iter()
    .flatten()
    // The table has some hundred commands.
    .zip(0..=u16::MAX)
    .map(|(command, id)| Command { id, ..*command })
    .collect()
});

/// Every command, family by family, in the order of their ids.
pub fn all() -> std::slice::Iter<'static, Command> {
    ALL.iter()
}
