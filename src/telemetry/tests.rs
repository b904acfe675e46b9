use std::sync::{Arc, Condvar};

use super::*;

/// A stderr whose reader may stop reading.
#[derive(Clone, Default)]
struct Pipe {
    inner: Arc<(Mutex<Content>, Condvar)>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    full: bool,
}

impl Pipe {
    fn full(&self, full: bool) {
        self.inner.0.lock().unwrap().full = full;
        self.inner.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.inner.0.lock().unwrap().bytes.clone()).unwrap()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let (state, wake) = &*self.inner;
        let mut state = wake.wait_while(state.lock().unwrap(), |s| s.full).unwrap();
        state.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logging(format: Format, level: &str) -> (Pipe, Telemetry, impl Subscriber + Send + Sync) {
    let pipe = Pipe::default();
    let (telemetry, subscriber) = Telemetry::build(format, level, pipe.clone(), false).unwrap();
    (pipe, telemetry, subscriber)
}

#[test]
fn levels_are_checked_in_words() {
    for good in ["info", "INFO", "off", "warn,seawall=debug", " info , seawall_actors::wal=trace "]
    {
        assert_eq!(check_level(good), Ok(()), "{good}");
    }
    for (bad, says) in [
        ("", "names no level"),
        ("info,", "names no level"),
        ("verbose", "`verbose` is not a level; use one of off, error"),
        ("inof,seawall=debug", "`inof` is not a level"),
        ("seawall=loud", "`loud` is not a level"),
        ("a=b=info]", "is not a level"),
        ("[{=info", "is not a list of directives"),
    ] {
        let said = check_level(bad).unwrap_err();
        assert!(said.contains(says), "{bad}: {said}");
    }
    assert!(check_level(&"info,".repeat(500)).is_err());
}

#[test]
fn level_and_format_change_live() {
    let (pipe, telemetry, subscriber) = logging(Format::Text, "warn");
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("one");
        tracing::warn!(lsn = 7, "two");
        telemetry.set_level("info").unwrap();
        tracing::info!("three");
        assert!(telemetry.set_level("nonsense").is_err());
        tracing::info!("four");
        telemetry.set_format(Format::Json).unwrap();
        tracing::info!(lsn = 8, "five");
    });
    telemetry.finish();
    let text = pipe.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].ends_with("two lsn=7"), "{}", lines[0]);
    assert!(lines[1].ends_with("three") && lines[2].ends_with("four"), "{text}");
    let json: serde_json::Value = serde_json::from_str(lines[3]).unwrap();
    assert_eq!((&json["message"], &json["lsn"]), (&"five".into(), &8.into()));
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks: {text}");
}

#[test]
fn a_condition_is_logged_when_it_begins_and_when_it_ends() {
    let (pipe, telemetry, subscriber) = logging(Format::Json, "info");
    tracing::subscriber::with_default(subscriber, || {
        let conditions = seawall_actors::supervise::Conditions::new();
        let link = conditions.declare("links/a", "unreachable");
        for reason in ["connection refused", "connection refused", "timed out"] {
            link.set(reason);
        }
        link.clear();
        link.clear();
        link.set("again");
        drop(link);
        conditions.declare("wal", "writes_refused").quiet().set("said elsewhere");
    });
    telemetry.finish();
    let text = pipe.text();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<String> = lines
        .map(|line| format!("{} {} {}", line["event"], line["condition"], line["reason"]))
        .collect();
    let expected = [
        r#""impaired" "unreachable" "connection refused""#,
        r#""unimpaired" "unreachable" null"#,
        r#""impaired" "unreachable" "again""#,
        r#""unimpaired" "unreachable" null"#,
    ];
    assert_eq!(lines, expected, "{text}");
}

#[test]
fn a_change_to_json_inside_an_open_span_does_not_panic() {
    let (pipe, telemetry, subscriber) = logging(Format::Text, "info");
    tracing::subscriber::with_default(subscriber, || {
        let _open = tracing::info_span!("open", key = 1).entered();
        telemetry.set_format(Format::Json).unwrap();
        tracing::info!("inside");
        telemetry.set_format(Format::Text).unwrap();
        tracing::info!("outside");
    });
    telemetry.finish();
    assert_eq!(pipe.text().lines().count(), 2);
}

#[test]
fn a_full_pipe_drops_lines_and_stalls_nobody() {
    let (pipe, telemetry, subscriber) = logging(Format::Text, "info");
    pipe.full(true);
    tracing::subscriber::with_default(subscriber, || {
        // Returns at all only because no line waits for the pipe.
        for i in 0..QUEUE_LINES + 100 {
            tracing::info!(i, "line");
        }
    });
    let dropped = telemetry.dropped_lines();
    assert!((90..=100).contains(&dropped), "{dropped} dropped");
    pipe.full(false);
    telemetry.finish();
    let written = pipe.text().lines().count() as u64;
    assert_eq!(written + dropped, QUEUE_LINES as u64 + 100);
}

#[test]
fn a_panic_is_one_line() {
    let (pipe, telemetry, subscriber) = logging(Format::Json, "error");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(log_panic));
    let outcome = tracing::subscriber::with_default(subscriber, || {
        std::panic::catch_unwind(|| panic!("part of a test: {}", "line\nbreak"))
    });
    std::panic::set_hook(before);
    assert!(outcome.is_err());
    telemetry.finish();
    let text = pipe.text();
    let line = text.lines().next().unwrap();
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["event"], "panic");
    assert_eq!(json["message"], "part of a test: line\nbreak");
    assert!(json["location"].as_str().unwrap().contains("telemetry/tests.rs"));
    assert!(json["thread"].is_string());
}
