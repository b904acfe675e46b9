//! What each path answers.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::metrics::exposition;
use super::view::View;

/// A larger request body is refused; nothing here reads one.
const MAX_BODY_BYTES: u64 = 64 * 1024;

const INDEX: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Seawall</title></head><body>
<h1>Seawall</h1>
<ul>
<li><a href=\"/healthz\">/healthz</a>: the process lives</li>
<li><a href=\"/readyz\">/readyz</a>: clients may be sent here</li>
<li><a href=\"/metrics\">/metrics</a>: readings, in OpenMetrics text</li>
<li><a href=\"/tree\">/tree</a>: the supervision tree (<a href=\"/tree?format=json\">JSON</a>)</li>
</ul>
</body></html>
";

/// The whole site.
pub(super) fn routes(view: Arc<dyn View>) -> Router {
    Router::new()
        .route("/", get(|| async { typed("text/html; charset=utf-8", INDEX) }))
        .route("/healthz", get(|| async { typed(TEXT, "ok\n") }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/tree", get(tree))
        .fallback(|uri: Uri| async move {
            error(StatusCode::NOT_FOUND, &format!("there is no {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async {
            error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed")
        })
        .layer(middleware::from_fn(guard))
        .with_state(view)
}

const TEXT: &str = "text/plain; charset=utf-8";

fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

fn json(status: StatusCode, body: &Value) -> Response {
    let mut response = typed("application/json", format!("{body}\n"));
    *response.status_mut() = status;
    response
}

fn error(status: StatusCode, why: &str) -> Response {
    json(status, &json!({ "status": status.as_u16(), "error": why }))
}

/// Refuses large bodies before a handler runs, and marks answers as of the moment.
async fn guard(request: Request, next: Next) -> Response {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    let at_least = request.body().size_hint().lower();
    let mut response = if declared.unwrap_or(0).max(at_least) > MAX_BODY_BYTES {
        let mut refused = error(StatusCode::PAYLOAD_TOO_LARGE, "a body of at most 64 KiB");
        refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        refused
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn readyz(State(view): State<Arc<dyn View>>) -> Response {
    let degraded = view.degraded();
    match view.ready() {
        Ok(()) => json(StatusCode::OK, &json!({ "ready": true, "degraded": degraded })),
        Err(reasons) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "ready": false, "reasons": reasons, "degraded": degraded }),
        ),
    }
}

async fn metrics(State(view): State<Arc<dyn View>>) -> Response {
    match exposition::encode(&view.metrics(), Instant::now()) {
        Ok(text) => typed(exposition::CONTENT_TYPE, text),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the readings could not be written"),
    }
}

async fn tree(State(view): State<Arc<dyn View>>, uri: Uri, headers: HeaderMap) -> Response {
    let format =
        uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("format="));
    let as_json = match format {
        Some("json") => true,
        Some("text") => false,
        Some(_) => return error(StatusCode::BAD_REQUEST, "format is `text` or `json`"),
        None => headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("application/json")),
    };
    let Some(tree) = view.tree() else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the tree is being started");
    };
    if as_json {
        json(StatusCode::OK, &json!(tree.root))
    } else {
        typed(TEXT, format!("{}\n", tree.text))
    }
}
