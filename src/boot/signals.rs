//! The signals the daemon listens to.
//!
//! SIGTERM and SIGINT stop, SIGHUP reloads the configuration, SIGUSR1 logs the tree.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Streams of signals, open from the start so that none is missed.
#[derive(Debug)]
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
}

impl Signals {
    /// Starts listening; from here on these signals no longer end the process.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Resolves at SIGTERM or SIGINT. Safe to cancel.
    pub fn stop(&mut self) -> impl Future<Output = ()> + use<'_> {
        let (term, int) = (&mut self.term, &mut self.int);
        async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        }
    }
}

/// Which signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    ShowTree,
}

impl Signals {
    /// Resolves at the next signal. Safe to cancel.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop,
            _ = self.int.recv() => Asked::Stop,
            _ = self.hup.recv() => Asked::Reload,
            _ = self.usr1.recv() => Asked::ShowTree,
        }
    }
}
