//! Writes replies in RESP2 or RESP3, as the client chose with HELLO.
//!
//! Protocol: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::io::Write as _;

/// Protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    /// RESP2: what a connection starts with.
    #[default]
    V2,
    /// RESP3, after `HELLO 3`.
    V3,
}

/// Appends encoded replies to a buffer. A value with no form in RESP2 takes its RESP2 stand-in.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
}

impl<'a> Reply<'a> {
    /// Writes to the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        Self { out, proto }
    }

    /// The protocol in use.
    #[must_use]
    pub const fn proto(&self) -> Proto {
        self.proto
    }

    /// Switches the protocol for what follows: HELLO answers in the protocol it chose.
    pub const fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Bytes in the buffer, earlier replies included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the buffer is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Forgets everything behind `len`: for a reply that failed half-way.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. MUST NOT contain CR or LF.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error line, code first (`ERR …`). CR and LF are replaced by spaces, as Redis does.
    pub fn error(&mut self, text: &str) {
        self.out.push(b'-');
        self.out.extend(text.bytes().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.out.push(b':');
        self.digits(value);
    }

    /// A number of things, as an integer.
    pub fn count(&mut self, value: usize) {
        self.out.push(b':');
        self.digits(value);
    }

    /// A bulk string.
    pub fn bulk(&mut self, value: &[u8]) {
        self.out.push(b'$');
        self.digits(value.len());
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    /// Null: `$-1` in RESP2, `_` in RESP3.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::V2 => b"$-1\r\n",
            Proto::V3 => b"_\r\n",
        });
    }

    /// A null where an array was expected (EXEC aborted): `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::V2 => b"*-1\r\n",
            Proto::V3 => b"_\r\n",
        });
    }

    /// Head of an array: `len` replies follow.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len);
    }

    /// Head of a push, `len` replies long. RESP2, which knows none: an array.
    pub fn push(&mut self, len: usize) {
        self.head(if self.proto == Proto::V3 { b'>' } else { b'*' }, len);
    }

    /// Head of a map: `pairs` pairs of replies follow. RESP2: a flat array.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::V2 => self.head(b'*', pairs * 2),
            Proto::V3 => self.head(b'%', pairs),
        }
    }

    /// Head of a set: `len` replies follow. RESP2: an array.
    pub fn set(&mut self, len: usize) {
        self.head(if self.proto == Proto::V3 { b'~' } else { b'*' }, len);
    }

    /// Text for people. RESP3: a verbatim string of format `txt`; RESP2: a bulk string.
    pub fn verbatim(&mut self, text: &str) {
        match self.proto {
            Proto::V2 => self.bulk(text.as_bytes()),
            Proto::V3 => {
                self.out.push(b'=');
                self.digits(text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Appends replies that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    fn head(&mut self, kind: u8, len: usize) {
        self.out.push(kind);
        self.digits(len);
    }

    fn digits(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        // A Vec never fails to take bytes.
        let _ = self.out.write_all(text);
        self.out.extend_from_slice(b"\r\n");
    }
}
