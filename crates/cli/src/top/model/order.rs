//! What can be ordered: what it is called, what it will do, and how the admin address is told.

use serde_json::json;

use crate::admin::encoded;

/// An order that hasn't been given yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Endpoint {
        upstream: String,
        endpoint: String,
        what: EndpointOrder,
    },
    Delivery {
        id: String,
        what: DeliveryOrder,
    },
    /// What becomes of the delivery that holds the lane.
    Lane {
        upstream: String,
        lane: String,
        what: DeliveryOrder,
    },
    Reload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointOrder {
    Drain,
    Open,
    Closed,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryOrder {
    Retry,
    Settle,
    Drop,
}

impl EndpointOrder {
    pub(crate) const ALL: [Self; 4] = [Self::Drain, Self::Open, Self::Closed, Self::Auto];

    const fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Auto => "auto",
        }
    }

    const fn effect(self) -> &'static str {
        match self {
            Self::Drain => {
                "It takes no new calls, its idle connections are closed, and what is on its way \
                 finishes. Until it is ordered auto."
            }
            Self::Open => {
                "All calls there are refused at once; those on their way finish. Until it is \
                 ordered auto."
            }
            Self::Closed => "It is asked whatever it does. Until it is ordered auto.",
            Self::Auto => "The order is taken back: its breaker begins anew, closed.",
        }
    }
}

impl DeliveryOrder {
    pub(crate) const ALL: [Self; 3] = [Self::Retry, Self::Settle, Self::Drop];

    const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Settle => "settle",
            Self::Drop => "drop",
        }
    }

    const fn effect(self) -> &'static str {
        match self {
            Self::Retry => "It is sent again, as soon as its turn comes.",
            Self::Settle => "It counts as delivered: somebody has seen that it arrived.",
            Self::Drop => "It is given up, and never sent again.",
        }
    }
}

impl Order {
    /// The key that picks it in a menu.
    pub(crate) const fn key(&self) -> char {
        match self {
            Self::Endpoint { what: EndpointOrder::Drain, .. }
            | Self::Delivery { what: DeliveryOrder::Drop, .. }
            | Self::Lane { what: DeliveryOrder::Drop, .. } => 'd',
            Self::Endpoint { what: EndpointOrder::Open, .. } => 'o',
            Self::Endpoint { what: EndpointOrder::Closed, .. } => 'c',
            Self::Endpoint { what: EndpointOrder::Auto, .. } => 'a',
            Self::Delivery { what: DeliveryOrder::Retry, .. }
            | Self::Lane { what: DeliveryOrder::Retry, .. }
            | Self::Reload => 'r',
            Self::Delivery { what: DeliveryOrder::Settle, .. }
            | Self::Lane { what: DeliveryOrder::Settle, .. } => 's',
        }
    }

    /// "drain api/a".
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Endpoint { upstream, endpoint, what } => {
                format!("{} {upstream}/{endpoint}", what.word())
            }
            Self::Delivery { id, what } => format!("{} delivery {id}", what.word()),
            Self::Lane { upstream, lane, what } => {
                format!("release lane {upstream}/{lane}: {} what holds it", what.word())
            }
            Self::Reload => "reload settings".to_owned(),
        }
    }

    /// What will happen, in a sentence or two.
    pub(crate) fn effect(&self) -> String {
        match self {
            Self::Endpoint { what, .. } => what.effect().to_owned(),
            Self::Delivery { what, .. } => what.effect().to_owned(),
            Self::Lane { what, .. } => {
                format!(
                    "The delivery that holds the lane: {} Those behind it go on.",
                    lower(what.effect())
                )
            }
            Self::Reload => "The config is read and checked as a whole; if anything is wrong with \
                             it, nothing changes. Calls in progress keep their settings."
                .to_owned(),
        }
    }

    /// Path and body of the POST.
    pub(crate) fn request(&self) -> (String, String) {
        match self {
            Self::Endpoint { upstream, endpoint, what } => (
                format!("/upstreams/{}/endpoints/{}/order", encoded(upstream), encoded(endpoint)),
                what.word().to_owned(),
            ),
            Self::Delivery { id, what } => {
                (format!("/outbox/{}/{}", encoded(id), what.word()), String::new())
            }
            Self::Lane { upstream, lane, what } => (
                "/outbox/lanes/release".to_owned(),
                json!({ "upstream": upstream, "lane": lane, "stopped": what.word() }).to_string(),
            ),
            Self::Reload => ("/reload".to_owned(), String::new()),
        }
    }
}

fn lower(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_stay_names() {
        let order = Order::Endpoint {
            upstream: "a/b".into(),
            endpoint: "c:1 é".into(),
            what: EndpointOrder::Drain,
        };
        let path = "/upstreams/a%2Fb/endpoints/c%3A1%20%C3%A9/order".to_owned();
        assert_eq!(order.request(), (path, "drain".to_owned()));
        let what = DeliveryOrder::Settle;
        let order = Order::Lane { upstream: "a".into(), lane: "\"".into(), what };
        assert_eq!(order.request().1, r#"{"lane":"\"","stopped":"settle","upstream":"a"}"#);
        assert_eq!(
            order.effect(),
            "The delivery that holds the lane: it counts as delivered: somebody has seen that it arrived. Those behind \
             it go on."
        );
    }

    #[test]
    fn each_order_of_a_menu_has_a_key_of_its_own() {
        let (upstream, endpoint) = (String::new(), String::new());
        let of =
            |what| Order::Endpoint { upstream: upstream.clone(), endpoint: endpoint.clone(), what };
        assert_eq!(EndpointOrder::ALL.map(|what| of(what).key()), ['d', 'o', 'c', 'a']);
        let of = |what| Order::Delivery { id: String::new(), what };
        assert_eq!(DeliveryOrder::ALL.map(|what| of(what).key()), ['r', 's', 'd']);
    }
}
