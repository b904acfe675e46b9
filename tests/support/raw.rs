//! A client that sends exactly the bytes it is told to.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::PATIENCE;
use super::reply::{self, Reply};

trait Stream: Read + Write + Send {
    fn another(&self) -> io::Result<Box<dyn Stream>>;
    fn finish_sending(&self) -> io::Result<()>;
    fn patience(&self, patience: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn another(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn finish_sending(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Stream for UnixStream {
    fn another(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn finish_sending(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

/// A connection. Whatever it waits for must come within [`PATIENCE`].
pub struct Raw {
    reader: BufReader<Box<dyn Stream>>,
    writer: Box<dyn Stream>,
}

/// A request as clients send it: an array of bulk strings.
pub fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A reply as servers send it in RESP2.
pub fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Simple(text) => format!("+{text}\r\n").into_bytes(),
        Reply::Error(text) => format!("-{text}\r\n").into_bytes(),
        Reply::Int(value) => format!(":{value}\r\n").into_bytes(),
        Reply::Nil => b"$-1\r\n".to_vec(),
        Reply::Bulk(bytes) => [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
        Reply::Array(items) => {
            let items = items.iter().map(encode_reply);
            std::iter::once(format!("*{}\r\n", items.len()).into_bytes())
                .chain(items)
                .flatten()
                .collect()
        }
        Reply::Map(_) | Reply::Line(..) => panic!("not in RESP2: {reply:?}"),
    }
}

impl Raw {
    /// A connection, and its other end.
    pub fn pair() -> (Self, UnixStream) {
        let (one, other) = UnixStream::pair().expect("a pair of sockets");
        one.set_read_timeout(Some(PATIENCE)).expect("a socket");
        (Self::over(Box::new(one)).expect("a socket"), other)
    }

    pub fn tcp(address: SocketAddr) -> Self {
        Self::try_tcp(address).expect("the daemon accepts")
    }

    pub fn try_tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Self::over(Box::new(stream))
    }

    pub fn unix(path: &Path) -> Self {
        Self::try_unix(path).expect("the daemon accepts")
    }

    pub fn try_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Self::over(Box::new(stream))
    }

    fn over(stream: Box<dyn Stream>) -> io::Result<Self> {
        Ok(Self { reader: BufReader::new(stream.another()?), writer: stream })
    }

    /// From now on a reply has to come within this time.
    pub fn patience(&self, patience: Duration) {
        self.writer.patience(patience).expect("a socket");
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the daemon takes bytes");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.write_all(bytes.as_ref())
    }

    /// Sends one request without waiting for its reply.
    pub fn send(&mut self, words: &[impl AsRef<[u8]>]) {
        self.send_bytes(encode(words));
    }

    /// The next reply.
    #[track_caller]
    pub fn receive(&mut self) -> Reply {
        self.try_receive().expect("the daemon answers")
    }

    pub fn try_receive(&mut self) -> io::Result<Reply> {
        reply::read(&mut self.reader, &mut Vec::new())
    }

    /// The next reply's bytes.
    #[track_caller]
    pub fn receive_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        reply::read(&mut self.reader, &mut bytes).expect("the server answers");
        bytes
    }

    /// Everything that comes before the answer to a PING that is sent now, frame by frame.
    #[track_caller]
    pub fn receive_all(&mut self, token: &str) -> Vec<Vec<u8>> {
        self.send(&["PING", token]);
        let mut frames = Vec::new();
        loop {
            let frame = self.receive_bytes();
            if frame.ends_with(format!("{token}\r\n").as_bytes()) {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// One command and its reply. Words are separated by spaces.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Reply {
        let words: Vec<&str> = line.split(' ').collect();
        self.call(&words)
    }

    /// One command and its reply.
    #[track_caller]
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Reply {
        self.send(words);
        self.receive()
    }

    /// One command and its reply, unless the connection breaks.
    pub fn try_run(&mut self, line: &str) -> io::Result<Reply> {
        let words: Vec<&str> = line.split(' ').collect();
        self.try_send(encode(&words))?;
        self.try_receive()
    }

    /// Tells the daemon that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        self.writer.finish_sending().expect("the stream is open");
    }

    /// Whether the daemon has closed the connection; waits for a reply or for that.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.reader.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Everything the daemon sends until it closes.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset after the last byte is a close, too.
        let _ = self.reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
