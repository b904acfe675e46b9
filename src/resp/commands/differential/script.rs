//! What a random script is made of: few keys, few values, every option, and mistakes.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::words::{FLOATS, KEYS, NUMBERS, PATTERNS, VALUES};
use crate::resp::table;

/// How the two replies of a step are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    Exact,
    /// SELECT, which is not a data command.
    Select(u8),
    /// Arrays in any order.
    Sorted,
    /// A time or a duration in units of so many milliseconds.
    Time {
        unit_ms: u64,
    },
    /// RANDOMKEY.
    Random,
}

#[derive(Debug)]
pub struct Step {
    pub words: Vec<Vec<u8>>,
    pub compare: Compare,
}

/// Writes scripts. Every TTL it gives is another one, by a thousand seconds at least: GT and LT
/// compare times that the two servers computed some milliseconds apart.
#[derive(Debug, Default)]
pub struct Script {
    given_ttls: u64,
    after: Vec<Step>,
}

impl Script {
    /// The next command.
    pub fn next(&mut self, rng: &mut SmallRng) -> Step {
        if let Some(step) = self.after.pop() {
            return step;
        }
        let line = self.line(rng);
        let compare = match line[0].as_str() {
            "KEYS" => Compare::Sorted,
            "TTL" | "EXPIRETIME" => Compare::Time { unit_ms: 1000 },
            "PTTL" | "PEXPIRETIME" => Compare::Time { unit_ms: 1 },
            "RANDOMKEY" => Compare::Random,
            _ => Compare::Exact,
        };
        let mut words: Vec<Vec<u8>> = line.into_iter().map(String::into_bytes).collect();
        // Names and options are read without regard to case.
        if rng.random_ratio(1, 4) {
            words[0].make_ascii_lowercase();
        }
        if rng.random_ratio(1, 60) {
            words.push(pick(rng, &VALUES).into_bytes());
        }
        if words.len() > 1 && rng.random_ratio(1, 60) {
            words.pop();
        }
        // An empty key, which is refused here, can stand where a word was added or lost.
        if let Some(command) = table::find(&words[0]) {
            for i in command.keys.indexes(words.len()) {
                if words[i].is_empty() {
                    words[i].push(b'a');
                }
            }
        }
        let compare = match &words[0].to_ascii_uppercase()[..] {
            b"SELECT" => match words.get(1).and_then(|db| String::from_utf8_lossy(db).parse().ok())
            {
                Some(db) if words.len() == 2 => Compare::Select(db),
                // Not ours to answer: a shortened SELECT becomes a harmless command.
                _ => return step(&["DEL", "a"], Compare::Exact),
            },
            _ => compare,
        };
        if words[0].eq_ignore_ascii_case(b"DBSIZE") {
            return self.collect_then(Step { words, compare });
        }
        Step { words, compare }
    }

    /// DBSIZE counts keys that have expired and were not met since: first each key is met.
    fn collect_then(&mut self, last: Step) -> Step {
        self.after = vec![last];
        let words: Vec<&str> = std::iter::once("EXISTS").chain(KEYS).collect();
        step(&words, Compare::Exact)
    }

