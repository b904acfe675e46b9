//! The versions that every file of the log has behind its magic.
//!
//! ```text
//! offset  size  field
//!      8     2  format version: what the file was written in
//!     10     2  minimum reader version; a reader below it refuses
//! ```
//!
//! They are at this place in every format, in a header whose length and checksum never change. So
//! every version of this program can tell a file that it does not read from a damaged one.

use super::frame::le;

/// Bytes of both versions.
const LEN: usize = 4;

/// The versions of one kind of file.
#[derive(Debug)]
pub(super) struct Versions {
    /// What this program writes.
    pub(super) format: u16,
    /// What this program reads: anything whose minimum reader version is not above this. It is
    /// also what a file of this program needs.
    pub(super) reader: u16,
    /// Files of formats below are not read any more.
    pub(super) oldest: u16,
}

/// What a file's versions say that this program does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was written in format {format} for readers from version {needs} on; this program has reader \
     version {reader} and reads formats from {oldest} on: use a version of it that reads this file"
)]
pub struct OtherFormat {
    format: u16,
    needs: u16,
    reader: u16,
    oldest: u16,
}

impl Versions {
    /// Where they are in a header.
    pub(super) const AT: std::ops::Range<usize> = 8..8 + LEN;

    /// As a file of this format has them.
    pub(super) const fn encode(&self, format: u16) -> [u8; LEN] {
        let ([a, b], [c, d]) = (format.to_le_bytes(), self.reader.to_le_bytes());
        [a, b, c, d]
    }

    /// The format of a file that has these versions, if this program reads it.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<u16, OtherFormat> {
        let (format, needs) = (le(&bytes[..2]) as u16, le(&bytes[2..LEN]) as u16);
        let Self { reader, oldest, .. } = *self;
        if needs > reader || format < oldest {
            return Err(OtherFormat { format, needs, reader, oldest });
        }
        Ok(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Versions = Versions { format: 5, reader: 4, oldest: 3 };

    #[test]
    fn what_is_read_lies_between_the_oldest_format_and_what_the_reader_knows() {
        assert_eq!(HERE.decode(&HERE.encode(HERE.format)), Ok(5));
        let versions = |format: u8, needs: u8| HERE.decode(&[format, 0, needs, 0]);
        // A later writer whose files this reader still understands.
        assert_eq!((versions(9, 4), versions(3, 1)), (Ok(9), Ok(3)));
        let refused = |format, needs| OtherFormat { format, needs, reader: 4, oldest: 3 };
        assert_eq!(versions(9, 5), Err(refused(9, 5)));
        assert_eq!(versions(2, 1), Err(refused(2, 1)));
    }
}
