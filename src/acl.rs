//! Access control: who may log in, and which commands, keys and channels each user may use. The
//! language of the rules, the categories of commands and the words of a refusal are Redis'.
//!
//! | module | owns |
//! |---|---|
//! | [`categories`] | the categories of every command |
//! | [`commands`] | sets of commands and subcommands, a bit each |
//! | [`access`] | what a command does with each of its keys and channels |
//! | [`rules`] | from the text of the rules to permissions |
//! | [`permissions`] | whether a command may run |
//! | [`password`] | digests of passwords, compared in constant time |
//! | [`gate`] | what came of logins and checks: counters, the ACL LOG, the throttle |
//!
//! All of it is pure but the gate, which locks and counts.
//!
//! Architecture invariant: nothing here knows where users are configured. A session holds its user
//! and asks it before each command, unless the user may do everything, which is one flag.

pub mod access;
pub mod categories;
pub mod commands;
pub mod gate;
pub mod password;
pub mod permissions;
pub mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use gate::Gate;
pub use password::PasswordHash;
pub use permissions::{Denied, Permissions, Reason};

/// Who a client is that has not said who it is.
pub const DEFAULT: &str = "default";

/// A user.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    name: Arc<str>,
    enabled: bool,
    nopass: bool,
    passwords: Vec<PasswordHash>,
    permissions: Permissions,
    /// Whether that is everything, which is asked at each connection.
    everything: bool,
}

impl User {
    /// A user; `nopass` takes any password.
    #[must_use]
    pub fn new(
        name: &str,
        enabled: bool,
        nopass: bool,
        passwords: Vec<PasswordHash>,
        permissions: Permissions,
    ) -> Self {
        let everything = permissions.is_everything();
        Self { name: name.into(), enabled, nopass, passwords, permissions, everything }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it may log in.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    #[must_use]
    pub const fn takes_any_password(&self) -> bool {
        self.nopass
    }

    /// How many passwords it has.
    #[must_use]
    pub const fn passwords(&self) -> usize {
        self.passwords.len()
    }

    /// Whether it may do everything, so that no command needs to be checked.
    #[must_use]
    pub const fn may_do_everything(&self) -> bool {
        self.everything
    }

    /// What it may do.
    #[must_use]
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether a client with this password may be this user. Takes as long for a wrong one.
    fn admits(&self, given: &PasswordHash) -> bool {
        // No early end: how long it takes does not tell which of them it was.
        let right = self.passwords.iter().fold(false, |right, one| one.matches(given) | right);
        self.enabled && (self.nopass || right)
    }
}

/// All users, `default` always among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Users {
    by_name: BTreeMap<Arc<str>, Arc<User>>,
    default: Arc<User>,
}

impl Default for Users {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Users {
    /// `default` alone, which may do everything, with this password or with any.
    #[must_use]
    pub fn new(password: Option<PasswordHash>) -> Self {
        let nopass = password.is_none();
        let passwords = password.into_iter().collect();
        let everything = Permissions::everything();
        let default = Arc::new(User::new(DEFAULT, true, nopass, passwords, everything));
        let by_name = BTreeMap::from([(Arc::clone(default.name()), Arc::clone(&default))]);
        Self { by_name, default }
    }

    /// Adds a user, or replaces the one of this name.
    pub fn add(&mut self, user: User) {
        self.by_name.insert(Arc::clone(user.name()), Arc::new(user));
    }

    /// `default` may do what `like` may, and log in if `like` may. Its password stays.
    pub fn restrict_default(&mut self, like: &User) {
        let User { nopass, passwords, .. } = (*self.default).clone();
        let permissions = like.permissions.clone();
        self.default = Arc::new(User::new(DEFAULT, like.enabled, nopass, passwords, permissions));
        self.by_name.insert(Arc::clone(self.default.name()), Arc::clone(&self.default));
    }

    /// The user that a client is before it says who it is.
    #[must_use]
    pub const fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// Whether a client is let in without a password.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.default.enabled && self.default.nopass
    }

    /// The user of this name. Names are told apart by case, as in Redis.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// Everyone, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// Who a client with this name and password is. A name that there is not takes as long as a
    /// password that is wrong.
    #[must_use]
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        let given = PasswordHash::of(password);
        let user = std::str::from_utf8(name).ok().and_then(|name| self.get(name));
        user.filter(|user| user.admits(&given))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests;
