//! What came of an event stream of the lab: its events are numbered, so that a gap and a duplicate show.

/// The events of an answer, in the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Events {
    /// Events of the lab's that came.
    pub count: u64,
    /// Those of them whose number doesn't follow that of the one before; the first is number one.
    pub misplaced: u64,
    /// Events that say that the stream broke (`event: error`).
    pub errors: u64,
}

impl Events {
    /// Reads what came of a stream; what no empty line follows is no event.
    pub(super) fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let (mut events, mut before) = (Self::default(), 0);
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        for block in whole.split("\n\n") {
            let field = |name: &'static str| {
                block.lines().filter_map(move |line| line.strip_prefix(name)).map(str::trim)
            };
            let kind = field("event:").next();
            let data = field("data:").collect::<Vec<_>>().join("\n");
            let number = serde_json::from_str(&data)
                .ok()
                .and_then(|data: serde_json::Value| data.get("n")?.as_u64());
            match (kind, number) {
                (Some("error"), _) => events.errors += 1,
                (_, Some(number)) => {
                    events.count += 1;
                    events.misplaced += u64::from(number != before + 1);
                    before = number;
                }
                (_, None) => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_a_duplicate_and_an_error_are_seen_and_comments_and_half_an_event_are_not() {
        let tick = |number: u64| format!("id: {number}\nevent: tick\ndata: {{\"n\":{number}}}\n\n");
        let text = [&*tick(1), ": hello\n\n", &*tick(2), &*tick(2), &*tick(4), &*tick(5)].concat();
        let text = text + "event: error\ndata: {}\n\nevent: tick\ndata: {\"n\":6}\n";
        assert_eq!(Events::read(text.as_bytes()), Events { count: 5, misplaced: 2, errors: 1 });
        assert_eq!(Events::read(b""), Events::default());
    }
}
