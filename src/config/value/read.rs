//! How each kind of value is read, from TOML and from text.

use figment::value::{Num, Value as Raw};

use super::{Kind, Value};
use crate::config::address::Address;
use crate::config::events::EventClasses;
use crate::config::secret::Secret;
use crate::config::units;

/// The longest text that any key takes, in bytes.
const MAX_TEXT: usize = 4096;

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
            (Self::Addresses | Self::Words { .. }, Raw::Array(_, items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(Raw::as_str).collect();
                self.list(&texts.ok_or_else(|| self.unfit(raw))?)
            }
            (Self::Secrets, Raw::Array(_, items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(Raw::as_str).collect();
                self.secrets(&texts.ok_or_else(|| self.unfit(raw))?)
            }
            (Self::Bool | Self::Int { .. } | Self::Secrets, Raw::String(..)) => {
                Err(self.unfit(raw))
            }
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
                crate::config::directives::check(text)?;
                Ok(Value::Text(text.to_owned()))
            }
            Self::EventClasses => match EventClasses::parse(text) {
                Some(_) => Ok(Value::Text(text.to_owned())),
                None => Err(unfit()),
            },
            Self::Addresses | Self::Words { .. } => {
                // As in the file, or bare: both are what people try in an environment variable.
                let inside = text.trim().strip_prefix('[').map(str::trim_start);
                if inside.is_some_and(|rest| rest.starts_with(['"', '\'', ']'])) {
                    let toml = text.trim().parse::<toml_edit::Value>().map_err(|_| unfit())?;
                    let raw = crate::config::sources::toml_to_raw(&toml).map_err(|_| unfit())?;
                    return match raw {
                        Raw::Array(..) => self.read_toml(&raw),
                        _ => Err(unfit()),
                    };
                }
                let split = |c: char| c == ',' || c.is_whitespace();
                self.list(&text.split(split).filter(|t| !t.is_empty()).collect::<Vec<_>>())
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
            Self::File { .. } => {
                if text.contains('\0') {
                    Err(unfit())
                } else {
                    Ok(Value::Text(text.to_owned()))
                }
            }
            Self::Word => {
                let bad = |c: char| c.is_whitespace() || c.is_control();
                if text.is_empty() || text.contains(bad) {
                    return Err(unfit());
                }
                Ok(Value::Text(text.to_owned()))
            }
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Secret => Ok(Value::Secret(Secret::new(text))),
            Self::Secrets => self.secrets(&text.split_whitespace().collect::<Vec<_>>()),
            Self::RedisUrl => {
                if !text.is_empty() {
                    seawall_actors::redis::check_url(text)?;
                }
                Ok(Value::Url(Secret::new(text)))
            }
            Self::Name { empty } => {
                let fits = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
                if text.len() > 64 || !text.chars().all(fits) || (text.is_empty() && !empty) {
                    return Err(unfit());
                }
                Ok(Value::Text(text.to_owned()))
            }
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

    fn secrets(&self, texts: &[&str]) -> Result<Value, String> {
        /// More passwords than anyone rotates.
        const MAX: usize = 64;
        if texts.len() > MAX {
            return Err(format!("has more than {MAX} entries"));
        }
        Ok(Value::Secrets(texts.iter().map(|text| Secret::new(*text)).collect()))
    }

    fn list(&self, texts: &[&str]) -> Result<Value, String> {
        /// More listeners than anyone has interfaces, and as many of everything else.
        const MAX: usize = 64;
        if texts.len() > MAX {
            return Err(format!("has more than {MAX} entries"));
        }
        match self {
            Self::Words { .. } => self.words(texts),
            _ => self.addresses(texts),
        }
    }

    fn words(&self, texts: &[&str]) -> Result<Value, String> {
        for (i, text) in texts.iter().enumerate() {
            let split = |c: char| c == ',' || c.is_whitespace() || c.is_control();
            if text.is_empty() || text.len() > MAX_TEXT || text.contains(split) {
                return Err(self.unfit(&Raw::from(*text)));
            }
            if texts.iter().take(i).any(|before| before == text) {
                return Err(format!("names {text:?} twice"));
            }
        }
        Ok(Value::List(texts.iter().map(|&text| text.to_owned()).collect()))
    }

    fn addresses(&self, texts: &[&str]) -> Result<Value, String> {
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
}

/// A whole number of any width; `None` for a floating-point one.
pub(super) fn whole(num: &Num) -> Option<i128> {
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
