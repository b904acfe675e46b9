use std::time::Duration;

use super::*;
use crate::resp::args::Span;

const WAITER: Waiter<'_> = Waiter { addr: "127.0.0.1:5000", name: "me" };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn push(log: &mut SlowLog, max: usize, words: &[&[u8]], others: usize) {
    let mut start = 0;
    let spans: Vec<Span> = words
        .iter()
        .map(|word| {
            let span = Span { start, len: u32::try_from(word.len()).expect("short") };
            start += span.len;
            span
        })
        .collect();
    let lap = Lap { took: ms(20), index: 0, others };
    log.push(max, lap, &Args::new(&words.concat(), &spans), WAITER, 1_700_000_000_000);
}

fn newest(log: &SlowLog) -> Vec<String> {
    let entry = log.newest(1).pop().expect("an entry");
    entry.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

#[test]
fn the_slow_log_keeps_the_newest_entries_and_no_more() {
    let mut log = SlowLog::default();
    for _ in 0..10 {
        push(&mut log, 3, &[b"get", b"a"], 0);
    }
    let ids = |log: &SlowLog| log.newest(9).iter().map(|e| e.id).collect::<Vec<_>>();
    assert_eq!(ids(&log), [9, 8, 7]);
    push(&mut log, 2, &[b"get", b"a"], 0);
    assert_eq!(ids(&log), [10, 9], "a smaller limit shortens it");
    log.clear();
    push(&mut log, 2, &[b"get", b"a"], 0);
    assert_eq!(ids(&log), [11], "ids go on");
    push(&mut log, 0, &[b"get", b"a"], 0);
    assert!(log.is_empty());
}

#[test]
fn an_entry_is_bounded_whatever_the_command() {
    let mut log = SlowLog::default();
    let long = vec![b'x'; 5000];
    let words: Vec<&[u8]> = (0..1000).map(|_| long.as_slice()).collect();
    push(&mut log, 1, &words, 7);
    let args = newest(&log);
    assert_eq!(args.len(), 33);
    assert_eq!(args[0], format!("{}... (4872 more bytes)", "x".repeat(128)));
    assert_eq!(args[31..], ["... (969 more arguments)", "... (7 more commands of its pipeline)"]);
}

#[test]
fn no_entry_shows_a_password() {
    let mut log = SlowLog::default();
    for words in [
        &[&b"AUTH"[..], b"secret"][..],
        &[b"hello", b"3", b"auth", b"default", b"secret"],
        &[b"config", b"SET", b"requirepass", b"secret"],
        &[b"migrate", b"h", b"1", b"k", b"0", b"9", b"AUTH", b"secret"],
    ] {
        push(&mut log, 1, words, 0);
        assert!(!newest(&log).concat().contains("secret"), "{:?}", newest(&log));
    }
    push(&mut log, 1, &[b"config", b"get", b"port"], 0);
    assert_eq!(newest(&log), ["config", "get", "port"]);
}

#[test]
fn the_slowest_part_of_a_round_is_blamed_on_what_ran_alone() {
    // GET GET KEYS GET: KEYS ends the stage before it.
    let mut laps = Laps::default();
    laps.alone(ms(30), 2);
    assert_eq!(laps.finish(ms(31), 4), Some(Lap { took: ms(30), index: 2, others: 2 }));
    let mut laps = Laps::default();
    laps.alone(ms(1), 0);
    assert_eq!(laps.finish(ms(9), 4), Some(Lap { took: ms(8), index: 1, others: 2 }));
    assert_eq!(Laps::default().finish(ms(5), 1), Some(Lap { took: ms(5), index: 0, others: 0 }));
    assert_eq!(Laps::default().finish(ms(5), 0), None);
}

#[test]
fn latency_keeps_the_worst_of_each_second_and_no_more_than_its_samples() {
    let mut latency = Latency::default();
    assert!(latency.latest().is_empty() && !latency.reset(Event::Command));
    for (took, now) in [(5, 1_000), (9, 1_999), (7, 1_500), (2, 2_000)] {
        latency.note(Event::Command, ms(took), now);
    }
    let history: Vec<_> = latency.history(Event::Command).map(|s| (s.second, s.ms)).collect();
    assert_eq!(history, [(1, 9), (2, 2)]);
    assert_eq!(latency.latest(), [(Event::Command, Sample { second: 2, ms: 2 }, 9)]);
    for second in 0..1000 {
        latency.note(Event::Command, ms(1), 10_000 + second * 1000);
    }
    assert_eq!(latency.history(Event::Command).len(), SAMPLES);
    assert!(latency.reset(Event::Command));
    assert!(latency.latest().is_empty());
}
