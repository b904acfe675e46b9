//! What is left of failpoints where they are not compiled in.

use std::io;

use super::{ArmError, Point};

/// Passes a point: nothing happens.
#[inline(always)]
pub const fn hit(_point: Point) {}

/// Passes a point where the system may refuse: it does not.
///
/// # Errors
/// None.
#[inline(always)]
pub const fn io(_point: Point) -> io::Result<()> {
    Ok(())
}

/// The number that a script puts in place of the real one: none.
#[inline(always)]
#[must_use]
pub const fn number(_point: Point) -> Option<i64> {
    None
}

/// Whether a script lies on the point: never.
#[inline(always)]
#[must_use]
pub const fn is_armed(_point: Point) -> bool {
    false
}

/// How often the point was passed under a script: never.
#[must_use]
pub const fn hits(_point: Point) -> u64 {
    0
}

/// Lays a script on a point.
///
/// # Errors
/// [`ArmError::Absent`].
pub const fn arm(_point: &str, _script: &str) -> Result<(), ArmError> {
    Err(ArmError::Absent)
}

/// Lays the scripts of a list.
///
/// # Errors
/// [`ArmError::Absent`].
pub const fn arm_all(_list: &str) -> Result<(), ArmError> {
    Err(ArmError::Absent)
}
