//! How long a Seawall serves what was replaced elsewhere, for the case `staleness` of tests/bench/run.
//!
//! ```text
//! staleness <seconds> <Redis> <a Seawall> <another>
//! ```
//!
//! A writer at each of the three writes the numbers 1, 2, 3, … to a key of its own, some two hundred
//! a second, and notes when each was acknowledged. At each Seawall that was not written to, a reader
//! of that key notes when it first gets a number, or a later one. Between the two lies what is
//! printed, a line for each writer and reader: how many, the median, the 99th and 99.9th
//! percentile and the longest, in milliseconds. The time of the read is in it, and that between
//! two reads. Only the standard library is used: `rustc -O` makes a program of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two reads.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Between two writes, at least, and how much more at most, microseconds.
const WRITE_EVERY: (u64, u64) = (3_000, 4_000);
/// How long a reader waits for the last number.
const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    fn connect(address: &str) -> Self {
        let writer = TcpStream::connect(address).expect("a server");
        writer.set_nodelay(true).expect("a socket");
        writer.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { reader: BufReader::new(writer.try_clone().expect("a socket")), writer }
    }

    /// One command; its reply without what frames it, empty for none.
    fn call(&mut self, words: &[&str]) -> String {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.writer.write_all(request.as_bytes()).expect("a server that reads");
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("an answer in time");
        let line = line.trim_end();
        assert!(!line.starts_with('-') && !line.is_empty(), "{line:?}");
        let Some(len) = line.strip_prefix('$') else { return line.to_owned() };
        let Ok(len) = len.parse::<usize>() else { return String::new() };
        let mut value = vec![0; len + 2];
        self.reader.read_exact(&mut value).expect("a whole answer");
        value.truncate(len);
        String::from_utf8(value).expect("a number")
    }
}

/// The moments at which a number was acknowledged: number 1 first.
fn write(address: &str, key: &str, until: Instant, last: &AtomicU64) -> Vec<Instant> {
    let (mut client, mut acknowledged) = (Client::connect(address), Vec::new());
    // Xorshift, so that nobody writes in step with anybody.
    let mut random = key.bytes().fold(0x9e37_79b9_u64, |sum, byte| sum * 31 + u64::from(byte));
    while Instant::now() < until {
        let number = acknowledged.len() + 1;
        client.call(&["SET", key, &number.to_string()]);
        acknowledged.push(Instant::now());
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (least, more) = WRITE_EVERY;
        std::thread::sleep(Duration::from_micros(least + random % more));
    }
    last.store(acknowledged.len() as u64, Ordering::Release);
    acknowledged
}

/// The moments at which a number, or a later one, was first read: number 1 first.
fn read(address: &str, key: &str, last: &AtomicU64) -> Vec<Instant> {
    let (mut client, mut seen) = (Client::connect(address), Vec::<Instant>::new());
    loop {
        let number: usize = client.call(&["GET", key]).parse().unwrap_or(0);
        let now = Instant::now();
        assert!(number >= seen.len(), "{key} went back from {} to {number}", seen.len());
        seen.resize(number, now);
        if last.load(Ordering::Acquire) == seen.len() as u64 {
            return seen;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(0.0, |d| d.as_secs_f64() * 1e3)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, redis, one, other] = arguments.as_slice() else {
        panic!("staleness <seconds> <Redis> <a Seawall> <another>");
    };
    let until = Instant::now() + Duration::from_secs(seconds.parse().expect("seconds"));
    let places = [("Redis", redis), ("one", one), ("other", other)];
    std::thread::scope(|scope| {
        let mut results = Vec::new();
        for (writer, address) in places {
            let last: &AtomicU64 = Box::leak(Box::new(AtomicU64::new(u64::MAX)));
            let key = format!("staleness:{writer}");
            let readers: Vec<_> = places[1..].iter().filter(|(name, _)| *name != writer).collect();
            let reads: Vec<_> = readers
                .into_iter()
                .map(|(name, address)| {
                    let key = key.clone();
                    (*name, scope.spawn(move || read(address, &key, last)))
                })
                .collect();
            let writes = scope.spawn(move || write(address, &key, until, last));
            results.push((writer, writes, reads));
        }
        for (writer, writes, reads) in results {
            let acknowledged = writes.join().expect("a writer");
            for (reader, reads) in reads {
                let seen = reads.join().expect("a reader");
                let pairs = acknowledged.iter().zip(seen);
                let mut took: Vec<Duration> =
                    pairs.map(|(acknowledged, seen)| seen.duration_since(*acknowledged)).collect();
                took.sort_unstable();
                let [half, most, nearly, all] =
                    [0.5, 0.99, 0.999, 1.0].map(|share| percentile(&took, share));
                let count = took.len();
                println!("{writer} {reader} {count} {half:.2} {most:.2} {nearly:.2} {all:.2}");
            }
        }
    });
}
