//! What can be opened on top of a view: a call, an incident, an endpoint, a stored write. A page is a text with links in it.

use mainstay_record::CallRecord;

use super::wish::{Answer, DeliveryPage, Fetched, Wish};
use crate::top::asked::{IncidentPage, Timeline};

/// What a page is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Call(String),
    Incident(String),
    Endpoint { upstream: String, endpoint: String },
    Delivery(String),
}

/// What was asked for it.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Call(Fetched<Box<CallRecord>>),
    Incident(Fetched<Box<IncidentPage>>),
    Endpoint(Fetched<Box<Timeline>>),
    Delivery(Fetched<Box<DeliveryPage>>),
}

/// A page, and where the person is in it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) what: What,
    pub(crate) content: Content,
    /// The first line that is shown.
    pub(crate) top: usize,
    /// The link under the cursor, by its line.
    pub(crate) link: Option<usize>,
    /// The lines that lead somewhere, and where; as they were drawn last.
    pub(crate) links: Vec<(usize, What)>,
    /// Lines in all, and those that can be seen.
    pub(crate) lines: usize,
    pub(crate) height: usize,
}

impl Page {
    pub(crate) fn new(what: What) -> Self {
        let content = match &what {
            What::Call(_) => Content::Call(Fetched::default()),
            What::Incident(_) => Content::Incident(Fetched::default()),
            What::Endpoint { .. } => Content::Endpoint(Fetched::default()),
            What::Delivery(_) => Content::Delivery(Fetched::default()),
        };
        Self { what, content, top: 0, link: None, links: Vec::new(), lines: 0, height: 0 }
    }

    /// What is asked for it.
    pub(crate) fn wish(&self) -> Wish {
        match &self.what {
            What::Call(id) => Wish::Call(id.clone()),
            What::Incident(id) => Wish::Incident(id.clone()),
            What::Endpoint { upstream, endpoint } => {
                Wish::History { upstream: upstream.clone(), endpoint: endpoint.clone() }
            }
            What::Delivery(id) => Wish::Delivery(id.clone()),
        }
    }

    /// Its wish, if it is time for it. The record of a call is asked for once: it doesn't change.
    pub(crate) fn due(&mut self, at: u64, every_ms: u64) -> Option<Wish> {
        match &mut self.content {
            Content::Call(it) if it.is_due(at, u64::MAX / 2) => it.ask(at),
            Content::Incident(it) if it.is_due(at, every_ms) => it.ask(at),
            Content::Endpoint(it) if it.is_due(at, every_ms) => it.ask(at),
            Content::Delivery(it) if it.is_due(at, every_ms) => it.ask(at),
            Content::Call(_)
            | Content::Incident(_)
            | Content::Endpoint(_)
            | Content::Delivery(_) => {
                return None;
            }
        }
        Some(self.wish())
    }

    /// Asks again as soon as it can.
    pub(crate) const fn stale(&mut self) {
        match &mut self.content {
            Content::Call(_) => {}
            Content::Incident(it) => it.stale(),
            Content::Endpoint(it) => it.stale(),
            Content::Delivery(it) => it.stale(),
        }
    }

    pub(crate) fn on_answer(&mut self, answer: Result<Answer, String>) {
        match (&mut self.content, answer) {
            (Content::Call(it), Ok(Answer::Call(one))) => it.answered(Ok(one)),
            (Content::Incident(it), Ok(Answer::Incident(one))) => it.answered(Ok(one)),
            (Content::Endpoint(it), Ok(Answer::Timeline(one))) => it.answered(Ok(one)),
            (Content::Delivery(it), Ok(Answer::Delivery(one))) => it.answered(Ok(one)),
            (content, answer) => {
                let why = answer.err().unwrap_or_else(|| super::MIXED_UP.to_owned());
                match content {
                    Content::Call(it) => it.answered(Err(why)),
                    Content::Incident(it) => it.answered(Err(why)),
                    Content::Endpoint(it) => it.answered(Err(why)),
                    Content::Delivery(it) => it.answered(Err(why)),
                }
            }
        }
    }

    /// The text was drawn anew: so many lines, these links, so many lines to be seen.
    pub(crate) fn settle(&mut self, lines: usize, links: Vec<(usize, What)>, height: usize) {
        (self.lines, self.links, self.height) = (lines, links, height);
        self.top = self.top.min(lines.saturating_sub(height));
        let is_there = |line: usize| self.links.iter().any(|(at, _)| *at == line);
        if !self.link.is_some_and(is_there) {
            self.link = self.first_seen();
        }
    }

    fn first_seen(&self) -> Option<usize> {
        self.seen().next()
    }

    /// Lines with links that can be seen.
    fn seen(&self) -> impl DoubleEndedIterator<Item = usize> {
        let seen = self.top..self.top + self.height;
        self.links.iter().map(|(line, _)| *line).filter(move |line| seen.contains(line))
    }

    /// One step: to the next link that can be seen, else a line further.
    pub(crate) fn step(&mut self, down: bool) {
        let from = self.link;
        let next = match down {
            true => self.seen().find(|line| from.is_none_or(|from| *line > from)),
            false => self.seen().rfind(|line| from.is_none_or(|from| *line < from)),
        };
        match next {
            Some(line) => self.link = Some(line),
            None => self.scroll(1, down),
        }
    }

    /// So many lines further.
    pub(crate) fn scroll(&mut self, lines: usize, down: bool) {
        let most = self.lines.saturating_sub(self.height);
        self.top = if down { (self.top + lines).min(most) } else { self.top.saturating_sub(lines) };
        // What can't be seen isn't under the cursor.
        let is_seen = self.link.is_some_and(|link| self.seen().any(|line| line == link));
        if !is_seen {
            let link = if down { self.seen().next() } else { self.seen().next_back() };
            self.link = link;
        }
    }

    /// Where the link under the cursor leads.
    pub(crate) fn target(&self) -> Option<&What> {
        self.links.iter().find(|(line, _)| Some(*line) == self.link).map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_to_the_next_link_that_is_seen_and_else_scrolls() {
        let call = |id: &str| What::Call(id.into());
        let mut page = Page::new(call("x"));
        page.settle(20, vec![(2, call("a")), (4, call("b")), (12, call("c"))], 6);
        assert_eq!(page.target(), Some(&call("a")));
        page.step(true);
        assert_eq!((page.target(), page.top), (Some(&call("b")), 0));
        // The third is below what is seen.
        (0..3).for_each(|_| page.step(true));
        assert_eq!((page.target(), page.top), (Some(&call("b")), 3));
        page.scroll(6, true);
        assert_eq!((page.target(), page.top), (Some(&call("c")), 9));
        page.scroll(60, true);
        assert_eq!((page.target(), page.top), (None, 14));
        (0..2).for_each(|_| page.step(false));
        assert_eq!((page.target(), page.top), (Some(&call("c")), 12));
        page.settle(4, Vec::new(), 6);
        assert_eq!((page.target(), page.top), (None, 0));
    }
}
