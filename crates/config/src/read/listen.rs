//! Where applications connect.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::{Reader, entry};
use crate::draft::{LISTEN_ADDRESS, ListenerDraft, TopDraft};
use crate::keys;
use crate::mistake::MistakeKind;
use crate::settings::{CertificateFiles, Listener};
use crate::text;

impl Reader<'_> {
    /// Those of `listen`, then those of `[[listener]]`.
    pub(super) fn listeners(&mut self, table: &DeTable<'_>, top: &TopDraft) -> Vec<Listener> {
        let plain = match (top.listen.as_slice(), entry(table, "listener")) {
            ([], None) if entry(table, "listen").is_none() => vec![LISTEN_ADDRESS.to_owned()],
            (listen, _) => listen.to_vec(),
        };
        let mut listeners: Vec<Listener> = plain
            .iter()
            .filter_map(|address| text::address(address).ok())
            .map(|address| Listener { address, tls: None })
            .collect();
        listeners.extend(self.listener_tables(table));
        self.check_listeners(table, &listeners);
        listeners
    }

    fn listener_tables(&mut self, table: &DeTable<'_>) -> Vec<Listener> {
        let mut listeners = Vec::new();
        for (index, (table, span)) in self.tables(table, "listener").into_iter().enumerate() {
            let mut draft = ListenerDraft::default();
            let before = self.mistakes.len();
            let prefix = format!("listener[{index}]");
            self.apply(&keys::listener(), table, &mut draft, &prefix);
            let tls = self.certificate(table, draft.certificate, draft.key);
            if before == self.mistakes.len() && draft.address.is_empty() {
                self.mistake(
                    MistakeKind::Missing,
                    &span,
                    "a listener needs an `address`",
                    "such as address = \"0.0.0.0:8443\"",
                );
            }
            if let Ok(address) = text::address(&draft.address) {
                listeners.push(Listener { address, tls });
            }
        }
        listeners
    }

    fn check_listeners(&mut self, table: &DeTable<'_>, listeners: &[Listener]) {
        let span = ["listen", "listener"]
            .iter()
            .find_map(|name| entry(table, name))
            .map_or(0..0, |(name, _)| name.span());
        if listeners.is_empty() && self.mistakes.is_empty() {
            self.mistake(
                MistakeKind::Missing,
                &span,
                "there is no address to listen at",
                "give at least one",
            );
        }
        let mut seen = BTreeSet::new();
        for listener in listeners.iter().filter(|listener| listener.address.port() != 0) {
            if !seen.insert(listener.address) {
                let message = format!("{} is listened at twice", listener.address);
                self.mistake(MistakeKind::Taken, &span, message, "each address once");
            }
        }
    }

    /// Each table of the list `name`, with the place of its head.
    pub(super) fn tables<'t, 's>(
        &mut self,
        table: &'t DeTable<'s>,
        name: &str,
    ) -> Vec<(&'t DeTable<'s>, Range<usize>)> {
        let Some((key, value)) = entry(table, name) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{name}` is a list of tables");
            self.mistake(
                MistakeKind::WrongType,
                &key.span(),
                message,
                format!("write [[{name}]], with two brackets"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span())),
                _ => self.mistake(
                    MistakeKind::WrongType,
                    &item.span(),
                    format!("each `{name}` is a table"),
                    "",
                ),
            }
        }
        tables
    }

    /// Both files or none.
    pub(super) fn certificate(
        &mut self,
        table: &DeTable<'_>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Option<CertificateFiles> {
        match (entry(table, "certificate"), entry(table, "key")) {
            (Some((name, _)), None) => {
                self.mistake(
                    MistakeKind::Missing,
                    &name.span(),
                    "the certificate has no key",
                    "`key` is missing",
                );
            }
            (None, Some((name, _))) => {
                self.mistake(
                    MistakeKind::Missing,
                    &name.span(),
                    "the key has no certificate",
                    "`certificate` is missing",
                );
            }
            _ => {}
        }
        certificate.zip(key).map(|(certificate, key)| CertificateFiles { certificate, key })
    }
}
