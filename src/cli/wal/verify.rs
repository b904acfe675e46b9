//! `seawall wal verify`: are the log and its snapshots whole, and if not, what would be lost?

use std::path::Path;

use clap::Args;
use seawall_actors::journal::Lsn;
use seawall_actors::wal::OpenError;
use seawall_actors::wal::inspect::{
    Finding, Inspection, SegmentSummary, SnapshotSummary, Verdict, WholeSnapshot, inspect_all,
};
use serde_json::json;

use super::{Holder, exit_for, unreadable, word};
use crate::cli::print;
use crate::exit::Exit;

/// Beside a daemon the end moves while it is read, and old segments are deleted: what looks corrupt
/// or is missing is looked at again.
const TRIES: usize = 3;

/// What `seawall wal verify` takes.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(data: &Path, args: &VerifyArgs) -> Exit {
    let holder = Holder::of(data);
    let report = match look(data, holder) {
        Ok(report) => report,
        Err(error) => return unreadable(&error),
    };
    let text = if args.json { as_json(&report, holder) } else { as_text(&report, holder) };
    match print(&text) {
        Exit::Ok => exit_for(report.verdict(), holder),
        failed => failed,
    }
}

fn look(data: &Path, holder: Option<Holder>) -> Result<Inspection, OpenError> {
    let mut report = inspect_all(data);
    for _ in 1..TRIES {
        let settled = report.as_ref().is_ok_and(|report| report.verdict() < Verdict::Corrupt);
        if holder.is_none() || settled {
            break;
        }
        report = inspect_all(data);
    }
    report
}

/// The report for people.
pub(super) fn as_text(report: &Inspection, holder: Option<Holder>) -> String {
    let sum = |of: fn(&SegmentSummary) -> u64| report.segments.iter().map(of).sum::<u64>();
    let mut out = format!(
        "segments {}, bytes {}, frames {}, records {}, last LSN {}\n",
        report.segments.len(),
        sum(|segment| segment.bytes),
        sum(|segment| segment.frames),
        sum(|segment| segment.records),
        report.last_lsn,
    );
    out.push_str(&manifest(report));
    for snapshot in &report.snapshots {
        out.push_str(&snapshot_line(snapshot));
    }
    for finding in &report.findings {
        out.push_str(&line(finding));
    }
    if report.more_findings > 0 {
        out.push_str(&format!("… and {} places more\n", report.more_findings));
    }
    if let Some(holder) = holder {
        out.push_str(&format!("{holder}: its end may be unfinished while this is read\n"));
    }
    out.push_str(&conclusion(report));
    out
}

fn manifest(report: &Inspection) -> String {
    let Some(manifest) = &report.manifest else {
        return "manifest: none; the next start writes one\n".to_owned();
    };
    let mut out = match manifest.generation {
        0 => "manifest: unreadable\n".to_owned(),
        generation => format!(
            "manifest: generation {generation}, the log begins with segment {} and LSN {}, was on \
             disk up to LSN {}, snapshots {}\n",
            manifest.first_sequence, manifest.first_lsn, manifest.durable_lsn, manifest.snapshots
        ),
    };
    for copy in &manifest.damaged {
        let after = match manifest.generation {
            0 => "",
            _ => "; the other copy serves, and the next start writes this one anew",
        };
        out.push_str(&format!("manifest: {} is damaged{after}\n", copy.display()));
    }
    out
}

fn snapshot_line(snapshot: &SnapshotSummary) -> String {
    let SnapshotSummary { path, begin, usable, found } = snapshot;
    let path = path.display();
    match found {
        Ok(WholeSnapshot { end, entries, bytes }) => {
            let superseded = if *usable { "" } else { "; the log behind it is deleted" };
            format!(
                "snapshot: {path} is whole, LSN {begin} to {end}, entries {entries}, bytes \
                 {bytes}{superseded}\n"
            )
        }
        Err(flaw) => format!("{}: snapshot {path}: {}\n", word(flaw.verdict), flaw.what),
    }
}

fn line(finding: &Finding) -> String {
    format!(
        "{}: {} at offset {}, {} bytes: {}{}\n",
        word(finding.verdict),
        finding.path.display(),
        finding.offset,
        finding.bytes,
        finding.what,
        lsns(finding.first_lsn, finding.last_lsn),
    )
}

fn lsns(first: Lsn, last: Option<Lsn>) -> String {
    match last {
        Some(last) if last == first => format!("; LSN {first}"),
        Some(last) => format!("; LSN {first} to {last}"),
        None => format!("; from LSN {first} on"),
    }
}

