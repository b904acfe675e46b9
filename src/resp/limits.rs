//! What keys, values, times to live and replies may be; every refusal names the limit.

use seawall_actors::clock::UnixMs;

use super::refusal::Refusal;
use crate::config::settings::{KeyBytes, Settings};

/// Limits on single keys, values and replies, from `[validation]`, `cache.paranoia` and
/// `server.output_buffer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Keys may be any bytes; otherwise UTF-8 without control characters.
    pub binary_keys: bool,
    /// Keys are printable ASCII only (paranoia).
    pub ascii_keys: bool,
    /// Longest key: characters, or bytes with `binary_keys`.
    pub max_key_length: usize,
    /// Largest value in bytes.
    pub max_value: usize,
    /// Longest time to live in milliseconds; `None` for no bound.
    pub max_ttl_ms: Option<u64>,
    /// Bytes of one command's reply, or of all replies of a transaction.
    pub max_reply: usize,
}

impl Limits {
    /// The limits of these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let validation = &settings.validation;
        Self {
            binary_keys: validation.key_bytes == KeyBytes::Binary,
            ascii_keys: validation.key_bytes == KeyBytes::PrintableAscii,
            max_key_length: validation.max_key_length,
            max_value: validation.max_value,
            max_ttl_ms: validation
                .max_ttl
                .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            max_reply: settings.server.output_buffer,
        }
    }

    /// Checks a key.
    ///
    /// # Errors
    /// Names the limit that the key breaks.
    pub fn check_key(&self, key: &[u8]) -> Result<(), Refusal> {
        if key.is_empty() {
            return Err(Refusal::other(format!(
                "ERR invalid key: empty; validation.max_key_length allows 1 to {}",
                self.max_key_length
            )));
        }
        if self.binary_keys {
            return if key.len() > self.max_key_length { Err(self.too_long()) } else { Ok(()) };
        }
        // Printable ASCII, the usual key, needs no decoding.
        if key.iter().all(|b| (0x20..0x7f).contains(b)) {
            return if key.len() > self.max_key_length { Err(self.too_long()) } else { Ok(()) };
        }
        if self.ascii_keys {
            return Err(Refusal::other(
                "ERR invalid key: cache.paranoia allows printable ASCII only",
            ));
        }
        let Ok(text) = std::str::from_utf8(key) else {
            return Err(Refusal::other(
                "ERR invalid key: not UTF-8 (set validation.binary_keys to allow any bytes)",
            ));
        };
        if text.chars().any(char::is_control) {
            return Err(Refusal::other(
                "ERR invalid key: control character (set validation.binary_keys to allow any bytes)",
            ));
        }
        if text.chars().count() > self.max_key_length {
            return Err(self.too_long());
        }
        Ok(())
    }

    fn too_long(&self) -> Refusal {
        Refusal::other(format!(
            "ERR invalid key: longer than validation.max_key_length ({})",
            self.max_key_length
        ))
    }

    /// Checks the length of a value that is about to be stored.
    ///
    /// # Errors
    /// Names the limit.
    pub fn check_value(&self, len: usize) -> Result<(), Refusal> {
        if len > self.max_value {
            return Err(Refusal::other(format!(
                "ERR value of {len} bytes exceeds validation.max_value ({})",
                self.max_value
            )));
        }
        Ok(())
    }

    /// Checks the length of a reply while it grows: a short request (MGET of one large value, many
    /// times over) may ask for more than there is memory.
    ///
    /// # Errors
    /// Names the limit.
    pub fn check_reply(&self, len: usize) -> Result<(), Refusal> {
        if len > self.max_reply {
            return Err(Refusal::other(format!(
                "ERR the reply would be larger than server.output_buffer ({}); ask for less at once",
                self.max_reply
            )));
        }
        Ok(())
    }

    /// Checks an absolute expiry against `max_ttl`.
    ///
    /// # Errors
    /// Names the limit.
    pub fn check_expiry(&self, at: UnixMs, now: UnixMs) -> Result<(), Refusal> {
        match self.max_ttl_ms {
            Some(max) if at.saturating_sub(now) > max => Err(Refusal::other(format!(
                "ERR time to live exceeds validation.max_ttl ({}s)",
                max / 1000
            ))),
            _ => Ok(()),
        }
    }
}
