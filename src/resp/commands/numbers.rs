//! Strings read as numbers.

mod extended;
mod float;
mod integer;
mod natural;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const WRITE: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    Command::new("incr", 2, WRITE, Keys::ONE, Family::Write, Run::Data(integer::incr)).doc(
        "1.0.0",
        "Adds 1 to an integer; an absent key counts as 0. Returns the result.",
        "key",
        "O(1)",
    ),
    Command::new("decr", 2, WRITE, Keys::ONE, Family::Write, Run::Data(integer::decr)).doc(
        "1.0.0",
        "Takes 1 from an integer; an absent key counts as 0. Returns the result.",
        "key",
        "O(1)",
    ),
    Command::new("incrby", 3, WRITE, Keys::ONE, Family::Write, Run::Data(integer::incrby)).doc(
        "1.0.0",
        "Adds to an integer; an absent key counts as 0. Returns the result.",
        "key increment",
        "O(1)",
    ),
    Command::new("decrby", 3, WRITE, Keys::ONE, Family::Write, Run::Data(integer::decrby)).doc(
        "1.0.0",
        "Takes from an integer; an absent key counts as 0. Returns the result.",
        "key decrement",
        "O(1)",
    ),
    Command::new("incrbyfloat", 3, WRITE, Keys::ONE, Family::Write, Run::Data(float::incrbyfloat))
        .doc(
            "2.6.0",
            "Adds to a floating-point number; an absent key counts as 0. Returns the result.",
            "key increment",
            "O(1)",
        ),
];

#[cfg(test)]
mod tests;
