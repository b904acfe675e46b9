//! The options that say when a key expires: EX, PX, EXAT, PXAT of SET and GETEX.

use seawall_actors::clock::UnixMs;

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::Scope;
use crate::resp::refusal::Refusal;

/// In which unit, and from when, an expiry is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// EX: seconds from now.
    Seconds,
    /// PX: milliseconds from now.
    Milliseconds,
    /// EXAT: Unix seconds.
    UnixSeconds,
    /// PXAT: Unix milliseconds.
    UnixMilliseconds,
}

impl Unit {
    /// The unit that argument `i` names.
    #[must_use]
    pub fn named(args: &Args<'_>, i: usize) -> Option<Self> {
        [
            ("EX", Self::Seconds),
            ("PX", Self::Milliseconds),
            ("EXAT", Self::UnixSeconds),
            ("PXAT", Self::UnixMilliseconds),
        ]
        .into_iter()
        .find_map(|(name, unit)| args.is(i, name).then_some(unit))
    }

    /// Reads an expiry. It must lie after the epoch, not necessarily after now: a time that has
    /// passed deletes the key.
    ///
    /// # Errors
    /// Not an integer; out of range (`command` is named in the text); beyond `max_ttl`.
    pub fn read(
        self,
        text: &[u8],
        scope: &Scope<'_>,
        command: &'static str,
    ) -> Result<UnixMs, Refusal> {
        let invalid = || Refusal::InvalidExpire(command);
        let amount = integer::argument(text)?;
        if amount <= 0 {
            return Err(invalid());
        }
        let amount = match self {
            Self::Seconds | Self::UnixSeconds => amount.checked_mul(1000).ok_or_else(invalid)?,
            Self::Milliseconds | Self::UnixMilliseconds => amount,
        };
        let from = match self {
            Self::Seconds | Self::Milliseconds => {
                i64::try_from(scope.now).map_err(|_| invalid())?
            }
            Self::UnixSeconds | Self::UnixMilliseconds => 0,
        };
        let at = amount.checked_add(from).ok_or_else(invalid)?.unsigned_abs();
        scope.limits.check_expiry(at, scope.now)?;
        Ok(at)
    }
}
