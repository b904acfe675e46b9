//! What the daemon needs of the machine, looked for before anything is started: all of it at
//! once, each with a time limit, off the runtime's threads.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use seawall_actors::wal::{DataDir, LockError};

use crate::config::address::Address;
use crate::config::settings::Settings;
use crate::exit::Exit;
use crate::resp::sockets::{Socket, bind_tcp};

/// A disk or a name service that takes longer counts as missing.
const WITHIN: Duration = Duration::from_secs(5);

/// What kind of start-up failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something outside is not there, or not ours.
    Dependency,
    /// A part of the daemon could not be started.
    Startup,
    /// The log on the disk is damaged.
    Corrupt,
}

impl Kind {
    /// The word in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::Startup => "startup",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Why the daemon can't start, or what it lacks.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// What is missing: a path, an address.
    pub dependency: String,
    /// What the system said, and what to do.
    pub details: String,
    /// The exit code it leads to.
    pub exit: Exit,
}

/// Something the daemon needs.
#[async_trait]
trait Dependency: Send {
    /// What to call it.
    fn name(&self) -> String;

    /// Obtains it; what a failure leads to.
    async fn obtain(&self) -> Result<Obtained, (String, Exit)>;
}

/// A dependency that is there.
enum Obtained {
    Data(DataDir),
    Resp(Socket),
    Admin(TcpListener),
}

/// What was found, and what was not.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// The data directory, locked; `None` for a pure cache.
    pub data: Option<DataDir>,
    /// Listening sockets for RESP.
    pub sockets: Vec<Socket>,
    /// Where the admin HTTP listens; `None` if it is off.
    pub admin: Option<TcpListener>,
    /// What is missing.
    pub failures: Vec<Failure>,
}

impl Dependencies {
    /// Looks for everything that the settings name.
    pub async fn check(settings: &Arc<Settings>) -> Self {
        let mut found = Self::default();
        let mut wanted: Vec<Box<dyn Dependency>> = Vec::new();
        if settings.wal.enabled {
            wanted.push(Box::new(Data(settings.data.dir.clone())));
        }
        let handed = Handed::take();
        if handed.resp.is_empty() {
            let tcp = settings.server.bind.iter().cloned();
            let tls = settings.server.tls_bind.iter().cloned();
            let tcp = tcp.map(|a| Tcp(a, false)).chain(tls.map(|a| Tcp(a, true)));
            wanted.extend(tcp.map(|tcp| Box::new(tcp) as Box<dyn Dependency>));
            if let Some(path) = &settings.server.unix_socket {
                wanted.push(Box::new(Unix(path.clone())));
            }
        }
        if handed.resp.iter().any(Socket::is_tls) && settings.tls.identity.is_none() {
            found.failures.push(Failure {
                kind: Kind::Dependency,
                dependency: "certificate".to_owned(),
                details:
                    "systemd handed over a socket named tls, and there is no certificate: set \
                          tls.cert_file and tls.key_file"
                        .to_owned(),
                exit: Exit::Config,
            });
        }
        found.sockets = handed.resp;
        match (handed.admin, &settings.admin.bind) {
            (Some(listen), _) => found.admin = Some(listen),
            (None, Some(address)) => wanted.push(Box::new(Admin(address.clone()))),
            (None, None) => {}
        }
        let checks: Vec<_> = wanted
            .into_iter()
            .map(|dependency| {
                tokio::spawn(async move {
                    let name = dependency.name();
                    let late = || (format!("no answer within {WITHIN:?}"), Exit::System);
                    let answer = tokio::time::timeout(WITHIN, dependency.obtain()).await;
                    (name, answer.unwrap_or_else(|_| Err(late())))
                })
            })
            .collect();
        for check in checks {
            match check.await {
                Ok((_, Ok(Obtained::Data(data)))) => found.data = Some(data),
                Ok((_, Ok(Obtained::Resp(socket)))) => found.sockets.push(socket),
                Ok((_, Ok(Obtained::Admin(listen)))) => found.admin = Some(listen),
                Ok((dependency, Err((details, exit)))) => {
                    found.failures.push(Failure {
                        kind: Kind::Dependency,
                        dependency,
                        details,
                        exit,
                    });
                }
                Err(panicked) => found.failures.push(Failure {
                    kind: Kind::Startup,
                    dependency: "dependency check".to_owned(),
                    details: panicked.to_string(),
                    exit: Exit::Internal,
                }),
            }
        }
        found
    }

