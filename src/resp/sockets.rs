//! The listening sockets, bound before anything is replayed and kept outside the actor that
//! accepts from them: its restart refuses no client, and a new configuration is bound before the
//! old one is let go.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::address::Address;

/// Connections that may wait to be accepted; the kernel caps it (net.core.somaxconn).
const BACKLOG: i32 = 1024;

/// One listening socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp {
        /// As configured; with `tls` it names the socket.
        name: String,
        /// Bound and listening.
        listener: TcpListener,
        /// Whether clients speak TLS.
        tls: bool,
    },
    /// A Unix socket; its file goes when the socket does.
    Unix {
        /// Where it is.
        path: PathBuf,
        /// Bound and listening.
        listener: UnixListener,
        /// Whether the file is ours to remove: not if systemd made it.
        owned: bool,
    },
}

impl Socket {
    /// The name of a TCP socket that is configured with this address.
    #[must_use]
    pub fn tcp_name(address: &str, tls: bool) -> String {
        // An address may change from one to the other: that is another socket.
        if tls { format!("{address} with TLS") } else { address.to_owned() }
    }

    /// Whether clients speak TLS on it.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    /// Its configured address or path.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tcp { name, tls, .. } => Self::tcp_name(name, *tls),
            Self::Unix { path, .. } => path.display().to_string(),
        }
    }

    /// Where it really listens: with the port that the system chose for port 0.
    #[must_use]
    pub fn bound(&self) -> String {
        match self {
            Self::Tcp { name, listener, .. } => {
                listener.local_addr().map_or_else(|_| name.clone(), |a| a.to_string())
            }
            Self::Unix { path, .. } => path.display().to_string(),
        }
    }

    /// Binds a TCP socket, see [`bind_tcp`].
    ///
    /// # Errors
    /// Names the address and what the system said.
    pub fn tcp(address: &Address, tls: bool) -> Result<Self, String> {
        Ok(Self::Tcp { name: address.to_string(), listener: bind_tcp(address)?, tls })
    }

    /// Binds a Unix socket. A file left behind by a daemon that is gone is replaced.
    ///
    /// # Errors
    /// Names the path and what the system said; in particular if someone listens there.
    pub fn unix(path: &Path) -> Result<Self, String> {
        let fail = |e: io::Error| format!("cannot listen on {}: {e}", path.display());
        if std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
            if UnixStream::connect(path).is_ok() {
                return Err(fail(io::ErrorKind::AddrInUse.into()));
            }
            std::fs::remove_file(path).map_err(fail)?;
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        Ok(Self::Unix { path: path.to_owned(), listener, owned: true })
    }
}

/// A listening, non-blocking TCP socket on the first address that the host resolves to. Blocks
/// on the name service if the host is a name.
///
/// # Errors
/// Names the address and what the system said.
pub fn bind_tcp(address: &Address) -> Result<TcpListener, String> {
    let fail = |e: io::Error| format!("cannot listen on {address}: {e}");
    let resolved = (address.host(), address.port())
        .to_socket_addrs()
        .map_err(fail)?
        .next()
        .ok_or_else(|| format!("cannot listen on {address}: the host has no address"))?;
    let bind = || -> io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(resolved);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if resolved.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&resolved.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(fail)
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix { path, owned: true, .. } = self {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The sockets in use; whoever accepts follows them.
#[derive(Debug, Clone)]
pub struct Sockets {
    current: Arc<watch::Sender<Vec<Arc<Socket>>>>,
}

impl Sockets {
    /// These sockets.
    #[must_use]
    pub fn new(sockets: Vec<Socket>) -> Self {
        let sockets = sockets.into_iter().map(Arc::new).collect();
        Self { current: Arc::new(watch::Sender::new(sockets)) }
    }

    /// The sockets now.
    #[must_use]
    pub fn current(&self) -> Vec<Arc<Socket>> {
        self.current.borrow().clone()
    }

    /// The port of the first TCP socket without TLS, as the system knows it; 0 without one.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        let port = |socket: &Arc<Socket>| match &**socket {
            Socket::Tcp { listener, tls: false, .. } => {
                listener.local_addr().ok().map(|a| a.port())
            }
            Socket::Tcp { .. } | Socket::Unix { .. } => None,
        };
        self.current.borrow().iter().find_map(port).unwrap_or(0)
    }

    /// Replaces the sockets; those that are in both stay open throughout.
    pub fn replace(&self, sockets: Vec<Arc<Socket>>) {
        self.current.send_replace(sockets);
    }

    /// Follows the sockets.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Vec<Arc<Socket>>> {
        self.current.subscribe()
    }
}
