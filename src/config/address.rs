//! Where a listener binds: `host:port`, resolved only when it is bound.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A TCP address as written: a host name or an IP address, and a port (0: any free one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 asks the system for a free one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether only this machine can reach it. A name other than `localhost` counts as remote.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("\"{text}\" is not an address ({why})");
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        let port = port
            .parse()
            .ok()
            .filter(|_| port.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| wrong("the port is not a number from 0 to 65535"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or_else(|| wrong("a bracket is open"))?;
                match inner.parse::<std::net::Ipv6Addr>() {
                    Ok(_) => inner,
                    Err(_) => return Err(wrong("the brackets hold no IPv6 address")),
                }
            }
            None if host.contains(':') => return Err(wrong("an IPv6 address needs brackets")),
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
            return Err(wrong("the host is empty or has characters that no host has"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_written() {
        for text in ["127.0.0.1:6380", "[::1]:6380", "localhost:0", "cache.example.com:1"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for text in
            ["", "6380", ":6380", "::1:6380", "[::1:6380", "[x]:1", "a:65536", "a:+1", "a b:1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_remote() {
        let loopback = |t: &str| t.parse::<Address>().map(|a| a.is_loopback());
        assert_eq!(loopback("127.9.9.9:1"), Ok(true));
        assert_eq!(loopback("[::1]:1"), Ok(true));
        assert_eq!(loopback("0.0.0.0:1"), Ok(false));
        assert_eq!(loopback("example.com:1"), Ok(false));
    }
}