    /// Options of a scan, valid or not.
    pub fn scan_options(&self, rng: &mut SmallRng) -> Vec<&'static [u8]> {
        let mut options: Vec<&str> = Vec::new();
        for _ in 0..rng.random_range(0..3) {
            match rng.random_range(0..8) {
                0 | 1 => {
                    options.extend(["COUNT", one(rng, &["1", "2", "10", "1000", "0", "-1", "x"])])
                }
                2..=4 => options.extend(["MATCH", one(rng, &PATTERNS)]),
                5 | 6 => {
                    options.extend(["TYPE", one(rng, &["string", "STRING", "hash", "nothing"])])
                }
                _ => options.push(one(rng, &["MATCH", "COUNT", "NOVALUES", "TYPE"])),
            }
        }
        options.into_iter().map(str::as_bytes).collect()
    }

    fn line(&mut self, rng: &mut SmallRng) -> Vec<String> {
        let key = pick(rng, &KEYS);
        let value = pick(rng, &VALUES);
        let (name, rest): (&str, Vec<String>) = match rng.random_range(0..62) {
            0..=3 => ("GET", vec![key]),
            4..=12 => ("SET", self.set(rng, key, value)),
            13 => {
                let time = self.seconds(rng);
                ("SETEX", vec![key, time, value])
            }
            14 => {
                let time = self.milliseconds(rng);
                ("PSETEX", vec![key, time, value])
            }
            15 => ("SETNX", vec![key, value]),
            16 => ("GETSET", vec![key, value]),
            17 => ("GETDEL", vec![key]),
            18 | 19 => ("GETEX", self.getex(rng, key)),
            20 => ("MGET", many(rng, |rng| vec![pick(rng, &KEYS)])),
            21 => ("MSET", many(rng, |rng| vec![pick(rng, &KEYS), pick(rng, &VALUES)])),
            22 => ("MSETNX", many(rng, |rng| vec![pick(rng, &KEYS), pick(rng, &VALUES)])),
            23 => ("APPEND", vec![key, value]),
            24 => ("STRLEN", vec![key]),
            25 | 26 => ("GETRANGE", vec![key, pick(rng, &NUMBERS), pick(rng, &NUMBERS)]),
            27 => ("SUBSTR", vec![key, pick(rng, &NUMBERS), pick(rng, &NUMBERS)]),
            28 | 29 => ("SETRANGE", {
                let offset = one(
                    rng,
                    &[
                        "0",
                        "1",
                        "5",
                        "40",
                        "-1",
                        "536870911",
                        "536870912",
                        "x",
                        "9223372036854775807",
                    ],
                );
                // A value near the limit would cost half a gigabyte: these offsets only fail.
                let long = offset == "536870911";
                vec![key, offset.into(), if long { "xx".into() } else { value }]
            }),
            30 => ("INCR", vec![key]),
            31 => ("DECR", vec![key]),
            32 => ("INCRBY", vec![key, pick(rng, &NUMBERS)]),
            33 => ("DECRBY", vec![key, pick(rng, &NUMBERS)]),
            34 | 35 => ("INCRBYFLOAT", vec![key, pick(rng, &FLOATS)]),
            36 => ("DEL", many(rng, |rng| vec![pick(rng, &KEYS)])),
            37 => ("UNLINK", many(rng, |rng| vec![pick(rng, &KEYS)])),
            38 => ("EXISTS", many(rng, |rng| vec![pick(rng, &KEYS)])),
            39 => ("TOUCH", many(rng, |rng| vec![pick(rng, &KEYS)])),
            40 => ("TYPE", vec![key]),
            41 => ("KEYS", vec![pick(rng, &PATTERNS)]),
            42 => ("RANDOMKEY", vec![]),
            43 => ("RENAME", vec![key, pick(rng, &KEYS)]),
            44 => ("RENAMENX", vec![key, pick(rng, &KEYS)]),
            45 | 46 => ("COPY", copy(rng, key)),
            47 => ("MOVE", vec![key, database(rng)]),
            48 => ("SWAPDB", vec![database(rng), database(rng)]),
            49 => ("DBSIZE", vec![]),
            50 if rng.random_ratio(1, 6) => {
                (one(rng, &["FLUSHDB", "FLUSHALL"]), optional(rng, &["ASYNC", "SYNC", "x"]))
            }
            50..=53 => self.expire(rng, key),
            54 => (one(rng, &["TTL", "PTTL"]), vec![key]),
            55 => (one(rng, &["EXPIRETIME", "PEXPIRETIME"]), vec![key]),
            56 => ("PERSIST", vec![key]),
            57 => ("SELECT", vec![rng.random_range(0..3).to_string()]),
            58 => ("OBJECT", vec![one(rng, &["FREQ", "FREQ", "nothing", "refcount"]).into()]),
            59 => ("OBJECT", vec!["FREQ".into(), key]),
            60 => (
                "MEMORY",
                vec!["USAGE".into(), "absent".into(), "SAMPLES".into(), pick(rng, &NUMBERS)],
            ),
            _ => (
                "SCAN",
                vec![one(rng, &["x", "1x", " 1", "18446744073709551616", "-", "1.5"]).into()],
            ),
        };
        let mut line = vec![name.to_owned()];
        line.extend(rest);
        line
    }

    fn set(&mut self, rng: &mut SmallRng, key: String, value: String) -> Vec<String> {
        let mut words = vec![key, value];
        for _ in 0..rng.random_range(0..4) {
            match rng.random_range(0..7) {
                0 => words.push("NX".into()),
                1 => words.push("xx".into()),
                2 => words.push("GET".into()),
                3 => words.push("KEEPTTL".into()),
                4 => words.push(one(rng, &["PERSIST", "EX", "PX", "nothing", ""]).into()),
                _ => words.extend(self.time_option(rng)),
            }
        }
        words
    }

    fn getex(&mut self, rng: &mut SmallRng, key: String) -> Vec<String> {
        let mut words = vec![key];
        for _ in 0..rng.random_range(0..3) {
            match rng.random_range(0..5) {
                0 | 1 => words.push("PERSIST".into()),
                2 => words.push(one(rng, &["KEEPTTL", "EX", "NX", "GET"]).into()),
                _ => words.extend(self.time_option(rng)),
            }
        }
        words
    }

    fn time_option(&mut self, rng: &mut SmallRng) -> [String; 2] {
        match rng.random_range(0..4) {
            0 => ["EX".into(), self.seconds(rng)],
            1 => ["px".into(), self.milliseconds(rng)],
            2 => ["EXAT".into(), self.unix(rng, 1)],
            _ => ["PXAT".into(), self.unix(rng, 1000)],
        }
    }

    fn expire(&mut self, rng: &mut SmallRng, key: String) -> (&'static str, Vec<String>) {
        let (name, time) = match rng.random_range(0..4) {
            0 => ("EXPIRE", self.seconds(rng)),
            1 => ("PEXPIRE", self.milliseconds(rng)),
            2 => ("EXPIREAT", self.unix(rng, 1)),
            _ => ("PEXPIREAT", self.unix(rng, 1000)),
        };
        let mut words = vec![key, time];
        for _ in 0..rng.random_range(0..3) {
            words.push(one(rng, &["NX", "XX", "GT", "LT", "gt", "KEEP"]).into());
        }
        (name, words)
    }

    /// Another number of seconds at every call, multiples of a thousand.
    fn fresh(&mut self) -> u64 {
        self.given_ttls += 1;
        self.given_ttls * 7919 % 1_000_003 * 1000
    }

    fn seconds(&mut self, rng: &mut SmallRng) -> String {
        if rng.random_ratio(1, 5) { odd_time(rng) } else { self.fresh().to_string() }
    }

    fn milliseconds(&mut self, rng: &mut SmallRng) -> String {
        if rng.random_ratio(1, 5) { odd_time(rng) } else { (self.fresh() * 1000).to_string() }
    }

    fn unix(&mut self, rng: &mut SmallRng, per_second: u64) -> String {
        if rng.random_ratio(1, 5) {
            odd_time(rng)
        } else {
            ((10_000_000_500 + self.fresh()) * per_second).to_string()
        }
    }
}

