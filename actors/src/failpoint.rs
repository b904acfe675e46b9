//! Places where a test makes the program panic, die, stall or be refused by the system.
//!
//! A *failpoint* is named in one list ([`Point`]) and does nothing until a *script* is laid on
//! it: by the environment (`SEAWALL_FAILPOINTS`), or by a client with `SW.DRILL POINT`. Idea and
//! script language are those of FreeBSD's fail(9), as the crate `fail` has them; this is not that
//! crate because a point here is one of a closed list, a script can kill the process and return an
//! error of the operating system, and nothing else is brought in.
//!
//! Without the feature `failpoints`, which tests turn on and release builds do not, every function
//! here is empty and costs nothing.

mod points;
#[cfg(any(test, feature = "failpoints"))]
mod script;

pub use points::Point;

/// Whether this build has failpoints.
pub const COMPILED_IN: bool = cfg!(feature = "failpoints");

/// The variable that lays scripts before the start: `point=script;point=script`.
pub const VARIABLE: &str = "SEAWALL_FAILPOINTS";

#[cfg(feature = "failpoints")]
mod registry;
#[cfg(feature = "failpoints")]
pub use registry::{arm, arm_all, hit, hits, io, is_armed, number};

#[cfg(not(feature = "failpoints"))]
mod absent;
#[cfg(not(feature = "failpoints"))]
pub use absent::{arm, arm_all, hit, hits, io, is_armed, number};

/// Why a script was not laid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// This build has none.
    #[error("this build has no failpoints; build it with the feature 'failpoints'")]
    Absent,
    /// There is no such point.
    #[error("there is no failpoint '{0}'; docs/failpoints.md lists them")]
    Unknown(String),
    /// The script makes no sense.
    #[error(
        "'{0}' is no failpoint's script; write [count*]action, several joined by '->', with the \
         actions off, panic, kill, sleep(ms), return(EIO|ENOSPC|EROFS|EMFILE|EACCES|number)"
    )]
    BadScript(String),
}
