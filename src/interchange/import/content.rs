//! What is in the files, to be gone through key by key.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use seawall_actors::clock::UnixMs;

use super::files::Files;
use super::{Broken, Progress, Stage, Tally, Unreadable};
use crate::interchange::ReadError;
use crate::interchange::aof::{Commands, Next, Replay};
use crate::interchange::dataset::Entry;
use crate::interchange::rdb::{Item, Reader};

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;
/// Keys or commands between two words on progress.
const TELL_EVERY: u64 = 4096;

/// Where keys come from.
#[derive(Debug)]
pub(super) enum Content {
    /// An RDB file is read each time.
    Rdb { path: PathBuf, bytes: u64 },
    /// What append-only files lead to is held in memory, and what else was in them is counted.
    Memory { replay: Box<Replay>, others: Tally, what: String },
}

/// How going through it ended.
pub(super) enum Went {
    /// At the end of all; what it is, in a few words.
    Through(String),
    /// At the end of an RDB file that is only the beginning: commands follow.
    Preamble,
}

impl Content {
    /// Reads append-only files; an RDB file is left for later.
    pub(super) fn of(
        files: &Files,
        now: UnixMs,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Self, Unreadable> {
        match files {
            Files::Rdb(path, bytes) => Ok(Self::Rdb { path: path.clone(), bytes: *bytes }),
            Files::Aof(parts) => Self::replayed(parts, now, progress),
        }
    }

    fn replayed(
        parts: &[(PathBuf, u64)],
        now: UnixMs,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Self, Unreadable> {
        let total_bytes = parts.iter().map(|(_, bytes)| bytes).sum();
        let mut replay = Box::new(Replay::new(now));
        let mut others = Tally::default();
        let mut what = match parts {
            [_] => "an append-only file".to_owned(),
            parts => format!("an append-only file in {} parts", parts.len()),
        };
        let mut before = 0;
        for (index, (path, bytes)) in parts.iter().enumerate() {
            let tell = &mut |offset| {
                let bytes = before + offset;
                progress(Progress { stage: Stage::Checking, bytes, total_bytes });
            };
            let last = index + 1 == parts.len();
            let cut = part(path, last, &mut replay, &mut others, tell)
                .map_err(|error| Unreadable { path: path.clone(), error })?;
            if let Some(offset) = cut {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                what.push_str(&format!(", torn in {file} at offset {offset} of {bytes}"));
            }
            before += bytes;
        }
        Ok(Self::Memory { replay, others, what })
    }

    /// Hands everything to `take`.
    pub(super) fn each(
        &mut self,
        stage: Stage,
        progress: &mut impl FnMut(Progress),
        mut take: impl FnMut(Item<'_>) -> Result<(), Broken>,
    ) -> Result<Went, Broken> {
        match self {
            Self::Memory { replay, what, .. } => {
                replay.each(|Entry { db, key, value, expires_at }| {
                    take(Item::String { db: db.into(), key, value, expires_at })
                })?;
                Ok(Went::Through(what.clone()))
            }
            Self::Rdb { path, bytes } => {
                let of_path = |error| Unreadable { path: path.clone(), error };
                let mut reader = open(path).and_then(Reader::new).map_err(of_path)?;
                let mut count = 0u64;
                while let Some(item) = reader.read().map_err(of_path)? {
                    take(item)?;
                    count += 1;
                    if count.is_multiple_of(TELL_EVERY) {
                        let (bytes, total_bytes) = (reader.offset(), *bytes);
                        progress(Progress { stage, bytes, total_bytes });
                    }
                }
                let version = reader.version();
                let behind = rest(reader).map_err(of_path)?.1;
                if behind {
                    return Ok(Went::Preamble);
                }
                Ok(Went::Through(format!("an RDB file of version {version}")))
            }
        }
    }
}

/// Reads one file. Where it is torn, if it is, which only the `last` one may be.
fn part(
    path: &Path,
    last: bool,
    replay: &mut Replay,
    others: &mut Tally,
    tell: &mut impl FnMut(u64),
) -> Result<Option<u64>, ReadError> {
    replay.begin_file();
    let mut source = open(path)?;
    let mut offset = 0;
    let first = source.fill_buf().map_err(|source| ReadError::Io { offset, source })?;
    if matches!(first.first(), Some(b'R' | b'V')) {
        let mut reader = Reader::new(source)?;
        let mut count = 0u64;
        loop {
            let offset = reader.offset();
            match reader.read()? {
                Some(Item::String { db, key, value, expires_at }) => replay
                    .load(db, key, value, expires_at)
                    .map_err(|wrong| ReadError::Unknown { offset, what: wrong.to_string() })?,
                Some(Item::Other { kind, db, key, expires_at }) => {
                    others.count_other(kind);
                    if expires_at.is_some() {
                        replay.load_other(db, key);
                    }
                }
                None => break,
            }
            count += 1;
            if count.is_multiple_of(TELL_EVERY) {
                tell(offset);
            }
        }
        offset = reader.offset();
        source = rest(reader)?.0;
    }
    let mut commands = Commands::new(source, offset);
    let mut count = 0u64;
    let cut = loop {
        match commands.read()? {
            Next::Command(offset, args) => {
                replay
                    .apply(&args)
                    .map_err(|wrong| ReadError::Damaged { offset, what: wrong.to_string() })?;
                count += 1;
                if count.is_multiple_of(TELL_EVERY) {
                    tell(offset);
                }
            }
            Next::End => break None,
            Next::Cut(offset) if last => break Some(offset),
            Next::Cut(offset) => {
                let what = "the file ends within this command, and is not the last".to_owned();
                return Err(ReadError::Damaged { offset, what });
            }
        }
    };
    let offset = commands.offset();
    replay
        .end_file(last)
        .map_err(|wrong| ReadError::Damaged { offset, what: wrong.to_string() })?;
    Ok(cut)
}

fn open(path: &Path) -> Result<BufReader<File>, ReadError> {
    let file = File::open(path).map_err(|source| ReadError::Io { offset: 0, source })?;
    Ok(BufReader::with_capacity(BUFFER, file))
}

/// What is behind an RDB file's end, and whether that is anything.
fn rest<R: BufRead>(reader: Reader<R>) -> Result<(R, bool), ReadError> {
    let offset = reader.offset();
    let mut source = reader.into_source();
    let more = !source.fill_buf().map_err(|source| ReadError::Io { offset, source })?.is_empty();
    Ok((source, more))
}
