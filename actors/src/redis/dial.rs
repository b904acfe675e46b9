//! One connection, from the address to the first PONG.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, TlsCertificates};
use tokio::time::timeout;

use super::failure::{Failure, FailureKind};
use super::settings::LinkSettings;
use super::tracker::{self, Ear};

/// Commands that may wait to be encoded; those under way are bounded by the slot.
const PIPELINE_BUFFER: usize = 1024;
/// Bytes that are collected before they go to the socket.
const WRITE_BUFFER: usize = 64 << 10;

/// Connects, logs in, and sees that whoever is there answers. With an ear, Redis is asked to
/// announce changes to it.
///
/// # Errors
/// What is in the way, within `connect_timeout`. Nothing of the attempt is left.
pub(super) async fn dial(
    settings: &Arc<LinkSettings>,
    ear: Option<Ear>,
) -> Result<MultiplexedConnection, Failure> {
    let at = settings.shown();
    let within = settings.connect_timeout;
    match timeout(within, connect(settings, ear)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(failure)) => Err(Failure { text: format!("{at}: {}", failure.text), ..failure }),
        Err(_) => Err(Failure::before(
            FailureKind::Deadline,
            format!("{at}: no connection within {within:?} (redis.connect_timeout)"),
        )),
    }
}

async fn connect(
    settings: &Arc<LinkSettings>,
    ear: Option<Ear>,
) -> Result<MultiplexedConnection, Failure> {
    let wrong = |text: String| Failure::before(FailureKind::Auth, text);
    let own = Arc::clone(settings);
    // Files: not on the runtime's threads.
    let client = tokio::task::spawn_blocking(move || client(&own))
        .await
        .map_err(|died| wrong(died.to_string()))?
        .map_err(wrong)?;
    let mut config = AsyncConnectionConfig::new()
        // Whoever calls has a deadline; connecting has one around all of this.
        .set_response_timeout(None)
        .set_connection_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_BUFFER)
        .set_write_backpressure_boundary(WRITE_BUFFER);
    let tracking = ear.as_ref().map(|ear| Arc::clone(&ear.tracking));
    if let Some(ear) = ear {
        config = config.set_push_sender(move |push| {
            ear.hear(push);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(|error| Failure::of(&error))?;
    // One that is loading accepts connections and logins; only a command finds out.
    let mut hello = redis::pipe();
    hello.cmd("CLIENT").arg("SETNAME").arg(&settings.client_name);
    if tracking.is_some() {
        hello.add_command(tracker::request(&settings.track_prefixes));
    }
    hello.cmd("PING");
    let mut answers = connection
        .send_packed_commands(&hello, 0, hello.len())
        .await
        .map_err(|error| Failure::of(&error))?;
    if let (Some(tracking), true) = (tracking, answers.len() > 1) {
        tracking.answered(match answers.remove(1) {
            redis::Value::ServerError(error) => match Failure::of_reply(&error) {
                Some(failure) => return Err(failure),
                None => Err(error.to_string()),
            },
            _ => Ok(()),
        });
    }
    match answers.last() {
        Some(redis::Value::ServerError(error)) => Err(Failure::of_reply(error)
            .unwrap_or_else(|| Failure::before(FailureKind::Auth, format!("PING: {error:?}")))),
        Some(_) => Ok(connection),
        None => Err(Failure::after(FailureKind::Garbage, "PING was not answered")),
    }
}

/// Reads what is in files. Blocks.
fn client(settings: &LinkSettings) -> Result<Client, String> {
    let info = settings.info()?;
    let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let client = if tls && settings.tls != super::TlsFiles::default() {
        let root_cert = settings.tls.ca.as_deref().map(read).transpose()?;
        let client_tls = match &settings.tls.client {
            Some((cert, key)) => {
                Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
            }
            None => None,
        };
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
    } else {
        Client::open(info)
    };
    client.map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
}

/// Asks for a sign of life.
pub(super) async fn ping(
    mut connection: MultiplexedConnection,
    within: Duration,
) -> Result<(), Failure> {
    match timeout(within, connection.send_packed_command(&redis::cmd("PING"))).await {
        Ok(Ok(redis::Value::ServerError(error))) => Failure::of_reply(&error).map_or(Ok(()), Err),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::of(&error)),
        Err(_) => {
            let text = format!("no answer to PING within {within:?}: it hangs");
            Err(Failure::after(FailureKind::Deadline, text))
        }
    }
}
