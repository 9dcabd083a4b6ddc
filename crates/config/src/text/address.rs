//! Addresses to listen at.

use std::net::SocketAddr;

/// Reads `127.0.0.1:8080` or `[::1]:8080`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = |text: &str| text.parse::<u16>().is_ok();
    match text.rsplit_once(':') {
        _ if port(text) => Err(format!("did you mean \"127.0.0.1:{text}\"?")),
        Some(("" | "*", last)) if port(last) => Err(format!("did you mean \"0.0.0.0:{last}\"?")),
        Some(("localhost", last)) if port(last) => {
            Err(format!("did you mean \"127.0.0.1:{last}\"?"))
        }
        _ => {
            Err("write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\""
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_an_address_is_put_right() {
        assert!(address("127.0.0.1:80").is_ok() && address("[::1]:0").is_ok());
        assert_eq!(address("8080").unwrap_err(), "did you mean \"127.0.0.1:8080\"?");
        assert_eq!(address(":8080").unwrap_err(), "did you mean \"0.0.0.0:8080\"?");
        assert_eq!(address("localhost:8080").unwrap_err(), "did you mean \"127.0.0.1:8080\"?");
        assert!(address("example.com:80").is_err() && address("127.0.0.1").is_err());
    }
}
