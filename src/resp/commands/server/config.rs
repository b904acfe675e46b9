//! CONFIG: the settings in force, over [`ConfigControl`].
//!
//! Both GET's names and SET's are Seawall's own (`cache.max_memory`) and, where they mean the
//! same, Redis' (`maxmemory`).

use std::sync::Arc;

use crate::config::ConfigControl;
use crate::resp::args::Args;
use crate::resp::backend::Backend;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{BoxFuture, Subcommand, sub};

pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    sub("get", -3, "pattern [pattern …]", "Answers the settings that match, with their values."),
    sub("help", 2, "", "Prints this help."),
    sub("resetstat", 2, "", "Zeroes the counters that INFO shows."),
    sub("rewrite", 2, "", "Writes what CONFIG SET changed into the configuration file."),
    sub("set", -4, "name value [name value …]", "Changes settings, all of them or none."),
];

pub(super) fn config<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        match subcommand::find("config", SUBCOMMANDS, &args)?.name {
            "get" => get(&*session.daemon, &args, reply),
            "set" => set(Arc::clone(session.daemon.config()), &args, reply).await?,
            "rewrite" => {
                let config = Arc::clone(session.daemon.config());
                blocking(move || config.rewrite().map(drop).map_err(|e| e.to_string())).await?;
                reply.ok();
            }
            "resetstat" => {
                session.daemon.reset_stats().await;
                reply.ok();
            }
            _ => subcommand::help("config", SUBCOMMANDS, reply),
        }
        Ok(())
    })
}

fn get(daemon: &dyn Backend, args: &Args<'_>, reply: &mut Reply<'_>) {
    let patterns: Vec<&[u8]> = args.from(2).collect();
    let found = daemon.config().get(&patterns);
    reply.map(found.len());
    for (name, mut value) in found {
        match name {
            // What is configured may be 0, or a socket that was handed over stands for it.
            "port" => value = daemon.tcp_port().to_string(),
            // The system may not allow as many as are configured.
            "maxclients" => value = daemon.clients().max().to_string(),
            _ => {}
        }
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

async fn set(
    config: Arc<ConfigControl>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    if !args.len().is_multiple_of(2) {
        return Err(Refusal::Arity("config|set".into()));
    }
    let words: Vec<Vec<u8>> = args.from(2).map(<[u8]>::to_vec).collect();
    let changes = blocking(move || {
        let pairs: Vec<(&[u8], &[u8])> = words
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.as_slice(), pair.get(1)?.as_slice())))
            .collect();
        config.set(&pairs).map_err(|e| e.to_string())
    })
    .await?;
    for change in changes {
        tracing::info!(key = change.key, "changed by CONFIG SET");
    }
    reply.ok();
    Ok(())
}

/// Runs what may wait for a disk, or for a part of the daemon that prepares a change, where
/// waiting is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Refusal::other),
        Err(_) => Err(Refusal::other("ERR the change was not finished: see the log")),
    }
}
