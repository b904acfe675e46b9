//! One connection through a proxy: a task that is told by [`Control`] what to do with each byte.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::control::Control;
use super::flow::{Cut, Flow};
use super::lane::{Lane, Turn};
use super::scan::{Scanner, Step, words};

/// Those that get no reply, or none that is a frame of its own.
const UNANSWERED: [&str; 7] = [
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SSUBSCRIBE",
    "SUNSUBSCRIBE",
    "REPLCONF",
];
/// After these a connection has a protocol of its own.
const OWN_PROTOCOL: [&str; 3] = ["PSYNC", "SYNC", "MONITOR"];

pub fn locked(control: &Mutex<Control>) -> MutexGuard<'_, Control> {
    control.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resets a connection instead of closing it.
pub fn reset(stream: TcpStream) {
    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
}

/// Who answers a request.
enum Slot {
    Server,
    Script(Vec<u8>),
    /// The server is sent something else, and its answer to that is replaced.
    Instead(Vec<u8>),
}

/// Refused by every server, so that a transaction that it is in is not executed.
const UNKNOWN: &[u8] = b"*1\r\n$7\r\nnothing\r\n";
const DISCARD: &[u8] = b"*1\r\n$7\r\nDISCARD\r\n";

/// A transaction that the client is in. A server that refuses one command of it executes none: so
/// does one that only the proxy makes refuse.
enum Transaction {
    None,
    Open,
    /// MULTI was answered like this, and all that belongs to it is.
    Refused(Vec<u8>),
}

/// What a direction waits for.
enum Want {
    Writable,
    Time(Option<Instant>),
    Over,
    Cut(Cut),
}

/// The connection's protocol: requests in, replies out, in order.
struct Link {
    up: Lane,
    down: Lane,
    requests: Scanner,
    replies: Scanner,
    /// What has come of a request.
    request: Vec<u8>,
    slots: VecDeque<Slot>,
    transaction: Transaction,
    /// The client has asked to hear of what others change.
    tracks: bool,
    /// Not RESP, or no longer: bytes are handed on as they come.
    opaque: bool,
}

impl Link {
    fn new(now: Instant) -> Self {
        Self {
            up: Lane::new(now),
            down: Lane::new(now),
            requests: Scanner::new(),
            replies: Scanner::new(),
            request: Vec::new(),
            slots: VecDeque::new(),
            transaction: Transaction::None,
            tracks: false,
            opaque: false,
        }
    }

    fn client_sent(&mut self, mut bytes: &[u8], control: &mut Control, now: Instant) {
        while !bytes.is_empty() && !self.opaque {
            let end = match self.requests.step(bytes) {
                Step::More => bytes.len(),
                Step::End(end) => {
                    self.request.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end..];
                    self.asks(control, now);
                    continue;
                }
                Step::Alien => {
                    self.opaque = true;
                    break;
                }
            };
            self.request.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
        }
        if self.opaque {
            self.request.extend_from_slice(bytes);
            self.up.push(&std::mem::take(&mut self.request), now);
        }
    }

    /// A request is whole.
    fn asks(&mut self, control: &mut Control, now: Instant) {
        let request = std::mem::take(&mut self.request);
        let (name, second) = words(&request);
        self.opaque = OWN_PROTOCOL.contains(&&*name);
        control.see((&name, &second));
        self.tracks |= (&*name, &*second) == ("CLIENT", "TRACKING");
        let ends = matches!(&*name, "EXEC" | "DISCARD");
        let script = match &self.transaction {
            Transaction::Refused(reply) => Some(reply.clone()),
            _ => control.reply_to((&name, &second)),
        };
        let open = matches!(self.transaction, Transaction::Open);
        match (&*name, &script) {
            ("MULTI", Some(reply)) => self.transaction = Transaction::Refused(reply.clone()),
            ("MULTI", None) => self.transaction = Transaction::Open,
            _ if ends => self.transaction = Transaction::None,
            _ => {}
        }
        match script {
            Some(reply) if open => {
                self.up.push(if ends { DISCARD } else { UNKNOWN }, now);
                self.slots.push_back(Slot::Instead(reply));
            }
            Some(reply) => self.slots.push_back(Slot::Script(reply)),
            None => {
                self.up.push(&request, now);
                if self.opaque || UNANSWERED.contains(&&*name) {
                    return;
                }
                self.slots.push_back(Slot::Server);
            }
        }
        control.counts.asked();
        self.answer_scripted(control, now);
    }

    fn server_sent(&mut self, mut bytes: &[u8], control: &mut Control, now: Instant) {
        let replacement = match control.replies {
            Flow::Replace(bytes) => Some(bytes),
            _ => None,
        };
        while !bytes.is_empty() && !self.opaque {
            let (end, whole) = match self.replies.step(bytes) {
                Step::More => (bytes.len(), false),
                Step::End(end) => (end, true),
                Step::Alien => {
                    self.opaque = true;
                    break;
                }
            };
            let instead = match self.slots.front() {
                Some(Slot::Instead(reply)) if !self.replies.was_push() => Some(&**reply),
                _ => None,
            };
            match instead.or(replacement) {
                None => self.down.push(&bytes[..end], now),
                Some(replacement) if whole => self.down.push(replacement, now),
                Some(_) => {}
            }
            bytes = &bytes[end..];
            if whole && !self.replies.was_push() && self.slots.pop_front().is_some() {
                control.counts.in_flight -= 1;
                self.answer_scripted(control, now);
            }
        }
        if !bytes.is_empty() {
            self.down.push(replacement.unwrap_or(bytes), now);
        }
    }

    /// Scripted replies whose turn it is.
    fn answer_scripted(&mut self, control: &mut Control, now: Instant) {
        while let Some(Slot::Script(reply)) = self.slots.front() {
            self.down.push(reply, now);
            self.slots.pop_front();
            control.counts.in_flight -= 1;
        }
    }
}

