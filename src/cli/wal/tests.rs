//! What the reports look like.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use clap::Parser;
use seawall_actors::journal::{Identity, Item, Note, Record};
use seawall_actors::wal::inspect::{
    Entry, Finding, Inspection, ManifestSummary, SegmentSummary, SnapshotFlaw, SnapshotSummary,
    WholeSnapshot,
};
use serde_json::Value;

use super::*;
use crate::cli::{Cli, Command};

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Record<'a> {
    Record::Set { db: 3, key, value, expires_at: Some(1_000) }
}

fn entry(record: Record<'_>) -> Entry<'_> {
    Entry { lsn: 7, wall_ms: 1_500, item: Item::Record(record), intact: true }
}

#[test]
fn a_record_is_one_line_whatever_its_bytes_are() {
    let entry = entry(set(b"a \"b\"\\\n", b"\xff\r\n"));
    assert_eq!(
        dump::as_text(&entry, true),
        "7 1970-01-01T00:00:01.500Z SET db=3 \"a \\\"b\\\"\\\\\\n\" \
         expires=1970-01-01T00:00:01.000Z length=3 \"\\xff\\r\\n\"\n"
    );
    assert!(dump::as_text(&entry, false).ends_with("length=3\n"));
}

#[test]
fn an_expiry_behind_all_calendars_is_printed() {
    let record = Record::Expire { db: 0, key: b"k", expires_at: Some(u64::MAX) };
    assert!(dump::as_text(&entry(record), false).contains(&format!("expires={}ms", u64::MAX)));
}

#[test]
fn a_note_says_who_writes_from_here_on() {
    let identity = Identity { address: "[::1]:5".into(), user: "u".into(), name: "a b".into() };
    let note = |number, identity| {
        let item = Item::Note(Note { number, identity });
        let entry = Entry { lsn: 7, wall_ms: 1_500, item, intact: true };
        (dump::as_text(&entry, false), dump::as_json(&entry, false))
    };
    let (text, object) = note(3, Some(identity));
    assert!(text.ends_with(" AUTHOR #3 [::1]:5 user=\"u\" name=\"a b\"\n"), "{text}");
    let object: Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!((&object["op"], &object["author"]), (&Value::from("AUTHOR"), &Value::from(3)));
    assert_eq!((&object["user"], &object["name"]), (&Value::from("u"), &Value::from("a b")));
    assert!(note(3, None).0.ends_with(" AUTHOR #3\n"));
    assert!(note(0, None).0.ends_with(" AUTHOR nobody\n"));
}

#[test]
fn json_keeps_text_as_text_and_the_rest_in_hexadecimal() {
    let line = dump::as_json(&entry(set("schlüssel".as_bytes(), b"\xff\x00")), true);
    let object: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(object["key"], "schlüssel");
    assert_eq!(object["value_hex"], "ff00");
    assert_eq!((&object["lsn"], &object["length"]), (&Value::from(7), &Value::from(2)));
    assert!(!line.trim_end().contains('\n'));
}

fn dump_args(words: &[&OsStr]) -> dump::DumpArgs {
    let all = ["seawall", "wal", "dump"].map(OsStr::new).into_iter().chain(words.iter().copied());
    let cli = Cli::try_parse_from(all).expect("a right command line");
    match cli.command {
        Some(Command::Wal(WalArgs { command: WalCommand::Dump(args), .. })) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn filters_keep_what_concerns_the_key_and_the_database() {
    let flush = Record::Flush { db: None };
    let swap = Record::SwapDb { a: 1, b: 3 };
    let of_key = dump_args(&[OsStr::new("--key"), OsStr::from_bytes(b"\xffk")]);
    assert!(of_key.wants(&set(b"\xffk", b"")));
    assert!(!of_key.wants(&set(b"k", b"")));
    assert!(of_key.wants(&flush) && of_key.wants(&swap));
    let of_db = dump_args(&[OsStr::new("--db"), OsStr::new("3")]);
    assert!(of_db.wants(&set(b"k", b"")) && of_db.wants(&flush) && of_db.wants(&swap));
    assert!(!of_db.wants(&Record::Delete { db: 1, key: b"k" }));
    assert!(!of_db.wants(&Record::Flush { db: Some(1) }));
}

fn damaged() -> Inspection {
    Inspection {
        manifest: Some(ManifestSummary {
            generation: 3,
            first_sequence: 1,
            first_lsn: 1,
            durable_lsn: 9,
            snapshots: 0,
            damaged: vec![PathBuf::from("MANIFEST.b")],
        }),
        segments: vec![SegmentSummary {
            path: PathBuf::from("s.wal"),
            sequence: 1,
            first_lsn: 1,
            bytes: 900,
            frames: 4,
            records: 8,
        }],
        snapshots: vec![
            SnapshotSummary {
                path: PathBuf::from("2.snap"),
                begin: 7,
                usable: true,
                found: Err(SnapshotFlaw { verdict: Verdict::Corrupt, what: "it is torn".into() }),
            },
            SnapshotSummary {
                path: PathBuf::from("1.snap"),
                begin: 2,
                usable: true,
                found: Ok(WholeSnapshot { end: 3, entries: 2, bytes: 300 }),
            },
        ],
        baseless: false,
        findings: vec![Finding {
            verdict: Verdict::Corrupt,
            path: PathBuf::from("s.wal"),
            offset: 120,
            bytes: 80,
            first_lsn: 5,
            last_lsn: Some(6),
            what: "it is wrong".to_owned(),
        }],
        more_findings: 2,
        intact_lsn: 4,
        last_lsn: 10,
        readable_behind: 4,
    }
}

#[test]
fn a_report_says_where_what_and_what_would_be_lost() {
    let text = verify::as_text(&damaged(), Some(Holder(Some(42))));
    for part in [
        "manifest: generation 3, the log begins with segment 1",
        "MANIFEST.b is damaged; the other copy serves",
        "segments 1, bytes 900, frames 4, records 8, last LSN 10",
        "corrupt: snapshot 2.snap: it is torn",
        "snapshot: 1.snap is whole, LSN 2 to 3, entries 2, bytes 300\n",
        "corrupt: s.wal at offset 120, 80 bytes: it is wrong; LSN 5 to 6",
        "2 places more",
        "process 42 uses this directory",
        "up to LSN 4 is intact; at least 6 records",
        "4 of them can still be read",
        "--from-lsn 5",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let object: Value = serde_json::from_str(&verify::as_json(&damaged(), None)).expect("JSON");
    assert_eq!((&object["verdict"], &object["in_use"]), (&"corrupt".into(), &false.into()));
    assert_eq!(object["findings"][0]["last_lsn"], 6);
    assert_eq!(object["records_behind"], 6);
    assert_eq!(object["manifest"]["damaged"][0], "MANIFEST.b");
    assert_eq!(
        (&object["snapshots"][0]["what"], &object["begins_with"]),
        (&"it is torn".into(), &2.into())
    );
}

#[test]
fn a_snapshot_that_is_not_whole_costs_nothing_while_there_is_another_base() {
    let mut report = Inspection { findings: Vec::new(), more_findings: 0, ..damaged() };
    assert_eq!(exit_for(report.verdict(), None), Exit::Corrupt);
    let text = verify::as_text(&report, None);
    for part in ["cannot be used: 1 of 2", "Nothing is lost", "from the snapshot of LSN 2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    report.snapshots.pop();
    assert!(verify::as_text(&report, None).contains("reads the whole log"));
    report.snapshots.clear();
    assert!(verify::as_text(&report, None).ends_with("clean: every frame fits\n"));
    report.findings = damaged().findings;
    report.baseless = true;
    assert!(verify::as_text(&report, None).contains("unless a snapshot is put back"));
}

#[test]
fn beside_a_daemon_a_torn_end_is_no_failure() {
    let daemon = Some(Holder(None));
    assert_eq!(exit_for(Verdict::Torn, None), Exit::Torn);
    assert_eq!(exit_for(Verdict::Torn, daemon), Exit::Ok);
    assert_eq!(exit_for(Verdict::Corrupt, daemon), Exit::Corrupt);
}
