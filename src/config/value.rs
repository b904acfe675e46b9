//! One key's value: what kinds there are, and how each is written.

mod read;
mod words;

use std::time::Duration;

use super::keys::Row;
use super::secret::Secret;
use super::units;

/// What a key holds. Every kind knows its range; a value outside cannot be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from `min` to `max`.
    Int {
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// The word `"auto"`, or a whole number from `min` to `max`.
    AutoOr {
        /// The smallest number.
        min: u64,
        /// The largest number.
        max: u64,
    },
    /// A duration. `zero` says whether `"0s"` is allowed below `min`, as "without a limit".
    Duration {
        /// The shortest duration.
        min: Duration,
        /// The longest duration.
        max: Duration,
        /// Whether zero is allowed as well.
        zero: bool,
    },
    /// Bytes. `zero` as for durations; `percent`: a share of the machine's memory, too.
    Size {
        /// The fewest bytes.
        min: u64,
        /// The most bytes.
        max: u64,
        /// Whether zero is allowed as well.
        zero: bool,
        /// Whether `"60%"` is allowed as well.
        percent: bool,
    },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Log directives: a level, and levels per module.
    Directives,
    /// Classes of keyspace events, as Redis' letters.
    EventClasses,
    /// A list of `host:port`.
    Addresses,
    /// A list of words without spaces; it may be empty.
    Words {
        /// What they are, in plain words: `key prefixes`.
        what: &'static str,
        /// One of them.
        example: &'static str,
    },
    /// One `host:port`, or `""` for none.
    Address,
    /// A path. `empty`: whether `""`, none, is allowed.
    Path {
        /// Whether `""` is allowed.
        empty: bool,
    },
    /// The path of a file that is read with the configuration, or `""` for none.
    File {
        /// The most bytes of it that are read.
        max: u64,
    },
    /// One word: not empty, without spaces.
    Word,
    /// Any text.
    Text,
    /// A password, or `""` for none. Never printed.
    Secret,
    /// A list of secrets. Never printed.
    Secrets,
    /// Where a Redis is, or `""` for nowhere. Printed without its password.
    RedisUrl,
    /// A name without spaces, of letters, digits and `.:_-`. `empty`: whether `""` is allowed.
    Name {
        /// Whether `""` is allowed.
        empty: bool,
    },
}

/// A value that its [`Kind`] has accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// See [`Kind::Bool`].
    Bool(bool),
    /// See [`Kind::Int`].
    Int(u64),
    /// The word of [`Kind::AutoOr`].
    Auto,
    /// See [`Kind::Duration`].
    Duration(Duration),
    /// See [`Kind::Size`], in bytes.
    Bytes(u64),
    /// A share of the machine's memory, 1 to 100.
    Percent(u8),
    /// A word, a text, a path, directives, or an address.
    Text(String),
    /// See [`Kind::Addresses`] and [`Kind::Words`].
    List(Vec<String>),
    /// See [`Kind::Secret`].
    Secret(Secret),
    /// See [`Kind::Secrets`].
    Secrets(Vec<Secret>),
    /// The rows of an array of tables.
    Rows(Vec<Row>),
    /// See [`Kind::RedisUrl`].
    Url(Secret),
}

impl Value {
    /// As text, the way CONFIG GET answers and CONFIG SET takes it. Gives a secret away.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Auto => "auto".to_owned(),
            Self::Duration(d) => units::format_duration(*d),
            Self::Bytes(n) => units::format_size(*n),
            Self::Percent(p) => format!("{p}%"),
            Self::Text(t) => t.clone(),
            Self::List(items) => items.join(" "),
            Self::Secret(s) | Self::Url(s) => s.expose().to_owned(),
            Self::Secrets(all) => all.iter().map(Secret::expose).collect::<Vec<_>>().join(" "),
            Self::Rows(rows) => rows.iter().map(Row::name).collect::<Vec<_>>().join(" "),
        }
    }

    /// As text for people and logs: a secret that is set shows as `***`.
    #[must_use]
    pub fn to_shown(&self) -> String {
        match self {
            Self::Secret(s) if !s.expose().is_empty() => "***".to_owned(),
            Self::Secrets(all) => vec!["***"; all.len()].join(" "),
            Self::Url(s) => without_password(s.expose()),
            other => other.to_text(),
        }
    }

    /// As TOML. Gives a secret away.
    #[must_use]
    pub fn to_toml(&self) -> toml_edit::Value {
        match self {
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => i64::try_from(*n).unwrap_or(i64::MAX).into(),
            Self::List(items) => toml_edit::Value::Array(items.iter().collect()),
            Self::Secrets(all) => toml_edit::Value::Array(all.iter().map(Secret::expose).collect()),
            other => other.to_text().into(),
        }
    }

    /// As TOML for people: a secret that is set shows as `"***"`.
    #[must_use]
    pub fn to_toml_shown(&self) -> toml_edit::Value {
        match self {
            Self::Secret(_) | Self::Url(_) => self.to_shown().into(),
            Self::Secrets(all) => toml_edit::Value::Array(all.iter().map(|_| "***").collect()),
            other => other.to_toml(),
        }
    }
}

/// An address as people may see it: `redis://user:***@host`.
fn without_password(url: &str) -> String {
    // The last `@` ends the credentials: a password may hold one, a host never does.
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((who, at)) = rest.rsplit_once('@') else { return url.to_owned() };
    match who.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{at}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://bob:secret@h", "redis://bob:***@h"),
            ("rediss://:p@ss@h/1", "rediss://:***@h/1"),
            ("redis://bob@h", "redis://bob@h"),
            ("", ""),
        ] {
            assert_eq!(Value::Url(Secret::new(url)).to_shown(), shown);
        }
    }
}
