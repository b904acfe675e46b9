//! A way to a server that takes its time, for the case `miss` of tests/bench/run.
//!
//! ```text
//! relay <port to listen on> <port of the server> <round trip in microseconds>
//! ```
//!
//! Whatever arrives is passed on half a round trip later, in both directions; with 0 at once, which is
//! the least that anything between a client and a server can do. How much was sent before plays no
//! part: as on a network, what is under way is under way together. A thread reads each socket, and
//! one more delivers what has travelled for long enough. Only the standard library is used: `rustc -O`
//! makes a program of it. It ends when it is killed.

#![allow(clippy::expect_used, reason = "it fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A read takes no more than this.
const PIECE: usize = 64 * 1024;

/// What is on its way.
struct Piece {
    due: Instant,
    to: Arc<TcpStream>,
    /// None: the other end has left.
    bytes: Vec<u8>,
}

impl Piece {
    /// A socket that has gone is noticed by whoever reads it.
    fn arrive(self) {
        let _ = match self.bytes.as_slice() {
            [] => self.to.shutdown(Shutdown::Both),
            bytes => (&*self.to).write_all(bytes),
        };
    }
}

fn main() {
    let arguments: Vec<u64> =
        std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let [listen, server, round_trip] = arguments[..] else { panic!("three numbers") };
    let delay = Duration::from_micros(round_trip) / 2;
    let port = |number| u16::try_from(number).expect("a port");
    // The kernel would end each sleep up to 50 microseconds late. Threads take this over.
    std::fs::write("/proc/self/timerslack_ns", "1").expect("Linux");
    let listener = TcpListener::bind(("127.0.0.1", port(listen))).expect("a free port");
    let (send, under_way) = channel();
    thread::spawn(move || deliver(&under_way));
    for client in listener.incoming() {
        let client = client.expect("a client");
        let server = TcpStream::connect(("127.0.0.1", port(server))).expect("a server");
        let (client, server) = (Arc::new(client), Arc::new(server));
        for (from, to) in [(&client, &server), (&server, &client)] {
            to.set_nodelay(true).expect("a socket");
            let (from, to, send) = (Arc::clone(from), Arc::clone(to), send.clone());
            thread::spawn(move || carry(&from, &to, delay, &send));
        }
    }
}

/// One direction of a connection.
fn carry(mut from: &TcpStream, to: &Arc<TcpStream>, delay: Duration, send: &Sender<Piece>) {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        let (due, bytes) = (Instant::now() + delay, buffer[..count].to_vec());
        let piece = Piece { due, to: Arc::clone(to), bytes };
        if delay.is_zero() {
            piece.arrive();
        } else if send.send(piece).is_err() {
            return;
        }
        if count == 0 {
            return;
        }
    }
}

/// All take the same time, so they arrive in the order in which they left.
fn deliver(under_way: &Receiver<Piece>) {
    for piece in under_way {
        thread::sleep(piece.due.saturating_duration_since(Instant::now()));
        piece.arrive();
    }
}
