//! What may be wrong with a TLS server.

/// A TLS handshake that can't succeed, or shouldn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsTrouble {
    /// The certificate's time is over since yesterday.
    Expired,
    /// It will be over in three days: nothing is broken yet.
    Expiring,
    /// The certificate is for another name.
    WrongName,
    /// No authority signed the certificate.
    SelfSigned,
    /// The server speaks TLS 1.0 and nothing newer. The TLS library can't: the first message is written by hand, and no
    /// client that refuses it sees more.
    OldProtocol,
    /// The server ends the handshake by the alert `handshake_failure`, as one does that misses a client's certificate.
    Alert,
    /// The server accepts the connection and never says anything.
    Stalled,
}

impl TlsTrouble {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Expired,
        Self::Expiring,
        Self::WrongName,
        Self::SelfSigned,
        Self::OldProtocol,
        Self::Alert,
        Self::Stalled,
    ];

    /// The word of its fault; a lab file writes it without `tls-`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Expired => "tls-expired",
            Self::Expiring => "tls-expiring",
            Self::WrongName => "tls-wrong-name",
            Self::SelfSigned => "tls-self-signed",
            Self::OldProtocol => "tls-old-protocol",
            Self::Alert => "tls-alert",
            Self::Stalled => "tls-stalled",
        }
    }

    /// The one that a word stands for, with or without `tls-`.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let short = word.strip_prefix("tls-").unwrap_or(word);
        Self::ALL.into_iter().find(|trouble| &trouble.word()["tls-".len()..] == short)
    }
}
