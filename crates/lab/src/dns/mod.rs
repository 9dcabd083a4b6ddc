//! A DNS server of the lab's own: names that belong to the lab, and answers that are wrong on command.
//!
//! It answers over UDP and TCP at the same port of the loopback, for A and AAAA alone; every other name doesn't exist.
//! It counts the questions about each name, which shows whether a client keeps to the TTL.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::fault::{DnsFault, DnsTrouble, Family, Fault, Rule};
use crate::rng::Rng;
use message::{Code, Question};

/// The DNS server of a lab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsSpec {
    /// The port at 127.0.0.1; 0 for any.
    pub port: u16,
    /// Its names, at most [`crate::SERVERS_LIMIT`].
    pub names: Vec<NameSpec>,
}

/// One name of the DNS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameSpec {
    /// With a dot in it, so that it can't be the name of a server of the lab.
    pub name: String,
    /// Its IPv4 addresses.
    pub a: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub aaaa: Vec<Ipv6Addr>,
    /// How long an answer may be kept, in whole seconds.
    pub ttl: Duration,
}

impl NameSpec {
    /// A name at 127.0.0.1 whose answers may be kept for two seconds.
    pub fn named(name: &str) -> Self {
        let a = vec![Ipv4Addr::LOCALHOST];
        Self { name: name.to_owned(), a, aaaa: Vec::new(), ttl: Duration::from_secs(2) }
    }
}

/// A name that is being answered for.
#[derive(Debug)]
pub struct Name {
    spec: NameSpec,
    rule: Mutex<Rule>,
    dice: Mutex<Rng>,
    questions: AtomicU64,
}

impl Name {
    pub(crate) fn new(spec: &NameSpec, seed: u64) -> Self {
        Self {
            spec: spec.clone(),
            rule: Mutex::new(Fault::Healthy.into()),
            dice: Mutex::new(Rng::named(seed, &spec.name)),
            questions: AtomicU64::new(0),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What happens to its questions now.
    pub fn rule(&self) -> Rule {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Questions about it so far, of both families.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, rule: Rule) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = rule;
    }

    /// The answer, and how much later it comes; none: silence.
    fn answer(&self, question: &Question) -> Option<(Duration, Vec<u8>)> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let own = || {
            let a = self.spec.a.iter().copied().map(IpAddr::V4);
            a.chain(self.spec.aaaa.iter().copied().map(IpAddr::V6)).collect::<Vec<_>>()
        };
        let reply = |code, addresses: &[IpAddr]| question.answer(code, addresses, self.spec.ttl);
        let at_once = |message| Some((Duration::ZERO, message));
        let Some(trouble) = self.trouble(question.family) else {
            return at_once(reply(Code::NoError, &own()));
        };
        match trouble {
            DnsTrouble::NoSuchName => at_once(reply(Code::NoSuchName, &[])),
            DnsTrouble::NoData => at_once(reply(Code::NoError, &[])),
            DnsTrouble::ServerFailure => at_once(reply(Code::ServerFailure, &[])),
            DnsTrouble::Refused => at_once(reply(Code::Refused, &[])),
            DnsTrouble::Silence => None,
            DnsTrouble::Slow(by) => Some((by, reply(Code::NoError, &own()))),
            DnsTrouble::Answer { a, aaaa } => {
                let a = a.into_iter().map(IpAddr::V4);
                let other: Vec<_> = a.chain(aaaa.into_iter().map(IpAddr::V6)).collect();
                at_once(reply(Code::NoError, &other))
            }
        }
    }

    /// What is wrong with the answer to a question of this family.
    fn trouble(&self, family: Option<Family>) -> Option<DnsTrouble> {
        let Rule { fault: Fault::Dns(DnsFault { trouble, family: only }), scope, .. } = self.rule()
        else {
            return None;
        };
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let meets = (only.is_none() || only == family) && scope.ratio.draw(&mut dice);
        meets.then_some(trouble)
    }
}

/// The server before it runs.
pub(crate) struct DnsServer {
    pub(crate) addr: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    names: Arc<Vec<Arc<Name>>>,
}

impl DnsServer {
    /// Takes the same port for UDP and TCP; 0 for any that is free for both.
    pub(crate) async fn open(port: u16, names: Vec<Arc<Name>>) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let udp = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            let addr = udp.local_addr()?;
            match TcpListener::bind(addr).await {
                Ok(tcp) => return Ok(Self { addr, udp, tcp, names: Arc::new(names) }),
                // The port that the system chose was free for UDP alone.
                Err(_) if port == 0 && tries < PORT_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers until it is told to stop.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let udp = Arc::new(self.udp);
        let mut answers = JoinSet::new();
        let mut buffer = [0; MESSAGE_BYTES];
        loop {
            let is_full = answers.len() >= ANSWERS_LIMIT;
            tokio::select! {
                _ = stop.changed() => return,
                _ = answers.join_next(), if !answers.is_empty() => {}
                asked = udp.recv_from(&mut buffer), if !is_full => {
                    let Ok((length, from)) = asked else { continue };
                    let Some((by, message)) = answer(&self.names, &buffer[..length]) else { continue };
                    let udp = udp.clone();
                    answers.spawn(async move {
                        sleep(by).await;
                        let _ = udp.send_to(&message, from).await;
                    });
                }
                accepted = self.tcp.accept(), if !is_full => {
                    let Ok((stream, _)) = accepted else { continue };
                    let names = self.names.clone();
                    answers.spawn(async move {
                        let _ = timeout(TCP_FOR, over_tcp(stream, &names)).await;
                    });
                }
            }
        }
    }
}

/// One question after the other, each message with its length before it (RFC 1035, 4.2.2).
async fn over_tcp(mut stream: TcpStream, names: &[Arc<Name>]) -> io::Result<()> {
    loop {
        let mut message = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut message).await?;
        if let Some((by, message)) = answer(names, &message) {
            sleep(by).await;
            stream.write_u16(message.len() as u16).await?;
            stream.write_all(&message).await?;
        }
    }
}

fn answer(names: &[Arc<Name>], message: &[u8]) -> Option<(Duration, Vec<u8>)> {
    let question = Question::read(message)?;
    match names.iter().find(|name| name.name() == question.name) {
        Some(name) => name.answer(&question),
        None => Some((Duration::ZERO, question.answer(Code::NoSuchName, &[], Duration::ZERO))),
    }
}

/// No question is longer (RFC 1035, 4.2.1; with EDNS it only says that answers may be).
const MESSAGE_BYTES: usize = 512;

/// Slow answers that wait at a time, and connections.
const ANSWERS_LIMIT: usize = 1_000;

const TCP_FOR: Duration = Duration::from_secs(60);

const PORT_TRIES: u32 = 20;
