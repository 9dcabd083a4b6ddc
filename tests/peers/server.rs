//! nginx and HAProxy on ports of their own, with configs of the test's; ended when dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::support::{PATIENCE, text};

/// An nginx that answers everything, and logs the id of each write that it carried out.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

/// A HAProxy in front of another server, with its own idle limit of a second.
pub(crate) struct Haproxy {
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
    _process: Child,
}

impl Nginx {
    /// With these directives for its connections.
    pub(crate) async fn start(directives: &str) -> Result<Self, String> {
        Self::start_with(directives, "").await
    }

    /// The same over HTTP/2 in the clear, by prior knowledge.
    pub(crate) async fn start_http2(directives: &str) -> Result<Self, String> {
        Self::start_with(directives, "http2").await
    }

    async fn start_with(directives: &str, listen: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let port = free_port().await?;
        let path = folder.path().display();
        let config = format!(
            "daemon off; pid {path}/pid; error_log {path}/error.log; worker_processes 1; user root;
             events {{ worker_connections 256; }}
             http {{
                 log_format ids '$request_method $http_x_request_id $status';
                 access_log {path}/access.log ids;
                 client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                 fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
                 {directives}
                 server {{ listen 127.0.0.1:{port} {listen}; location / {{ return 200 'done'; }} }}
             }}"
        );
        std::fs::write(folder.path().join("nginx.conf"), config).map_err(text)?;
        let file = folder.path().join("nginx.conf").display().to_string();
        let process = start(&["nginx", "/usr/sbin/nginx"], &["-c", &file]).await?;
        until_listening(port).await?;
        Ok(Self { port, folder, process })
    }

    /// How often each id was carried out, read when the log has stood still.
    pub(crate) async fn executed(&self) -> Result<BTreeMap<String, u32>, String> {
        let file = self.folder.path().join("access.log");
        let mut length = 0;
        let text = loop {
            let found = std::fs::read_to_string(&file).map_err(text)?;
            if found.len() == length && length > 0 {
                break found;
            }
            length = found.len();
            sleep(Duration::from_millis(50)).await;
        };
        let mut executed = BTreeMap::new();
        for line in text.lines() {
            if let [_, id, "200"] = line.split(' ').collect::<Vec<_>>()[..] {
                *executed.entry(id.to_owned()).or_default() += 1;
            }
        }
        Ok(executed)
    }

    /// Has it read its config again, over and over, until `work` is done: each time its workers are replaced and their idle
    /// connections closed.
    pub(crate) async fn reloading_while<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let process = self.process.id().ok_or("nginx has ended")?.to_string();
        let reloads = async {
            loop {
                sleep(Duration::from_millis(400)).await;
                let sent = Command::new("kill").args(["-HUP", &process]).status().await;
                if !sent.map_err(text)?.success() {
                    return Err::<T, _>("nginx has ended".to_owned());
                }
            }
        };
        tokio::select! {
            done = work => done,
            failed = reloads => failed,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is told, not killed.
        if let Some(id) = self.process.id() {
            let told = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
            if told.is_err() {
                eprintln!("nginx {id} couldn't be ended");
            }
        }
    }
}

impl Haproxy {
    pub(crate) async fn start(behind: u16) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let port = free_port().await?;
        let config = format!(
            "defaults
                 mode http
                 timeout connect 5s
                 timeout client 30s
                 timeout server 30s
                 timeout http-keep-alive 1s
             listen all
                 bind 127.0.0.1:{port}
                 server nginx 127.0.0.1:{behind}\n"
        );
        let file: PathBuf = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).map_err(text)?;
        let words = ["-db", "-f", &file.display().to_string()];
        let process = start(&["haproxy", "/usr/sbin/haproxy"], &words).await?;
        until_listening(port).await?;
        Ok(Self { port, _folder: folder, _process: process })
    }
}

/// Starts the first of these programs that there is.
async fn start(names: &[&str], words: &[&str]) -> Result<Child, String> {
    for name in names {
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(process) = command.kill_on_drop(true).spawn() {
            return Ok(process);
        }
    }
    Err(format!(
        "{} isn't installed, so nothing was tested; `cargo xtask test` installs it",
        names[0]
    ))
}

pub(crate) async fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    Ok(listener.local_addr().map_err(text)?.port())
}

async fn until_listening(port: u16) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() > until {
            return Err(format!("nothing listens on {address}"));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
