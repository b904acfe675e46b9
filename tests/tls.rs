//! TLS: clients of RESP and of the admin HTTP, their certificates, and ours while they change.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::certificates::{Authority, Pair};
use crate::support::raw::encode;
use crate::support::redis::missing;
use crate::support::reply::{self, Reply};
use crate::support::{Daemon, PATIENCE, Setup, http, wait_until};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts an authority, and may have a certificate of its own.
#[derive(Clone)]
struct Client(Arc<ClientConfig>);

impl Client {
    fn trusting(ca: &Path) -> Self {
        Self::with(ca, None)
    }

    fn with(ca: &Path, own: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).expect("PEM")).expect("a CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        Self(Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        }))
    }

    fn stream(&self, address: SocketAddr) -> io::Result<Tls> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::clone(&self.0), name).expect("a connection");
        Ok(StreamOwned::new(connection, stream))
    }

    fn connect(&self, address: SocketAddr) -> Connected {
        Connected(BufReader::new(self.stream(address).expect("the daemon accepts")))
    }

    /// What PING answers, or why there is no answer.
    fn ping(&self, address: SocketAddr) -> Result<String, String> {
        let stream = self.stream(address).map_err(|e| e.to_string())?;
        let reply = Connected(BufReader::new(stream)).run("PING");
        reply.map(|reply| reply.text()).map_err(|e| e.to_string())
    }
}

struct Connected(BufReader<Tls>);

impl Connected {
    fn run(&mut self, line: &str) -> io::Result<Reply> {
        let words: Vec<&str> = line.split(' ').collect();
        self.0.get_mut().write_all(&encode(&words))?;
        reply::read(&mut self.0, &mut Vec::new())
    }

    /// The certificate that the daemon showed.
    fn certificate(&self) -> Vec<u8> {
        let shown = self.0.get_ref().conn.peer_certificates();
        shown.expect("after the handshake")[0].to_vec()
    }
}

