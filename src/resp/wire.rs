//! The byte stream of one connection: reads into the input, writes what is owed.
//!
//! Writing and reading go on together: a client that sends a long pipeline before it reads a
//! single reply is served, up to the bound on what may be owed to it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// A buffer is given this much room for a first read, and grows with what the client sends.
const READ_MIN: usize = 4 * 1024;
/// No read takes more than this, so that one client's flood is served in turns with the others.
const READ_MAX: usize = 64 * 1024;
/// An empty output buffer keeps at most this much memory.
const KEEP_OUT: usize = 256 * 1024;

/// A stream and the replies that wait to be written to it.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    out: Vec<u8>,
    written: usize,
    read_size: usize,
    /// Bytes read and written since [`Wire::take_traffic`].
    traffic: (u64, u64),
}

/// What happened while waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Bytes were appended to the input.
    Read,
    /// The client will send no more.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A wire over a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, out: Vec::new(), written: 0, read_size: READ_MIN, traffic: (0, 0) }
    }

    /// Where replies are appended.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.out.len() - self.written
    }

    /// Bytes read and written since the last call.
    pub fn take_traffic(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.traffic)
    }

    /// Takes input, and writes what is owed meanwhile.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
    ) -> Poll<io::Result<Turn>> {
        // A client may close its sending half and still wait for replies.
        let write = self.poll_write_out(cx)?;
        match self.poll_read_into(cx, input) {
            Poll::Ready(Ok(0)) if write.is_pending() => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Turn::End)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Turn::Read)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits until the client is gone, and takes what it sends meanwhile, up to about `most` bytes.
    /// Writes what is owed.
    pub async fn ended(&mut self, input: &mut Vec<u8>, most: usize) {
        while input.len() < most {
            match poll_fn(|cx| self.poll_turn(cx, input)).await {
                Ok(Turn::Read) => {}
                Ok(Turn::End) | Err(_) => return,
            }
        }
        // Who sends so much without a reply is not looked after any further.
        std::future::pending().await
    }

    /// Writes as much as goes without waiting.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn push(&mut self) -> io::Result<()> {
        if self.owed() == 0 {
            return Ok(());
        }
        poll_fn(|cx| match self.poll_write_out(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            // Whoever waits next polls again, with its own waker.
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Waits until at most `target` bytes are owed, at most `patience` without any progress.
    ///
    /// # Errors
    /// The connection broke, or the client stopped reading ([`io::ErrorKind::TimedOut`]).
    pub async fn drain_to(&mut self, target: usize, patience: Duration) -> io::Result<()> {
        while self.owed() > target {
            let before = self.owed();
            let progress = poll_fn(|cx| match self.poll_write_out(cx) {
                Poll::Pending if self.owed() < before => Poll::Ready(Ok(())),
                other => other,
            });
            match tokio::time::timeout(patience, progress).await {
                Ok(result) => result?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(())
    }

    /// Writes everything and says that no more will come, waiting at most `patience` for each.
    ///
    /// # Errors
    /// As [`Wire::drain_to`].
    pub async fn finish(&mut self, patience: Duration) -> io::Result<()> {
        self.drain_to(0, patience).await?;
        let shutdown = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx));
        tokio::time::timeout(patience, shutdown).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Appends what can be read right now to the input, without waiting.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read_ready(&mut self, input: &mut Vec<u8>) -> io::Result<bool> {
        poll_fn(|cx| match self.poll_read_into(cx, input) {
            Poll::Ready(read) => Poll::Ready(read.map(|n| n > 0)),
            Poll::Pending => Poll::Ready(Ok(false)),
        })
        .await
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = self.out.get(self.written..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.written += n;
                    self.traffic.1 += n as u64;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.written > 0 {
            self.written = 0;
            self.out.clear();
            if self.out.capacity() > KEEP_OUT {
                self.out = Vec::new();
            }
        }
        // A socket has nothing to flush; TLS may keep what the socket did not take.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let filled = input.len();
        input.reserve(self.read_size);
        let poll = {
            let mut limited = (&mut *input).limit(self.read_size);
            pin!(self.stream.read_buf(&mut limited)).poll(cx)
        };
        let read = input.len() - filled;
        match poll {
            Poll::Ready(Ok(_)) => {
                self.traffic.0 += read as u64;
                if read == self.read_size {
                    self.read_size = (self.read_size * 4).min(READ_MAX);
                }
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}
