//! Protected mode: without a password, only clients on this machine are let in.

use crate::resp::clients::Endpoints;

/// What a client that protected mode keeps out is told; the text is Redis', with our names.
pub const DENIED: &str = "DENIED Seawall is running in protected mode because protected mode is \
    enabled and no password is set for the default user. In this mode connections are only \
    accepted from the loopback interface. If you want to connect from external computers to \
    Seawall you may adopt one of the following solutions: 1) Just disable protected mode sending \
    the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to \
    Seawall from the same host the server is running, however MAKE SURE Seawall is not publicly \
    accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. \
    2) Alternatively you can just disable the protected mode by editing the configuration file, \
    and setting 'server.protected_mode' to false. 3) Set a password with 'server.requirepass'. \
    NOTE: You only need to do one of the above things in order for the server to start accepting \
    connections from the outside.";

/// Whether a new connection is let in.
#[must_use]
pub fn protected_mode_admits(protected: bool, password_set: bool, from: &Endpoints) -> bool {
    !protected || password_set || from.is_local()
}
