//! What clients did, and when.

/// Names a value: no two writes have the same, but for counters, whose value is what it is.
pub type Id = u64;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Wall(usize),
    Redis,
}

/// What a call did. One that was refused is in no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Put {
        id: Id,
        ttl_ms: Option<u64>,
    },
    Delete,
    /// A deletion that found nothing. It may have been logged, if nobody knew whether there was
    /// anything.
    DeleteNone,
    Expire {
        ttl_ms: u64,
    },
    /// Incremented by Redis, wherever the client is; `None`: nobody knows whether it was.
    Count {
        got: Option<Id>,
    },
    Read {
        seen: Option<Id>,
    },
}

/// A call. Moments are microseconds since the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub place: Place,
    /// Calls of one client are in its order.
    pub client: usize,
    /// How often its Seawall had been killed.
    pub life: u32,
    pub key: usize,
    pub act: Act,
    pub begun: u64,
    /// `None`: no answer came. It may have been executed, and may still be.
    pub ended: Option<u64>,
}

/// Who writes a key, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clients of one Seawall.
    Own(usize),
    /// Everybody.
    Shared,
    /// Everybody, each value with a time to live.
    Timed,
    /// Everybody, and some give what is there a time to live.
    Leased,
    /// Redis counts.
    Counted,
}

/// Keys there are.
pub const KEYS: usize = 48;

/// What kind of key one is.
pub fn kind(key: usize) -> Kind {
    match key {
        0..8 => Kind::Own(0),
        8..16 => Kind::Own(1),
        16..32 => Kind::Shared,
        32..40 => Kind::Timed,
        40..44 => Kind::Leased,
        _ => Kind::Counted,
    }
}

/// The key as Redis has it.
pub fn name(key: usize) -> String {
    format!("k{key}")
}

/// The reverse of [`name`].
pub fn number(name: &str) -> Option<usize> {
    name.strip_prefix('k')?.parse().ok().filter(|key| *key < KEYS)
}
