//! A command's full name (`get`, `client|list`) as a small number that fits beside a time stamp.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use crate::resp::commands;
use crate::resp::table::Command;

/// The number of a command or subcommand in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandName(u16);

struct Names {
    /// Full names by number; number 0 is "no command yet".
    full: Vec<String>,
    /// Numbers by full name.
    numbers: HashMap<String, u16, foldhash::fast::FixedState>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut full = vec!["NULL".to_owned()];
    for command in commands::all() {
        full.push(command.name.to_owned());
        full.extend(command.subcommands.iter().map(|s| format!("{}|{}", command.name, s.name)));
    }
    // The table has some hundred names; what would not fit is shown as NULL.
    let numbers = full.iter().cloned().zip(0..=u16::MAX).collect();
    Names { full, numbers }
});

impl CommandName {
    /// Nothing was run yet; CLIENT LIST shows `NULL`, as Redis does.
    pub const NONE: Self = Self(0);

    /// The name of a command from the table. One hash of a short text: where the same command
    /// runs round after round, keep the result.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        Self(NAMES.numbers.get(command.name).copied().unwrap_or(0))
    }

    /// The name of a subcommand: `of_sub("client", "list")`.
    #[must_use]
    pub fn of_sub(command: &str, sub: &str) -> Self {
        Self(NAMES.numbers.get(&format!("{command}|{sub}")).copied().unwrap_or(0))
    }

    pub(super) const fn number(self) -> u16 {
        self.0
    }

    pub(super) const fn of_number(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.full.get(usize::from(self.0)).map_or("NULL", String::as_str))
    }
}
