//! Passwords are known by their SHA-256 alone, as in Redis.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Bytes of a SHA-256.
const LEN: usize = 32;

/// The SHA-256 of a password. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash([u8; LEN]);

impl PasswordHash {
    /// The digest of a password.
    #[must_use]
    pub fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// Reads 64 hexadecimal digits, with Redis' `#` before them or without.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').unwrap_or(text).as_bytes();
        if digits.len() != 2 * LEN {
            return None;
        }
        let mut hash = [0; LEN];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether they are the same, in a time that does not depend on where they differ. As digests
    /// are compared, neither content nor length of a password shows.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}
