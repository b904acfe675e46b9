//! What files hold, in 32 bytes: a file that was touched but not changed is not a change.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// The most bytes of one file that count: configuration is smaller, and a look must end.
const MAX_BYTES: u64 = 4 << 20;

/// A digest of the names and contents of some files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads the files. One that cannot be read counts as that, whatever the reason.
    #[must_use]
    pub fn of(files: &[PathBuf]) -> Self {
        let mut all = Sha256::new();
        for file in files {
            let name = file.as_os_str().as_encoded_bytes();
            all.update((name.len() as u64).to_le_bytes());
            all.update(name);
            match content(file) {
                Some(digest) => {
                    all.update([1]);
                    all.update(digest);
                }
                None => all.update([0]),
            }
        }
        Self(all.finalize().into())
    }
}

fn content(file: &Path) -> Option<[u8; 32]> {
    // A pipe would block, and a device never end.
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(&bytes).into())
}

/// What was last seen of the watched files. Outlives the watcher, so that a change while the
/// watcher was down is found by its successor.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Option<Fingerprint>>>);

impl Seen {
    /// What the files hold now. Take it *before* they are first read: then no change is missed.
    /// Blocks on the files.
    #[must_use]
    pub fn now(files: &[PathBuf]) -> Self {
        Self(Arc::new(Mutex::new(Some(Fingerprint::of(files)))))
    }

    /// Notes what is seen now; whether it differs from before.
    pub(super) fn update(&self, now: Fingerprint) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = *seen != Some(now);
        *seen = Some(now);
        differs
    }
}
