//! A port of the loopback interface that stays ours, whether anybody listens on it or not.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A reserved port. Whoever sets SO_REUSEADDR (tokio and redis-server do) may listen on it, end, and
/// listen again; nobody who asks for *any* free port gets it meanwhile. While nobody listens,
/// connections are refused.
pub struct Port {
    address: SocketAddr,
    /// Bound, never listening: that is what reserves it.
    _guard: Socket,
}

impl Port {
    pub fn reserve() -> Self {
        let guard = reusable().expect("a socket");
        guard.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let address = guard.local_addr().expect("it is bound").as_socket();
        Self { address: address.expect("an IP address"), _guard: guard }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As an argument of a program.
    pub fn text(&self) -> String {
        self.address.port().to_string()
    }

    /// Listens on it; so many may wait to be accepted, and one more.
    pub fn listen(&self, backlog: i32) -> std::io::Result<std::net::TcpListener> {
        let socket = reusable()?;
        // A process that another test is about to start has a copy of every socket until it runs its
        // program: also of one that has just stopped listening here.
        patiently(|| socket.bind(&self.address.into()))?;
        patiently(|| socket.listen(backlog))?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

/// Tries until the address is free.
fn patiently(mut attempt: impl FnMut() -> std::io::Result<()>) -> std::io::Result<()> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && begun.elapsed() <= PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

fn reusable() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[test]
fn a_reserved_port_refuses_and_can_be_listened_on_again_and_again() {
    let port = Port::reserve();
    let connect = || std::net::TcpStream::connect(port.address());
    for _ in 0..3 {
        let refused = connect().expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let listener = port.listen(8).expect("it is ours");
        drop(connect().expect("somebody listens"));
        drop(listener);
    }
}
