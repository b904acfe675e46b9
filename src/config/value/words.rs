//! What errors and the documentation say of each kind of value.

use std::fmt::Write as _;
use std::time::Duration;

use figment::value::{Num, Value as Raw};

use super::Kind;
use super::read::whole;
use crate::config::units;

impl Kind {
    pub(super) fn out_of_range(&self, got: &str) -> String {
        format!("{got} is out of range: it must be {}", self.range())
    }

    pub(super) fn unfit(&self, raw: &Raw) -> String {
        let hidden = matches!(self, Self::Secret | Self::Secrets | Self::RedisUrl);
        let got = if hidden { type_of(raw).to_owned() } else { show(raw) };
        format!("{got} is not {}; write for example {}", self.noun(), self.example())
    }

    /// What the kind is called, with its article.
    #[must_use]
    pub fn noun(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int { .. } => "a whole number".to_owned(),
            Self::AutoOr { .. } => "\"auto\" or a whole number".to_owned(),
            Self::Duration { .. } => "a duration".to_owned(),
            Self::Size { percent: true, .. } => "a size or a percentage".to_owned(),
            Self::Size { .. } => "a size".to_owned(),
            Self::Enum(words) => format!("one of {}", quoted(words)),
            Self::Directives => "a log level or a list of directives".to_owned(),
            Self::EventClasses => "letters of KEg$lshzxetdAnm".to_owned(),
            Self::Addresses => "a list of addresses".to_owned(),
            Self::Words { what, .. } => format!("a list of {what}"),
            Self::Address => "an address".to_owned(),
            Self::Path { .. } => "a path".to_owned(),
            Self::File { .. } => "the path of a file".to_owned(),
            Self::Word => "a word without spaces".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Secret => "a password".to_owned(),
            Self::Secrets => "a list of texts".to_owned(),
            Self::RedisUrl => "the address of a Redis".to_owned(),
            Self::Name { .. } => "a name".to_owned(),
        }
    }

    /// The range in words, for the documentation and for errors.
    #[must_use]
    pub fn range(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int { min, max } => format!("{min} to {max}"),
            Self::AutoOr { min, max } => format!("\"auto\", or {min} to {max}"),
            Self::Duration { min, max, zero } => format!(
                "{}{} to {}",
                if *zero { "0s, or " } else { "" },
                units::format_duration(*min),
                units::format_duration(*max)
            ),
            Self::Size { min, max, zero, percent } => format!(
                "{}{} to {}{}",
                if *zero { "0, or " } else { "" },
                units::format_size(*min),
                units::format_size(*max),
                if *percent { ", or 1% to 100%" } else { "" }
            ),
            Self::Enum(words) => quoted(words),
            Self::Directives => "a level, or module=level, separated by commas".to_owned(),
            Self::EventClasses => "letters of KEg$lshzxetdAnm, or \"\"".to_owned(),
            Self::Addresses => "host:port, ...".to_owned(),
            Self::Words { what, .. } => {
                format!("up to 64 {what}, without spaces and commas; or none")
            }
            Self::Address => "host:port, or \"\"".to_owned(),
            Self::Path { empty: true } => "a path, or \"\"".to_owned(),
            Self::Path { empty: false } => "a path".to_owned(),
            Self::File { .. } => "a path, or \"\"".to_owned(),
            Self::Word => "a word without spaces".to_owned(),
            Self::Secret => "any text, or \"\"".to_owned(),
            Self::Text => "any text".to_owned(),
            Self::Secrets => "a list of texts".to_owned(),
            Self::RedisUrl => "redis://[user:password@]host[:port][/database], rediss:// for TLS, \
                               unix:///path, or \"\""
                .to_owned(),
            Self::Name { empty } => {
                let or = if *empty { ", or \"\"" } else { "" };
                format!("up to 64 letters, digits and .:_-{or}")
            }
        }
    }

    pub(super) fn example(&self) -> String {
        match self {
            Self::Bool => "true".to_owned(),
            Self::Int { min, max } | Self::AutoOr { min, max } => {
                (*max).min((*min).max(16)).to_string()
            }
            Self::Duration { min, max, .. } => {
                format!("\"{}\"", units::format_duration(Duration::from_secs(30).clamp(*min, *max)))
            }
            Self::Size { min, max, percent, .. } => {
                let size = units::format_size(100_000_000.clamp(*min, *max));
                if *percent { format!("\"{size}\" or \"60%\"") } else { format!("\"{size}\"") }
            }
            Self::Enum(words) => format!("\"{}\"", words.first().unwrap_or(&"")),
            Self::Directives => "\"info,seawall_actors::wal=debug\"".to_owned(),
            Self::EventClasses => "\"KEA\"".to_owned(),
            Self::Addresses => "[\"127.0.0.1:6380\"]".to_owned(),
            Self::Words { example, .. } => format!("[{example:?}]"),
            Self::Address => "\"127.0.0.1:6381\"".to_owned(),
            Self::Path { .. } => "\"/var/lib/seawall\"".to_owned(),
            Self::File { .. } => "\"/etc/seawall/password\"".to_owned(),
            Self::Word | Self::Text => "\"reader\"".to_owned(),
            Self::Secret => "\"a long random text\"".to_owned(),
            Self::Secrets => "[\"2bb80d53…\"]".to_owned(),
            Self::RedisUrl => "\"redis://10.0.0.7:6379/0\"".to_owned(),
            Self::Name { .. } => "\"seawall-1\"".to_owned(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    let mut out = String::new();
    for (i, word) in words.iter().enumerate() {
        let _ = write!(out, "{}\"{word}\"", if i == 0 { "" } else { ", " });
    }
    out
}

fn type_of(raw: &Raw) -> &'static str {
    match raw {
        Raw::String(..) => "a text",
        Raw::Char(..) => "a character",
        Raw::Bool(..) => "a truth value",
        Raw::Num(..) => "a number",
        Raw::Empty(..) => "nothing",
        Raw::Dict(..) => "a table",
        Raw::Array(..) => "a list",
    }
}

/// A wrong value as the error shows it: short ones in full.
fn show(raw: &Raw) -> String {
    match raw {
        Raw::String(_, s) if s.chars().count() <= 64 => format!("{s:?}"),
        Raw::Bool(_, b) => b.to_string(),
        Raw::Num(_, Num::F64(n)) => n.to_string(),
        Raw::Num(_, n) => whole(n).map_or_else(|| "this number".to_owned(), |n| n.to_string()),
        other => type_of(other).to_owned(),
    }
}
