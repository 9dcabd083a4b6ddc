//! A PostgreSQL server of the tests' own: on a Unix socket in a directory of its own, for nobody else.
//!
//! Test processes that run side by side share one, which is made by the first of them and ends some seconds after the last: a
//! small shell process watches over that, whatever becomes of the tests. Each test has a schema of its own in it. A test that stops the server or cuts connections
//! has one for itself.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    /// Held while this process uses a shared one.
    used: Option<File>,
}

impl Cluster {
    /// The one that all share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let who = fs::metadata("/proc/self").unwrap().uid();
            let dir = std::env::temp_dir().join(format!("mainstay-test-postgres-{who}"));
            fs::create_dir_all(&dir).unwrap();
            let lock = open(&dir.join("lock"));
            lock.lock().unwrap();
            let used = open(&dir.join("used"));
            used.lock_shared().unwrap();
            let cluster = Self { dir: dir.join("server"), used: Some(used) };
            if !cluster.answers() {
                cluster.make(true);
                cluster.start();
                watch(&dir, &cluster);
            }
            cluster
        })
    }

    /// One for this test alone, with a disk that is synced. It ends when it is dropped.
    pub fn own(name: &str) -> Self {
        let name = format!("mainstay-test-postgres-{}-{name}", std::process::id());
        let cluster = Self { dir: std::env::temp_dir().join(name), used: None };
        cluster.make(false);
        cluster.start();
        cluster
    }

    /// How a client connects.
    pub fn url(&self) -> String {
        let socket = self.dir.display().to_string().replace('/', "%2F");
        format!("postgresql://postgres@{socket}/postgres")
    }

    /// How Python's and C's clients connect.
    pub fn dsn(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.dir.display())
    }

    fn make(&self, is_throwaway: bool) {
        let _ = fs::remove_dir_all(&self.dir);
        fs::create_dir_all(&self.dir).unwrap();
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(owner) = owner() {
            chown(&self.dir, Some(owner.0), Some(owner.1)).unwrap();
        }
        let data = self.data();
        let words = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"];
        let mut initdb = server_command("initdb");
        done(initdb.args(words).arg("-D").arg(&data), "initdb");
        let sync = if is_throwaway { "fsync = off\nfull_page_writes = off\n" } else { "" };
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 300\nshared_buffers = 64MB\n\
             deadlock_timeout = 200ms\nautovacuum_naptime = 5s\n{sync}",
            self.dir.display()
        );
        let config = data.join("postgresql.auto.conf");
        fs::write(&config, settings).unwrap();
        if let Some(owner) = owner() {
            chown(&config, Some(owner.0), Some(owner.1)).unwrap();
        }
    }

    /// Has it listen on the loopback too, at a port of its own, and speak TLS there with this certificate and key. The port.
    pub fn listen(&self, certificate: &str, key: &str) -> u16 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.data().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some(owner) = owner() {
                chown(&file, Some(owner.0), Some(owner.1)).unwrap();
            }
        }
        for setting in [
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("port = {port}"),
            "ssl = on".to_owned(),
        ] {
            self.sql(&format!("ALTER SYSTEM SET {setting}"));
        }
        self.crash();
        self.start();
        port
    }

    /// Starts it. It answers when this returns.
    pub fn start(&self) {
        let mut start = server_command("pg_ctl");
        start.args(["-w", "-t", "60", "-s", "-l"]).arg(self.dir.join("log"));
        done(start.arg("-D").arg(self.data()).arg("start"), "pg_ctl start");
    }

    /// Stops it as a crash would: nothing is finished, and it has to recover.
    pub fn crash(&self) {
        let mut stop = server_command("pg_ctl");
        stop.args(["-w", "-s", "-m", "immediate", "-D"]).arg(self.data()).arg("stop");
        done(&mut stop, "pg_ctl stop");
    }

    fn answers(&self) -> bool {
        let asked =
            client_command("psql").args(["-h"]).arg(&self.dir).args(QUIET).arg("SELECT 1").output();
        asked.is_ok_and(|asked| asked.status.success())
    }

    /// Has statements carried out. What they print.
    pub fn sql(&self, text: &str) -> String {
        let mut psql = client_command("psql");
        psql.arg("-h").arg(&self.dir).args(["-v", "ON_ERROR_STOP=1"]).args(QUIET).arg(text);
        let output = done(&mut psql, text);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Has statements carried out and then says nothing more, for so long that the server ends it.
    pub fn frozen(&self, text: &str) {
        let mut psql = client_command("psql");
        psql.arg("-h").arg(&self.dir).args(["-U", "postgres", "-X", "-q", "-A", "-t"]);
        psql.args(["-c", text, "-c", "\\! sleep 8", "-c", "COMMIT"]);
        let output = psql.stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "the server hasn't ended it");
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.used.is_none() {
            let stop = ["-w", "-s", "-m", "immediate", "stop", "-D"];
            let _ = server_command("pg_ctl").args(stop).arg(self.data()).output();
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Ends a shared server when nobody has used it for some seconds.
fn watch(dir: &Path, cluster: &Cluster) {
    let mut stop = server_command("pg_ctl");
    stop.args(["-w", "-s", "-m", "immediate", "stop", "-D"]).arg(cluster.data());
    let words: Vec<String> = std::iter::once(stop.get_program())
        .chain(stop.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let script = format!(
        "cd '{}' && exec 9> lock && while sleep 4; do flock -x 9; \
         if flock -n -x used true; then {}; rm -rf server; exit; fi; flock -u 9; done",
        dir.display(),
        words.join(" ")
    );
    let mut watcher = Command::new("setsid");
    watcher.args(["--fork", "sh", "-c", &script]);
    watcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(watcher.status().expect("setsid can't be started").success());
}

fn open(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

/// One of the server's programs. They refuse to run as root, so it is run as who they are installed for.
fn server_command(name: &str) -> Command {
    let path = programs().join(name);
    if owner().is_none() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
    command.current_dir("/");
    command
}

fn client_command(name: &str) -> Command {
    Command::new(programs().join(name))
}

const QUIET: [&str; 7] = ["-U", "postgres", "-X", "-q", "-A", "-t", "-c"];

/// The user of the system that the server runs as, where this is root.
fn owner() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut numbers = line.split(':').skip(2).map_while(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Where the newest server is installed.
fn programs() -> PathBuf {
    if let Some(dir) = std::env::var_os("MAINSTAY_POSTGRES_BIN") {
        return dir.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path())))
        .map(|(number, path)| (number, path.join("bin")))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    let (_, newest) = found.pop().expect(
        "PostgreSQL isn't installed: `apt-get install postgresql`, or say where its programs are in MAINSTAY_POSTGRES_BIN",
    );
    newest
}

fn done(command: &mut Command, what: &str) -> Output {
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
