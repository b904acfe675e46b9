//! Real sockets against the worker, alone and in a tree.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_actors::metrics::{Published, Snapshot};
use seawall_actors::supervise::{
    ChildSpec, Drill, Handle, Restart, Strategy, SupervisorSpec, Tree, TreeOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;

#[derive(Default)]
struct Shown {
    ready: AtomicBool,
    metrics: Published,
}

impl View for Shown {
    fn ready(&self) -> Result<(), Vec<String>> {
        let ready = self.ready.load(Ordering::Relaxed);
        if ready { Ok(()) } else { Err(vec!["the log is being replayed".into()]) }
    }

    fn degraded(&self) -> Vec<Degraded> {
        let cause = Some("panic: \"x\"".into());
        vec![Degraded { path: "links".into(), condition: None, cause, age_seconds: 1.5 }]
    }

    fn tree(&self) -> Option<TreeView> {
        let root = Node { id: "root".into(), state: "up", ..Node::default() };
        self.ready.load(Ordering::Relaxed).then(|| TreeView { text: "root  up".into(), root })
    }

    fn metrics(&self) -> Arc<Snapshot> {
        self.metrics.newest()
    }
}

/// A tree with nothing in it but the admin HTTP.
struct Site {
    tree: Tree,
    view: Arc<Shown>,
    bound: watch::Receiver<Option<SocketAddr>>,
}

impl Site {
    async fn start(limits: Limits) -> Self {
        Self::start_on(limits, || Listen::Bind(([127, 0, 0, 1], 0).into())).await
    }

    async fn start_on(limits: Limits, listen: impl Fn() -> Listen + Send + 'static) -> Self {
        let view = Arc::new(Shown::default());
        let shown: Arc<dyn View> = Arc::clone(&view) as _;
        let bound = watch::Sender::new(None);
        let on_bound = bound.subscribe();
        let make = move || {
            let (view, bound) = (Arc::clone(&shown), bound.clone());
            (AdminHttp, Args { listen: listen(), view, limits, tls: None, bound })
        };
        let spec = SupervisorSpec::new("root", Strategy::OneForOne).child(ChildSpec::worker(
            "admin",
            Handle::new(),
            Restart::default(),
            make,
        ));
        let tree = Tree::start(spec, TreeOptions::default()).await.unwrap();
        Self { tree, view, bound: on_bound }
    }

    async fn address(&self) -> SocketAddr {
        self.bound.clone().wait_for(Option::is_some).await.unwrap().unwrap()
    }

    /// Sends bytes, reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address().await).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is an answer.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn ask(&self, method: &str, path: &str, more: &str) -> (u16, String, String) {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        let answer = self.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        self.ask("GET", path, "").await
    }
}

fn parsed(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn every_endpoint_answers() {
    let site = Site::start(Limits::default()).await;

    let (status, _, body) = site.get("/healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));

    let (status, _, body) = site.get("/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(parsed(&body)["reasons"][0], "the log is being replayed");
    assert_eq!(site.get("/tree").await.0, 503);
    site.view.ready.store(true, Ordering::Relaxed);
    let (status, head, body) = site.get("/readyz").await;
    assert_eq!((status, &parsed(&body)["ready"]), (200, &true.into()));
    assert_eq!(parsed(&body)["degraded"][0]["path"], "links");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");

    let (status, head, body) = site.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"));

    assert_eq!(site.get("/tree").await.2, "root  up\n");
    assert_eq!(parsed(&site.get("/tree?format=json").await.2)["id"], "root");
    let (_, _, body) = site.ask("GET", "/tree", "Accept: application/json\r\n").await;
    assert_eq!(parsed(&body)["state"], "up");
    assert_eq!(site.get("/tree?format=xml").await.0, 400);

    let (status, _, body) = site.get("/").await;
    assert_eq!(status, 200);
    for path in ["/healthz", "/readyz", "/metrics", "/tree"] {
        assert!(body.contains(path), "{path} is not listed");
    }
}

#[tokio::test]
async fn refusals_are_json_and_head_has_no_body() {
    let site = Site::start(Limits::default()).await;
    let (status, _, body) = site.get("/nothing").await;
    assert_eq!((status, &parsed(&body)["error"]), (404, &"there is no /nothing".into()));
    let (status, _, body) = site.ask("POST", "/metrics", "Content-Length: 0\r\n").await;
    assert_eq!((status, &parsed(&body)["status"]), (405, &405.into()));
    let (status, head, body) = site.ask("HEAD", "/healthz", "").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 3"), "{head}");
    let (status, ..) = site.ask("GET", "/healthz", "Content-Length: 65537\r\n").await;
    assert_eq!(status, 413);
    let header = format!("X-Long: {}\r\n", "x".repeat(64 * 1024));
    assert_eq!(site.ask("GET", "/healthz", &header).await.0, 431);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off() {
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let site = Site::start(limits).await;
    // Ends only because the server closes it.
    site.raw(b"").await;
    site.raw(b"GET /healthz HT").await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let limits = Limits { connections: 1, head: Duration::from_millis(100), ..Limits::default() };
    let site = Site::start(limits).await;
    let _idle = TcpStream::connect(site.address().await).await.unwrap();
    assert_eq!(site.get("/healthz").await.0, 200, "served once the idle one was cut off");
}

#[tokio::test]
async fn a_connection_has_a_bounded_life() {
    let limits = Limits {
        lifetime: Duration::from_millis(50),
        grace: Duration::from_millis(50),
        ..Limits::default()
    };
    let site = Site::start(limits).await;
    site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
}

#[tokio::test]
async fn heals_after_a_panic_on_the_same_port() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let site = Site::start_on(Limits::default(), move || Listen::Bind(address)).await;
    assert_eq!(site.get("/healthz").await.0, 200);
    let mut bound = site.bound.clone();
    site.tree.drill("admin", Drill::Panic).unwrap();
    bound.wait_for(Option::is_none).await.unwrap();
    assert_eq!(site.get("/healthz").await.0, 200);
    assert_eq!(site.tree.snapshot().find("admin").unwrap().restarts, 1);
}

#[tokio::test]
async fn a_prepared_listener_survives_restarts() {
    let prepared = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = prepared.local_addr().unwrap();
    let listen = move || Listen::Prepared(prepared.try_clone().unwrap());
    let site = Site::start_on(Limits::default(), listen).await;
    assert_eq!(site.address().await, address);
    let mut bound = site.bound.clone();
    site.tree.drill("admin", Drill::Error).unwrap();
    bound.wait_for(Option::is_none).await.unwrap();
    assert_eq!(site.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn an_address_in_use_is_a_failed_start_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let site = Site::start_on(Limits::default(), move || Listen::Bind(address)).await;
    let mut events = site.tree.subscribe();
    let reason = match site.tree.snapshot().find("admin").unwrap().last_exit.clone() {
        Some(exit) => exit.to_string(),
        None => loop {
            if let Some(exit) = events.recv().await.unwrap().reason {
                break exit.to_string();
            }
        },
    };
    assert!(reason.contains(&format!("cannot bind admin HTTP on {address}")), "{reason}");
}

#[tokio::test]
async fn stops_in_order_while_a_client_is_connected() {
    let limits = Limits { grace: Duration::from_millis(200), ..Limits::default() };
    let site = Site::start(limits).await;
    let address = site.address().await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0u8; 12];
    idle.read_exact(&mut first).await.unwrap();
    let report = site.tree.shutdown().await;
    assert!(report.took < Duration::from_secs(2), "{:?}", report.took);
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
