//! One GET, as plain as HTTP can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// Status and body.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("admin HTTP accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: seawall\r\nConnection: close\r\n\r\n")
        .expect("admin HTTP takes a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("admin HTTP answers in UTF-8");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or_else(|| panic!("not HTTP: {text:?}")), body.to_owned())
}
