//! `seawall wal dump`: the records of the log, one a line.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Args;
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::{Item, Lsn, Note, Record};
use seawall_actors::wal::inspect::{Entry, Verdict, inspect};
use serde_json::{Map, Value, json};

use super::{Holder, exit_for, unreadable, word};
use crate::cli::complain;
use crate::exit::Exit;

/// What `seawall wal dump` takes.
#[derive(Debug, Default, Args)]
pub(super) struct DumpArgs {
    /// The first LSN to print
    #[arg(long, value_name = "LSN", default_value_t = 1)]
    from_lsn: Lsn,
    /// The last LSN to print [default: the last there is]
    #[arg(long, value_name = "LSN")]
    to_lsn: Option<Lsn>,
    /// Only what concerns this key: its own records, and flushes and swaps of databases
    #[arg(long, value_name = "KEY")]
    key: Option<OsString>,
    /// Only what concerns this database
    #[arg(long, value_name = "NUMBER")]
    db: Option<u8>,
    /// Print values, not only their lengths
    #[arg(long)]
    values: bool,
    /// Go on behind damage with what can still be read; a start would not serve it
    #[arg(long)]
    damaged: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl DumpArgs {
    /// Whether it is asked for. Who wrote is left out where only some records are: a note holds
    /// for those that are not shown, too.
    fn asks_for(&self, item: &Item<'_>) -> bool {
        match item {
            Item::Record(record) => self.wants(record),
            Item::Note(_) => self.key.is_none() && self.db.is_none(),
        }
    }

    /// Whether a record is asked for.
    pub(super) fn wants(&self, record: &Record<'_>) -> bool {
        let (key, dbs) = parts(record);
        let concerns_db = |db: u8| dbs.is_none_or(|(a, b)| a == db || b == db);
        let asked = self.key.as_ref();
        self.db.is_none_or(concerns_db)
            && asked.is_none_or(|asked| key.is_none_or(|key| key == asked.as_bytes()))
    }
}

/// The key, and the databases (the same one twice, but for a swap; `None` is every one).
fn parts<'a>(record: &Record<'a>) -> (Option<&'a [u8]>, Option<(u8, u8)>) {
    match *record {
        Record::Set { db, key, .. }
        | Record::Fill { db, key, .. }
        | Record::Delete { db, key }
        | Record::Expire { db, key, .. }
        | Record::Evict { db, key } => (Some(key), Some((db, db))),
        Record::Flush { db } => (None, db.map(|db| (db, db))),
        Record::SwapDb { a, b } => (None, Some((a, b))),
    }
}

pub(super) fn dump(data: &Path, args: &DumpArgs) -> Exit {
    let holder = Holder::of(data);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let inspected = inspect(data, |entry| {
        let beyond = args.to_lsn.is_some_and(|to| entry.lsn > to);
        // Behind damage, LSNs may come again.
        if (!entry.intact && !args.damaged) || (entry.intact && beyond) {
            return ControlFlow::Break(());
        }
        if entry.lsn < args.from_lsn || beyond || !args.asks_for(&entry.item) {
            return ControlFlow::Continue(());
        }
        let line =
            if args.json { as_json(&entry, args.values) } else { as_text(&entry, args.values) };
        written = out.write_all(line.as_bytes());
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match written.and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Ok,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            return Exit::System;
        }
    }
    let report = match inspected {
        Ok(report) => report,
        Err(error) => return unreadable(&error),
    };
    let exit = exit_for(report.verdict(), holder);
    if let (true, Some(first)) = (exit != Exit::Ok, report.findings.first()) {
        let advice = match first.verdict {
            Verdict::Corrupt if !args.damaged => "; --damaged goes on behind it",
            _ => "",
        };
        complain(&format!(
            "the log is {} from LSN {} on: {} at offset {}: {}{advice}",
            word(first.verdict),
            first.first_lsn,
            first.path.display(),
            first.offset,
            first.what,
        ));
    }
    exit
}

/// `LSN TIME OPERATION [db=N] ["key"] …`; bytes that are not printable ASCII, quotes and
/// backslashes are escaped as in a Rust or C string.
pub(super) fn as_text(entry: &Entry<'_>, values: bool) -> String {
    let mut out = format!("{} {} ", entry.lsn, moment(entry.wall_ms));
    match &entry.item {
        Item::Record(record) => record_as_text(record, values, &mut out),
        Item::Note(note) => note_as_text(note, &mut out),
    }
    if !entry.intact {
        out.push_str(" (behind damage)");
    }
    out.push('\n');
    out
}

