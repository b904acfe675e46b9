//! Inline requests: words on a line, as typed into `nc` or `telnet`.

use std::ops::ControlFlow;

use super::{MAX_LINE, ProtocolError};
use crate::resp::args::Span;

/// Decodes the line at `start`. Quoted words are unquoted in place: that never makes them longer.
pub(super) fn decode(
    buf: &mut [u8],
    start: usize,
    spans: &mut Vec<Span>,
) -> Result<ControlFlow<(), usize>, ProtocolError> {
    let rest = buf.get_mut(start..).unwrap_or_default();
    let Some(newline) = memchr::memchr(b'\n', rest) else {
        return if rest.len() > MAX_LINE {
            Err(ProtocolError::LongInline)
        } else {
            Ok(ControlFlow::Break(()))
        };
    };
    if newline > MAX_LINE {
        return Err(ProtocolError::LongInline);
    }
    let line = &mut rest[..newline];
    if speaks_http(line) {
        return Err(ProtocolError::CrossProtocol);
    }
    let mut at = 0;
    while let Some((from, len, next)) = word(line, at)? {
        // A line is at most 64KB, a buffer below 4GB: both fit.
        let from = u32::try_from(start + from).map_err(|_| ProtocolError::LongInline)?;
        let len = u32::try_from(len).map_err(|_| ProtocolError::LongInline)?;
        spans.push(Span { start: from, len });
        at = next;
    }
    Ok(ControlFlow::Continue(start + newline + 1))
}

/// Browsers can be made to POST to any port; what they send must never run as commands.
fn speaks_http(line: &[u8]) -> bool {
    let starts =
        |word: &[u8]| line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    starts(b"post ") || starts(b"host:")
}

/// The word at or behind `at`: where it starts, its length after unquoting, where the next one
/// may start.
fn word(line: &mut [u8], at: usize) -> Result<Option<(usize, usize, usize)>, ProtocolError> {
    let mut read = at;
    while line.get(read).is_some_and(|b| is_space(*b)) {
        read += 1;
    }
    if read >= line.len() {
        return Ok(None);
    }
    let from = read;
    let mut write = read;
    while let Some(&byte) = line.get(read) {
        match byte {
            b if is_space(b) => break,
            b'"' => {
                read += 1;
                loop {
                    let &byte = line.get(read).ok_or(ProtocolError::Quotes)?;
                    if byte == b'"' {
                        read += 1;
                        break;
                    }
                    let (value, taken) = escaped(&line[read..]);
                    line[write] = value;
                    write += 1;
                    read += taken;
                }
                ends_here(line, read)?;
            }
            b'\'' => {
                read += 1;
                loop {
                    match line.get(read..).unwrap_or_default() {
                        [] => return Err(ProtocolError::Quotes),
                        [b'\\', b'\'', ..] => {
                            line[write] = b'\'';
                            read += 2;
                        }
                        [b'\'', ..] => {
                            read += 1;
                            break;
                        }
                        [other, ..] => {
                            line[write] = *other;
                            read += 1;
                        }
                    }
                    write += 1;
                }
                ends_here(line, read)?;
            }
            other => {
                line[write] = other;
                write += 1;
                read += 1;
            }
        }
    }
    Ok(Some((from, write - from, read)))
}

/// A closing quote must be followed by a space or the end of the line.
fn ends_here(line: &[u8], at: usize) -> Result<(), ProtocolError> {
    match line.get(at) {
        Some(b) if !is_space(*b) => Err(ProtocolError::Quotes),
        _ => Ok(()),
    }
}

/// One byte inside double quotes, and how many bytes it was written with.
fn escaped(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'\\', b'x', high, low, ..] => {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, 4),
                _ => (b'x', 2),
            }
        }
        [b'\\', escape, ..] => {
            let value = match escape {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'a' => 7,
                other => *other,
            };
            (value, 2)
        }
        [byte, ..] => (*byte, 1),
        [] => (0, 0),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0 | 0x0b | 0x0c)
}
