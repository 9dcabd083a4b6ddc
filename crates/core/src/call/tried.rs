//! Where already: the endpoints that a call has tried.

use crate::upstream::EndpointId;

/// The endpoints of a call's attempts, the latest last, each once.
#[derive(Clone, Debug)]
pub struct Tried {
    list: [EndpointId; Self::ROOM],
    len: u8,
}

impl Tried {
    /// Attempts (at most 10) and free moves (at most 16) of one call; beyond, nothing is remembered.
    const ROOM: usize = 26;

    /// Remembers `endpoint`.
    pub fn add(&mut self, endpoint: EndpointId) {
        if !self.contains(endpoint) && usize::from(self.len) < Self::ROOM {
            self.list[usize::from(self.len)] = endpoint;
            self.len += 1;
        }
    }

    /// Whether it was tried.
    #[must_use]
    pub fn contains(&self, endpoint: EndpointId) -> bool {
        self.list().contains(&endpoint)
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[EndpointId] {
        &self.list[..usize::from(self.len)]
    }
}

impl Default for Tried {
    fn default() -> Self {
        Self { list: [EndpointId(0); Self::ROOM], len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_remembered_once() {
        let mut tried = Tried::default();
        tried.add(EndpointId(4));
        tried.add(EndpointId(4));
        assert_eq!(tried.list(), [EndpointId(4)]);
        assert!(!tried.contains(EndpointId(0)));
    }

    #[test]
    fn more_than_there_is_room_for_is_left_out() {
        let mut tried = Tried::default();
        (0..100).for_each(|id| tried.add(EndpointId(id)));
        assert_eq!(tried.list().len(), Tried::ROOM);
    }
}