/// Writes what may be written now.
fn drive(lane: &mut Lane, flow: &Flow, since: u64, to: &TcpStream, written: &mut u64) -> Want {
    loop {
        let now = Instant::now();
        match lane.turn(flow, since, now) {
            Turn::Wait(until) => return Want::Time(until),
            Turn::Shut => return Want::Over,
            Turn::Cut(how) => return Want::Cut(how),
            Turn::Write(bytes) => match to.try_write(bytes) {
                Ok(count) => {
                    *written += count as u64;
                    lane.wrote(count, flow, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Want::Writable,
                Err(_) => return Want::Cut(Cut::Reset),
            },
        }
    }
}

/// Serves a client until one side or the proxy ends it.
pub async fn serve(client: TcpStream, control: Arc<Mutex<Control>>, changed: watch::Receiver<()>) {
    let (target, born) = {
        let mut control = locked(&control);
        control.counts.opened();
        (control.target, Born::under(&control))
    };
    let mut open = Open { control: &control, asked: 0, counted: true };
    let how = match TcpStream::connect(target).await {
        Ok(server) => {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let how = run(&client, &server, changed, born, &mut open).await;
            if how == Cut::Reset {
                reset(server);
            }
            how
        }
        Err(_) => Cut::Reset,
    };
    if how == Cut::Reset {
        reset(client);
    }
}

/// What had befallen others before a connection was there.
struct Born {
    cuts: u64,
    strandings: u64,
    deafenings: u64,
}

impl Born {
    fn under(control: &Control) -> Self {
        let Control { cuts, strandings, deafenings, .. } = *control;
        Self { cuts: cuts.0, strandings, deafenings }
    }
}

/// Takes a connection out of the counts, however it ends.
struct Open<'a> {
    control: &'a Mutex<Control>,
    asked: u64,
    counted: bool,
}

impl Open<'_> {
    fn closed(&mut self) {
        if std::mem::take(&mut self.counted) {
            locked(self.control).counts.open -= 1;
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.closed();
        locked(self.control).counts.in_flight -= self.asked;
    }
}

async fn run(
    client: &TcpStream,
    server: &TcpStream,
    mut changed: watch::Receiver<()>,
    born: Born,
    open: &mut Open<'_>,
) -> Cut {
    let mut link = Link::new(Instant::now());
    let mut buffer = vec![0; 16 << 10];
    let mut up_over = false;
    loop {
        changed.borrow_and_update();
        let (up, down) = {
            // Held while bytes are written: once it is told something, none goes the old way.
            let mut control = locked(open.control);
            if control.cuts.0 != born.cuts {
                return control.cuts.1;
            }
            let stranded = born.strandings < control.stranded_before;
            let deaf = link.tracks && born.deafenings < control.deaf_before;
            let Control { requests, replies, since, counts, .. } = &mut *control;
            let requests = if stranded { &Flow::Hold } else { &*requests };
            let replies = if deaf { &Flow::Lose } else { &*replies };
            let up = drive(&mut link.up, requests, *since, server, &mut counts.sent);
            let down = drive(&mut link.down, replies, *since, client, &mut counts.received);
            match down {
                // A client that has closed hears nothing more; what it sent arrives all the same.
                Want::Cut(_) if link.up.has_ended() => {
                    link.down.lose();
                    (up, Want::Time(None))
                }
                down => (up, down),
            }
        };
        match (&up, &down) {
            (Want::Cut(how), _) | (_, Want::Cut(how)) => return *how,
            (_, Want::Over) => return Cut::Close,
            (Want::Over, _) if !up_over => {
                up_over = true;
                let _ = SockRef::from(server).shutdown(std::net::Shutdown::Write);
            }
            _ => {}
        }
        let until = [&up, &down].into_iter().filter_map(|want| match want {
            Want::Time(until) => *until,
            _ => None,
        });
        let until = until.min().map(tokio::time::Instant::from_std);
        let wait = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = changed.changed() => if told.is_err() { return Cut::Close },
            () = wait => {}
            _ = server.writable(), if matches!(up, Want::Writable) => {}
            _ = client.writable(), if matches!(down, Want::Writable) => {}
            _ = client.readable(), if link.up.has_room() => match client.try_read(&mut buffer) {
                Ok(0) => {
                    link.up.end();
                    open.closed();
                }
                Ok(count) => {
                    let control = &mut locked(open.control);
                    link.client_sent(&buffer[..count], control, Instant::now());
                    open.asked = link.slots.len() as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Cut::Reset,
            },
            _ = server.readable(), if link.down.has_room() => match server.try_read(&mut buffer) {
                Ok(0) => link.down.end(),
                Ok(count) => {
                    let control = &mut locked(open.control);
                    link.server_sent(&buffer[..count], control, Instant::now());
                    open.asked = link.slots.len() as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Cut::Reset,
            },
        }
    }
}
