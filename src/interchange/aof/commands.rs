//! The commands of a file, one after the other.

use std::io::{self, Read};
use std::ops::ControlFlow;

use crate::interchange::ReadError;
use crate::resp::args::{Args, Span};
use crate::resp::codec::{Decoder, MAX_ARGS, RequestLimits};

/// Bytes read at a time.
const CHUNK: usize = if cfg!(test) { 7 } else { 256 << 10 };
/// Bytes that the buffer keeps when a large command has left it.
const KEEP: usize = 4 << 20;
/// Longest note.
const MAX_NOTE: usize = 64 << 10;
/// What Redis writes: no argument is longer than its largest string.
const LIMITS: RequestLimits =
    RequestLimits { max_args: MAX_ARGS, max_bulk: 512 << 20, trusted: true };

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A command, from this offset on.
    Command(u64, Args<'a>),
    /// The file's end, behind a whole command.
    End,
    /// The file's end within a command that begins at this offset, or zeros from there to the end:
    /// what a crash leaves.
    Cut(u64),
}

/// Reads commands. The buffer grows with the bytes that arrive.
#[derive(Debug)]
pub struct Commands<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where the next command begins in the buffer.
    at: usize,
    /// Offset of the buffer's first byte in the file.
    base: u64,
    decoder: Decoder,
    spans: Vec<Span>,
    ended: bool,
}

impl<R: Read> Commands<R> {
    /// Commands from `offset` of a file on, which is where `source` stands.
    pub fn new(source: R, offset: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            at: 0,
            base: offset,
            decoder: Decoder::default(),
            spans: Vec::new(),
            ended: false,
        }
    }

    /// Offset of the next command.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next command. Behind the end of any kind there is nothing more.
    ///
    /// # Errors
    /// [`ReadError`]: what is there is no command.
    pub fn read(&mut self) -> Result<Next<'_>, ReadError> {
        loop {
            self.spans.clear();
            let offset = self.offset();
            match self.buffer.get(self.at) {
                Some(b'*') => {
                    let (buffer, spans) = (&mut self.buffer, &mut self.spans);
                    let decoded = self.decoder.decode(buffer, self.at, spans, &LIMITS);
                    let decoded = decoded.map_err(|error| {
                        let what = error.to_string();
                        let what = what.trim_start_matches("Protocol error: ").to_owned();
                        ReadError::Damaged { offset, what: format!("no command: {what}") }
                    })?;
                    if let ControlFlow::Continue(next) = decoded {
                        self.at = next;
                        if self.spans.is_empty() {
                            continue;
                        }
                        return Ok(Next::Command(offset, Args::new(&self.buffer, &self.spans)));
                    }
                }
                Some(b'#') => {
                    let rest = &self.buffer[self.at..];
                    if let Some(end) = memchr::memchr(b'\n', rest) {
                        self.at += end + 1;
                        continue;
                    }
                    if rest.len() > MAX_NOTE {
                        let what = "a note that does not end".to_owned();
                        return Err(ReadError::Damaged { offset, what });
                    }
                }
                Some(0) => return self.zeros(offset),
                Some(other) => {
                    let what = format!("'{}' begins no command", other.escape_ascii());
                    return Err(ReadError::Damaged { offset, what });
                }
                None if self.ended => return Ok(Next::End),
                None => {}
            }
            if self.ended {
                return Ok(Next::Cut(offset));
            }
            self.more()?;
        }
    }

    /// Zeros to the end are blocks that were never written.
    fn zeros(&mut self, offset: u64) -> Result<Next<'_>, ReadError> {
        loop {
            if self.buffer[self.at..].iter().any(|&byte| byte != 0) {
                let what = "zeros where a command belongs, and more behind them".to_owned();
                return Err(ReadError::Damaged { offset, what });
            }
            self.at = self.buffer.len();
            if self.ended {
                return Ok(Next::Cut(offset));
            }
            self.more()?;
        }
    }

    /// Reads on. A command that has begun stands at the buffer's beginning then.
    fn more(&mut self) -> Result<(), ReadError> {
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        if self.buffer.len() < KEEP {
            self.buffer.shrink_to(KEEP);
        }
        let have = self.buffer.len();
        self.buffer.resize(have + CHUNK, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[have..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
        let offset = self.base + have as u64;
        let read = read.map_err(|source| ReadError::Io { offset, source })?;
        self.ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
