//! What an idle connection of an application costs: opens many, makes one request over each, and measures the
//! process's memory when all are parked.
//!
//! `cargo run --release -p mainstay-proxy --example idle -- 10000`; needs `ulimit -n` above twice that number.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use mainstay_proxy::{Options, Proxy};

/// As in the binary: it gives pages back, so that what is freed can be seen from outside.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let origin = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", origin.local_addr()?);
    thread::spawn(move || {
        origin.incoming().flatten().for_each(|tcp| drop(thread::spawn(|| serve(tcp))))
    });
    let mut settings =
        mainstay_config::quick(&[url], Some("127.0.0.1:0"), Some("off"), None)?.settings;
    settings.limits.connections = count + 10;
    settings.limits.idle_timeout = Duration::from_secs(600);
    let proxy = Proxy::start(settings, Options::quiet())?;
    let address = proxy.addresses()[0];

    // What the first calls bring about (connections to the upstream, their buffers) isn't the idle ones' cost.
    let mut open = vec![ask(TcpStream::connect(address)?)?];
    park(&proxy, 1);
    let before = resident_kib()?;
    for _ in 1..count {
        open.push(ask(TcpStream::connect(address)?)?);
    }
    let busy = resident_kib()?;
    park(&proxy, count);
    let parked = resident_kib()?;
    let each = |after: usize| after.saturating_sub(before) as f64 / count as f64;
    println!("{count} connections, each after one request; resident KiB: {before} before");
    println!("  as they came: {busy}, {:.2} each", each(busy));
    println!("  all parked:   {parked}, {:.2} each", each(parked));
    for tcp in open.drain(..) {
        ask(tcp)?;
    }
    println!("  and each has answered once more");
    Ok(())
}

fn serve(mut tcp: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    while tcp.read(&mut bytes)? > 0 {
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
    Ok(())
}

fn ask(mut tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nok") {
        let mut piece = [0; 1024];
        match tcp.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
    if !bytes.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(tcp)
}

fn park(proxy: &Proxy, count: usize) {
    let begun = Instant::now();
    while proxy.parked() < count && begun.elapsed() < Duration::from_secs(60) {
        thread::yield_now();
    }
    assert_eq!(proxy.parked(), count, "not all were parked within a minute");
}

fn resident_kib() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number =
        line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other("the system doesn't tell how much memory is in use"))
}
