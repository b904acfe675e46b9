//! Writes an RDB file that every Redis since 5.0 and every Valkey loads.

use std::io::{self, Write};

use seawall_actors::clock::UnixMs;

use super::{CRC, STRING, opcode};

/// Nothing that is written here is newer.
const MAGIC: &[u8] = b"REDIS0009";

/// Writes a file from its beginning to its checksum.
pub struct Writer<W> {
    target: W,
    bytes: u64,
    crc: crc::Digest<'static, u64, crc::Table<16>>,
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Begins a file, with notes that a reader need not know: name and content.
    ///
    /// # Errors
    /// Whatever the target reports.
    pub fn new(target: W, notes: &[(&str, &str)]) -> io::Result<Self> {
        let mut writer = Self { target, bytes: 0, crc: CRC.digest() };
        writer.put(MAGIC)?;
        for (name, content) in notes {
            writer.put(&[opcode::AUX])?;
            writer.string(name.as_bytes())?;
            writer.string(content.as_bytes())?;
        }
        Ok(writer)
    }

    /// The entries that follow are in this database. How many there are, and how many of them
    /// expire, spares the reader a growing table; it need not be exact.
    ///
    /// # Errors
    /// Whatever the target reports.
    pub fn database(&mut self, db: u8, keys: u64, expiring: u64) -> io::Result<()> {
        self.put(&[opcode::SELECTDB])?;
        self.length(db.into())?;
        self.put(&[opcode::RESIZEDB])?;
        self.length(keys)?;
        self.length(expiring)
    }

    /// A string.
    ///
    /// # Errors
    /// Whatever the target reports.
    pub fn entry(
        &mut self,
        key: &[u8],
        value: &[u8],
        expires_at: Option<UnixMs>,
    ) -> io::Result<()> {
        if let Some(at) = expires_at {
            self.put(&[opcode::EXPIRE_MS])?;
            // The format has a sign; what is behind its end is as good as never.
            self.put(&i64::try_from(at).unwrap_or(i64::MAX).to_le_bytes())?;
        }
        self.put(&[STRING])?;
        self.string(key)?;
        self.string(value)
    }

    /// Ends the file with its checksum; its length in bytes.
    ///
    /// # Errors
    /// Whatever the target reports.
    pub fn finish(mut self) -> io::Result<u64> {
        self.put(&[opcode::END])?;
        let sum = self.crc.clone().finalize();
        self.put(&sum.to_le_bytes())?;
        self.target.flush()?;
        Ok(self.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        self.target.write_all(bytes)
    }

    fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length(bytes.len() as u64)?;
        self.put(bytes)
    }

    fn length(&mut self, length: u64) -> io::Result<()> {
        match (u16::try_from(length), u32::try_from(length)) {
            (Ok(short @ 0..=0x3f), _) => self.put(&[short as u8]),
            (Ok(short @ ..=0x3fff), _) => self.put(&(0x4000 | short).to_be_bytes()),
            (_, Ok(long)) => {
                self.put(&[0x80])?;
                self.put(&long.to_be_bytes())
            }
            (_, Err(_)) => {
                self.put(&[0x81])?;
                self.put(&length.to_be_bytes())
            }
        }
    }
}
