//! Connections that were given up, and may still deliver what was sent over them: they are ended at
//! the node itself, which knows them by a name that nobody else bears.
//!
//! A single Redis needs none of this: there the marker that a transaction watches is its fence. In a
//! Cluster a transaction holds keys of one slot only, and so can't have the marker in it.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};

/// Gives this connection the name, and ends all others of that name: nothing that was sent over them
/// is executed from then on. A refusal is [`Value::ServerError`].
pub(super) async fn end(mut server: MultiplexedConnection, name: &str) -> RedisResult<Value> {
    let mut ask = Pipeline::new();
    ask.cmd("CLIENT").arg("SETNAME").arg(name);
    ask.cmd("CLIENT").arg("ID");
    ask.cmd("CLIENT").arg("LIST").arg("TYPE").arg("NORMAL");
    let answers = server.send_packed_commands(&ask, 0, ask.len()).await?;
    let (own, list) = match answers.as_slice() {
        [Value::Okay, Value::Int(own), Value::VerbatimString { text, .. }] => (own, text.clone()),
        [Value::Okay, Value::Int(own), Value::BulkString(text)] => {
            (own, String::from_utf8_lossy(text).into_owned())
        }
        _ => return Ok(refusal(answers).unwrap_or(Value::Nil)),
    };
    let mut kill = Pipeline::new();
    for id in bearers(&list, name).filter(|id| id != own) {
        kill.cmd("CLIENT").arg("KILL").arg("ID").arg(id);
    }
    if kill.is_empty() {
        return Ok(Value::Okay);
    }
    let answers = server.send_packed_commands(&kill, 0, kill.len()).await?;
    Ok(refusal(answers).unwrap_or(Value::Okay))
}

fn refusal(answers: Vec<Value>) -> Option<Value> {
    answers.into_iter().find(|answer| matches!(answer, Value::ServerError(_)))
}

/// Who of CLIENT LIST has this name.
fn bearers<'a>(list: &'a str, name: &str) -> impl Iterator<Item = i64> + 'a {
    let name = format!("name={name}");
    list.lines().filter_map(move |line| {
        let mut fields = line.split(' ');
        let id = fields.next()?.strip_prefix("id=")?.parse().ok()?;
        fields.any(|field| field == name).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_the_whole_of_their_name() {
        let list = "id=3 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=seawall:outbox:a age=1\n\
                    id=4 addr=127.0.0.1:3 laddr=127.0.0.1:2 fd=9 name=seawall:outbox:ab age=1\n\
                    id=5 addr=127.0.0.1:4 laddr=127.0.0.1:2 fd=10 name= age=1\n\
                    id=77 addr=127.0.0.1:5 laddr=127.0.0.1:2 fd=11 name=seawall:outbox:a age=0\n\
                    nonsense\n";
        assert_eq!(bearers(list, "seawall:outbox:a").collect::<Vec<_>>(), [3, 77]);
        assert_eq!(bearers("", "seawall:outbox:a").count(), 0);
    }
}
