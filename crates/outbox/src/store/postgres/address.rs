//! Where a PostgreSQL store is, from a connection URL, and how its server is verified.
//!
//! `sslmode` means what it means to libpq, with one exception: where it isn't said, libpq takes `prefer`, which silently goes on without any
//! encryption. Here that is so for Unix sockets and the loopback only; any other server is verified (`verify-full`).

use std::env::VarError;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

/// Where it is. It is shown without its password.
#[derive(Clone)]
pub struct PostgresAddress {
    config: Config,
    verify: Verify,
    shown: String,
}

/// What is demanded of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// Nothing: `prefer` and `require`, against those who only listen.
    Nothing,
    /// That an authority has signed it: `verify-ca`. None: the system's.
    Signed(Option<PathBuf>),
    /// That, and that it is for this host: `verify-full`.
    Named(Option<PathBuf>),
}

/// Why a text isn't such a place. It says nothing of the text, in which a password may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongAddress(String);

impl fmt::Display for WrongAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongAddress {}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl PostgresAddress {
    /// Reads `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE&...`. A Unix socket's directory is a host too:
    /// percent-encoded, or as the parameter `host`.
    ///
    /// # Errors
    ///
    /// What of it is wrong, without the text itself.
    pub fn parse(url: &str) -> Result<Self, WrongAddress> {
        let url = url.trim();
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(WrongAddress("it has to begin with postgresql://".into()));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(decoded(value)?),
                _ => rest.push(pair),
            }
        }
        let whole = Zeroizing::new(format!("{place}?{}", rest.join("&")));
        let mut config: Config = whole.parse().map_err(|error: tokio_postgres::Error| {
            // Its source names the parameter, and never a value.
            let why = std::error::Error::source(&error).map(ToString::to_string);
            WrongAddress(why.unwrap_or_else(|| "it isn't a connection URL".into()))
        })?;
        if config.get_hosts().is_empty() {
            config.host("localhost");
        }
        if config.get_user().is_none() {
            return Err(WrongAddress("it names no user".into()));
        }
        let verify = verify(&mut config, mode, roots)?;
        // A standby takes no writes: of several hosts the one that does is meant.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name("mainstay");
        config.keepalives_idle(KEEPALIVE_AFTER).keepalives_interval(KEEPALIVE_EVERY);
        config.keepalives_retries(3).tcp_user_timeout(UNANSWERED_FOR);
        let shown = shown(&config);
        Ok(Self { config, verify, shown })
    }

    /// Reads such a text from a file.
    ///
    /// # Errors
    ///
    /// It can't be read, or is wrong. The text isn't told.
    pub fn of_file(file: &std::path::Path) -> Result<Self, WrongAddress> {
        let named = |why: &dyn fmt::Display| WrongAddress(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
        Self::parse(&Zeroizing::new(text)).map_err(|error| named(&error))
    }

    /// Reads such a text from a variable of the environment.
    ///
    /// # Errors
    ///
    /// It isn't set, or is wrong. The text isn't told.
    pub fn of_env(name: &str) -> Result<Self, WrongAddress> {
        let named = |why: &dyn fmt::Display| WrongAddress(format!("${name}: {why}"));
        // The error itself would show what isn't UTF-8.
        let text = std::env::var(name).map_err(|error| match error {
            VarError::NotPresent => named(&"it isn't set"),
            VarError::NotUnicode(_) => named(&"it isn't UTF-8"),
        })?;
        Self::parse(&Zeroizing::new(text)).map_err(|error| named(&error))
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) const fn verify(&self) -> &Verify {
        &self.verify
    }
}

