//! One key's value: what kinds there are, how each is read, and how each is written.

use std::fmt::Write as _;
use std::time::Duration;

use figment::value::{Num, Value as Raw};

use super::address::Address;
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
    /// A list of `host:port`.
    Addresses,
    /// One `host:port`, or `""` for none.
    Address,
    /// A path. `empty`: whether `""`, none, is allowed.
    Path {
        /// Whether `""` is allowed.
        empty: bool,
    },
    /// A password, or `""` for none. Never printed.
    Secret,
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
    /// A word, a path, directives, or an address.
    Text(String),
    /// See [`Kind::Addresses`].
    List(Vec<String>),
    /// See [`Kind::Secret`].
    Secret(Secret),
}

/// The longest text that any key takes, in bytes.
const MAX_TEXT: usize = 4096;

// === impl Kind ===

impl Kind {
    /// Reads a value as TOML has it; the TOML type must fit.
    ///
    /// # Errors
    /// What is wrong, in plain words, with an example of a right value.
    pub fn read_toml(&self, raw: &Raw) -> Result<Value, String> {
        match (self, raw) {
            (Self::Bool, Raw::Bool(_, b)) => Ok(Value::Bool(*b)),
            (Self::Int { .. } | Self::AutoOr { .. }, Raw::Num(_, n)) => match whole(n) {
                Some(n) => self.int(n),
                None => Err(self.unfit(raw)),
            },
            (Self::Size { .. }, Raw::Num(_, n)) => match whole(n).map(u64::try_from) {
                Some(Ok(bytes)) => self.size(bytes),
                _ => Err(self.unfit(raw)),
            },
            (Self::Addresses, Raw::Array(_, items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(Raw::as_str).collect();
                self.addresses(&texts.ok_or_else(|| self.unfit(raw))?)
            }
            (Self::Bool | Self::Int { .. }, Raw::String(..)) => Err(self.unfit(raw)),
            (_, Raw::String(_, text)) => self.read_text(text),
            _ => Err(self.unfit(raw)),
        }
    }

    /// Reads a value that came as text: from the environment or CONFIG SET.
    ///
    /// # Errors
    /// As [`Kind::read_toml`].
    pub fn read_text(&self, text: &str) -> Result<Value, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("is longer than {MAX_TEXT} bytes"));
        }
        let unfit = || self.unfit(&Raw::from(text));
        match self {
            Self::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" => Ok(Value::Bool(true)),
                "false" | "no" => Ok(Value::Bool(false)),
                _ => Err(unfit()),
            },
            Self::AutoOr { .. } if text.trim() == "auto" => Ok(Value::Auto),
            Self::Int { .. } | Self::AutoOr { .. } => {
                text.trim().parse().map_err(|_| unfit()).and_then(|n| self.int(n))
            }
            Self::Duration { min, max, zero } => {
                let d = units::parse_duration(text).map_err(|_| unfit())?;
                let fits = (*zero && d.is_zero()) || (*min..=*max).contains(&d);
                if fits { Ok(Value::Duration(d)) } else { Err(self.out_of_range(text)) }
            }
            Self::Size { percent, .. } => match units::parse_percent(text) {
                Some(share) if *percent => Ok(Value::Percent(share)),
                _ => units::parse_size(text).ok_or_else(unfit).and_then(|n| self.size(n)),
            },
            Self::Enum(words) => {
                if words.contains(&text) {
                    Ok(Value::Text(text.to_owned()))
                } else {
                    Err(unfit())
                }
            }
            Self::Directives => {
                super::directives::check(text)?;
                Ok(Value::Text(text.to_owned()))
            }
            Self::Addresses => {
                // As in the file, or bare: both are what people try in an environment variable.
                let inside = text.trim().strip_prefix('[').map(str::trim_start);
                if inside.is_some_and(|rest| rest.starts_with(['"', '\'', ']'])) {
                    let toml = text.trim().parse::<toml_edit::Value>().map_err(|_| unfit())?;
                    let raw = super::sources::toml_to_raw(&toml).map_err(|_| unfit())?;
                    return match raw {
                        Raw::Array(..) => self.read_toml(&raw),
                        _ => Err(unfit()),
                    };
                }
                let split = |c: char| c == ',' || c.is_whitespace();
                self.addresses(&text.split(split).filter(|t| !t.is_empty()).collect::<Vec<_>>())
            }
            Self::Address if text.is_empty() => Ok(Value::Text(String::new())),
            Self::Address => match text.parse::<Address>() {
                Ok(address) => Ok(Value::Text(address.to_string())),
                Err(why) => Err(format!("{why}; write for example {}", self.example())),
            },
            Self::Path { empty } => {
                if text.contains('\0') || (text.is_empty() && !empty) {
                    return Err(unfit());
                }
                Ok(Value::Text(text.to_owned()))
            }
            Self::Secret => Ok(Value::Secret(Secret::new(text))),
        }
    }

    fn int(&self, n: i128) -> Result<Value, String> {
        let (Self::Int { min, max } | Self::AutoOr { min, max }) = self else {
            return Err(self.unfit(&Raw::from("")));
        };
        u64::try_from(n)
            .ok()
            .filter(|n| (*min..=*max).contains(n))
            .map(Value::Int)
            .ok_or_else(|| self.out_of_range(&n.to_string()))
    }

    fn size(&self, bytes: u64) -> Result<Value, String> {
        let Self::Size { min, max, zero, .. } = self else {
            return Err(self.unfit(&Raw::from("")));
        };
        if (*zero && bytes == 0) || (*min..=*max).contains(&bytes) {
            Ok(Value::Bytes(bytes))
        } else {
            Err(self.out_of_range(&units::format_size(bytes)))
        }
    }

    fn addresses(&self, texts: &[&str]) -> Result<Value, String> {
        /// More listeners than anyone has interfaces.
        const MAX: usize = 64;
        if texts.len() > MAX {
            return Err(format!("has more than {MAX} addresses"));
        }
        let mut list: Vec<String> = Vec::with_capacity(texts.len());
        for text in texts {
            let address = text
                .parse::<Address>()
                .map_err(|why| format!("{why}; write for example {}", self.example()))?;
            let shown = address.to_string();
            if address.port() != 0 && list.contains(&shown) {
                return Err(format!("names {shown} twice"));
            }
            list.push(shown);
        }
        Ok(Value::List(list))
    }

    fn out_of_range(&self, got: &str) -> String {
        format!("{got} is out of range: it must be {}", self.range())
    }

    fn unfit(&self, raw: &Raw) -> String {
        let got = if matches!(self, Self::Secret) { type_of(raw).to_owned() } else { show(raw) };
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
            Self::Addresses => "a list of addresses".to_owned(),
            Self::Address => "an address".to_owned(),
            Self::Path { .. } => "a path".to_owned(),
            Self::Secret => "a password".to_owned(),
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
            Self::Addresses => "host:port, ...".to_owned(),
            Self::Address => "host:port, or \"\"".to_owned(),
            Self::Path { empty: true } => "a path, or \"\"".to_owned(),
            Self::Path { empty: false } => "a path".to_owned(),
            Self::Secret => "any text, or \"\"".to_owned(),
        }
    }

    fn example(&self) -> String {
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
            Self::Addresses => "[\"127.0.0.1:6380\"]".to_owned(),
            Self::Address => "\"127.0.0.1:6381\"".to_owned(),
            Self::Path { .. } => "\"/var/lib/seawall\"".to_owned(),
            Self::Secret => "\"a long random text\"".to_owned(),
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

/// A whole number of any width; `None` for a floating-point one.
fn whole(num: &Num) -> Option<i128> {
    match *num {
        Num::U8(n) => Some(n.into()),
        Num::U16(n) => Some(n.into()),
        Num::U32(n) => Some(n.into()),
        Num::U64(n) => Some(n.into()),
        Num::I8(n) => Some(n.into()),
        Num::I16(n) => Some(n.into()),
        Num::I32(n) => Some(n.into()),
        Num::I64(n) => Some(n.into()),
        Num::I128(n) => Some(n),
        Num::U128(n) => i128::try_from(n).ok(),
        Num::USize(n) => i128::try_from(n).ok(),
        Num::ISize(n) => i128::try_from(n).ok(),
        Num::F32(_) | Num::F64(_) => None,
    }
}

// === impl Value ===

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
            Self::Secret(s) => s.expose().to_owned(),
        }
    }

    /// As text for people and logs: a secret that is set shows as `***`.
    #[must_use]
    pub fn to_shown(&self) -> String {
        match self {
            Self::Secret(s) if !s.expose().is_empty() => "***".to_owned(),
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
            other => other.to_text().into(),
        }
    }

    /// As TOML for people: a secret that is set shows as `"***"`.
    #[must_use]
    pub fn to_toml_shown(&self) -> toml_edit::Value {
        match self {
            Self::Secret(_) => self.to_shown().into(),
            other => other.to_toml(),
        }
    }
}
