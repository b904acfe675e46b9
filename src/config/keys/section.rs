//! The sections, in the order in which they are documented.

/// A section of the configuration file.
#[derive(Debug)]
pub struct Section {
    /// Its name, as in `[cache]`.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static str,
}

/// All sections.
pub static SECTIONS: &[Section] = &[
    Section { name: "server", doc: "Clients: where they connect, and what each may use." },
    Section { name: "admin", doc: "The admin HTTP listener: metrics and health." },
    Section { name: "tls", doc: "Certificates, for server.tls_bind and admin.tls." },
    Section { name: "data", doc: "Where everything that survives a restart is kept." },
    Section { name: "cache", doc: "The entries in memory." },
    Section { name: "validation", doc: "What a key and a value may be." },
    Section { name: "wal", doc: "The write-ahead log." },
    Section { name: "snapshot", doc: "Snapshots, which spare a start the log before them." },
    Section { name: "redis", doc: "A Redis or Valkey behind the cache." },
    Section { name: "log", doc: "What the daemon says about itself, on standard error." },
    Section { name: "supervision", doc: "How patient supervisors are." },
    Section { name: "startup", doc: "What happens when a start goes wrong." },
    Section { name: "debug", doc: "For development; leave it alone in production." },
];