fn verify(
    config: &mut Config,
    mode: Option<&str>,
    roots: Option<String>,
) -> Result<Verify, WrongAddress> {
    let is_near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    };
    // An address that is given goes before what a name says.
    let all_near = config.get_hosts().iter().all(is_near)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    let file = roots.filter(|roots| roots != "system").map(PathBuf::from);
    let (ssl, verify) = match mode {
        None if all_near && file.is_none() => (SslMode::Prefer, Verify::Nothing),
        None | Some("verify-full") => (SslMode::Require, Verify::Named(file)),
        Some("disable") => (SslMode::Disable, Verify::Nothing),
        Some("prefer") => (SslMode::Prefer, Verify::Nothing),
        // As libpq has it: with authorities at hand it is verify-ca.
        Some("require") if file.is_some() => (SslMode::Require, Verify::Signed(file)),
        Some("require") => (SslMode::Require, Verify::Nothing),
        Some("verify-ca") => (SslMode::Require, Verify::Signed(file)),
        Some(_) => {
            let allowed = "disable, prefer, require, verify-ca, verify-full";
            return Err(WrongAddress(format!("its sslmode isn't one; allowed: {allowed}")));
        }
    };
    config.ssl_mode(ssl);
    Ok(verify)
}

fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let ports = config.get_ports();
        let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let user = config.get_user().unwrap_or_default();
    format!("postgresql://{user}@{hosts}/{}", config.get_dbname().unwrap_or(user))
}

fn decoded(value: &str) -> Result<String, WrongAddress> {
    let wrong = || WrongAddress("a parameter isn't percent-encoded text".into());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        (rest, _) = match first {
            b'%' => {
                let (digits, after) = after.split_at_checked(2).ok_or_else(wrong)?;
                let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
                let byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
                (after, bytes.push(byte))
            }
            other => (after, bytes.push(*other)),
        };
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// A server that is gone without a word is noticed within half a minute.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const UNANSWERED_FOR: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> PostgresAddress {
        PostgresAddress::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn it_is_shown_without_its_password() {
        let place = parsed("postgresql://ann:se%2Fcret@db.example:5433/shop?sslmode=require");
        assert_eq!(place.to_string(), "postgresql://ann@db.example:5433/shop");
        assert_eq!(format!("{place:?}"), place.to_string());
    }

    #[test]
    fn sslmode_means_what_it_means_to_libpq_and_is_never_silently_nothing() {
        let check = |rest: &str, ssl: SslMode, verify: Verify| {
            let place = parsed(&format!("postgres://ann@{rest}"));
            assert_eq!((place.config.get_ssl_mode(), &place.verify), (ssl, &verify), "{rest}");
        };
        let roots = || Some(PathBuf::from("/a b.pem"));
        check("db.example/x", SslMode::Require, Verify::Named(None));
        check("localhost/x", SslMode::Prefer, Verify::Nothing);
        check("127.0.0.1/x", SslMode::Prefer, Verify::Nothing);
        check("%2Frun%2Fpg/x", SslMode::Prefer, Verify::Nothing);
        check("localhost,db.example/x", SslMode::Require, Verify::Named(None));
        check("db.example/x?sslmode=disable", SslMode::Disable, Verify::Nothing);
        check("db.example/x?sslmode=prefer", SslMode::Prefer, Verify::Nothing);
        check("db.example/x?sslmode=require", SslMode::Require, Verify::Nothing);
        check(
            "db.example/x?sslmode=require&sslrootcert=/a%20b.pem",
            SslMode::Require,
            Verify::Signed(roots()),
        );
        check("db.example/x?sslmode=verify-ca", SslMode::Require, Verify::Signed(None));
        check(
            "db.example/x?sslmode=verify-full&sslrootcert=system",
            SslMode::Require,
            Verify::Named(None),
        );
        check("localhost/x?sslrootcert=/a%20b.pem", SslMode::Require, Verify::Named(roots()));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_text_is_not() {
        let check = |url: &str, wanted: &str| {
            let error = PostgresAddress::parse(url).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("secret"), "{url}: {error}");
        };
        check("mysql://ann:secret@db/x", "postgresql://");
        check("postgresql://db.example/x", "no user");
        check("postgresql://ann:secret@db/x?sslmode=maybe", "allowed: disable");
        check("postgresql://ann:secret@db/x?sslcert=a", "sslcert");
        check("postgresql://ann:secret@db:port/x", "port");
    }
}
