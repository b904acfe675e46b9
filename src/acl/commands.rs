//! Sets of commands and subcommands, a bit for each.

use std::sync::LazyLock;

use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::table::{Command, Subcommand, find};

/// The first bit of each command, by its id, and behind them how many bits there are. A command
/// with subcommands has a bit for itself and one for each of them.
static PLACES: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut places = vec![0];
    let mut next = 0;
    for command in commands::all() {
        next += 1 + command.subcommands.len();
        places.push(next);
    }
    places
});

/// A command, or one subcommand of it.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// The command.
    pub command: &'static Command,
    /// The place of the subcommand in [`Command::subcommands`].
    pub sub: Option<usize>,
}

impl Unit {
    /// What these arguments call. An unknown subcommand counts as the command itself.
    #[must_use]
    pub fn called(command: &'static Command, args: &Args<'_>) -> Self {
        let sub = match args.len() {
            0 | 1 => None,
            _ => command.subcommands.iter().position(|sub| args.is(1, sub.name)),
        };
        Self { command, sub }
    }

    /// What `get` or `config|get` names, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (parent, sub) = match name.split_once('|') {
            Some((parent, sub)) => (parent, Some(sub)),
            None => (name, None),
        };
        let command = find(parent.as_bytes())?;
        let sub = match sub {
            None => None,
            Some(sub) => {
                Some(command.subcommands.iter().position(|s| s.name.eq_ignore_ascii_case(sub))?)
            }
        };
        Some(Self { command, sub })
    }

    /// Every command, each followed by its subcommands.
    pub fn all() -> impl Iterator<Item = Self> {
        commands::all().flat_map(|command| {
            let subs = (0..command.subcommands.len()).map(Some);
            std::iter::once(None).chain(subs).map(move |sub| Self { command, sub })
        })
    }

    /// Its name: `get`, or `config|get`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.subcommand() {
            Some(sub) => format!("{}|{}", self.command.name, sub.name),
            None => self.command.name.to_owned(),
        }
    }

    /// The subcommand.
    #[must_use]
    pub fn subcommand(&self) -> Option<&'static Subcommand> {
        self.command.subcommands.get(self.sub?)
    }

    fn bit(&self) -> usize {
        let first = PLACES.get(usize::from(self.command.id)).copied().unwrap_or(usize::MAX);
        first.saturating_add(self.sub.map_or(0, |at| at + 1))
    }
}

/// A set of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSet(Box<[u64]>);

impl CommandSet {
    /// No command.
    #[must_use]
    pub fn none() -> Self {
        let bits = PLACES.last().copied().unwrap_or(0);
        Self(vec![0; bits.div_ceil(64)].into())
    }

    /// Every command.
    #[must_use]
    pub fn all() -> Self {
        let mut all = Self::none();
        Unit::all().for_each(|unit| all.put(unit, true));
        all
    }

    /// Takes a unit in or out.
    pub fn put(&mut self, unit: Unit, is_in: bool) {
        let bit = unit.bit();
        if let Some(word) = self.0.get_mut(bit / 64) {
            let mask = 1 << (bit % 64);
            *word = if is_in { *word | mask } else { *word & !mask };
        }
    }

    /// Whether a unit is in it.
    #[must_use]
    pub fn has(&self, unit: Unit) -> bool {
        let bit = unit.bit();
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}
