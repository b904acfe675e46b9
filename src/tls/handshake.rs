//! Handshakes: at most so many at a time, each within its time, and what came of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The connection is made.
    Done,
    /// The client's certificate is missing, has expired, or is not of our CA.
    Certificate,
    /// The client does not want to go on: mostly, it does not trust our certificate.
    Refused,
    /// The client does not speak TLS, or not a version that is spoken here.
    Protocol,
    /// The client went away.
    Closed,
    /// It was not done within `tls.handshake_timeout`.
    Timeout,
    /// `tls.max_handshakes` were under way.
    Busy,
}

impl Outcome {
    /// Every outcome, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Certificate,
        Self::Refused,
        Self::Protocol,
        Self::Closed,
        Self::Timeout,
        Self::Busy,
    ];

    /// The label used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Certificate => "certificate",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
        }
    }

    fn of(error: &std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::Certificate
            }
            Some(rustls::Error::AlertReceived(_)) => Self::Refused,
            Some(_) => Self::Protocol,
            None => Self::Closed,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failed {
    /// In one word.
    pub outcome: Outcome,
    text: String,
}

/// The handshakes of the daemon, of all its listeners.
#[derive(Debug, Default)]
pub struct Handshakes {
    underway: AtomicUsize,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

/// One that is under way.
#[derive(Debug)]
struct Underway<'a>(&'a AtomicUsize);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Handshakes {
    /// Each outcome with how often it was.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(&self.outcomes).map(|(how, n)| (how, n.load(Relaxed)))
    }

    /// How many are under way.
    #[must_use]
    pub fn underway(&self) -> usize {
        self.underway.load(Relaxed)
    }

    fn begin(&self, max: usize) -> Option<Underway<'_>> {
        let before = self.underway.fetch_add(1, Relaxed);
        let begun = Underway(&self.underway);
        (before < max).then_some(begun)
    }

    fn ended(&self, how: Outcome) {
        if let Some(counter) = self.outcomes.get(how as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// What a handshake may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Its time.
    pub within: Duration,
    /// How many may be under way with it.
    pub max: usize,
}

/// Makes a TLS connection of an accepted one, and counts what came of it. Safe to cancel, which
/// counts as the client's leaving.
///
/// # Errors
/// Why there is none.
pub async fn accept(
    handshakes: &Handshakes,
    config: &Arc<ServerConfig>,
    stream: TcpStream,
    bounds: Bounds,
) -> Result<TlsStream<TcpStream>, Failed> {
    let failed = |outcome, text: String| {
        handshakes.ended(outcome);
        Failed { outcome, text }
    };
    let Some(_underway) = handshakes.begin(bounds.max) else {
        let text = format!("{} handshakes are under way (tls.max_handshakes)", bounds.max);
        return Err(failed(Outcome::Busy, text));
    };
    let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream);
    match tokio::time::timeout(bounds.within, accepting).await {
        Ok(Ok(stream)) => {
            handshakes.ended(Outcome::Done);
            Ok(stream)
        }
        Ok(Err(error)) => Err(failed(Outcome::of(&error), error.to_string())),
        Err(_) => {
            let text = format!("not done within {:?} (tls.handshake_timeout)", bounds.within);
            Err(failed(Outcome::Timeout, text))
        }
    }
}
