//! The one table of configuration keys.
//!
//! Everything else follows from it: what a file may say, the defaults, `config/seawall.toml`,
//! `docs/configuration.md`, CONFIG GET and SET, and what a reload has to do. A new key is one
//! entry in its section's file here, and one field in [`super::settings`]. What a file may have
//! any number of, `[[users]]`, is a [`Table`].

mod cache;
mod log;
mod redis;
mod section;
mod server;
mod snapshot;
mod table;
mod tls;
mod users;
mod wal;

use std::sync::LazyLock;

pub use section::{SECTIONS, Section};
pub use table::{Field, Row, TABLES, Table, find_table};

use super::value::{Kind, Value};

/// One configuration key.
#[derive(Debug)]
pub struct Key {
    /// Section and name: `"cache.max_memory"`.
    pub path: &'static str,
    /// What it holds, and its range.
    pub kind: Kind,
    /// The default, as TOML.
    pub default: &'static str,
    /// How a change takes effect.
    pub apply: Apply,
    /// Whether CONFIG SET must refuse it: a client that may set limits may not thereby gain
    /// what only the owner of the file should have.
    pub protected: bool,
    /// Redis' names for it, where they mean the same.
    pub redis: &'static [RedisName],
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
}

/// How a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Apply {
    /// At once, in place.
    Live,
    /// Only when the daemon starts.
    NeedsRestart,
}

/// A name that Redis has for a key.
#[derive(Debug, Clone, Copy)]
pub struct RedisName {
    /// Redis' name.
    pub name: &'static str,
    /// How the values translate.
    pub mapping: Mapping,
}

/// How Redis writes a value that Seawall writes differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// The same text.
    Same,
    /// `yes` and `no`.
    YesNo,
    /// A whole number with Redis' range, inclusive.
    Integer(u64, u64),
    /// Whole seconds.
    Seconds,
    /// Whole milliseconds.
    Milliseconds,
    /// Whole microseconds; Redis says -1 for off and 0 for everything.
    MicrosecondsOrOff,
    /// Bytes, with Redis' units when set.
    Memory,
    /// One word for another: (Redis', Seawall's). The first match wins either way.
    Words(&'static [(&'static str, &'static str)]),
    /// The log level.
    LogLevel,
    /// The hosts of the listeners. Cannot be set.
    Hosts,
    /// The port of the first listener. Cannot be set.
    Port,
    /// The port of the first listener with TLS; 0 without one. Cannot be set.
    TlsPort,
    /// Classes of keyspace events, shown in Redis' order.
    EventClasses,
    /// `normal <bytes> 0 0 …`. Cannot be set.
    OutputLimits,
}

impl Key {
    /// The key's section: `"cache"`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// The key's name in its section: `"max_memory"`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn env_name(&self) -> String {
        format!("SEAWALL__{}__{}", self.section(), self.name()).to_ascii_uppercase()
    }

    /// The default as a value. Always there: a test reads every default.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        let toml: toml_edit::Value = self.default.parse().ok()?;
        self.kind.read_toml(&super::sources::toml_to_raw(&toml).ok()?).ok()
    }

    /// Whether CONFIG SET may change it.
    #[must_use]
    pub fn settable(&self) -> bool {
        !self.protected && self.apply != Apply::NeedsRestart
    }
}

/// All keys, section by section, in the order of the documentation.
pub static KEYS: LazyLock<Vec<&'static Key>> = LazyLock::new(|| {
    let tables: [&'static [Key]; 7] =
        [server::KEYS, tls::KEYS, cache::KEYS, wal::KEYS, snapshot::KEYS, redis::KEYS, log::KEYS];
    tables.into_iter().flatten().collect()
});

/// Whether a value is what its key has when nobody sets it.
#[must_use]
pub fn is_default(path: &str, value: Option<&Value>) -> bool {
    find(path).and_then(Key::default_value).as_ref() == value
}

/// The key at a path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().copied().find(|k| k.path == path)
}

/// The name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance is quadratic in length, and nobody mistypes a name that long.
    if wrong.chars().count() > 128 {
        return None;
    }
    let wrong = wrong.to_ascii_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&wrong, name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .map(|(_, name)| name)
}

/// The path nearest to a misspelt one: by the whole path, or by the name alone in case the key
/// stands in the wrong section.
#[must_use]
pub fn nearest_path(wrong: &str) -> Option<&'static str> {
    let name = wrong.rsplit('.').next().unwrap_or(wrong);
    nearest(wrong, KEYS.iter().map(|k| k.path))
        .or_else(|| KEYS.iter().find(|k| k.name() == name).map(|k| k.path))
        .or_else(|| {
            let near = nearest(name, KEYS.iter().map(|k| k.name()))?;
            KEYS.iter().find(|k| k.name() == near).map(|k| k.path)
        })
}

#[cfg(test)]
mod tests;
