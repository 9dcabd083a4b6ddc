//! OpenTelemetry's protocol (OTLP 1.x): calls as spans, metrics, and what a collector answers.
//!
//! Messages only; who sends them, and how, isn't known here. Names follow the semantic conventions for HTTP, and `mainstay.` for
//! what they have no name for.

mod metrics;
mod protobuf;
mod resource;
mod spans;

pub(crate) use metrics::request;
pub(crate) use protobuf::{Field, Message, fields};
pub use resource::Resource;

/// What a collector's answer says of what it didn't take: how many spans or points, and why. `None`: it took all.
#[must_use]
pub fn partial_success(answer: &[u8]) -> Option<(u64, String)> {
    let (_, partial) = fields(answer).find(|(field, _)| *field == 1)?;
    let Field::Bytes(partial) = partial else { return None };
    let mut refused = 0;
    let mut why = String::new();
    for (field, value) in fields(partial) {
        match (field, value) {
            (1, Field::Number(count)) => refused = count,
            (2, Field::Bytes(text)) => why = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (refused > 0).then_some((refused, why))
}

/// Writes an attribute: a `KeyValue` in this field.
pub(crate) fn attribute(message: &mut Message, field: u32, key: &str, value: Value<'_>) {
    message.message(field, |pair| {
        pair.text(1, key);
        pair.message(2, |any| match value {
            Value::Text(text) => any.text(1, text),
            Value::Flag(flag) => any.number(2, flag.into()),
            Value::Whole(number) => any.number(3, number),
            Value::Real(number) => any.double(4, number),
        });
    });
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Flag(bool),
    Whole(u64),
    Real(f64),
}

/// Writes who made the spans or metrics.
fn scope(message: &mut Message, field: u32) {
    message.message(field, |scope| {
        scope.text(1, "mainstay");
        scope.text(2, env!("CARGO_PKG_VERSION"));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_refused_is_read_with_its_reason() {
        let mut answer = Message::default();
        answer.message(1, |partial| {
            partial.number(1, 3);
            partial.text(2, "too old");
        });
        assert_eq!(partial_success(&answer.into_bytes()), Some((3, "too old".into())));
        // A warning without a refusal, and an answer without either.
        let mut answer = Message::default();
        answer.message(1, |partial| partial.text(2, "soon deprecated"));
        assert_eq!(partial_success(&answer.into_bytes()), None);
        assert_eq!(partial_success(&[]), None);
        assert_eq!(partial_success(&[0xff, 0xff]), None);
    }
}
