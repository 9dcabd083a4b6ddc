//! A short first-in-first-out queue without allocation, for what a machine has to say after one piece of news.

/// At most `N` items, oldest first. A push on a full queue is a broken invariant: it is dropped, and a debug
/// build stops there.
#[derive(Debug)]
pub struct Queue<T, const N: usize> {
    items: [Option<T>; N],
    head: usize,
    len: usize,
}

impl<T, const N: usize> Queue<T, N> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: [const { None }; N], head: 0, len: 0 }
    }

    /// Adds `item` at the end.
    pub fn push(&mut self, item: T) {
        debug_assert!(self.len < N, "the queue of {N} is full: its owner was not drained");
        if self.len < N {
            self.items[(self.head + self.len) % N] = Some(item);
            self.len += 1;
        }
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let item = self.items[self.head].take();
        self.head = (self.head + 1) % N;
        self.len -= 1;
        item
    }
}

impl<T, const N: usize> Default for Queue<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_the_order_in_which_they_came() {
        let mut queue = Queue::<u8, 2>::new();
        queue.push(1);
        queue.push(2);
        assert_eq!(queue.pop(), Some(1));
        queue.push(3);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(3), None));
    }
}
