//! What GET and PTTL say.

use std::sync::Arc;

use redis::{ServerError, Value};

use super::super::question::Found;

/// Whether these may be the answers to as many GETs and PTTLs.
pub(super) fn plausible(answers: &[Value]) -> bool {
    answers.chunks(2).all(|pair| {
        matches!(
            pair,
            [
                Value::BulkString(_) | Value::Nil | Value::ServerError(_),
                Value::Int(_) | Value::ServerError(_)
            ]
        )
    })
}

/// What GET and PTTL say together.
pub(super) fn read(value: Value, ttl: &Value, now: u64) -> Found {
    let value = match value {
        Value::BulkString(bytes) => Arc::from(bytes),
        Value::Nil => return Found::Absent,
        Value::ServerError(error) if error.code() == "WRONGTYPE" => return Found::Foreign,
        Value::ServerError(error) => return refused(&error),
        _ => return Found::Unknown("it answered something else than a string".into()),
    };
    match ttl {
        Value::Int(-1) => Found::Value { value, expires_at: None },
        Value::Int(ms) if *ms >= 0 => {
            Found::Value { value, expires_at: Some(now.saturating_add(ms.unsigned_abs())) }
        }
        // It expired in between.
        Value::Int(_) => Found::Absent,
        Value::ServerError(error) => refused(error),
        _ => Found::Unknown("it did not say when the key expires".into()),
    }
}

fn refused(error: &ServerError) -> Found {
    let (code, details) = (error.code(), error.details().unwrap_or_default());
    Found::Unknown(format!("it refuses: {code} {details}").trim_end().into())
}
