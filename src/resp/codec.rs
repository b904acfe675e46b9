//! Decodes requests: arrays of bulk strings, and inline commands.
//!
//! The decoder knows no socket. It works on a buffer that the connection fills, leaves arguments
//! where they are and returns their [`Span`]s; a declared length allocates nothing. A request
//! that is not whole yet is remembered where it broke off, so that every byte is looked at once.
//! Error texts are Redis' own.

mod inline;

use std::ops::ControlFlow;

use super::args::Span;
use super::integer::parse as integer;

/// What requests may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Arguments in one request.
    pub max_args: usize,
    /// Bytes in one argument.
    pub max_bulk: usize,
    /// The client has authenticated, or need not.
    pub trusted: bool,
}

/// What a client may send before it has authenticated.
const UNTRUSTED_ARGS: usize = 10;
const UNTRUSTED_BULK: usize = 16 * 1024;
/// Redis' bound on arguments in one request.
pub const MAX_ARGS: usize = 1024 * 1024;
/// Longest line: an inline request, or the digits of a length.
const MAX_LINE: usize = 64 * 1024;

/// Why a connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The array header does not end.
    #[error("Protocol error: too big mbulk count string")]
    LongCount,
    /// The array header is no number or out of bounds.
    #[error("Protocol error: invalid multibulk length")]
    BadCount,
    /// Too many arguments before authentication.
    #[error("Protocol error: unauthenticated multibulk length")]
    UntrustedCount,
    /// Something else than a bulk string inside a request.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    NotBulk(u8),
    /// The bulk header does not end.
    #[error("Protocol error: too big bulk count string")]
    LongBulkHeader,
    /// The bulk length is no number or out of bounds.
    #[error("Protocol error: invalid bulk length")]
    BadBulk,
    /// Too long an argument before authentication.
    #[error("Protocol error: unauthenticated bulk length")]
    UntrustedBulk,
    /// An inline request that does not end.
    #[error("Protocol error: too big inline request")]
    LongInline,
    /// Quotes of an inline request do not close.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    /// Someone speaks HTTP: a browser that was lured here, most likely.
    #[error("Protocol error: this is not HTTP")]
    CrossProtocol,
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte) } else { '?' }
}

/// A request that is not whole yet. Offsets count from the request's first byte.
#[derive(Debug, Default)]
struct Partial {
    spans: Vec<Span>,
    missing: usize,
    at: usize,
}

/// Decodes requests from a growing buffer.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Partial,
}

impl Decoder {
    /// Decodes the request that starts at `start` of `buf`.
    ///
    /// Continues with the offset behind the request, whose argument spans were appended to
    /// `spans` (none for an empty line); breaks if more bytes are needed. Then the caller MUST
    /// come back with a buffer that starts with the same bytes at offset 0.
    ///
    /// # Errors
    /// [`ProtocolError`]: nothing behind it can be understood, close the connection.
    pub fn decode(
        &mut self,
        buf: &mut [u8],
        start: usize,
        spans: &mut Vec<Span>,
        limits: &RequestLimits,
    ) -> Result<ControlFlow<(), usize>, ProtocolError> {
        if self.partial.missing > 0 {
            debug_assert!(start == 0 && spans.is_empty(), "a partial request starts its buffer");
            std::mem::swap(spans, &mut self.partial.spans);
            let (missing, at) = (self.partial.missing, self.partial.at);
            self.partial.missing = 0;
            return self.arguments(buf, 0, 0, (missing, at), spans, limits);
        }
        match buf.get(start) {
            None => Ok(ControlFlow::Break(())),
            Some(b'*') => {
                let Some((line, next)) = line(buf, start + 1) else {
                    return too_long(buf, start, ProtocolError::LongCount);
                };
                let count = integer(line).ok_or(ProtocolError::BadCount)?;
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                if count > limits.max_args {
                    return Err(ProtocolError::BadCount);
                }
                if !limits.trusted && count > UNTRUSTED_ARGS {
                    return Err(ProtocolError::UntrustedCount);
                }
                let first = spans.len();
                self.arguments(buf, start, first, (count, next), spans, limits)
            }
            Some(_) => inline::decode(buf, start, spans),
        }
    }

    /// Reads `missing` bulk strings from `at` on.
    fn arguments(
        &mut self,
        buf: &[u8],
        start: usize,
        first: usize,
        (mut missing, mut at): (usize, usize),
        spans: &mut Vec<Span>,
        limits: &RequestLimits,
    ) -> Result<ControlFlow<(), usize>, ProtocolError> {
        while missing > 0 {
            match bulk(buf, at, limits)? {
                Some((span, next)) => {
                    spans.push(span);
                    at = next;
                    missing -= 1;
                }
                None => {
                    self.partial.missing = missing;
                    self.partial.at = at - start;
                    self.partial.spans.clear();
                    let shift = u32::try_from(start).unwrap_or(u32::MAX);
                    self.partial.spans.extend(
                        spans.drain(first..).map(|s| Span { start: s.start - shift, len: s.len }),
                    );
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(at))
    }
}

/// One bulk string at `at`: its span and the offset behind it; `None` if it is not whole.
fn bulk(
    buf: &[u8],
    at: usize,
    limits: &RequestLimits,
) -> Result<Option<(Span, usize)>, ProtocolError> {
    let Some(&kind) = buf.get(at) else { return Ok(None) };
    if kind != b'$' {
        return Err(ProtocolError::NotBulk(kind));
    }
    let Some((digits, body)) = line(buf, at + 1) else {
        return if buf.len() - at > MAX_LINE {
            Err(ProtocolError::LongBulkHeader)
        } else {
            Ok(None)
        };
    };
    let len = integer(digits)
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| *len <= limits.max_bulk)
        .ok_or(ProtocolError::BadBulk)?;
    if !limits.trusted && len > UNTRUSTED_BULK {
        return Err(ProtocolError::UntrustedBulk);
    }
    // Like Redis, the two bytes behind a bulk are passed over unread.
    let next = body + len + 2;
    if buf.len() < next {
        return Ok(None);
    }
    let (Ok(start), Ok(len)) = (u32::try_from(body), u32::try_from(len)) else {
        return Err(ProtocolError::BadBulk);
    };
    Ok(Some((Span { start, len }, next)))
}

fn too_long<T>(
    buf: &[u8],
    start: usize,
    error: ProtocolError,
) -> Result<ControlFlow<(), T>, ProtocolError> {
    if buf.len() - start > MAX_LINE { Err(error) } else { Ok(ControlFlow::Break(())) }
}

/// The bytes from `at` to the next CR, and the offset behind CR LF; `None` if there is none yet.
fn line(buf: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = buf.get(at..)?;
    // Lengths are a few digits: a plain loop beats a call to a search routine.
    let window = rest.get(..MAX_LINE).unwrap_or(rest);
    let end = window.iter().position(|b| *b == b'\r')?;
    // The LF has to be there too before the line counts as whole.
    (rest.len() > end + 1).then(|| (&rest[..end], at + end + 2))
}

#[cfg(test)]
mod tests;
