//! Replies of RESP2 and RESP3, read from a stream with their bytes kept.

use std::fmt;
use std::io::{self, BufRead, Read};

/// One reply.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
    /// RESP3: pairs in order.
    Map(Vec<(Reply, Reply)>),
    /// RESP3: what else is one line, with its type byte: doubles, booleans, big numbers.
    Line(char, String),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Int(value) => write!(f, ":{value}"),
            Self::Bulk(bytes) if bytes.len() > 300 => write!(f, "({} bytes)", bytes.len()),
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Nil => write!(f, "nil"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Self::Line(kind, text) => write!(f, "{kind}{text}"),
        }
    }
}

impl Reply {
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    /// The text of a string of any kind or of an error.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) | Self::Line(_, text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            other => panic!("no integer: {other:?}"),
        }
    }

    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            other => panic!("no array: {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

/// Reads one reply; every byte of it is appended to `bytes`.
pub fn read(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<Reply> {
    let start = bytes.len();
    from.read_until(b'\n', bytes)?;
    let line = String::from_utf8_lossy(&bytes[start..]).into_owned();
    let Some(line) = line.strip_suffix("\r\n") else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("after {line:?}")));
    };
    let mut chars = line.chars();
    let kind = chars.next().unwrap_or('?');
    let rest = chars.as_str();
    Ok(match kind {
        '+' => Reply::Simple(rest.to_owned()),
        '-' => Reply::Error(rest.to_owned()),
        ':' => Reply::Int(number(rest)?),
        '$' | '=' => match number(rest)? {
            -1 => Reply::Nil,
            len => {
                let begin = bytes.len();
                let whole = u64::try_from(len).map_err(|_| wrong(line))? + 2;
                from.take(whole).read_to_end(bytes)?;
                if ((bytes.len() - begin) as u64) < whole {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let text = &bytes[begin..bytes.len() - 2];
                // A verbatim string starts with its format: "txt:".
                Reply::bulk(if kind == '=' { &text[4..] } else { text })
            }
        },
        '*' | '~' | '>' => match number(rest)? {
            -1 => Reply::Nil,
            len => Reply::Array((0..len).map(|_| read(from, bytes)).collect::<Result<_, _>>()?),
        },
        '%' => Reply::Map(
            (0..number(rest)?)
                .map(|_| Ok((read(from, bytes)?, read(from, bytes)?)))
                .collect::<io::Result<_>>()?,
        ),
        '_' => Reply::Nil,
        '#' | ',' | '(' => Reply::Line(kind, rest.to_owned()),
        _ => return Err(wrong(line)),
    })
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| wrong(text))
}

fn wrong(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {line:?}"))
}
