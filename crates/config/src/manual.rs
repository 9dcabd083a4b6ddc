//! The page of the manual on the file: made from the description of its keys, so that it can't be wrong.

use crate::draft::{
    AdminDraft, CallDraft, EndpointDraft, ListenerDraft, RouteDraft, TopDraft, UpstreamDraft,
};
use crate::keys::{self, Key, Kind, Value};
use crate::profile::Profile;

/// The text of `docs/config.md`.
#[must_use]
pub fn manual() -> String {
    let mut out = format!("{HEAD}\n```toml\n{}```\n{FORMS}", crate::example());
    chapter(&mut out, "The file itself", "", &keys::top(), &mut TopDraft::default());
    chapter(&mut out, "`[admin]`", ADMIN, &keys::admin(), &mut AdminDraft::default());
    chapter(&mut out, "`[[listener]]`", LISTENER, &keys::listener(), &mut ListenerDraft::default());
    chapter(&mut out, "`[upstream.NAME]`", UPSTREAM, &keys::upstream(), &mut UpstreamDraft::new());
    chapter(
        &mut out,
        "An endpoint as a table",
        ENDPOINT,
        &keys::endpoint(),
        &mut EndpointDraft::default(),
    );
    let mut route = RouteDraft::new(CallDraft::default());
    let calls = keys::call();
    let routes = keys::route().into_iter().filter(|key| keys::find(&calls, &key.path).is_none());
    chapter(&mut out, "`[[route]]`", ROUTE, &routes.collect::<Vec<_>>(), &mut route);
    profiles(&mut out);
    out
}

/// A table of keys for each section.
fn chapter<T>(out: &mut String, title: &str, intro: &str, keys: &[Key<T>], draft: &mut T) {
    out.push_str(&format!("\n## {title}\n\n"));
    if !intro.is_empty() {
        out.push_str(&format!("{intro}\n\n"));
    }
    rows(out, keys, "", draft);
    for section in keys.iter().filter(|key| key.kind == Kind::Section) {
        out.push_str(&format!("\n### `{}`\n\n{}\n\n", section.path, section.text));
        rows(out, keys, &section.path, draft);
    }
}

fn rows<T>(out: &mut String, keys: &[Key<T>], section: &str, draft: &mut T) {
    let here = |key: &&Key<T>| key.section() == section && key.kind != Kind::Section;
    if !keys.iter().any(|key| here(&key)) {
        return;
    }
    out.push_str("| key | allowed | default | what it does | too low | too high |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for key in keys.iter().filter(here) {
        let cells = [
            &format!("`{}`", key.name()),
            &key.allowed(),
            &default(keys, key, draft),
            key.text,
            key.low,
            key.high,
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// The default: as described, else as the code has it.
fn default<T>(keys: &[Key<T>], key: &Key<T>, draft: &mut T) -> String {
    if let Some(text) = key.default {
        return text.to_owned();
    }
    switch_on(keys, key.section(), draft);
    match key.field.as_ref().map(|field| field.get(draft)) {
        Some(Value::Off) if key.off => "`false`".into(),
        Some(value) => key.kind.show(&value).map(|shown| format!("`{shown}`")).unwrap_or_default(),
        None => String::new(),
    }
}

/// The defaults of a section are those that it has once it is on.
fn switch_on<T>(keys: &[Key<T>], section: &str, draft: &mut T) {
    let head = keys::find(keys, section).filter(|head| head.off);
    if let Some(field) = head.and_then(|head| head.field.as_ref()) {
        field.set(draft, Value::Flag(true));
    }
}

fn profiles(out: &mut String) {
    out.push_str(&format!("\n## Profiles\n\n{PROFILES}\n"));
    for profile in Profile::ALL {
        out.push_str(&format!("\n### `{}`\n\n```toml\n{}```\n", profile.name(), profile.text()));
    }
}

const HEAD: &str = "\
# The configuration file

<!-- Made from the code by `cargo xtask bless`. Change crates/config/src/keys instead. -->

`mainstay check FILE` tells everything that is wrong with a file, each with its line, and what is allowed there. It warns
of what is allowed and probably not meant. Only endpoints have to be given:
";

const FORMS: &str = "
Values are written like this:

| value | written |
|---|---|
| length of time | `\"250ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`, `\"2d\"`; a number without a unit is refused |
| size | `\"512B\"`, `\"64KiB\"`, `\"1MiB\"`, `\"10MB\"` (KiB, MiB, GiB: 1024; kB, MB, GB: 1000) |
| share | `\"20%\"` or `0.2` |
| statuses | `[408, \"500-599\", \"5xx\", \"!501\"]`: an exception applies wherever it stands |
| switched off | `false` |

Settings lie in layers, of which the later wins: defaults, the profile of the upstream, the upstream, the profile of the
route, the route. What concerns calls (timeouts, `retry`, `failures`, `replay` and so on) may stand at an
upstream, for all of its routes, or at a route. A default or a value of a profile gives way where it would contradict what
the file says: with `total_timeout = \"5s\"` alone, `attempt_timeout` is 5s too. Two values that are written and can't
both hold are an error.

Nothing is taken from the environment, except by `token_env`. Files are relative to the directory of this one.
";

const ADMIN: &str = "`admin = \"ADDRESS\"` is short for a table with an address alone; `admin = false` switches it off.";

const LISTENER: &str = "HTTP/1.1 and HTTP/2 are agreed on by ALPN.";

const UPSTREAM: &str = "A service, by the name that records, metrics and routes use.";

const ENDPOINT: &str = "\
`endpoints = [{ url = \"https://a.example\" }, { url = \"https://b.example\", tier = 1 }]`: the second is used when the first
can't be.";

const ROUTE: &str = "\
The first route whose conditions all hold is used; one that no request can reach is an error. Without any, everything
goes to the only upstream. All keys that concern calls may stand here too: those of `[upstream.NAME]` from `total_timeout` to
`attempt_header`, and `retry`, `hedge` and `adaptive_timeout`, written as `[route.retry]` or `retry.max_attempts`.";

const PROFILES: &str = "\
A profile is a piece of `[upstream.NAME]`, named by `profile = \"NAME\"`. What is written beside it goes on top.";
