//! An RDB file's bytes on their way in: counted, added to the checksum, put together to lengths
//! and strings.

use std::io::{self, BufRead};

use super::{CRC, lzf};
use crate::interchange::ReadError;

/// Bytes that a buffer keeps when a large string has left it.
const KEEP: usize = 1 << 20;

/// A length, or how a string that has none is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Plain(u64),
    Encoded(u8),
}

/// How a string is encoded.
mod encoding {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// The bytes of a file from its beginning.
pub(super) struct Input<R> {
    source: R,
    offset: u64,
    crc: crc::Digest<'static, u64, crc::Table<16>>,
    compressed: Vec<u8>,
}

impl<R> std::fmt::Debug for Input<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, offset: 0, crc: CRC.digest(), compressed: Vec::new() }
    }

    /// Bytes read so far.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What is behind the last byte that was read.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// The checksum of all bytes so far.
    pub(super) fn checksum(&self) -> u64 {
        self.crc.clone().finalize()
    }

    /// Bytes of memory that it has taken.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.compressed.capacity()
    }

    /// Something does not fit at the present offset.
    pub(super) fn damaged(&self, what: impl Into<String>) -> ReadError {
        ReadError::Damaged { offset: self.offset, what: what.into() }
    }

    /// Hands over `len` bytes, in pieces as they arrive.
    fn pieces(&mut self, len: u64, mut piece: impl FnMut(&[u8])) -> Result<(), ReadError> {
        let mut missing = len;
        while missing > 0 {
            let offset = self.offset;
            let bytes = match self.source.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ReadError::Io { offset, source }),
            };
            if bytes.is_empty() {
                return Err(
                    self.damaged(format!("the file ends here, {missing} bytes are missing"))
                );
            }
            let take = usize::try_from(missing).map_or(bytes.len(), |max| bytes.len().min(max));
            let bytes = &bytes[..take];
            self.crc.update(bytes);
            piece(bytes);
            self.source.consume(take);
            self.offset += take as u64;
            missing -= take as u64;
        }
        Ok(())
    }

    /// Passes over `len` bytes.
    pub(super) fn pass(&mut self, len: u64) -> Result<(), ReadError> {
        self.pieces(len, |_| {})
    }

    /// The next bytes, as many as fit into an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (mut out, mut have) = ([0; N], 0);
        self.pieces(N as u64, |piece| {
            out[have..have + piece.len()].copy_from_slice(piece);
            have += piece.len();
        })?;
        Ok(out)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ReadError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn length_or_encoding(&mut self) -> Result<Length, ReadError> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match first {
            0x80 => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ if first >> 6 == 0 => Length::Plain(low.into()),
            _ if first >> 6 == 1 => Length::Plain(u16::from_be_bytes([low, self.byte()?]).into()),
            _ if first >> 6 == 3 => Length::Encoded(low),
            _ => return Err(self.damaged(format!("{first:#x} begins no length"))),
        })
    }

    /// A length, a count, or another number.
    pub(super) fn length(&mut self) -> Result<u64, ReadError> {
        match self.length_or_encoding()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.damaged("an encoded string where a number belongs")),
        }
    }

    /// A string into `out`, whatever was in it. Memory grows with the bytes that arrive, and by a
    /// factor of 88 at most where they are compressed.
    pub(super) fn string(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        out.clear();
        out.shrink_to(KEEP);
        match self.length_or_encoding()? {
            Length::Plain(len) => self.pieces(len, |piece| out.extend_from_slice(piece)),
            Length::Encoded(encoding::INT8) => {
                let value = i8::from_le_bytes(self.array()?);
                number(value.into(), out);
                Ok(())
            }
            Length::Encoded(encoding::INT16) => {
                let value = i16::from_le_bytes(self.array()?);
                number(value.into(), out);
                Ok(())
            }
            Length::Encoded(encoding::INT32) => {
                let value = i32::from_le_bytes(self.array()?);
                number(value, out);
                Ok(())
            }
            Length::Encoded(encoding::LZF) => {
                let (len, plain_len) = (self.length()?, self.length()?);
                let mut compressed = std::mem::take(&mut self.compressed);
                compressed.clear();
                compressed.shrink_to(KEEP);
                let read = self.pieces(len, |piece| compressed.extend_from_slice(piece));
                let plain = read.and_then(|()| {
                    lzf::decompress(&compressed, plain_len, out)
                        .map_err(|why| self.damaged(format!("a compressed string: {why}")))
                });
                self.compressed = compressed;
                plain
            }
            Length::Encoded(other) => Err(self.no_encoding(other)),
        }
    }

    /// Passes over a string.
    pub(super) fn pass_string(&mut self) -> Result<(), ReadError> {
        match self.length_or_encoding()? {
            Length::Plain(len) => self.pass(len),
            Length::Encoded(encoding::INT8) => self.pass(1),
            Length::Encoded(encoding::INT16) => self.pass(2),
            Length::Encoded(encoding::INT32) => self.pass(4),
            Length::Encoded(encoding::LZF) => {
                let (len, _) = (self.length()?, self.length()?);
                self.pass(len)
            }
            Length::Encoded(other) => Err(self.no_encoding(other)),
        }
    }

    fn no_encoding(&self, encoding: u8) -> ReadError {
        self.damaged(format!("no string is encoded as {encoding}"))
    }
}

fn number(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
