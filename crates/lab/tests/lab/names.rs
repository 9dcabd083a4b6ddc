//! The lab's own DNS server, asked with bytes.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mainstay_lab::{DnsSpec, Lab, NameSpec, Rule, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::raw::within;

const A: u8 = 1;
const AAAA: u8 = 28;

async fn lab() -> Lab {
    let name = NameSpec { aaaa: vec![Ipv6Addr::LOCALHOST], ..NameSpec::named("api.lab") };
    let dns = Some(DnsSpec { port: 0, names: vec![name] });
    Lab::start(Spec { dns, ..Spec::of(["a"]) }).await.unwrap()
}

fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, kind, 0, 1]);
    message
}

/// The answer's code, how many addresses it has, and its last bytes; none: silence.
async fn ask(lab: &Lab, name: &str, kind: u8) -> Option<(u8, u8, Vec<u8>)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&question(name, kind), lab.dns_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 512];
    let length = timeout(Duration::from_millis(200), socket.recv(&mut buffer)).await.ok()?.unwrap();
    Some((buffer[3] & 15, buffer[7], buffer[length - 4..length].to_vec()))
}

async fn set(lab: &Lab, rule: &str) {
    lab.set("api.lab", rule.parse::<Rule>().unwrap()).await.unwrap();
}

#[tokio::test]
async fn each_kind_of_answer_is_given_on_command() {
    let lab = lab().await;
    let home = vec![127, 0, 0, 1];
    assert_eq!(ask(&lab, "api.lab", A).await, Some((0, 1, home.clone())));
    assert!(matches!(ask(&lab, "api.lab", AAAA).await, Some((0, 1, _))));
    assert!(matches!(ask(&lab, "other.lab", A).await, Some((3, 0, _))));
    for (rule, code) in
        [("dns-nxdomain", 3), ("dns-nodata", 0), ("dns-servfail", 2), ("dns-refused", 5)]
    {
        set(&lab, rule).await;
        let (found, addresses, _) = ask(&lab, "api.lab", A).await.unwrap();
        assert_eq!((found, addresses), (code, 0), "{rule}");
    }
    set(&lab, "dns-timeout family=a").await;
    assert_eq!(ask(&lab, "api.lab", A).await, None);
    assert!(matches!(ask(&lab, "api.lab", AAAA).await, Some((0, 1, _))));
    set(&lab, "dns-answer a=127.0.0.9").await;
    assert_eq!(ask(&lab, "api.lab", A).await, Some((0, 1, vec![127, 0, 0, 9])));
    assert_eq!(lab.name("api.lab").unwrap().questions(), 9);
    lab.shutdown().await;
}

#[tokio::test]
async fn it_answers_over_tcp_too() {
    let lab = lab().await;
    let mut stream = TcpStream::connect(lab.dns_addr().unwrap()).await.unwrap();
    let question = question("api.lab", A);
    stream.write_u16(question.len() as u16).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let length = within(stream.read_u16()).await.unwrap();
    let mut answer = vec![0; usize::from(length)];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[answer.len() - 4..], [127, 0, 0, 1]);
    lab.shutdown().await;
}

#[tokio::test]
async fn names_and_servers_have_faults_of_their_own() {
    let lab = lab().await;
    assert!(lab.set("a", "dns-nodata".parse::<Rule>().unwrap()).await.is_err());
    assert!(lab.set("api.lab", "hang".parse::<Rule>().unwrap()).await.is_err());
    let file = "[[server]]\nname = \"a\"\n[dns]\nport = 0\n[[dns.name]]\nname = \"api.lab\"\na = [\"127.0.0.1\"]\n";
    let spec = Spec::parse(file).unwrap();
    assert_eq!(spec.dns.unwrap().names, [NameSpec::named("api.lab")]);
    let steps = "[timeline]\ntext = \"\"\"\n0s api.lab hang\n1s a dns-nodata\n\"\"\"\n";
    let error = Spec::parse(&format!("{file}{steps}")).unwrap_err();
    assert_eq!(error.problems().len(), 2, "{error}");
}
