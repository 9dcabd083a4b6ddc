//! Where stored writes are: one place, and no password in the file.

use super::Reader;
use crate::draft::TopDraft;
use crate::mistake::MistakeKind;

impl Reader<'_> {
    /// Tells what is wrong with the place of the store.
    pub(super) fn check_store(&mut self, top: &TopDraft) {
        let places = ["postgres_env", "postgres_file", "postgres", "path"];
        let said: Vec<&str> = places
            .into_iter()
            .filter(|name| self.places.first(&["outbox"], &[name]).is_some())
            .collect();
        if let [last, _, ..] = said.as_slice() {
            let advice = "one of `path`, `postgres`, `postgres_file` and `postgres_env`";
            self.wrong_store(last, "the outbox is in two places", advice);
        }
        if top.outbox.postgres.as_deref().is_some_and(has_password) {
            let message = "`outbox.postgres` has a password in it";
            let advice = "put the URL into a file and say `postgres_file`, or `postgres_env`";
            self.wrong_store("postgres", message, advice);
        }
        if top.outbox.is_shared() {
            return;
        }
        for name in ["schema", "lease", "intake"] {
            if self.places.first(&["outbox"], &[name]).is_some() {
                let message =
                    format!("`outbox.{name}` is for a database, and the outbox is a file");
                let advice = "say `postgres`, `postgres_file` or `postgres_env`, or take it out";
                self.wrong_store(name, &message, advice);
            }
        }
    }

    fn wrong_store(&mut self, name: &str, message: &str, advice: &str) {
        let place = self.places.first(&["outbox"], &[name]);
        let span = place.cloned().unwrap_or(0..0);
        self.mistake(MistakeKind::Contradiction, &span, message, advice);
    }
}

/// Whether a URL has one, before its host or as a parameter.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = place.split('/').next().unwrap_or_default().rsplit_once('@');
    user.is_some_and(|(user, _)| user.contains(':'))
        || query.split('&').any(|pair| pair.starts_with("password="))
}
