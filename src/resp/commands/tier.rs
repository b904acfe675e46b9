//! Redis commands whose data types are not held here.

use crate::resp::table::Command;

/// The commands of this family.
pub const COMMANDS: &[Command] = &[];
