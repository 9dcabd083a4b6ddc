//! The JSON Schema of the file, for editors.

use serde_json::{Map, Value, json};

use crate::keys::{self, Key, Kind, Rule};
use crate::profile::Profile;

/// The JSON Schema (draft 2020-12) of the file, made from the description of its keys.
///
/// It is as strict as a schema can be: names that resolve, and rules between keys, are the reader's.
#[must_use]
pub fn schema() -> Value {
    let mut file = object(&keys::top(), "");
    let address = keys::admin();
    let parts = [
        (
            "admin",
            json!({ "anyOf": [{ "type": "string" }, { "const": false }, object(&address, "")] }),
        ),
        ("listener", list(object(&keys::listener(), ""))),
        ("route", list(object(&keys::route(), ""))),
        (
            "upstream",
            json!({ "type": "object", "additionalProperties": upstream(), "minProperties": 1 }),
        ),
    ];
    for (name, part) in parts {
        describe(&mut file, name, part);
    }
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Mainstay",
        "required": ["upstream"],
    });
    merged(file, head)
}

fn upstream() -> Value {
    let endpoint = json!({ "anyOf": [{ "type": "string" }, object(&keys::endpoint(), "")] });
    let mut schema = object(&keys::upstream(), "");
    let endpoints = json!({ "anyOf": [
        { "type": "string" },
        { "type": "array", "items": endpoint, "minItems": 1, "maxItems": 1000 },
    ] });
    describe(&mut schema, "endpoints", endpoints);
    merged(schema, json!({ "required": ["endpoints"] }))
}

/// The schema of a table: of the keys in `section`, and of the tables in it.
fn object<T>(keys: &[Key<T>], section: &str) -> Value {
    let mut properties = Map::new();
    for key in keys.iter().filter(|key| key.section() == section) {
        let inner = match &key.kind {
            Kind::Section => object(keys, &key.path),
            Kind::Text(Rule::Profile) => json!({ "enum": Profile::ALL.map(Profile::name) }),
            kind => kind.schema(),
        };
        let inner = if key.off { json!({ "anyOf": [inner, { "const": false }] }) } else { inner };
        properties.insert(
            key.name().to_owned(),
            merged(inner, json!({ "description": description(key) })),
        );
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn description<T>(key: &Key<T>) -> String {
    let mut text = key.text.to_owned();
    for (label, cost) in [("Too low", key.low), ("Too high", key.high)] {
        if !cost.is_empty() {
            text.push_str(&format!(" {label}: {cost}"));
        }
    }
    text
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// Puts a fuller schema in the place of a property's, and keeps its text.
fn describe(schema: &mut Value, name: &str, part: Value) {
    let slot = schema.get_mut("properties").and_then(|all| all.get_mut(name));
    debug_assert!(slot.is_some(), "{name} isn't a key");
    if let Some(slot) = slot {
        let text = slot.get("description").cloned().unwrap_or_default();
        *slot = merged(part, json!({ "description": text }));
    }
}

fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_each_key_with_its_bounds_and_text() {
        let schema = schema();
        let at = |path: &str| schema.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/properties/threads/maximum"), json!(1024));
        let upstream = "/properties/upstream/additionalProperties";
        assert_eq!(
            at(&format!("{upstream}/properties/breaker/properties/probe_limit/maximum")),
            json!(255)
        );
        assert_eq!(at(&format!("{upstream}/properties/profile/enum/0")), json!("read-api"));
        assert_eq!(
            at("/properties/route/items/properties/retry/properties/max_attempts/minimum"),
            json!(1)
        );
        assert!(
            at("/properties/limits/description")
                .as_str()
                .is_some_and(|text| text.starts_with("What bounds"))
        );
        assert_eq!(at("/additionalProperties"), json!(false));
    }
}
