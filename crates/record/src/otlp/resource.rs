//! Who speaks: the attributes of this process.

use super::{Message, Value, attribute};

/// The resource that all spans and metrics of a process belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource(Vec<(String, String)>);

impl Resource {
    /// What is known of this process, with `own` attributes (`key=value`) beside it or in its place.
    #[must_use]
    pub fn new<'a>(own: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<(String, String)> = Vec::new();
        let mut say = |key: &str, value: String| match known.iter_mut().find(|(k, _)| k == key) {
            Some((_, before)) => *before = value,
            None => known.push((key.to_owned(), value)),
        };
        say("service.name", "mainstay".into());
        say("service.version", env!("CARGO_PKG_VERSION").into());
        say("service.instance.id", instance());
        if let Some(host) = host() {
            say("host.name", host);
        }
        say("process.pid", std::process::id().to_string());
        say("telemetry.sdk.name", "mainstay".into());
        say("telemetry.sdk.language", "rust".into());
        say("telemetry.sdk.version", env!("CARGO_PKG_VERSION").into());
        for (key, value) in own.into_iter().filter_map(|pair| pair.split_once('=')) {
            say(key, value.to_owned());
        }
        Self(known)
    }

    pub(super) fn write(&self, message: &mut Message, field: u32) {
        message.message(field, |resource| {
            for (key, value) in &self.0 {
                let number = (key == "process.pid").then(|| value.parse().ok()).flatten();
                attribute(resource, 1, key, number.map_or(Value::Text(value), Value::Whole));
            }
        });
    }
}

/// An id that no other process has: by chance, once for this one, in the form of a version 4 UUID.
fn instance() -> String {
    use std::hash::{BuildHasher, RandomState};
    static ID: std::sync::LazyLock<(u64, u64)> = std::sync::LazyLock::new(|| {
        (RandomState::new().hash_one(0), RandomState::new().hash_one(1))
    });
    let (high, low) = *ID;
    let (high, low) = (high & !0xf000 | 0x4000, low & !(3 << 62) | 2 << 62);
    let [a, b, c] = [high >> 32, high >> 16 & 0xffff, high & 0xffff];
    format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_takes_the_place_of_what_is_known() {
        let resource = Resource::new(["service.name=edge", "deployment.environment.name=a=b"]);
        let value = |key: &str| {
            let found: Vec<_> = resource.0.iter().filter(|(k, _)| k == key).collect();
            assert!(found.len() <= 1, "{key} twice");
            found.first().map(|(_, value)| value.as_str())
        };
        assert_eq!(value("service.name"), Some("edge"));
        assert_eq!(value("deployment.environment.name"), Some("a=b"));
        assert_eq!(value("service.instance.id").map(str::len), Some(36));
        assert_eq!(Resource::new([]), Resource::new([]));
    }
}