    /// The failure that decides the exit code: a locked data directory, else the first found.
    pub fn take_worst(&mut self) -> Option<Failure> {
        if self.failures.is_empty() {
            return None;
        }
        let locked = self.failures.iter().position(|f| f.exit == Exit::Locked);
        let first = self.failures.remove(locked.unwrap_or(0));
        // The others are reported too: one start should show all that is missing.
        self.failures.iter().for_each(super::report);
        Some(first)
    }
}

struct Data(PathBuf);

#[async_trait]
impl Dependency for Data {
    fn name(&self) -> String {
        format!("data directory {}", self.0.display())
    }

    async fn obtain(&self) -> Result<Obtained, (String, Exit)> {
        let dir = self.0.clone();
        off_runtime(move || {
            DataDir::lock(&dir).map(Obtained::Data).map_err(|error| {
                let exit = match &error {
                    LockError::Held { .. } => Exit::Locked,
                    LockError::Io { .. } => Exit::System,
                };
                (error.to_string(), exit)
            })
        })
        .await
    }
}

/// Where to listen, and whether with TLS.
struct Tcp(Address, bool);

#[async_trait]
impl Dependency for Tcp {
    fn name(&self) -> String {
        format!("RESP address {}", Socket::tcp_name(&self.0.to_string(), self.1))
    }

    async fn obtain(&self) -> Result<Obtained, (String, Exit)> {
        let (address, tls) = (self.0.clone(), self.1);
        off_runtime(move || {
            Socket::tcp(&address, tls).map(Obtained::Resp).map_err(|why| (why, Exit::System))
        })
        .await
    }
}

struct Unix(PathBuf);

#[async_trait]
impl Dependency for Unix {
    fn name(&self) -> String {
        format!("Unix socket {}", self.0.display())
    }

    async fn obtain(&self) -> Result<Obtained, (String, Exit)> {
        let path = self.0.clone();
        off_runtime(move || {
            Socket::unix(&path).map(Obtained::Resp).map_err(|why| (why, Exit::System))
        })
        .await
    }
}

struct Admin(Address);

#[async_trait]
impl Dependency for Admin {
    fn name(&self) -> String {
        format!("admin address {}", self.0)
    }

    async fn obtain(&self) -> Result<Obtained, (String, Exit)> {
        let address = self.0.clone();
        off_runtime(move || {
            bind_tcp(&address).map(Obtained::Admin).map_err(|why| (why, Exit::System))
        })
        .await
    }
}

async fn off_runtime<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, (String, Exit)> + Send + 'static,
) -> Result<T, (String, Exit)> {
    match tokio::task::spawn_blocking(look).await {
        Ok(result) => result,
        Err(panicked) => Err((panicked.to_string(), Exit::Internal)),
    }
}

/// Sockets that systemd handed over, by their names: `resp` (or none), `tls` and `admin`.
#[derive(Debug, Default)]
struct Handed {
    resp: Vec<Socket>,
    admin: Option<TcpListener>,
}

impl Handed {
    fn take() -> Self {
        let mut handed = Self::default();
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut fds = listenfd::ListenFd::from_env();
        for i in 0..fds.len() {
            if let Ok(Some(listener)) = fds.take_tcp_listener(i) {
                if names.get(i) == Some(&"admin") {
                    handed.admin = Some(listener);
                    continue;
                }
                let name = listener
                    .local_addr()
                    .map_or_else(|_| format!("systemd-{i}"), |a: SocketAddr| a.to_string());
                let tls = names.get(i) == Some(&"tls");
                handed.resp.push(Socket::Tcp { name, listener, tls });
            } else if let Ok(Some(listener)) = fds.take_unix_listener(i) {
                let path = listener
                    .local_addr()
                    .ok()
                    .and_then(|a| a.as_pathname().map(PathBuf::from))
                    .unwrap_or_else(|| PathBuf::from(format!("systemd-{i}")));
                handed.resp.push(Socket::Unix { path, listener, owned: false });
            }
        }
        handed
    }
}
