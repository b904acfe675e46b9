//! The daemon's exit codes, in one table.
//!
//! Where `sysexits.h` has a code that means it, that one is used; the parts of the tree that may
//! end the daemon have codes of their own above them. 78 is what systemd calls `CONFIG`: a unit
//! with `RestartPreventExitStatus=78` does not start again on the same mistake.

use std::process::ExitCode;

/// Why the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// As asked.
    Ok = 0,
    /// A second signal while stopping.
    Forced = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A file to import is damaged, or not known here.
    Input = 65,
    /// A daemon that was asked is not there.
    Unavailable = 69,
    /// A mistake in Seawall itself.
    Internal = 70,
    /// An address or a file of the system could not be had.
    System = 71,
    /// Another daemon holds the data directory.
    Locked = 75,
    /// The configuration is wrong.
    Config = 78,
    /// The log gave up.
    WalGaveUp = 80,
    /// The cache gave up.
    CacheGaveUp = 81,
    /// The listeners gave up.
    FrontGaveUp = 82,
    /// The log on the disk is corrupt.
    Corrupt = 83,
    /// The log on the disk ends in what a crash left.
    Torn = 84,
}

impl Exit {
    /// All of them, in ascending order.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Forced,
        Self::Usage,
        Self::Input,
        Self::Unavailable,
        Self::Internal,
        Self::System,
        Self::Locked,
        Self::Config,
        Self::WalGaveUp,
        Self::CacheGaveUp,
        Self::FrontGaveUp,
        Self::Corrupt,
        Self::Torn,
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in a sentence for the operator.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => {
                "Ended as asked, by SIGTERM, SIGINT or SHUTDOWN; or the command did its work."
            }
            Self::Forced => "A second signal came while stopping; what was left was cut off.",
            Self::Usage => "The command line is wrong.",
            Self::Input => {
                "What `seawall import` was to read is damaged, or not known here; nothing was imported."
            }
            Self::Unavailable => {
                "`seawall tree` or `seawall snapshot` found no daemon that answers."
            }
            Self::Internal => "A mistake in Seawall itself; the log says where. Please report it.",
            Self::System => {
                "The system refused something, an address or a file; the message says what."
            }
            Self::Locked => "Another process holds the data directory.",
            Self::Config => "The configuration is wrong; every mistake is listed.",
            Self::WalGaveUp => "The log's writer failed more often than its supervisor allows.",
            Self::CacheGaveUp => "A shard failed more often than its supervisor allows.",
            Self::FrontGaveUp => "The listeners failed more often than their supervisor allows.",
            Self::Corrupt => {
                "The log on the disk is corrupt; the report names file, offset and LSN."
            }
            Self::Torn => {
                "`seawall wal` found a torn end; the next start cuts it off and keeps a copy."
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table of `docs/operations.md`, in Markdown.
#[must_use]
pub fn table() -> String {
    let mut out = String::from("| code | meaning |\n|---|---|\n");
    for exit in Exit::ALL {
        out.push_str(&format!("| {} | {} |\n", exit.code(), exit.meaning()));
    }
    out
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_codes_ascend() {
        assert!(Exit::ALL.windows(2).all(|w| w[0].code() < w[1].code()));
    }

    #[test]
    fn the_documentation_holds_the_table() {
        const BEGIN: &str = "<!-- exit codes: generated; do not edit -->\n";
        const END: &str = "<!-- end of exit codes -->";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        let text = std::fs::read_to_string(&path).expect("docs/operations.md");
        let (before, rest) = text.split_once(BEGIN).expect("the marker before the codes");
        let (between, after) = rest.split_once(END).expect("the marker behind the codes");
        let wanted = format!("\n{}\n", table());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("docs/");
            return;
        }
        assert_eq!(between, wanted, "run UPDATE_DOCS=1 cargo test -p seawall exit");
    }
}
