//! The server: INFO, CONFIG, COMMAND, ….

use crate::resp::table::Command;

/// The commands of this family.
pub const COMMANDS: &[Command] = &[];
