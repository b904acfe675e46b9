//! Where Redis is, who we are there, and how patient one is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo as _};

use super::nodes::Node;

/// Everything a link needs to know.
#[derive(Clone, PartialEq)]
pub struct LinkSettings {
    /// `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, or `unix:///path`.
    pub url: String,
    /// With Sentinels, hosts and ports: the host of `url` is the master's name, and its port counts
    /// for nothing.
    pub sentinels: Vec<(String, u16)>,
    /// Whom the Sentinels name: of a connection, the one it was made to; else whom they have named
    /// last, if they are known to have.
    pub master: Option<Node>,
    /// Who we are to the Sentinels, if they ask.
    pub sentinel_username: Option<String>,
    /// The password for them.
    pub sentinel_password: Option<Password>,
    /// `url` is a node of a Cluster.
    pub cluster: bool,
    /// Overrides the user in `url`.
    pub username: Option<String>,
    /// Overrides the password in `url`.
    pub password: Option<Password>,
    /// What CLIENT LIST of Redis calls the connections.
    pub client_name: String,
    /// Certificates for `rediss://`, read at each connect.
    pub tls: TlsFiles,
    /// Another number for another content of those files, or of the password's: connections that
    /// were made with the old one are replaced.
    pub content: u64,
    /// How long a command may take in all, with its retries.
    pub timeout: Duration,
    /// How long connecting may take, up to the answer to the first PING.
    pub connect_timeout: Duration,
    /// An idle connection is asked for a sign of life so often.
    pub ping_every: Duration,
    /// A connection older than this is replaced by a fresh one.
    pub max_age: Option<Duration>,
    /// Commands under way at once on one connection; more wait.
    pub in_flight: usize,
    /// Of a hundred commands, how many may be sent once more.
    pub retry_share: u8,
    /// What the tracker asks to hear of: keys that begin with one of these; all, if there is none.
    /// None may begin with another.
    pub track_prefixes: Vec<String>,
}

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Written down.
    Text(String),
    /// In a file, read at each connect.
    File(PathBuf),
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Password {
    /// Blocks on the file, if it is in one.
    pub(super) fn read(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl fmt::Debug for LinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSettings").field("at", &self.shown()).finish_non_exhaustive()
    }
}

impl LinkSettings {
    /// Where Redis is, without credentials.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.url.as_str().into_connection_info() {
            Ok(info) if self.sentinels.is_empty() => info.addr().to_string(),
            Ok(info) => {
                let name = info.addr().to_string();
                let name = name.rsplit_once(':').map_or(&*name, |(name, _)| name).to_owned();
                format!("{name} (by Sentinel)")
            }
            Err(_) => "nowhere".to_owned(),
        }
    }

    /// Whether a connection made with these is as good as one made with `other`: it leads to the
    /// same place, as the same user.
    pub(super) fn leads_to_the_same(&self, other: &Self) -> bool {
        let place = |s: &Self| {
            let (tls, content) = (s.tls.clone(), s.content);
            let by = (s.sentinels.clone(), s.master.clone());
            (s.url.clone(), by, s.cluster, tls, content)
        };
        let user = |s: &Self| (s.username.clone(), s.password.clone(), s.client_name.clone());
        place(self) == place(other) && user(self) == user(other)
    }

    /// Whether these lead to the same place as `other`, as whoever.
    pub(super) fn is_at_the_same(&self, other: &Self) -> bool {
        // Whoever one is stands in the URL, too; mostly it is the same, and need not be read.
        let alike = || self.url == other.url || self.shown() == other.shown();
        std::ptr::eq(self, other)
            || (self.sentinels == other.sentinels
                && self.master == other.master
                && self.cluster == other.cluster
                && alike())
    }

    /// The number of our database there.
    pub(super) fn database(&self) -> i64 {
        let info = self.url.as_str().into_connection_info();
        info.map_or(0, |info| info.redis_settings().db())
    }

    /// Host and port in `url`; `None` for a Unix socket.
    pub(super) fn home(&self) -> Option<Node> {
        use redis::ConnectionAddr::{Tcp, TcpTls};
        match self.url.as_str().into_connection_info().as_ref().map(ConnectionInfo::addr) {
            Ok(Tcp(host, port) | TcpTls { host, port, .. }) => {
                Some(Node { host: host.as_str().into(), port: *port })
            }
            _ => None,
        }
    }

    /// As the `redis` crate has it. Blocks on the password's file.
    pub(super) fn info(&self) -> Result<ConnectionInfo, String> {
        let info = self.url.as_str().into_connection_info().map_err(|e| e.to_string())?;
        let mut who = info
            .redis_settings()
            .clone()
            .set_protocol(redis::ProtocolVersion::RESP3)
            .set_lib_name("seawall", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            who = who.set_username(username);
        }
        if let Some(password) = &self.password {
            who = who.set_password(password.read()?);
        }
        Ok(info.set_redis_settings(who).set_tcp_settings(tcp()))
    }
}

