//! Memory of idle client connections: many are opened, each gets one answer and then stays quiet.
//!
//! The proxy is a fresh process that has had a second of load, so that what it takes once isn't counted for the connections. The
//! kernel's memory for the sockets is the same for all and isn't counted at all.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::load;
use super::system::Running;

/// What idle connections cost one system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) connections: usize,
    pub(super) before_kib: u64,
    pub(super) with_them_kib: u64,
}

impl Idle {
    /// Memory for one connection.
    pub(super) fn kib_each(&self) -> f64 {
        (self.with_them_kib as f64 - self.before_kib as f64) / self.connections as f64
    }
}

/// Opens that many, lets them be idle, and reads the memory. None for a system without a process.
pub(super) fn measure(running: &Running, connections: usize) -> Result<Option<Idle>, String> {
    let Some(process) = &running.process else { return Ok(None) };
    load::wrk(running.address, WARM_CONNECTIONS, 1)?;
    thread::sleep(SETTLE);
    let before_kib = process.memory_kib()?;
    let mut held = Vec::with_capacity(connections);
    for count in 0..connections {
        held.push(
            open(running.address)
                .map_err(|why| format!("{}, client {count}: {why}", running.system.name()))?,
        );
    }
    thread::sleep(SETTLE);
    let with_them_kib = process.memory_kib()?;
    let closed = held.iter().filter(|stream| !is_open(stream)).count();
    if closed > 0 {
        return Err(format!(
            "{} closed {closed} of {connections} idle connections",
            running.system.name()
        ));
    }
    let idle = Idle { connections, before_kib, with_them_kib };
    eprintln!("{:>10}: {:.2} KiB each", running.system.name(), idle.kib_each());
    Ok(Some(idle))
}

/// Raises the limit of open files for us and our children, and says how many of the wanted connections fit.
pub(super) fn allowed(wanted: usize) -> Result<usize, String> {
    let limit = wanted + OTHER_FILES;
    if open_files()?.0 < limit && !raise(limit) {
        // Only root may go beyond the hard limit, and not everywhere.
        raise(open_files()?.1);
    }
    Ok(wanted.min(open_files()?.0.saturating_sub(OTHER_FILES)))
}

fn raise(limit: usize) -> bool {
    let id = std::process::id();
    crate::setup::answers(
        "prlimit",
        &[&format!("--pid={id}"), &format!("--nofile={limit}:{limit}")],
    )
}

/// The soft and the hard limit of open files.
fn open_files() -> Result<(usize, usize), String> {
    let text = fs::read_to_string("/proc/self/limits")
        .map_err(|error| format!("/proc/self/limits: {error}"))?;
    let mut words = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|word| word.parse().ok());
    words
        .next()
        .flatten()
        .zip(words.next().flatten())
        .ok_or_else(|| "no limit of open files is known".into())
}

fn open(address: SocketAddr) -> Result<TcpStream, String> {
    let exchange = || -> std::io::Result<(TcpStream, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(
            format!("GET /orders/4711 HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
        )?;
        let mut answer = Vec::new();
        let mut part = [0; 2048];
        while !answer.ends_with(END_OF_ANSWER) {
            match stream.read(&mut part)? {
                0 => break,
                length => answer.extend_from_slice(&part[..length]),
            }
        }
        Ok((stream, answer))
    };
    let (stream, answer) = exchange().map_err(|error| error.to_string())?;
    if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(END_OF_ANSWER) {
        Ok(stream)
    } else {
        Err(format!("unexpected answer: {}", String::from_utf8_lossy(&answer)))
    }
}

/// Nothing came, not even an end.
fn is_open(mut stream: &TcpStream) -> bool {
    let quiet = stream.set_nonblocking(true).and_then(|()| stream.read(&mut [0]));
    matches!(quiet, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Mainstay gives an idle connection's buffers back after a second; nginx and HAProxy do so at once.
const SETTLE: Duration = Duration::from_secs(4);
/// Nothing on a loopback takes that long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How the body in `bench/origin.nginx.conf` ends.
const END_OF_ANSWER: &[u8] = b"\"by sea...\"}";
/// As under load.
const WARM_CONNECTIONS: usize = 64;
/// What a proxy has open besides its clients: listeners, kept connections to the endpoints, and room.
const OTHER_FILES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_answer_is_that_of_the_origin() {
        let end = String::from_utf8_lossy(END_OF_ANSWER);
        assert!(include_str!("../../bench/origin.nginx.conf").contains(&format!("{end}';")));
    }

    #[test]
    fn memory_is_counted_by_connection() {
        let idle = Idle { connections: 1000, before_kib: 5_000, with_them_kib: 13_000 };
        assert_eq!(idle.kib_each(), 8.0);
    }

    #[test]
    fn the_limit_of_open_files_is_known() {
        let (soft, hard) = open_files().unwrap();
        assert!(0 < soft && soft <= hard);
    }
}