/// A daemon with TLS beside plain RESP, its authority, and where the files are.
fn setup(authority: &Authority) -> Setup {
    let setup = Setup::new();
    authority.issue("seawall").write(setup.dir(), "server");
    authority.write(setup.dir());
    setup
        .with("server.tls_bind", r#"["127.0.0.1:0"]"#)
        .with("tls.cert_file", r#""server.crt""#)
        .with("tls.key_file", r#""server.key""#)
        .with("tls.client_ca_file", r#""ca.crt""#)
}

fn count(daemon: &Daemon, outcome: &str) -> u64 {
    let name = format!("seawall_tls_handshakes_total{{outcome=\"{outcome}\"}}");
    let (_, text) = http::get(daemon.admin(), "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[track_caller]
fn wait_count(daemon: &Daemon, outcome: &str, wanted: u64) {
    wait_until(outcome, || count(daemon, outcome) == wanted);
}

#[test]
fn a_client_with_tls_is_served_as_one_without() {
    let authority = Authority::new("ours");
    let daemon = setup(&authority).start();
    let client = Client::trusting(&daemon.dir().join("ca.crt"));
    let mut tls = client.connect(daemon.tls());
    assert_eq!(tls.run("SET k v").expect("an answer"), Reply::ok());
    assert_eq!(daemon.connect().run("GET k").text(), "v");
    // More than the socket's buffers hold, both ways, in a pipeline.
    let large = "x".repeat(3_000_000);
    assert_eq!(tls.run(&format!("SET large {large}")).expect("an answer"), Reply::ok());
    let gets = encode(&["GET", "large"]).repeat(8);
    tls.0.get_mut().write_all(&gets).expect("the daemon reads");
    for _ in 0..8 {
        let reply = reply::read(&mut tls.0, &mut Vec::new()).expect("an answer");
        assert_eq!(reply.text().len(), large.len());
    }
    // QUIT says goodbye properly: the end of the stream can be told from a cut.
    tls.0.get_mut().write_all(b"PING\r\nQUIT\r\n").expect("the daemon reads");
    let mut rest = String::new();
    tls.0.read_to_string(&mut rest).expect("a proper end");
    assert_eq!(rest, "+PONG\r\n+OK\r\n");
    wait_count(&daemon, "done", 1);
}

#[test]
fn redis_cli_and_the_redis_crate_connect() {
    let authority = Authority::new("ours");
    let daemon = setup(&authority).start();
    let (ca, port) = (daemon.dir().join("ca.crt"), daemon.tls().port().to_string());
    let output = Command::new("redis-cli")
        .args(["-h", "localhost", "-p", &port, "--tls", "--cacert"])
        .arg(&ca)
        .args(["SET", "k", "v"])
        .output();
    match output {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("Unrecognized option") => {
            println!("SKIPPED: this redis-cli has no TLS");
        }
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "OK\n", "{output:?}"),
        Err(error) => missing("redis-cli", &error),
    }
    let url = format!("rediss://localhost:{port}/");
    let root_cert = Some(std::fs::read(&ca).expect("the test's folder"));
    let certificates = redis::TlsCertificates { client_tls: None, root_cert };
    let client = redis::Client::build_with_tls(url, certificates).expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer: String = runtime.expect("a runtime").block_on(async {
        let mut connection =
            client.get_multiplexed_async_connection().await.expect("the daemon accepts");
        redis::cmd("PING").query_async(&mut connection).await.expect("PONG")
    });
    assert_eq!(answer, "PONG");
}

#[test]
fn clients_certificates_are_asked_for_as_configured() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let (right, wrong) = (ours.issue("client"), other.issue("client"));
    let expired = ours.issue_for("client", Duration::ZERO);
    let mut daemon = setup(&ours).with("tls.client_certificates", r#""required""#).start();
    let ca = daemon.dir().join("ca.crt");
    let of = |own| Client::with(&ca, own);
    let address = daemon.tls();
    assert_eq!(of(Some(&right)).ping(address).as_deref(), Ok("PONG"));
    let told = of(None).ping(address).expect_err("none");
    assert!(told.contains("CertificateRequired"), "{told}");
    let told = of(Some(&wrong)).ping(address).expect_err("another authority's");
    assert!(told.contains("Unknown") || told.contains("Decrypt"), "{told}");
    let told = of(Some(&expired)).ping(address).expect_err("expired");
    assert!(told.contains("CertificateExpired"), "{told}");
    wait_count(&daemon, "certificate", 3);
    daemon.wait_log("a line for each", |line| line["reason"] == "certificate");

    daemon.configure("tls.client_certificates", r#""optional""#);
    wait_until("none is needed any more", || of(None).ping(address).is_ok());
    assert!(of(Some(&right)).ping(address).is_ok());
    assert!(of(Some(&wrong)).ping(address).is_err(), "a wrong one is refused all the same");
}

#[test]
fn who_does_not_speak_tls_or_does_not_trust_us_gets_no_further() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let daemon = setup(&ours).with("tls.handshake_timeout", r#""300ms""#);
    let foreign = tempfile::tempdir().expect("a temporary directory");
    other.write(foreign.path());
    let daemon = daemon.with("tls.max_handshakes", "3").start();
    let address = daemon.tls();
    let told = Client::trusting(&foreign.path().join("ca.crt")).ping(address);
    assert!(told.expect_err("not trusted").contains("UnknownIssuer"));
    wait_count(&daemon, "refused", 1);

    let raw = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).expect("the daemon accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("the daemon reads");
        stream
    };
    let ends = |mut stream: TcpStream| {
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"+"), "{answer:?}");
    };
    ends(raw(b"PING\r\n*1\r\n$4\r\nPING\r\n"));
    wait_count(&daemon, "protocol", 1);

    // Three that say nothing take all the places, until their time is over.
    let silent: Vec<TcpStream> = (0..3).map(|_| raw(b"")).collect();
    wait_until("they are under way", || {
        let (_, text) = http::get(daemon.admin(), "/metrics");
        text.contains("seawall_tls_handshakes_underway 3") || count(&daemon, "timeout") > 0
    });
    silent.into_iter().for_each(ends);
    wait_count(&daemon, "timeout", 3);
    // One byte at a time does not prolong it.
    let mut slow = raw(b"\x16");
    let mut sent = 1;
    wait_until("its time is over", || {
        sent += usize::from(slow.write_all(b"\x03").is_ok());
        count(&daemon, "timeout") + count(&daemon, "protocol") > 4
    });
    assert!(Client::trusting(&daemon.dir().join("ca.crt")).ping(address).is_ok());
    assert_eq!(daemon.connect().run("PING").text(), "PONG", "without TLS nothing has changed");
}

#[test]
fn one_handshake_too_many_is_closed_at_once() {
    let authority = Authority::new("ours");
    let daemon = setup(&authority).with("tls.max_handshakes", "1").start();
    let first = TcpStream::connect(daemon.tls()).expect("the daemon accepts");
    wait_until("it is under way", || {
        let (_, text) = http::get(daemon.admin(), "/metrics");
        text.contains("seawall_tls_handshakes_underway 1")
    });
    let client = Client::trusting(&daemon.dir().join("ca.crt"));
    assert!(client.ping(daemon.tls()).is_err());
    wait_count(&daemon, "busy", 1);
    drop(first);
    wait_count(&daemon, "closed", 1);
    assert!(client.ping(daemon.tls()).is_ok());
}

fn expiry(daemon: &Daemon) -> Option<u64> {
    let (_, text) = http::get(daemon.admin(), "/metrics");
    let name = "seawall_tls_certificate_expiry_seconds ";
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.parse::<f64>().ok().map(|seconds| seconds as u64)
}

#[test]
fn a_new_certificate_is_in_use_at_once_and_a_bad_one_never() {
    let authority = Authority::new("ours");
    let mut daemon = setup(&authority).start();
    let client = Client::trusting(&daemon.dir().join("ca.crt"));
    let shown = |daemon: &Daemon| {
        let mut connected = client.connect(daemon.tls());
        connected.run("PING").expect("an answer");
        (connected.certificate(), connected)
    };
    let (first, mut old) = shown(&daemon);
    wait_until("the end is told", || expiry(&daemon) == Some(4_102_444_800));

    // Not a pair: the running one stays.
    let other = authority.issue("seawall");
    std::fs::write(daemon.dir().join("server.key"), &other.key).expect("the test's folder");
    let refused = |daemon: &mut Daemon, why: &str| {
        daemon.wait_log(why, |line| {
            line["message"].as_str().is_some_and(|m| m.starts_with("reload refused"))
                && line["details"].as_str().is_some_and(|d| d.contains(why))
        });
    };
    refused(&mut daemon, "does not go with tls.cert_file");
    assert_eq!(shown(&daemon).0, first);
    // With its certificate it is one.
    std::fs::write(daemon.dir().join("server.crt"), &other.certificate).expect("the test's folder");
    wait_until("the new one is shown", || shown(&daemon).0 != first);
    let second = shown(&daemon).0;
    assert_eq!(old.run("PING").expect("an answer").text(), "PONG", "the connected go on");

    authority.issue_for("seawall", Duration::ZERO).write(daemon.dir(), "server");
    refused(&mut daemon, "expired 0 days ago");
    std::fs::remove_file(daemon.dir().join("server.crt")).expect("the test's folder");
    refused(&mut daemon, "server.crt cannot be read");
    assert_eq!(shown(&daemon).0, second);

    authority.issue_for("seawall", Duration::from_secs(3 * 86_400)).write(daemon.dir(), "server");
    wait_until("the new one is shown", || shown(&daemon).0 != second);
    daemon.wait_log("a warning", |line| {
        line["message"].as_str().is_some_and(|m| m.contains("expires in 2 days"))
    });
    wait_until("its end is told", || expiry(&daemon).is_some_and(|end| end < 4_000_000_000));
}

#[test]
fn admin_http_can_have_tls() {
    let authority = Authority::new("ours");
    let daemon = setup(&authority).with("admin.tls", "true").start();
    let mut stream = Client::trusting(&daemon.dir().join("ca.crt"))
        .stream(daemon.admin())
        .expect("the daemon accepts");
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    // The end may come without a goodbye.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(http::try_get(daemon.admin(), "/readyz").is_err(), "not without");
}

#[test]
fn listeners_with_tls_come_and_go_live() {
    let authority = Authority::new("ours");
    let mut daemon = setup(&authority).with("server.tls_bind", "[]").start();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let address = port.expect("a free port");
    let ping =
        |daemon: &Daemon| Client::trusting(&daemon.dir().join("ca.crt")).ping(address).is_ok();
    assert!(!ping(&daemon));
    daemon.configure("server.tls_bind", &format!("[\"{address}\"]"));
    wait_until("it listens", || ping(&daemon));
    daemon.configure("server.tls_bind", "[]");
    wait_until("it does not any more", || !ping(&daemon));
}

#[test]
fn what_is_missing_for_tls_ends_the_start_with_78() {
    let (code, log) = Setup::new().with("server.tls_bind", r#"["127.0.0.1:0"]"#).fails();
    assert!(code == 78 && log.contains("set tls.cert_file and tls.key_file"), "{code} {log}");
    let (code, log) = Setup::new().with("tls.key_file", r#""nowhere.key""#).fails();
    assert!(code == 78 && log.contains("nowhere.key cannot be read"), "{code} {log}");
    let setup = setup(&Authority::new("ours"));
    let (code, log) = setup
        .with("tls.client_certificates", r#""required""#)
        .with("tls.client_ca_file", r#""""#)
        .fails();
    assert!(code == 78 && log.contains("clients' certificates need a CA"), "{code} {log}");
}
