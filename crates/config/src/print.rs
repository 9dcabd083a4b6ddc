//! Settings to text that is read as the same settings.

use crate::draft::{CallDraft, EndpointDraft, RouteDraft, TopDraft, UpstreamDraft};
use crate::keys::{self, Key, Kind, Value};
use crate::settings::{Admin, Listener, NameMatch, PathMatch, Route, Settings, Upstream};
use crate::text::{key, quoted};

/// Writes all effective settings as TOML. [`crate::parse`] reads it as equal settings, but for the admin token, which is never shown.
#[must_use]
pub fn print(settings: &Settings) -> String {
    let mut out = String::new();
    top(&mut out, settings);
    listeners(&mut out, &settings.listeners);
    if let Some(admin) = &settings.admin {
        self::admin(&mut out, admin);
    }
    for upstream in &settings.upstreams {
        let callback = settings.callbacks.iter().find(|route| {
            settings.upstreams.get(route.upstream).is_some_and(|of| of.name == upstream.name)
        });
        self::upstream(&mut out, upstream, callback);
    }
    for route in &settings.routes {
        self::route(&mut out, route, settings);
    }
    out
}

fn top(out: &mut String, settings: &Settings) {
    let plain = settings.listeners.iter().all(|listener| listener.tls.is_none());
    let addresses = settings.listeners.iter().map(|listener| listener.address.to_string());
    let mut draft = TopDraft {
        listen: if plain { addresses.collect() } else { Vec::new() },
        drain_timeout: settings.drain_timeout,
        threads: settings.threads,
        log_calls: settings.log_calls,
        log_format: settings.log_format,
        access_log: settings.access_log.clone(),
        limits: settings.limits.clone(),
        records: settings.records.clone(),
        outbox: settings.outbox.clone(),
        incidents: settings.incidents.clone(),
        traces: settings.traces.clone(),
        metrics: settings.metrics.clone(),
    };
    if settings.admin.is_none() {
        out.push_str("admin = false\n");
    }
    // What is a file's isn't said of a database, and the other way round.
    let is_shared = settings.outbox.is_shared();
    let fits = |key: &Key<TopDraft>| match key.path.as_str() {
        "listen" => plain,
        "outbox.path" => !is_shared,
        "outbox.schema" | "outbox.lease" | "outbox.intake" => is_shared,
        _ => true,
    };
    table(out, "", &keys::top(), &mut draft, fits);
}

fn listeners(out: &mut String, listeners: &[Listener]) {
    if listeners.iter().all(|listener| listener.tls.is_none()) {
        return;
    }
    for Listener { address, tls } in listeners {
        out.push_str(&format!("\n[[listener]]\naddress = {}\n", quoted(&address.to_string())));
        if let Some(files) = tls {
            line(out, "certificate", &quoted(&files.certificate.to_string_lossy()));
            line(out, "key", &quoted(&files.key.to_string_lossy()));
        }
    }
}

fn admin(out: &mut String, Admin { address, token }: &Admin) {
    out.push_str(&format!("\n[admin]\naddress = {}\n", quoted(&address.to_string())));
    if token.is_some() {
        out.push_str("# The token isn't shown; here it comes from the environment.\n");
        line(out, "token_env", "\"MAINSTAY_ADMIN_TOKEN\"");
    }
}

fn upstream(out: &mut String, upstream: &Upstream, callback: Option<&Route>) {
    let mut draft = UpstreamDraft::of(upstream);
    if let Some(callback) = callback {
        draft.call = CallDraft::of(callback);
    }
    let prefix = format!("upstream.{}", key(&upstream.name));
    out.push_str(&format!("\n[{prefix}]\nendpoints = [\n"));
    for EndpointDraft { url, name, tier, weight } in &draft.endpoints {
        let name = quoted(name.as_deref().unwrap_or_default());
        out.push_str(&format!(
            "    {{ url = {}, name = {name}, tier = {tier}, weight = {weight} }},\n",
            quoted(url)
        ));
    }
    out.push_str("]\n");
    // What concerns calls is written at the routes, which have the last word on it; but callbacks have none.
    let calls = keys::call();
    let own =
        |key: &Key<UpstreamDraft>| callback.is_some() || keys::find(&calls, &key.path).is_none();
    table(out, &prefix, &keys::upstream(), &mut draft, own);
}

fn route(out: &mut String, route: &Route, settings: &Settings) {
    let mut draft = RouteDraft::of(route);
    let upstream =
        settings.upstreams.get(route.upstream).map_or("", |upstream| upstream.name.as_str());
    out.push_str("\n[[route]]\n");
    line(out, "upstream", &quoted(upstream));
    matches(out, "query", &route.matcher.query);
    matches(out, "headers", &route.matcher.headers);
    let empty = |key: &Key<RouteDraft>| match key.path.as_str() {
        "hosts" => route.matcher.hosts.is_empty(),
        "methods" => route.matcher.methods.is_empty(),
        _ => false,
    };
    table(out, "route", &keys::route(), &mut draft, |key| !empty(key));
}

/// A path in the form in which it is read.
#[must_use]
pub fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Prefix(prefix) => prefix.clone(),
        PathMatch::Pattern(segments) => format!("/{}", segments.join("/")),
    }
}

fn matches(out: &mut String, name: &str, list: &[NameMatch]) {
    if list.is_empty() {
        return;
    }
    let items = list.iter().map(|NameMatch { name, value }| {
        let value = value.as_deref().map_or_else(|| "true".to_owned(), quoted);
        format!("{} = {value}", key(name))
    });
    line(out, name, &format!("{{ {} }}", items.collect::<Vec<_>>().join(", ")));
}

/// Writes the keys of a table, section by section, in the order of their description.
fn table<T>(
    out: &mut String,
    prefix: &str,
    keys: &[Key<T>],
    draft: &mut T,
    wanted: impl Fn(&Key<T>) -> bool,
) {
    let mut sections: Vec<&str> = Vec::new();
    for key in keys.iter().filter(|key| wanted(key)) {
        if !sections.contains(&key.section()) {
            sections.push(key.section());
        }
    }
    // Keys of the table itself come first: behind a sub-table they would belong to that.
    sections.sort_by_key(|section| !section.is_empty());
    for section in sections {
        if is_off(keys, section, draft) {
            continue;
        }
        let here = keys.iter().filter(|key| key.section() == section && wanted(key));
        let lines: String = here.filter_map(|key| shown(key, draft)).collect();
        if !section.is_empty() && !lines.is_empty() {
            out.push_str(&format!(
                "\n[{}]\n",
                if prefix.is_empty() { section.to_owned() } else { format!("{prefix}.{section}") }
            ));
        }
        out.push_str(&lines);
    }
}

/// Whether a section is switched off, so that its keys say nothing.
fn is_off<T>(keys: &[Key<T>], section: &str, draft: &mut T) -> bool {
    let switch = keys::find(keys, section).and_then(|key| key.field.as_ref());
    switch.is_some_and(|switch| switch.get(draft) == Value::Off)
}

/// The line of one key; `None` when there is nothing to write.
fn shown<T>(key: &Key<T>, draft: &mut T) -> Option<String> {
    let value = match (key.field.as_ref()?.get(draft), &key.kind) {
        (Value::Off, _) if key.off => "false".to_owned(),
        (_, Kind::Section) => return None,
        (value, kind) => kind.show(&value)?,
    };
    let mut written = String::new();
    line(&mut written, key.name(), &value);
    Some(written)
}

fn line(out: &mut String, name: &str, value: &str) {
    out.push_str(&format!("{name} = {value}\n"));
}