fn note_as_text(note: &Note<'_>, out: &mut String) {
    // Writing to a string does not fail.
    let _ = match (note.number, &note.identity) {
        (0, _) => write!(out, "AUTHOR nobody"),
        (number, None) => write!(out, "AUTHOR #{number}"),
        (number, Some(who)) => {
            let (address, user) = (who.address.escape_default(), who.user.escape_default());
            let name = who.name.escape_default();
            write!(out, "AUTHOR #{number} {address} user=\"{user}\" name=\"{name}\"")
        }
    };
}

fn record_as_text(record: &Record<'_>, values: bool, out: &mut String) {
    out.push_str(operation(record));
    // Writing to a string does not fail.
    let _ = match *record {
        Record::Flush { db: None } => write!(out, " db=all"),
        Record::Flush { db: Some(db) } => write!(out, " db={db}"),
        Record::SwapDb { a, b } => write!(out, " db={a} db={b}"),
        Record::Set { db, key, .. }
        | Record::Fill { db, key, .. }
        | Record::Delete { db, key }
        | Record::Expire { db, key, .. }
        | Record::Evict { db, key } => write!(out, " db={db} \"{}\"", key.escape_ascii()),
    };
    if let Record::Set { expires_at, .. }
    | Record::Fill { expires_at, .. }
    | Record::Expire { expires_at, .. } = *record
    {
        let at = expires_at.map_or_else(|| "never".to_owned(), moment);
        let _ = write!(out, " expires={at}");
    }
    if let Record::Set { value, .. } | Record::Fill { value, .. } = *record {
        let _ = write!(out, " length={}", value.len());
        if values {
            let _ = write!(out, " \"{}\"", value.escape_ascii());
        }
    }
}

/// One object. A key or value that is UTF-8 is a string under `key` or `value`; another one is in
/// hexadecimal under `key_hex` or `value_hex`.
pub(super) fn as_json(entry: &Entry<'_>, values: bool) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("lsn", json!(entry.lsn));
    put("time_ms", json!(entry.wall_ms));
    match &entry.item {
        Item::Record(record) => record_as_json(record, values, &mut put),
        Item::Note(Note { number, identity }) => {
            put("op", json!("AUTHOR"));
            put("author", json!(number));
            if let Some(who) = identity {
                put("address", json!(who.address));
                put("user", json!(who.user));
                put("name", json!(who.name));
            }
        }
    }
    put("intact", json!(entry.intact));
    format!("{}\n", Value::Object(object))
}

fn record_as_json(
    record: &Record<'_>,
    values: bool,
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
) {
    put("op", json!(operation(record)));
    match record {
        Record::SwapDb { a, b } => put("dbs", json!([a, b])),
        record => put("db", json!(parts(record).1.map(|(db, _)| db))),
    };
    if let (Some(key), _) = parts(record) {
        let (name, key) = readable("key", key);
        put(&name, key);
    }
    if let Record::Set { expires_at, .. }
    | Record::Fill { expires_at, .. }
    | Record::Expire { expires_at, .. } = record
    {
        put("expires_at_ms", json!(expires_at));
    }
    if let Record::Set { value, .. } | Record::Fill { value, .. } = record {
        put("length", json!(value.len()));
        if values {
            let (name, value) = readable("value", value);
            put(&name, value);
        }
    }
}

fn readable(name: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), json!(text)),
        Err(_) => {
            let mut hex = String::with_capacity(2 * bytes.len());
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            (format!("{name}_hex"), json!(hex))
        }
    }
}

const fn operation(record: &Record<'_>) -> &'static str {
    match record {
        Record::Set { .. } => "SET",
        Record::Fill { .. } => "FILL",
        Record::Delete { .. } => "DELETE",
        Record::Expire { .. } => "EXPIRE",
        Record::Flush { .. } => "FLUSH",
        Record::Evict { .. } => "EVICT",
        Record::SwapDb { .. } => "SWAPDB",
    }
}

/// RFC 3339 in UTC; what is behind the year 9999 as milliseconds.
fn moment(ms: UnixMs) -> String {
    const YEAR_10000: u64 = 253_402_300_800_000;
    if ms >= YEAR_10000 {
        return format!("{ms}ms");
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_millis(at).to_string()
}
