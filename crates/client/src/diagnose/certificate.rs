//! What a certificate says of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names that it holds for.
    pub names: Vec<String>,
    /// When it ends, as seconds since 1970.
    pub ends_at: i64,
    /// Seconds until then; below zero: it has ended.
    pub seconds_left: i64,
    /// Whole days until then, rounded down; below zero: it has ended.
    pub days_left: i64,
    /// It signed itself.
    pub self_signed: bool,
}

impl Certificate {
    /// Reads DER; none if it isn't a certificate.
    pub(super) fn read(der: &[u8], now: SystemTime) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|found| found.value.general_names.iter().filter_map(name).collect());
        let ends_at = parsed.validity().not_after.timestamp();
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            ends_at,
            seconds_left: ends_at - now,
            days_left: (ends_at - now).div_euclid(DAY_SECONDS),
            self_signed: parsed.subject() == parsed.issuer(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match <[u8; 4]>::try_from(*octets) {
            Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    }
}

const DAY_SECONDS: i64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_its_names_and_its_end() {
        let made = rcgen::generate_simple_self_signed(vec!["api.lab".to_owned()]).unwrap();
        let read = Certificate::read(made.cert.der(), SystemTime::now()).unwrap();
        assert_eq!(read.names, ["api.lab"]);
        assert!(read.self_signed && read.days_left > 300);
        assert_eq!(Certificate::read(b"no certificate", SystemTime::now()), None);
    }
}
