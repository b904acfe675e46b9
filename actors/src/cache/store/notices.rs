//! What a store tells of its keys, to whoever listens.
//!
//! Events have Redis' names and classes (keyspace notifications); *changed* is what caches in
//! clients need to know. Nothing is told, and nothing is kept, unless it is wanted: the commands
//! and the store ask [`Notices::wants`] first, which is one look at a number.

/// Kinds of notices, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u16);

impl Kinds {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// Events of keys whatever they hold: del, expire, rename_from, …
    pub const GENERIC: Self = Self(1);
    /// Events of string values: set, incrby, append, …
    pub const STRING: Self = Self(1 << 1);
    /// A key went because its time had come.
    pub const EXPIRED: Self = Self(1 << 2);
    /// A key went to keep a limit.
    pub const EVICTED: Self = Self(1 << 3);
    /// A key was read that is not there.
    pub const MISSED: Self = Self(1 << 4);
    /// A key is there that was not.
    pub const NEW: Self = Self(1 << 5);
    /// A key changed in any way, whole databases included.
    pub const CHANGED: Self = Self(1 << 6);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// As a number, to be kept in an atomic.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From the number that [`Kinds::bits`] gave.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

/// What happened to a key, by Redis' name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its one kind.
    pub kind: Kinds,
    /// Redis' name; empty for what is no event there.
    pub name: &'static str,
}

macro_rules! events {
    ($($id:ident = $kind:ident $name:literal, $doc:literal;)*) => {
        impl Event {
            $(#[doc = $doc] pub const $id: Self = Self { kind: Kinds::$kind, name: $name };)*
        }
    };
}

events! {
    SET = STRING "set", "A value was written.";
    APPEND = STRING "append", "A value has grown at its end.";
    SET_RANGE = STRING "setrange", "A part of a value was overwritten.";
    INCR_BY = STRING "incrby", "An integer was added to.";
    INCR_BY_FLOAT = STRING "incrbyfloat", "A floating-point number was added to.";
    DEL = GENERIC "del", "The key was deleted.";
    EXPIRE = GENERIC "expire", "The key was given a time to expire at.";
    PERSIST = GENERIC "persist", "The key expires no more.";
    RENAME_FROM = GENERIC "rename_from", "The entry has another key now.";
    RENAME_TO = GENERIC "rename_to", "The entry of another key is here now.";
    MOVE_FROM = GENERIC "move_from", "The entry is in another database now.";
    MOVE_TO = GENERIC "move_to", "The entry has come from another database.";
    COPY_TO = GENERIC "copy_to", "An entry was copied to here.";
    EXPIRED = EXPIRED "expired", "The key's time had come.";
    EVICTED = EVICTED "evicted", "The key went to keep a limit.";
    KEY_MISS = MISSED "keymiss", "A read did not find the key.";
    NEW = NEW "new", "The key is there and was not.";
    CHANGED = CHANGED "", "The key changed or went, for whatever reason.";
    FLUSHED = CHANGED "*", "A whole database changed; there is no key.";
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub event: Event,
    /// In which database.
    pub db: u8,
    /// To which key; `None` if to all of them, of one database or of every one.
    pub key: Option<Box<[u8]>>,
}

/// What happened, in order, until somebody takes it.
#[derive(Debug, Default)]
pub struct Notices {
    wanted: Kinds,
    list: Vec<Notice>,
}

impl Notices {
    /// Wants these kinds from now on.
    pub const fn want(&mut self, kinds: Kinds) {
        self.wanted = kinds;
    }

    /// Whether this kind is wanted.
    #[inline]
    #[must_use]
    pub const fn wants(&self, kind: Kinds) -> bool {
        self.wanted.has(kind)
    }

    /// Whether nothing waits to be taken.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds what happened, if it is wanted.
    #[inline]
    pub fn add(&mut self, event: Event, db: u8, key: Option<&[u8]>) {
        if self.wants(event.kind) {
            self.push(event, db, key);
        }
    }

    #[cold]
    fn push(&mut self, event: Event, db: u8, key: Option<&[u8]>) {
        self.list.push(Notice { event, db, key: key.map(Into::into) });
    }

    /// Moves all that another list holds behind what is here.
    pub fn append(&mut self, other: &mut Self) {
        self.list.append(&mut other.list);
    }

    /// Takes everything out, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Notice> {
        self.list.drain(..)
    }

    /// Forgets everything: it did not happen.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}
