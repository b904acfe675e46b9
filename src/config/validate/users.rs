//! `[[users]]`: from rows to users.

use std::sync::Arc;

use super::{Values, Violation};
use crate::acl::{DEFAULT, PasswordHash, Permissions, User, Users};
use crate::config::files::NamedFiles;
use crate::config::keys::Row;
use crate::config::secret::Secret;
use crate::config::value::Value;

const KEY: &str = "users";

/// The users of these values; `default` has the password of the server.
pub(super) fn users(
    values: &Values,
    files: &NamedFiles,
    password: Option<&Secret>,
    out: &mut Vec<Violation>,
) -> Arc<Users> {
    let rows: &[Row] = match values.get(KEY) {
        Some(Value::Rows(rows)) => rows,
        _ => &[],
    };
    let mut users = Users::new(password.map(|p| PasswordHash::of(p.expose().as_bytes())));
    for row in rows {
        match user(row, files) {
            Ok(user) if row.name() == DEFAULT => users.restrict_default(&user),
            Ok(user) => users.add(user),
            Err(why) => {
                let message = format!("{:?}: {why}", row.name());
                out.push(Violation { keys: vec![KEY], message });
            }
        }
    }
    Arc::new(users)
}

fn user(row: &Row, files: &NamedFiles) -> Result<User, String> {
    let mut hashes = Vec::new();
    if let Some(Value::Secrets(passwords)) = row.get("passwords") {
        for (at, hash) in (1..).zip(passwords) {
            // What is wrong may be the password itself, and is not shown.
            let hash = PasswordHash::parse(hash.expose()).ok_or_else(|| {
                format!(
                    "entry {at} of passwords is not a SHA-256: 64 hexadecimal digits, which \
                     `printf %s password | sha256sum` prints"
                )
            })?;
            hashes.push(hash);
        }
    }
    let path = row.text("password_file");
    if let Some(content) = files.get(KEY, path) {
        let before = hashes.len();
        for line in content.lines().filter(|line| !line.is_empty()) {
            let hash = match line.strip_prefix('#') {
                Some(_) => PasswordHash::parse(line),
                None => None,
            };
            hashes.push(hash.unwrap_or_else(|| PasswordHash::of(line.as_bytes())));
        }
        if hashes.len() == before {
            return Err(format!("{path} is empty: it must hold a password"));
        }
    }
    let nopass = row.flag("nopass");
    if row.name() == DEFAULT && (nopass || !hashes.is_empty()) {
        return Err("the password of default is server.requirepass".to_owned());
    }
    if nopass && !hashes.is_empty() {
        return Err("nopass and passwords exclude each other; remove one of them".to_owned());
    }
    let rules = row.text("rules");
    let permissions = Permissions::parse(rules).map_err(|why| format!("rules: {why}"))?;
    Ok(User::new(row.name(), row.flag("enabled"), nopass, hashes, permissions))
}
