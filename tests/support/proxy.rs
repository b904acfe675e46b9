//! A TCP proxy that does to a server's connections what networks and servers in trouble do.
//!
//! It runs on a thread of its own, a task per connection. What it is told holds, when the call
//! returns, for every byte that it has not yet handed on, of old connections as of new ones.

mod control;
mod flow;
mod lane;
mod link;
mod scan;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use control::Control;
pub use control::Counts;
pub use flow::{Cut, Door, Flow, To};
use link::locked;

use super::port::Port;

/// A door to be, and whom to tell when it is.
type Order = (Door, SyncSender<()>);

/// A running proxy; it and its connections end on drop.
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Mutex<Control>>,
    changed: Option<watch::Sender<()>>,
    doors: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy before a server, which need not be there yet. Everything passes.
    pub fn before(target: SocketAddr) -> Self {
        Self::at(Port::reserve(), target)
    }

    /// The same, on a port that is known already.
    pub fn at(port: Port, target: SocketAddr) -> Self {
        let address = port.address();
        let control = Arc::new(Mutex::new(Control::new(target)));
        let (changed, told) = watch::channel(());
        let (doors, orders) = mpsc::unbounded_channel();
        let shared = Arc::clone(&control);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(accept(port, shared, told, orders));
        });
        let proxy = Self { address, control, changed: Some(changed), doors, thread: Some(thread) };
        proxy.door(Door::Open);
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn tell(&self, order: impl FnOnce(&mut Control)) {
        order(&mut locked(&self.control));
        if let Some(changed) = &self.changed {
            changed.send_replace(());
        }
    }

    /// What happens to new connections; the old ones stay as they are.
    pub fn door(&self, door: Door) {
        self.tell(|control| control.slammed = door == Door::Slammed);
        let (done, is_done) = sync_channel(1);
        self.doors.send((door, done)).expect("the proxy runs");
        is_done.recv().expect("the proxy runs");
    }

    /// What happens to requests from now on.
    pub fn requests(&self, flow: Flow) {
        self.tell(|control| (control.requests, control.since) = (flow, control.since + 1));
    }

    /// What happens to replies from now on.
    pub fn replies(&self, flow: Flow) {
        self.tell(|control| (control.replies, control.since) = (flow, control.since + 1));
    }

    /// Nothing moves either way; new connections are accepted and nothing moves on them.
    pub fn hang(&self) {
        self.requests(Flow::Hold);
        self.replies(Flow::Hold);
    }

    /// Holds back the requests of the connections that there are; new ones are none of these.
    pub fn strand(&self) {
        self.tell(|control| {
            control.strandings += 1;
            control.stranded_before = control.strandings;
        });
    }

    /// From now on everything disappears that is on its way to those who track, a close, too: half
    /// open. New connections are none of these.
    pub fn deafen(&self) {
        self.tell(|control| {
            control.deafenings += 1;
            control.deaf_before = control.deafenings;
        });
    }

    /// Answers the next `times` such requests instead of the server: `-LOADING …`, `$-1`. A script
    /// that was there before comes first.
    pub fn answer(&self, to: To, reply: &str, times: u64) {
        self.tell(|control| control.script(to, reply, times));
    }

    /// Ends every connection there is.
    pub fn cut(&self, how: Cut) {
        self.tell(|control| control.cuts = (control.cuts.0 + 1, how));
    }

    /// New connections go to another server.
    pub fn retarget(&self, target: SocketAddr) {
        self.tell(|control| control.target = target);
    }

    /// Any trouble, or none, for the moment: flows (`still` are those in which nothing moves, cuts
    /// come `within` so many bytes), and a cut, a reply that nobody understands, a refusal, or a
    /// closed door.
    pub fn stir(&self, rng: &mut SmallRng, still: &[Flow; 2], within: u64, refusal: &str) {
        let flow = |rng: &mut SmallRng| match rng.random_range(0..9) {
            n @ (0 | 1) => still[n].clone(),
            2 => Flow::Delay(Duration::from_millis(rng.random_range(1..300))),
            3 => Flow::Throttle(rng.random_range(1..2000)),
            4 => Flow::CutAfter(rng.random_range(0..within), Cut::Close),
            5 => Flow::CutAfter(rng.random_range(0..within), Cut::Reset),
            _ => Flow::Pass,
        };
        self.requests(flow(rng));
        self.replies(flow(rng));
        match rng.random_range(0..8) {
            0 => self.cut(Cut::Reset),
            1 => self.replies(Flow::Replace(b"*1\r\n+what?\r\n")),
            2 => self.answer(To::Data, refusal, 3),
            3 => self.door(Door::Refused),
            _ => self.door(Door::Open),
        }
    }

    /// Everything passes again, and the server answers.
    pub fn heal(&self) {
        self.tell(Control::unscript);
        self.tell(|control| (control.stranded_before, control.deaf_before) = (0, 0));
        self.requests(Flow::Pass);
        self.replies(Flow::Pass);
        self.door(Door::Open);
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        locked(&self.control).counts.clone()
    }

    /// Counts from here on; what is open or in flight stays counted.
    pub fn forget(&self) {
        locked(&self.control).forget();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.changed = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A listener, and a connection that nobody accepts, which keeps others from being answered.
type Listening = (Option<TcpListener>, Option<TcpStream>);

fn listen(port: &Port, door: Door) -> std::io::Result<Listening> {
    match door {
        Door::Open | Door::Slammed => Ok((Some(TcpListener::from_std(port.listen(1024)?)?), None)),
        Door::Refused => Ok((None, None)),
        Door::Unreachable => {
            let listener = TcpListener::from_std(port.listen(0)?)?;
            Ok((Some(listener), Some(TcpStream::connect(port.address())?)))
        }
    }
}

async fn accept(
    port: Port,
    control: Arc<Mutex<Control>>,
    mut changed: watch::Receiver<()>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut listening: Listening = (None, None);
    let connections = changed.clone();
    loop {
        let accepts = async {
            match &listening {
                (Some(listener), None) => listener.accept().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some((door, done)) = orders.recv() => {
                // The old one closes before the new one listens.
                drop(std::mem::take(&mut listening));
                listening = listen(&port, door).unwrap_or_else(|error| panic!("{door:?}: {error}"));
                let _ = done.send(());
            }
            told = changed.changed() => if told.is_err() { return },
            Ok((stream, _)) = accepts => {
                let slammed = {
                    let mut control = locked(&control);
                    control.counts.total += u64::from(control.slammed);
                    control.slammed
                };
                if slammed {
                    link::reset(stream);
                } else {
                    tokio::spawn(link::serve(stream, Arc::clone(&control), connections.clone()));
                }
            }
        }
    }
}
