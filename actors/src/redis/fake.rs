//! For the tests of links: a server of their own, and settings that lose no time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

use super::{Link, LinkSettings, Pool, TlsFiles};
use crate::policy::{Backoff, BreakerOptions, BreakerSettings, breaker::WindowKind};
use crate::supervise::{
    ChildSpec, Conditions, Restart, Strategy, SupervisorSpec, Tree, TreeOptions,
};

/// How the server treats what comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Answers each command; GET by its key, WHERE by what it knows of the connection.
    Answer,
    /// Takes connections and says nothing, on old ones either.
    Hang,
    /// Closes what connects, and what is connected at the next command.
    Close,
    /// `-LOADING` to GET; not to what a link asks on its own account, which would be its end before
    /// anybody asked for something.
    Loading,
    /// `-READONLY` to SET on so many connections, the first ones: they are to a replica by now.
    Deposed(usize),
    /// No RESP, as an answer to GET.
    Garbage,
    /// An error to CLIENT TRACKING, and to SUBSCRIBE and its like.
    Mute,
}

/// What the server says on its own account.
#[derive(Debug, Clone)]
enum Aside {
    /// On connections that track, or have subscribed.
    Push(String),
    /// Closes those.
    Hangup,
}

pub struct Server {
    pub mode: watch::Sender<Mode>,
    pub accepted: Arc<AtomicUsize>,
    /// SETs that were executed.
    pub sets: Arc<AtomicUsize>,
    /// How CLIENT TRACKING was asked for last.
    pub tracking: watch::Sender<String>,
    /// What was subscribed to and left, in order.
    pub subscribed: watch::Sender<Vec<String>>,
    asides: broadcast::Sender<Aside>,
    pub url: String,
}

/// What each of its connections has of it.
struct Desk {
    /// The connection's number, from 1.
    number: usize,
    mode: watch::Receiver<Mode>,
    sets: Arc<AtomicUsize>,
    tracking: watch::Sender<String>,
    subscribed: watch::Sender<Vec<String>>,
    asides: broadcast::Receiver<Aside>,
    tracks: bool,
    listens: bool,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("bound"));
        let (mode, accepted) = (watch::Sender::new(Mode::Answer), Arc::new(AtomicUsize::new(0)));
        let (sets, tracking) = (Arc::new(AtomicUsize::new(0)), watch::Sender::default());
        let (asides, subscribed) = (broadcast::Sender::new(16), watch::Sender::default());
        let server = Self { mode, accepted, sets, tracking, subscribed, asides, url };
        let (count, mode) = (Arc::clone(&server.accepted), server.mode.clone());
        let (sets, tracking) = (Arc::clone(&server.sets), server.tracking.clone());
        let (asides, subscribed) = (server.asides.clone(), server.subscribed.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let desk = Desk {
                    number: count.fetch_add(1, SeqCst) + 1,
                    mode: mode.subscribe(),
                    sets: Arc::clone(&sets),
                    tracking: tracking.clone(),
                    subscribed: subscribed.clone(),
                    asides: asides.subscribe(),
                    tracks: false,
                    listens: false,
                };
                tokio::spawn(serve(socket, desk));
            }
        });
        server
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Says this to whoever tracks, or has subscribed.
    pub fn push(&self, text: &str) {
        self.asides.send(Aside::Push(text.to_owned())).expect("somebody is connected");
    }

    /// Closes the connections of whoever tracks.
    pub fn hang_up(&self) {
        self.asides.send(Aside::Hangup).expect("somebody is connected");
    }
}

async fn serve(mut socket: TcpStream, mut desk: Desk) {
    let mut buffer = Vec::new();
    loop {
        while let Some((words, used)) = command(&buffer) {
            buffer.drain(..used);
            let mode = *desk.mode.borrow();
            let answer = match mode {
                Mode::Hang => continue,
                Mode::Close => return,
                mode => desk.answer(mode, &words),
            };
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        let mut chunk = [0; 4096];
        tokio::select! {
            read = socket.read(&mut chunk) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            },
            aside = desk.asides.recv() => match aside {
                Ok(Aside::Push(text)) if desk.tracks || desk.listens => {
                    // One that has gone is noticed by the next read.
                    let _ = socket.write_all(text.as_bytes()).await;
                }
                Ok(Aside::Hangup) if desk.tracks || desk.listens => return,
                _ => {}
            },
        }
        if *desk.mode.borrow() == Mode::Close {
            return;
        }
    }
}

