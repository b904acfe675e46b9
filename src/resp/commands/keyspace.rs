//! Keys, whatever their value.

use crate::resp::table::Command;

/// The commands of this family.
pub const COMMANDS: &[Command] = &[];
