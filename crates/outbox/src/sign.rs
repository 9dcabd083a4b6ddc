//! Signatures of callbacks, by the Standard Webhooks scheme (standardwebhooks.com, specification 1.0): HMAC-SHA256 over
//! `id.timestamp.body`, in base64, as `v1,...`. A receiver that knows the secret knows by that who sent a message, and when.
//!
//! Each secret signs, so that a receiver may know the old one or the new one while they are changed. Secrets are kept in memory only.

use std::env::VarError;
use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::DeliveryId;

/// What callbacks are signed with: one secret or several.
pub struct Secrets(Vec<Key>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Why there are no secrets. It doesn't tell what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsError(String);

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SecretsError {}

impl Secrets {
    /// Reads a file with secrets: each `whsec_` and 24 to 64 bytes in base64, with space between them. A line that begins with `#` is
    /// left out.
    ///
    /// # Errors
    ///
    /// It can't be read, there is none in it, or something in it is none.
    pub fn read(file: &Path) -> Result<Self, SecretsError> {
        let text = std::fs::read_to_string(file).map(Zeroizing::new);
        let text = text
            .map_err(|error| SecretsError(format!("{} can't be read: {error}", file.display())))?;
        Self::of(&text)
            .map_err(|SecretsError(why)| SecretsError(format!("{}: {why}", file.display())))
    }

    /// Reads an environment variable with secrets, as a file is read.
    ///
    /// # Errors
    ///
    /// It isn't set, there is none in it, or something in it is none.
    pub fn of_env(name: &str) -> Result<Self, SecretsError> {
        let text = std::env::var(name).map(Zeroizing::new);
        // The error itself would show what isn't UTF-8.
        let text = text.map_err(|error| match error {
            VarError::NotPresent => SecretsError(format!("{name} isn't set")),
            VarError::NotUnicode(_) => SecretsError(format!("{name} isn't UTF-8")),
        })?;
        Self::of(&text).map_err(|SecretsError(why)| SecretsError(format!("{name}: {why}")))
    }

    fn of(text: &str) -> Result<Self, SecretsError> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words = lines.flat_map(str::split_whitespace);
        let secrets: Vec<Key> = words.enumerate().map(secret).collect::<Result<_, _>>()?;
        if secrets.is_empty() {
            return Err(SecretsError("there is no secret".into()));
        }
        if secrets.len() > SECRETS_MOST {
            return Err(SecretsError(format!("there are more than {SECRETS_MOST} secrets")));
        }
        Ok(Self(secrets))
    }

    /// The value of `webhook-signature`: one signature for each secret, with a space between them. `unix_seconds`: the value of
    /// `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: DeliveryId, unix_seconds: u64, body: &[u8]) -> String {
        self.sign_as(&id.to_string(), unix_seconds, body)
    }

    /// The same, of a message that isn't a delivery.
    #[must_use]
    pub fn sign_as(&self, id: &str, unix_seconds: u64, body: &[u8]) -> String {
        let signed = [format!("{id}.{unix_seconds}.").as_bytes(), body].concat();
        let one = |key| format!("v1,{}", STANDARD.encode(sign(key, &signed)));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

fn secret((index, word): (usize, &str)) -> Result<Key, SecretsError> {
    let bytes = word.strip_prefix("whsec_").and_then(|word| STANDARD.decode(word).ok());
    let bytes = bytes.map(Zeroizing::new).filter(|bytes| (24..=64).contains(&bytes.len()));
    let bytes = bytes.ok_or_else(|| {
        let place = index + 1;
        SecretsError(format!(
            "number {place} isn't a secret: `whsec_` and 24 to 64 bytes in base64 are"
        ))
    })?;
    Ok(Key::new(HMAC_SHA256, &bytes))
}

/// The field with the time of a signature, in seconds since 1970.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";

/// The field with the signatures.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// A change has two of them for a while. Each costs 48 bytes of a head.
const SECRETS_MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

    fn signed(text: &str) -> String {
        let secrets = Secrets::of(text).unwrap();
        secrets.sign_as("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}")
    }

    #[test]
    fn it_signs_as_the_published_example_does() {
        assert_eq!(signed(SECRET), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let both = signed(&format!("# the new one\n{OTHER}\n{SECRET}\n"));
        assert_eq!(both, format!("{} {}", signed(OTHER), signed(SECRET)));
    }

    #[test]
    fn what_is_no_secret_is_told_and_not_shown() {
        let short = format!("whsec_{}", STANDARD.encode([0x61; 23]));
        let long = format!("whsec_{}", STANDARD.encode([0x61; 65]));
        for text in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%", &short, &long] {
            let error = Secrets::of(&format!("{SECRET} {text}")).unwrap_err().to_string();
            assert!(
                error.starts_with("number 2 isn't a secret") && !error.contains(text),
                "{error}"
            );
        }
        assert_eq!(Secrets::of(" \n#x\n").unwrap_err().to_string(), "there is no secret");
        assert!(!format!("{:?}", Secrets::of(SECRET).unwrap()).contains("MfKQ"));
        let error = Secrets::read(Path::new("/nowhere/secrets")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/secrets can't be read"), "{error}");
    }
}
