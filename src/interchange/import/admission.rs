//! What a daemon with these settings could serve: keys that no client could name are of no use.

use seawall_actors::clock::UnixMs;

use crate::config::settings::Settings;
use crate::resp::limits::Limits;

/// Bytes of a value that Redis takes by default, and of the longest argument that is read here.
const MAX_VALUE: usize = 512 << 20;

/// Which keys are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    databases: u16,
    limits: Limits,
}

/// Why a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// There is no such database.
    Database,
    /// Validation refuses the key.
    Key,
    /// Validation refuses the value.
    Value,
    /// Validation refuses the time to live.
    TimeToLive,
}

impl Admission {
    /// As `[validation]` lets clients write.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self { databases: settings.server.databases, limits: Limits::of(settings) }
    }

    /// Every key that there could be under any settings, in the databases that there are.
    #[must_use]
    pub fn of_all_keys(settings: &Settings) -> Self {
        let limits = Limits {
            binary_keys: true,
            ascii_keys: false,
            max_key_length: MAX_VALUE,
            max_value: MAX_VALUE,
            max_ttl_ms: None,
            max_reply: usize::MAX,
        };
        Self { databases: settings.server.databases, limits }
    }

    /// The database's number here.
    ///
    /// # Errors
    /// Why the key is left out, and which setting says so.
    pub fn admit(
        &self,
        db: u64,
        key: &[u8],
        value_len: usize,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> Result<u8, (Reason, String)> {
        let here = u8::try_from(db).ok().filter(|&db| u16::from(db) < self.databases);
        let Some(here) = here else {
            let why = format!("database {db}; server.databases is {}", self.databases);
            return Err((Reason::Database, why));
        };
        let limits = &self.limits;
        let checked = limits
            .check_key(key)
            .map_err(|refusal| (Reason::Key, refusal))
            .and_then(|()| limits.check_value(value_len).map_err(|why| (Reason::Value, why)))
            .and_then(|()| match expires_at {
                Some(at) => limits.check_expiry(at, now).map_err(|why| (Reason::TimeToLive, why)),
                None => Ok(()),
            });
        checked.map(|()| here).map_err(|(reason, why)| {
            let why = why.to_string();
            (reason, why.strip_prefix("ERR ").unwrap_or(&why).to_owned())
        })
    }
}