/// A time that has passed, lies beyond every range, or is none. Relative ones must not be short:
/// they would expire here and there at different steps.
fn odd_time(rng: &mut SmallRng) -> String {
    one(
        rng,
        &[
            "0",
            "-1",
            "-1000",
            "abc",
            "",
            "1.5",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775",
            "9223372036854776",
            "9223372036854775808",
            "-9223372036854776",
            " 100",
        ],
    )
    .into()
}

fn copy(rng: &mut SmallRng, key: String) -> Vec<String> {
    let mut words = vec![key, pick(rng, &KEYS)];
    for _ in 0..rng.random_range(0..3) {
        match rng.random_range(0..5) {
            0 | 1 => words.push("REPLACE".into()),
            2 | 3 => words.extend(["DB".into(), database(rng)]),
            _ => words.push(one(rng, &["db", "nothing"]).into()),
        }
    }
    words
}

fn database(rng: &mut SmallRng) -> String {
    one(rng, &["0", "1", "2", "0", "1", "2", "0", "1", "2", "16", "-1", "x", "2147483648", ""])
        .into()
}

fn many(rng: &mut SmallRng, mut item: impl FnMut(&mut SmallRng) -> Vec<String>) -> Vec<String> {
    (0..rng.random_range(1..4)).flat_map(|_| item(rng)).collect()
}

fn optional(rng: &mut SmallRng, words: &[&'static str]) -> Vec<String> {
    if rng.random() { vec![one(rng, words).into()] } else { vec![] }
}

fn one(rng: &mut SmallRng, words: &[&'static str]) -> &'static str {
    words.choose(rng).copied().unwrap_or_default()
}

fn pick(rng: &mut SmallRng, words: &[&'static str]) -> String {
    one(rng, words).into()
}

fn step(words: &[&str], compare: Compare) -> Step {
    Step { words: words.iter().map(|word| word.as_bytes().to_vec()).collect(), compare }
}
