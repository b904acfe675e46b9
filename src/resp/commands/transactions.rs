//! MULTI, EXEC, WATCH.

use crate::resp::table::Command;

/// The commands of this family.
pub const COMMANDS: &[Command] = &[];