impl Desk {
    fn answer(&mut self, mode: Mode, words: &[String]) -> String {
        match (mode, words[0].as_str()) {
            (Mode::Garbage, "GET") => "what?\r\n".to_owned(),
            (Mode::Loading, "GET") => "-LOADING not yet\r\n".to_owned(),
            (Mode::Deposed(upto), "SET") if self.number <= upto => "-READONLY no\r\n".to_owned(),
            (_, "HELLO") => "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned(),
            (_, "PING") => "+PONG\r\n".to_owned(),
            (_, "GET") => format!("${}\r\n{}\r\n", words[1].len(), words[1]),
            (_, "WRONG") => "-WRONGTYPE no\r\n".to_owned(),
            (_, "WHERE") => format!("+{}\r\n", if self.tracks { "tracking" } else { "plain" }),
            (mode, "CLIENT") if words[1] == "TRACKING" => {
                self.tracking.send_replace(words.join(" "));
                self.tracks = mode != Mode::Mute;
                if self.tracks { "+OK\r\n" } else { "-NOPERM no\r\n" }.to_owned()
            }
            (mode, "SUBSCRIBE" | "PSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE") => {
                if mode == Mode::Mute {
                    return "-NOPERM no\r\n".to_owned();
                }
                self.listens = true;
                self.subscribed.send_modify(|all| all.push(words.join(" ")));
                let (verb, name) = (words[0].to_ascii_lowercase(), &words[1]);
                format!(">3\r\n${}\r\n{verb}\r\n${}\r\n{name}\r\n:1\r\n", verb.len(), name.len())
            }
            (_, "SET") => {
                self.sets.fetch_add(1, SeqCst);
                "+OK\r\n".to_owned()
            }
            _ => "+OK\r\n".to_owned(),
        }
    }
}

/// The first whole command and its length.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let mut line = || {
        let end = bytes[at..].windows(2).position(|w| w == b"\r\n")? + at;
        let text = String::from_utf8_lossy(&bytes[at..end]).into_owned();
        at = end + 2;
        Some(text)
    };
    let count: usize = line()?.strip_prefix('*')?.parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        line()?;
        words.push(line()?);
    }
    Some((words, at))
}

pub const MS: Duration = Duration::from_millis(1);

pub fn settings(url: &str) -> LinkSettings {
    LinkSettings {
        url: url.to_owned(),
        sentinels: Vec::new(),
        master: None,
        sentinel_username: None,
        sentinel_password: None,
        cluster: false,
        username: None,
        password: None,
        client_name: "test".to_owned(),
        tls: TlsFiles::default(),
        content: 0,
        timeout: 200 * MS,
        connect_timeout: 200 * MS,
        ping_every: 50 * MS,
        max_age: None,
        in_flight: 64,
        retry_share: 100,
        track_prefixes: Vec::new(),
    }
}

/// Two failures open the breaker.
/// A tree of so many links of each pool.
pub async fn tree(pools: &[(&Pool, usize)], conditions: &Conditions) -> Tree {
    let mut root = SupervisorSpec::new("root", Strategy::OneForOne);
    for (pool, links) in pools {
        for _ in 0..*links {
            let (id, handle, args) = pool.add();
            let make = move || (Link, args.clone());
            root = root.child(ChildSpec::worker(id, handle, restart(), make));
        }
    }
    let options = TreeOptions {
        watchdog: Duration::from_secs(5),
        start_within: Duration::from_secs(5),
        conditions: conditions.clone(),
    };
    Tree::start(root, options).await.expect("it stands")
}

pub fn restart() -> Restart {
    let hold = BreakerSettings::try_new(BreakerOptions {
        window: WindowKind::Count(2),
        minimum_calls: 2,
        failure_rate: 1.0,
        cool_down: 100 * MS,
        max_cool_down: 200 * MS,
        half_open_for: Duration::from_secs(2),
        ..BreakerOptions::default()
    });
    Restart {
        hold: Some(hold.expect("fine").into()),
        delay: Backoff::try_new(10 * MS, 2.0, Duration::from_secs(1), 1.0).expect("fine"),
        ..Restart::default()
    }
}
