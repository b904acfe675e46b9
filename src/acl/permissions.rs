//! Whether a command may run: pure, and once per command of a user who may not do everything.

use super::access::{self, Channels, Keys, Need};
use super::commands::{CommandSet, Unit};
use crate::glob::Glob;
use crate::resp::args::Args;
use crate::resp::movable::keys_of;
use crate::resp::table::{Command, Flags};

/// What a user may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Permissions {
    pub(super) commands: CommandSet,
    /// The rules about commands, as they are shown.
    pub(super) command_rules: Vec<String>,
    /// `None`: every key.
    pub(super) keys: Option<Vec<KeyPattern>>,
    /// `None`: every channel.
    pub(super) channels: Option<Vec<ChannelPattern>>,
}

/// Keys, and what may be done with them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyPattern {
    pub text: String,
    pub glob: Glob,
    pub allows: Need,
}

/// Channels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChannelPattern {
    pub text: String,
    pub glob: Glob,
}

/// What a user lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
}

/// Why a command may not run. The text is Redis'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The user may not run it; its name, `config|get` for a subcommand.
    #[error("NOPERM this user has no permissions to run the '{0}' command")]
    Command(String),
    /// The user may not do that with this key, the argument of this number. `None`: the command
    /// may take any key.
    #[error("NOPERM this user has no permissions to access one of the keys used as arguments")]
    Key(Option<usize>),
    /// The user may not use this channel, the argument of this number.
    #[error("NOPERM this user has no permissions to access one of the channels used as arguments")]
    Channel(usize),
}

impl Denied {
    /// What is lacking.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Command(_) => Reason::Command,
            Self::Key(_) => Reason::Key,
            Self::Channel(_) => Reason::Channel,
        }
    }
}

impl Reason {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Command, Self::Key, Self::Channel];

    /// Its name in ACL LOG and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
        }
    }
}

impl Need {
    /// Whether who may do this may do `wanted`.
    const fn covers(self, wanted: Self) -> bool {
        (self.read || !wanted.read) && (self.write || !wanted.write)
    }
}

impl Permissions {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            commands: CommandSet::all(),
            command_rules: vec!["+@all".to_owned()],
            keys: None,
            channels: None,
        }
    }

    /// Whether it is everything, so that no command needs to be checked.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.keys.is_none() && self.channels.is_none() && self.commands == CommandSet::all()
    }

    /// Whether who has these may listen to every channel that who has `other` may.
    #[must_use]
    pub fn hears_all_of(&self, other: &Self) -> bool {
        match (&self.channels, &other.channels) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => theirs.iter().all(|pattern| ours.contains(pattern)),
        }
    }

    /// Whether a command may run with these arguments.
    ///
    /// # Errors
    /// What is lacking: first the command, then a key, then a channel, as in Redis.
    pub fn check(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Denied> {
        let unit = Unit::called(command, args);
        // What leads to a login is for everyone.
        if !command.flags.has(Flags::NO_AUTH) && !self.commands.has(unit) {
            return Err(Denied::Command(unit.name()));
        }
        let (keys, channels) = access::of(command);
        self.check_keys(command, keys, args)?;
        self.check_channels(channels, args)
    }

    fn check_keys(&self, command: &Command, keys: Keys, args: &Args<'_>) -> Result<(), Denied> {
        let Some(patterns) = &self.keys else { return Ok(()) };
        if keys == Keys::None {
            return Ok(());
        }
        for (nth, at) in keys_of(command, args).enumerate() {
            let (need, key) = (keys.need(nth, args), args.get(at));
            let fits = |p: &KeyPattern| p.allows.covers(need) && p.glob.matches(key);
            if !patterns.iter().any(fits) {
                return Err(Denied::Key(Some(at)));
            }
        }
        match keys.need_of_all(args) {
            Some((need, at)) => {
                let any = |p: &KeyPattern| p.glob.matches_all() && p.allows.covers(need);
                if patterns.iter().any(any) { Ok(()) } else { Err(Denied::Key(at)) }
            }
            None => Ok(()),
        }
    }

    fn check_channels(&self, channels: Channels, args: &Args<'_>) -> Result<(), Denied> {
        let Some(patterns) = &self.channels else { return Ok(()) };
        let last = match channels {
            Channels::None => return Ok(()),
            Channels::First => 2.min(args.len()),
            Channels::All | Channels::Patterns => args.len(),
        };
        for at in 1..last {
            let channel = args.get(at);
            let fits = |p: &ChannelPattern| match channels {
                // A pattern that is written otherwise may match more, and is not compared further.
                Channels::Patterns => p.text.as_bytes() == channel,
                _ => p.glob.matches(channel),
            };
            if !patterns.iter().any(fits) {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }

    // === impl: as ACL LIST shows it ===

    /// The rules about commands.
    #[must_use]
    pub fn shown_commands(&self) -> String {
        self.command_rules.join(" ")
    }

    /// The patterns of keys.
    #[must_use]
    pub fn shown_keys(&self) -> String {
        let Some(patterns) = &self.keys else { return "~*".to_owned() };
        let shown: Vec<String> = patterns
            .iter()
            .map(|KeyPattern { text, allows, .. }| match (allows.read, allows.write) {
                (true, false) => format!("%R~{text}"),
                (false, true) => format!("%W~{text}"),
                _ => format!("~{text}"),
            })
            .collect();
        shown.join(" ")
    }

    /// The patterns of channels.
    #[must_use]
    pub fn shown_channels(&self) -> String {
        let Some(patterns) = &self.channels else { return "&*".to_owned() };
        patterns.iter().map(|p| format!("&{}", p.text)).collect::<Vec<_>>().join(" ")
    }
}