/// What is sent goes at once. A link carries the questions of many: each piece that waited until the
/// one before it is acknowledged (Nagle's algorithm, which the `redis` crate leaves on) would be a
/// round trip late.
pub(super) fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Whether this is an address a link could have.
///
/// # Errors
/// What is wrong with it, without repeating it: it may hold a password.
pub fn check_url(url: &str) -> Result<(), String> {
    match url.into_connection_info() {
        Ok(_) => Ok(()),
        Err(why) => {
            let known =
                ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            let why = match scheme {
                None => "has no scheme".to_owned(),
                Some(scheme) if !known.contains(&scheme) => {
                    "has another scheme than these".to_owned()
                }
                // The library's kind of error says nothing to whoever reads it.
                Some(_) => {
                    let why = why.to_string();
                    let end = why.find("InvalidClientConfig").unwrap_or(why.len());
                    let why = why.get(..end).unwrap_or(&why).trim_end_matches([' ', '-', ':']);
                    format!("cannot be read: {}", why.to_lowercase())
                }
            };
            Err(format!(
                "is no address of a Redis, as it {why}; write redis://host:port/database, \
                 rediss://host:port/database for TLS, or unix:///path"
            ))
        }
    }
}

/// Whether an address names a user and has no password for it.
#[must_use]
pub fn lacks_password(url: &str) -> bool {
    url.into_connection_info().is_ok_and(|info| {
        let who = info.redis_settings();
        who.username().is_some_and(|name| !name.is_empty()) && who.password().is_none()
    })
}

/// Whether an address has a password.
#[must_use]
pub fn has_password(url: &str) -> bool {
    url.into_connection_info().is_ok_and(|info| info.redis_settings().password().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> LinkSettings {
        LinkSettings {
            url: url.to_owned(),
            sentinels: Vec::new(),
            master: None,
            sentinel_username: None,
            sentinel_password: None,
            cluster: false,
            username: None,
            password: None,
            client_name: "seawall".to_owned(),
            tls: TlsFiles::default(),
            content: 0,
            timeout: Duration::from_millis(300),
            connect_timeout: Duration::from_millis(300),
            ping_every: Duration::from_secs(1),
            max_age: None,
            in_flight: 16,
            retry_share: 10,
            track_prefixes: Vec::new(),
        }
    }

    #[test]
    fn what_is_shown_holds_no_password() {
        let s = settings("redis://bob:hunter2@example.org:7000/3");
        assert_eq!(s.shown(), "example.org:7000");
        let s = LinkSettings { password: Some(Password::Text("hunter2".to_owned())), ..s };
        assert!(!format!("{s:?} {:?}", s.password).contains("hunter2"));
    }

    #[test]
    fn a_wrong_address_is_refused_without_repeating_it() {
        for url in ["redis//:hunter2@x", "http://hunter2", "", "redis://h/notadb?hunter2"] {
            let why = check_url(url).expect_err(url);
            assert!(!why.contains("hunter2"), "{why}");
            assert!(!why.contains("InvalidClientConfig") && why.contains("redis://host"), "{why}");
        }
        for url in ["redis://h", "rediss://h:1/2", "unix:///run/redis.sock", "valkey://u:p@h"] {
            check_url(url).expect(url);
        }
    }

    #[test]
    fn what_is_sent_does_not_wait_for_what_is_under_way() {
        for url in ["redis://h", "rediss://h"] {
            let info = settings(url).info().expect("fine");
            assert!(info.tcp_settings().nodelay(), "{url}");
        }
    }

    #[test]
    fn a_place_is_the_same_for_whoever_goes_there() {
        let here = settings("redis://bob:hunter2@h:7000/3");
        let other = LinkSettings { username: Some("eve".to_owned()), ..settings("redis://h:7000") };
        assert!(here.is_at_the_same(&other) && !here.leads_to_the_same(&other));
        assert!(!here.is_at_the_same(&settings("redis://h:7001")));
        assert!(!here.is_at_the_same(&LinkSettings { cluster: true, ..here.clone() }));
        let sentinels = vec![("s".to_owned(), 26379)];
        assert!(!here.is_at_the_same(&LinkSettings { sentinels, ..here.clone() }));
        let other = Node { host: "h".into(), port: 7001 };
        let other = LinkSettings { master: Some(other), ..here.clone() };
        assert!(!here.is_at_the_same(&other) && !here.leads_to_the_same(&other));
    }

    #[test]
    fn home_is_where_the_url_leads() {
        let home = settings("rediss://bob:hunter2@example.org:7000/3").home().expect("a node");
        assert_eq!(home.to_string(), "example.org:7000");
        assert_eq!(settings("unix:///run/redis.sock").home(), None);
    }

    #[test]
    fn a_password_file_wins_over_the_url() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "from the file\n").expect("written");
        let mut s = settings("redis://bob:inline@h");
        s.password = Some(Password::File(file.path().to_owned()));
        let info = s.info().expect("fine");
        assert_eq!(info.redis_settings().password(), Some("from the file"));
        assert_eq!(info.redis_settings().username(), Some("bob"));
        s.password = Some(Password::File("/nowhere/at/all".into()));
        assert!(s.info().expect_err("no such file").contains("/nowhere/at/all"));
    }
}
