//! Objects of which only the members that have changed are written.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

/// What the members of an object were when they were written last: a hash of each, in their order.
#[derive(Debug, Default)]
pub(super) struct Memory(Vec<u64>);

/// An object that is being written. Members are named in the same order each time.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    memory: Option<&'a mut Memory>,
    begun: usize,
    place: usize,
    /// Whether a member was written, the name not counted.
    has_news: bool,
}

impl<'a> Object<'a> {
    /// Begins one. Without a memory all members are written; with one, those that it doesn't know to be the same.
    pub(super) fn begin(out: &'a mut Vec<u8>, memory: Option<&'a mut Memory>) -> Self {
        let begun = out.len();
        out.push(b'{');
        Self { out, memory, begun, place: 0, has_news: false }
    }

    /// A member that is written in any case and is no news: what the object is called.
    pub(super) fn name(&mut self, name: &str, value: impl Serialize) {
        self.write(name, &value);
    }

    /// A member.
    pub(super) fn put(&mut self, name: &str, value: impl Serialize) {
        let begun = self.out.len();
        let value_begun = self.write(name, &value);
        if self.is_known(value_begun) {
            self.out.truncate(begun);
        } else {
            self.has_news = true;
        }
    }

    /// A member that is made of objects. It is written where one of them has news.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T) -> bool,
    ) {
        let begun = self.out.len();
        self.key(name);
        self.out.push(b'[');
        let mut has_items = false;
        for item in items {
            let item_begun = self.out.len();
            if has_items {
                self.out.push(b',');
            }
            match write(self.out, item) {
                true => has_items = true,
                false => self.out.truncate(item_begun),
            }
        }
        self.out.push(b']');
        match has_items || self.memory.is_none() {
            true => self.has_news = true,
            false => self.out.truncate(begun),
        }
    }

    /// Ends it. Whether there is anything new in it; where there isn't, nothing of it is left.
    pub(super) fn end(self) -> bool {
        if self.has_news {
            self.out.push(b'}');
        } else {
            self.out.truncate(self.begun);
        }
        self.has_news
    }

    fn key(&mut self, name: &str) {
        if self.out.len() > self.begun + 1 {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn write(&mut self, name: &str, value: &impl Serialize) -> usize {
        self.key(name);
        let begun = self.out.len();
        if let Err(error) = serde_json::to_writer(&mut *self.out, value) {
            // Numbers, words and maps with words for keys can always be written.
            debug_assert!(false, "{name}: {error}");
            self.out.truncate(begun);
            self.out.extend_from_slice(b"null");
        }
        begun
    }

    /// Whether the value that was just written is what it was the last time; it is remembered.
    fn is_known(&mut self, begun: usize) -> bool {
        let place = self.place;
        self.place += 1;
        let Some(Memory(known)) = self.memory.as_deref_mut() else { return false };
        let mut hasher = DefaultHasher::new();
        self.out[begun..].hash(&mut hasher);
        let hash = hasher.finish();
        match known.get_mut(place) {
            Some(before) => std::mem::replace(before, hash) == hash,
            None => {
                known.push(hash);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &[u8]) -> &str {
        std::str::from_utf8(out).unwrap()
    }

    fn endpoint(out: &mut Vec<u8>, memory: Option<&mut Memory>, rate: u32, state: &str) -> bool {
        let mut object = Object::begin(out, memory);
        object.name("name", "a\"b");
        object.put("rate", rate);
        object.put("state", state);
        object.end()
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut memory = Memory::default();
        let mut check = |rate, state, wanted: &str| {
            let mut out = Vec::new();
            let news = endpoint(&mut out, Some(&mut memory), rate, state);
            assert_eq!((text(&out), news), (wanted, !wanted.is_empty()));
        };
        check(1, "up", r#"{"name":"a\"b","rate":1,"state":"up"}"#);
        check(1, "up", "");
        check(2, "up", r#"{"name":"a\"b","rate":2}"#);
        check(2, "open", r#"{"name":"a\"b","state":"open"}"#);
        check(3, "open", r#"{"name":"a\"b","rate":3}"#);
    }

    #[test]
    fn a_list_holds_what_has_news_and_is_left_out_without_any() {
        let mut memories = [Memory::default(), Memory::default()];
        let mut top = Memory::default();
        let mut check = |rates: [u32; 2], wanted: &str| {
            let mut out = Vec::new();
            let mut object = Object::begin(&mut out, Some(&mut top));
            object.name("v", 1);
            object.list("all", memories.iter_mut().zip(rates), |out, (memory, rate)| {
                endpoint(out, Some(memory), rate, "up")
            });
            object.end();
            assert_eq!(text(&out), wanted);
        };
        check(
            [1, 1],
            r#"{"v":1,"all":[{"name":"a\"b","rate":1,"state":"up"},{"name":"a\"b","rate":1,"state":"up"}]}"#,
        );
        check([1, 2], r#"{"v":1,"all":[{"name":"a\"b","rate":2}]}"#);
        check([1, 2], "");
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out, None);
        object.list("all", [0; 0], |_, _| true);
        assert!(object.end());
        assert_eq!(text(&out), r#"{"all":[]}"#);
    }
}
