//! Named sets of settings, for the usual kinds of APIs.
//!
//! Each is a fragment in the very syntax of `[upstream.NAME]`, read by the same code, so that it can be printed, copied
//! and changed. Its comments give the reasons.

use crate::draft::{CallDraft, UpstreamDraft};
use crate::read::Places;
use crate::{keys, read};

/// A named set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Reads that somebody is waiting for.
    ReadApi,
    /// Writes that must not be done twice.
    Payments,
    /// Answers that come slowly, piece by piece.
    LlmStream,
    /// Deliveries to servers of others, which may wait.
    WebhookOut,
    /// Large bodies.
    Download,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ReadApi, Self::Payments, Self::LlmStream, Self::WebhookOut, Self::Download];

    /// What it is called in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadApi => "read-api",
            Self::Payments => "payments",
            Self::LlmStream => "llm-stream",
            Self::WebhookOut => "webhook-out",
            Self::Download => "download",
        }
    }

    /// The profile of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The fragment, with its reasons.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::ReadApi => include_str!("read-api.toml"),
            Self::Payments => include_str!("payments.toml"),
            Self::LlmStream => include_str!("llm-stream.toml"),
            Self::WebhookOut => include_str!("webhook-out.toml"),
            Self::Download => include_str!("download.toml"),
        }
    }

    /// Gives what it says.
    pub(crate) fn lay_over_upstream(self, draft: &mut UpstreamDraft) -> Places {
        read::lay_over(self.text(), &keys::upstream(), draft).unwrap_or_else(|errors| {
            debug_assert!(false, "{errors}");
            Places::default()
        })
    }

    /// Lays over a route's settings what concerns calls. Gives what it says.
    pub(crate) fn lay_over_call(self, call: &mut CallDraft) -> Places {
        let mut draft = UpstreamDraft { call: call.clone(), ..UpstreamDraft::new() };
        let places = self.lay_over_upstream(&mut draft);
        *call = draft.call;
        places
    }
}

/// The fragment of the profile `name`, with its reasons.
#[must_use]
pub fn profile_text(name: &str) -> Option<&'static str> {
    Profile::named(name).map(Profile::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_is_valid_and_says_something() {
        for profile in Profile::ALL {
            let mut draft = UpstreamDraft::new();
            let errors = read::lay_over(profile.text(), &keys::upstream(), &mut draft).err();
            assert_eq!(errors.map(|errors| errors.to_string()), None, "{}", profile.name());
            assert_ne!(draft.call, CallDraft::default(), "{}", profile.name());
            assert_eq!(Profile::named(profile.name()), Some(profile));
        }
    }

    #[test]
    fn each_value_of_a_profile_has_a_reason_above_it() {
        for profile in Profile::ALL {
            let lines: Vec<&str> = profile.text().lines().collect();
            for pair in lines.windows(2) {
                let bare = pair[1].contains('=') && !pair[0].starts_with('#');
                assert!(!bare, "{}: {}", profile.name(), pair[1]);
            }
        }
    }
}
