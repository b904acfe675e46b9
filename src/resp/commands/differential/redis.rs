//! A redis-server of our own on a Unix socket, and just enough of its protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server; it is killed on drop.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    stream: BufReader<UnixStream>,
    _dir: TempDir,
}

const START_TIME: Duration = Duration::from_secs(20);

impl Redis {
    /// Starts a server; `None` if there is none on this machine and none is demanded.
    pub fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("s");
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let required = std::env::var("SEAWALL_REQUIRE_SERVERS").is_ok_and(|v| v == "1");
                assert!(!required, "redis-server: {error}");
                println!("skipped: redis-server: {error}");
                return None;
            }
        };
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => {
                    let exited = child.try_wait().ok().flatten();
                    if exited.is_some() || start.elapsed() > START_TIME {
                        let _ = child.kill();
                        let _ = child.wait();
                        panic!("redis-server does not answer: {error}, {exited:?}");
                    }
                    std::thread::yield_now();
                }
            }
        };
        let timeout = stream.set_read_timeout(Some(START_TIME));
        let redis = Self { child, stream: BufReader::new(stream), _dir: dir };
        timeout.expect("a read timeout");
        Some(redis)
    }

    pub fn send(&mut self, words: &[Vec<u8>]) {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes).expect("redis-server takes commands");
    }

    /// One reply, as it came.
    pub fn receive(&mut self) -> Vec<u8> {
        let (mut bytes, mut expected) = (Vec::new(), 1);
        while expected > 0 {
            expected -= 1;
            let start = bytes.len();
            self.stream.read_until(b'\n', &mut bytes).expect("redis-server answers");
            let line = &bytes[start..];
            match (line.first(), number(line)) {
                (Some(b'*'), Some(items)) => expected += items.max(0),
                (Some(b'$'), Some(len @ 0..)) => {
                    let end = bytes.len();
                    bytes.resize(end + len as usize + 2, 0);
                    self.stream.read_exact(&mut bytes[end..]).expect("a whole bulk string");
                }
                (Some(_), _) => {}
                (None, _) => panic!("redis-server closed the connection"),
            }
        }
        bytes
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number in a line such as `:5\r\n`.
fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line.get(1..)?).ok()?.trim_end().parse().ok()
}

pub fn integer(reply: &[u8]) -> Option<i64> {
    (reply.first() == Some(&b':')).then(|| number(reply)).flatten()
}

/// The bulk string that a reply starts with.
pub fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let end = reply.iter().position(|&b| b == b'\n')? + 1;
    let len = usize::try_from(number(reply.get(..end)?)?).ok()?;
    (reply.first() == Some(&b'$')).then(|| reply.get(end..end + len)).flatten()
}

/// The bulk strings of an array, sorted; the reply itself if it is no array.
pub fn sorted_items(reply: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
    let reply = reply.as_ref();
    let Some(mut rest) = behind_line(reply).filter(|_| reply.first() == Some(&b'*')) else {
        return vec![reply.to_vec()];
    };
    let mut items = Vec::new();
    while let Some(item) = bulk(rest) {
        items.push(item.to_vec());
        rest = behind_line(rest).and_then(|rest| rest.get(item.len() + 2..)).unwrap_or_default();
    }
    items.sort();
    items
}

fn behind_line(reply: &[u8]) -> Option<&[u8]> {
    reply.get(reply.iter().position(|&b| b == b'\n')? + 1..)
}

/// The next cursor and the keys of one SCAN reply.
pub fn scan_page(reply: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let rest = reply.strip_prefix(b"*2\r\n")?;
    let cursor = bulk(rest)?;
    let items = behind_line(rest)?.get(cursor.len() + 2..)?;
    Some((cursor.to_vec(), sorted_items(items)))
}
