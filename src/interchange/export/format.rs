//! The forms that data are exported in.

use std::io::{self, Write};

use clap::ValueEnum;

use crate::interchange::dataset::Entry;
use crate::interchange::rdb;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// An RDB file, for a server to load at its start
    Rdb,
    /// SELECT and SET commands, for `redis-cli --pipe`
    Resp,
}

/// Data on their way out.
pub(super) enum Output<W: Write> {
    Rdb(rdb::Writer<W>),
    Resp(Commands<W>),
}

impl<W: Write> Output<W> {
    pub(super) fn begin(format: Format, target: W) -> io::Result<Self> {
        Ok(match format {
            Format::Rdb => {
                let notes = [("seawall-ver", env!("CARGO_PKG_VERSION"))];
                Self::Rdb(rdb::Writer::new(target, &notes)?)
            }
            Format::Resp => Self::Resp(Commands { target, bytes: 0, command: Vec::new() }),
        })
    }

    /// What follows is in this database; the numbers are hints.
    pub(super) fn database(&mut self, db: u8, keys: u64, expiring: u64) -> io::Result<()> {
        match self {
            Self::Rdb(writer) => writer.database(db, keys, expiring),
            Self::Resp(commands) => {
                let db = db.to_string();
                commands.put(&[b"SELECT", db.as_bytes()])
            }
        }
    }

    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let Entry { key, value, expires_at, .. } = *entry;
        match (self, expires_at) {
            (Self::Rdb(writer), _) => writer.entry(key, value, expires_at),
            (Self::Resp(commands), None) => commands.put(&[b"SET", key, value]),
            (Self::Resp(commands), Some(at)) => {
                let at = at.to_string();
                commands.put(&[b"SET", key, value, b"PXAT", at.as_bytes()])
            }
        }
    }

    /// Bytes written.
    pub(super) fn finish(self) -> io::Result<u64> {
        match self {
            Self::Rdb(writer) => writer.finish(),
            Self::Resp(mut commands) => {
                commands.target.flush()?;
                Ok(commands.bytes)
            }
        }
    }
}

/// Writes requests as clients do.
pub(super) struct Commands<W> {
    target: W,
    bytes: u64,
    command: Vec<u8>,
}

impl<W: Write> Commands<W> {
    fn put(&mut self, words: &[&[u8]]) -> io::Result<()> {
        self.command.clear();
        self.head(b'*', words.len());
        for word in words {
            self.head(b'$', word.len());
            self.command.extend_from_slice(word);
            self.command.extend_from_slice(b"\r\n");
        }
        self.bytes += self.command.len() as u64;
        self.target.write_all(&self.command)?;
        self.command.shrink_to(1 << 20);
        Ok(())
    }

    fn head(&mut self, kind: u8, number: usize) {
        self.command.push(kind);
        self.command.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.command.extend_from_slice(b"\r\n");
    }
}
