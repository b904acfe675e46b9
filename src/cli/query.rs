//! A few questions to a running daemon, in RESP, over a blocking socket with a deadline.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;
/// The longest line of RESP itself.
const MAX_LINE: usize = 64 << 10;
/// How deep arrays may nest.
const MAX_DEPTH: usize = 4;

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Host and port.
    Tcp((String, u16)),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp((host, port)) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp((host, port)) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    /// Nobody listens.
    #[error("{0}")]
    Connect(io::Error),
    /// The connection broke, or the deadline passed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
    /// What came back is not RESP, or too long.
    #[error("the answer is not what a Seawall says ({0})")]
    Protocol(&'static str),
}

/// Asks the questions one after the other; the text of the last answer.
pub(super) fn query(
    endpoint: &Endpoint,
    questions: &[Vec<&str>],
    patience: Duration,
) -> Result<String, QueryError> {
    match endpoint {
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(QueryError::Connect)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            converse(stream, questions)
        }
        Endpoint::Tcp((host, port)) => {
            let stream = connect(host, *port, patience).map_err(QueryError::Connect)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            converse(stream, questions)
        }
    }
}

fn connect(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn converse(mut stream: impl Read + Write, questions: &[Vec<&str>]) -> Result<String, QueryError> {
    let mut request = Vec::new();
    for question in questions {
        write!(request, "*{}\r\n", question.len())?;
        for word in question {
            write!(request, "${}\r\n{word}\r\n", word.len())?;
        }
    }
    stream.write_all(&request)?;
    let mut answers = BufReader::new(stream.take(MAX_ANSWER));
    let mut last = String::new();
    for _ in questions {
        last = answer(&mut answers, 0)?;
    }
    Ok(last)
}

/// One answer as text; the items of an array are lines.
fn answer(from: &mut impl BufRead, depth: usize) -> Result<String, QueryError> {
    let line = line(from)?;
    let (kind, rest) = match line.split_at_checked(1) {
        Some(split) => split,
        None => return Err(QueryError::Protocol("an empty line")),
    };
    match kind {
        "+" | ":" | "," | "#" => Ok(rest.to_owned()),
        "-" => Err(QueryError::Refused(rest.to_owned())),
        "$" if rest == "-1" => Ok(String::new()),
        "$" => bulk(from, length(rest)?),
        // Verbatim: three letters and a colon say what kind of text it is.
        "=" => {
            let text = bulk(from, length(rest)?)?;
            Ok(text.get(4..).unwrap_or_default().to_owned())
        }
        "*" if depth < MAX_DEPTH => {
            let mut lines = Vec::new();
            for _ in 0..length(rest)? {
                lines.push(answer(from, depth + 1)?);
            }
            Ok(lines.join("\n"))
        }
        _ => Err(QueryError::Protocol("an unknown kind of answer")),
    }
}

fn length(text: &str) -> Result<u64, QueryError> {
    let length = text.parse().ok().filter(|n| *n <= MAX_ANSWER);
    length.ok_or(QueryError::Protocol("a wrong length"))
}

fn line(from: &mut impl BufRead) -> Result<String, QueryError> {
    let mut line = Vec::new();
    from.take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(QueryError::Protocol("a line without an end")),
    }
}

fn bulk(from: &mut impl BufRead, length: u64) -> Result<String, QueryError> {
    let mut bytes = Vec::new();
    // Grows with what arrives, not with what is announced.
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length || !line(from)?.is_empty() {
        return Err(QueryError::Protocol("a text that ends too early"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        answer(&mut &bytes[..], 0).map_err(|e| e.to_string())
    }

    #[test]
    fn answers_of_every_kind_are_text() {
        assert_eq!(read(b"+OK\r\n").as_deref(), Ok("OK"));
        assert_eq!(read(b"$5\r\na\nb\nc\r\n").as_deref(), Ok("a\nb\nc"));
        assert_eq!(read(b"=7\r\ntxt:abc\r\n").as_deref(), Ok("abc"));
        assert_eq!(read(b"*2\r\n$1\r\na\r\n+b\r\n").as_deref(), Ok("a\nb"));
        assert_eq!(read(b"-NOAUTH no\r\n"), Err("NOAUTH no".to_owned()));
    }

    #[test]
    fn broken_answers_are_errors() {
        for bytes in
            [&b""[..], b"\r\n", b"+OK", b"$9\r\nabc", b"$-2\r\n", b"$99999999999\r\n", b"!x\r\n"]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&b"*1\r\n".repeat(100)).is_err());
    }

    #[test]
    fn a_refused_password_ends_the_conversation() {
        struct Peer(io::Cursor<&'static [u8]>, Vec<u8>);
        impl Read for Peer {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }
        }
        impl Write for Peer {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.1.write(buf)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let questions = [vec!["AUTH", "x"], vec!["SW.TREE"]];
        let peer = |text: &'static [u8]| Peer(io::Cursor::new(text), Vec::new());
        let refused = converse(peer(b"-WRONGPASS no\r\n-NOAUTH no\r\n"), &questions);
        assert!(matches!(refused, Err(QueryError::Refused(why)) if why == "WRONGPASS no"));
        let told = converse(peer(b"+OK\r\n$4\r\nroot\r\n"), &questions);
        assert_eq!(told.ok().as_deref(), Some("root"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
