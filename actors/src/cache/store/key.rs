//! A key with its hash, computed once: it chooses the shard and then the place in the table.

use std::hash::Hasher;
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Key bytes and their hash under the process' [`KeyHasher`].
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The key.
    pub bytes: &'a [u8],
    /// Its hash. The upper half routes to a shard, the lower half is the store's.
    pub hash: u64,
}

impl Key<'_> {
    /// The half of the hash that the table uses.
    pub(super) const fn table_hash(&self) -> u32 {
        self.hash as u32
    }
}

/// Hashes keys with a seed of its own. Copies hash alike; one process uses copies of one.
#[derive(Clone, Copy)]
pub struct KeyHasher {
    seed: u64,
    shared: &'static SharedSeed,
}

impl KeyHasher {
    /// A hasher with a random seed, so that nobody outside can choose keys that collide.
    #[must_use]
    pub fn random() -> Self {
        // From the operating system: foldhash's own random seeds are addresses and times.
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(from_system()));
        Self { seed: from_system(), shared }
    }

    /// A hasher whose hashes are the same in every process: for tests and benchmarks.
    #[must_use]
    pub fn fixed() -> Self {
        Self { seed: 0, shared: SharedSeed::global_fixed() }
    }

    /// The hash of a key.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, self.shared);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The key with its hash.
    #[must_use]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hash(bytes) }
    }

    /// The shard, below `shards`, that owns keys of this hash (0 if `shards` is 0 or 1).
    #[must_use]
    pub const fn shard_of(hash: u64, shards: usize) -> usize {
        // At most 256 shards: the product fits.
        (((hash >> 32) * shards as u64) >> 32) as usize
    }
}

fn from_system() -> u64 {
    StdRng::from_os_rng().random()
}

/// Without the seed: who knows it can choose keys that collide.
impl std::fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::random()
    }
}