fn conclusion(report: &Inspection) -> String {
    let intact = report.intact_lsn;
    if report.log_verdict() <= Verdict::Torn && report.verdict() > Verdict::Torn {
        return without_snapshots(report);
    }
    match report.verdict() {
        Verdict::Clean if report.snapshots.is_empty() => "clean: every frame fits\n".to_owned(),
        Verdict::Clean => "clean: every frame fits, every snapshot is whole\n".to_owned(),
        Verdict::Torn => format!(
            "torn: a crash left an unfinished end. The next start cuts it off, keeps a copy in \
             quarantine/ and serves everything up to LSN {intact}\n"
        ),
        Verdict::OtherVersion => {
            "other version: this program cannot judge the log; use the version that wrote it\n"
                .to_owned()
        }
        Verdict::Corrupt if report.baseless => format!(
            "corrupt: a start refuses. Entries that were written last before the log's first record \
             are lost, unless a snapshot is put back from quarantine/ or from a backup. The log \
             itself is intact up to LSN {intact}: `seawall wal dump` prints it\n"
        ),
        Verdict::Corrupt => {
            let behind = report.records_behind();
            let readable = report.readable_behind;
            format!(
                "corrupt: a start refuses. Everything up to LSN {intact} is intact; at least \
                 {behind} records are behind the first damage. {readable} of them can still be \
                 read: `seawall wal dump --damaged --from-lsn {}` prints them.\n\
                 docs/operations.md, \"When the log is damaged\", says what to do\n",
                intact.saturating_add(1)
            )
        }
    }
}

/// The log is one that a start accepts, with what it has beside the snapshots that are not whole.
fn without_snapshots(report: &Inspection) -> String {
    let flawed = report.snapshots.iter().filter(|one| one.found.is_err()).count();
    let instead = match report.base() {
        Some((base, _)) => format!("goes on from the snapshot of LSN {}", base.begin),
        None => "reads the whole log, which is still there from its first record on".to_owned(),
    };
    let all = report.snapshots.len();
    format!(
        "{}: snapshots that cannot be used: {flawed} of {all}. Nothing is lost: a start puts aside \
         those that are damaged and {instead}. But something has changed these files: look at the \
         disk\n",
        word(report.verdict()),
    )
}

/// The report for programs.
pub(super) fn as_json(report: &Inspection, holder: Option<Holder>) -> String {
    let segments: Vec<_> = report
        .segments
        .iter()
        .map(|segment| {
            json!({
                "file": segment.path.to_string_lossy(),
                "sequence": segment.sequence,
                "first_lsn": segment.first_lsn,
                "bytes": segment.bytes,
                "frames": segment.frames,
                "records": segment.records,
            })
        })
        .collect();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "verdict": word(finding.verdict),
                "file": finding.path.to_string_lossy(),
                "offset": finding.offset,
                "bytes": finding.bytes,
                "first_lsn": finding.first_lsn,
                "last_lsn": finding.last_lsn,
                "what": finding.what,
            })
        })
        .collect();
    let snapshots: Vec<_> = report
        .snapshots
        .iter()
        .map(|snapshot| {
            let (whole, flaw) = (snapshot.found.as_ref().ok(), snapshot.found.as_ref().err());
            json!({
                "file": snapshot.path.to_string_lossy(),
                "verdict": word(flaw.map_or(Verdict::Clean, |flaw| flaw.verdict)),
                "usable": snapshot.usable,
                "begin": snapshot.begin,
                "end": whole.map(|whole| whole.end),
                "entries": whole.map(|whole| whole.entries),
                "bytes": whole.map(|whole| whole.bytes),
                "what": flaw.map(|flaw| &flaw.what),
            })
        })
        .collect();
    let manifest = report.manifest.as_ref().map(|manifest| {
        json!({
            "generation": manifest.generation,
            "first_sequence": manifest.first_sequence,
            "first_lsn": manifest.first_lsn,
            "durable_lsn": manifest.durable_lsn,
            "snapshots": manifest.snapshots,
            "damaged": manifest.damaged.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>(),
        })
    });
    let object = json!({
        "manifest": manifest,
        "verdict": word(report.verdict()),
        "in_use": holder.is_some(),
        "intact_lsn": report.intact_lsn,
        "last_lsn": report.last_lsn,
        "records_behind": report.records_behind(),
        "readable_behind": report.readable_behind,
        "segments": segments,
        "snapshots": snapshots,
        "begins_with": report.base().map(|(base, _)| base.begin),
        "findings": findings,
        "more_findings": report.more_findings,
    });
    format!("{object}\n")
}
