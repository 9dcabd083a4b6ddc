//! Where the admin API is, and the token that it asks for.

use std::env::VarError;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Reader, entry};
use crate::draft::{ADMIN_ADDRESS, AdminDraft};
use crate::keys::{self, Kind, Wrong};
use crate::mistake::MistakeKind;
use crate::settings::{Admin, Listener, Secret};
use crate::text;

impl Reader<'_> {
    /// `None` when it is switched off, or wrong.
    pub(super) fn admin(&mut self, table: &DeTable<'_>, listeners: &[Listener]) -> Option<Admin> {
        let mut draft = AdminDraft::default();
        let found = entry(table, "admin");
        let span = found.map_or(0..0, |(name, _)| name.span());
        match found.map(|(_, value)| (value, value.get_ref())) {
            None => {}
            Some((_, DeValue::Boolean(false))) => return None,
            Some((_, DeValue::Table(table))) => {
                self.apply(&keys::admin(), table, &mut draft, "admin")
            }
            Some((_, DeValue::String(text))) => draft.address = text.to_string(),
            Some((value, _)) => {
                let all = keys::top();
                if let Some(key) = keys::find(&all, "admin") {
                    self.wrong(
                        key,
                        value,
                        &Wrong::new(
                            MistakeKind::WrongType,
                            format!("allowed: {}", Kind::Admin.allowed()),
                        ),
                    );
                }
                return None;
            }
        }
        let span = match found.map(|(_, value)| (value.get_ref(), value.span())) {
            Some((DeValue::String(_), value)) => value,
            _ => self.places.get("admin.address").cloned().unwrap_or(span),
        };
        let address = match text::address(&draft.address) {
            Ok(address) => address,
            Err(advice) => {
                self.mistake(MistakeKind::WrongForm, &span, "`admin` isn't an address", advice);
                return None;
            }
        };
        self.check_admin_address(address, listeners, found.is_some(), &span);
        let before = self.mistakes.len();
        let token = self.token(&draft);
        if token.is_none() && before == self.mistakes.len() && !address.ip().is_loopback() {
            let message = "the admin address can be reached from outside and has no token";
            self.mistake(
                MistakeKind::Missing,
                &span,
                message,
                "give it a `token`, `token_file` or `token_env`, or a loopback address",
            );
        }
        Some(Admin { address, token })
    }

    fn check_admin_address(
        &mut self,
        address: SocketAddr,
        listeners: &[Listener],
        written: bool,
        span: &Range<usize>,
    ) {
        let taken =
            address.port() != 0 && listeners.iter().any(|listener| listener.address == address);
        if taken && written {
            self.mistake(
                MistakeKind::Taken,
                span,
                format!("{address} is listened at already"),
                "the admin address is one of its own",
            );
        } else if taken {
            let span = self.places.first(&[""], &["listen", "listener"]).cloned().unwrap_or(0..0);
            let message = format!("{ADMIN_ADDRESS} is where the admin API is by default");
            self.mistake(
                MistakeKind::Taken,
                &span,
                message,
                "give `admin` another address, or switch it off: admin = false",
            );
        }
    }

    fn token(&mut self, draft: &AdminDraft) -> Option<Secret> {
        let given = [draft.token.is_some(), draft.token_file.is_some(), draft.token_env.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            let span = self
                .places
                .first(&["admin"], &["token_env", "token_file"])
                .cloned()
                .unwrap_or(0..0);
            self.mistake(
                MistakeKind::Contradiction,
                &span,
                "the token is given twice",
                "one of `token`, `token_file` and `token_env`",
            );
            return None;
        }
        let (name, read) = if let Some(token) = &draft.token {
            ("token", Ok(token.clone()))
        } else if let Some(file) = &draft.token_file {
            ("token_file", read_token(file))
        } else if let Some(variable) = &draft.token_env {
            // The error itself would show what isn't UTF-8.
            let read = std::env::var(variable).map_err(|error| match error {
                VarError::NotPresent => "environment variable not found".to_owned(),
                VarError::NotUnicode(_) => "environment variable isn't UTF-8".to_owned(),
            });
            ("token_env", read)
        } else {
            return None;
        };
        let span = self.places.first(&["admin"], &[name]).cloned().unwrap_or(0..0);
        let sendable =
            |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        match read.map(|token| token.trim().to_owned()) {
            Ok(token) if sendable(&token) => Some(Secret::new(token)),
            Ok(_) => {
                let advice = "a token is printable ASCII without spaces";
                self.mistake(
                    MistakeKind::WrongForm,
                    &span,
                    format!("`{name}` gives no token that can be sent"),
                    advice,
                );
                None
            }
            Err(error) => {
                self.mistake(
                    MistakeKind::Unreadable,
                    &span,
                    format!("`{name}` can't be read"),
                    error,
                );
                None
            }
        }
    }
}

/// A token's file. A device or a log would be read for ever, or into memory whole.
fn read_token(file: &Path) -> Result<String, String> {
    let found = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !found.is_file() || found.len() > LARGEST_TOKEN {
        return Err("that isn't a file of at most 64 KiB".into());
    }
    std::fs::read_to_string(file).map_err(|error| error.to_string())
}

/// The head of a request, in which the token comes, isn't larger.
const LARGEST_TOKEN: u64 = 64 << 10;
