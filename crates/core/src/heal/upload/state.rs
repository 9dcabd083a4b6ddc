//! One upload: what was sent, what the server has, and what is next.

use alloc::string::String;

use super::protocol::Fields;
use super::resource::Origin;
use super::said::{Field, Said};
use super::{Fault, Protocol, Unsuitable};

/// An upload that can be continued.
#[derive(Clone, Debug)]
pub struct Upload {
    protocol: Protocol,
    origin: Origin,
    /// Of the whole body, where it is known.
    length: Option<u64>,
    /// Path and query of the upload resource, once it is known.
    resource: Option<String>,
    /// The most of the body that was given to a connection.
    sent: u64,
    /// The most that the server has said to have.
    told: u64,
    /// Where the server last refused an offset.
    refused_at: Option<u64>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first request is out.
    First,
    /// The offset is asked for.
    Asking,
    /// The rest is being sent, from there on.
    Appending { from: u64 },
    /// Delivered, or not to be continued.
    Over,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the offset: HEAD [`Upload::resource`] with [`Upload::offset_fields`].
    AskOffset,
    /// Send all from there on: PATCH [`Upload::resource`] with [`Upload::append_fields`].
    Append {
        /// How much of the body the server has.
        from: u64,
    },
    /// The answer is that of the call.
    Deliver,
    /// Everything is there, by tus, whose last answer says no more than that.
    Complete,
}

impl Upload {
    /// The upload that a request begins, by its method, the length of its content and its fields, their names in lower
    /// case.
    ///
    /// # Errors
    ///
    /// It isn't one that can be continued.
    pub fn of<'a>(
        protocol: Protocol,
        origin: Origin,
        method: &str,
        length: Option<u64>,
        mut fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Unsuitable> {
        let creates = match protocol {
            Protocol::Ietf { .. } => matches!(method, "PUT" | "POST"),
            Protocol::Tus => method == "POST",
        };
        if !creates {
            return Err(Unsuitable::Method);
        }
        if length == Some(0) {
            return Err(Unsuitable::NoContent);
        }
        if protocol == Protocol::Tus && length.is_none() {
            return Err(Unsuitable::NoLength);
        }
        if fields.any(|(name, _)| name.starts_with("upload-") || name == "tus-resumable") {
            return Err(Unsuitable::OwnProtocol);
        }
        Ok(Self {
            protocol,
            origin,
            length,
            resource: None,
            sent: 0,
            told: 0,
            refused_at: None,
            state: State::First,
        })
    }

    /// Whether the first request is another one than the application's: a POST with [`Upload::first_fields`] and without
    /// content.
    #[must_use]
    pub fn creates_first(&self) -> bool {
        self.protocol == Protocol::Tus
    }

    /// Fields of the first request. In tus it is another one than the application's: it has no content.
    #[must_use]
    pub fn first_fields(&self) -> Fields {
        self.protocol.first(self.length)
    }

    /// Fields of a request for the offset.
    #[must_use]
    pub fn offset_fields(&self) -> Fields {
        self.protocol.offset()
    }

    /// Fields of a request with all from `from` on, in place of the application's of the same names.
    #[must_use]
    pub fn append_fields(&self, from: u64) -> Fields {
        self.protocol.append(from)
    }

    /// Whether a field of the application's request goes along with those about its upload: who asks, but nothing about the
    /// content. Its name in lower case.
    #[must_use]
    pub fn goes_along(name: &str) -> bool {
        Protocol::goes_along(name)
    }

    /// Path and query of the upload resource, once it is known.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// How much of the body the server has said to have: what comes before needn't be kept any more.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.told
    }

    /// The body was given to the connection up to there.
    pub fn on_sent(&mut self, up_to: u64) {
        self.sent = self.sent.max(up_to);
    }

    /// A 104 came. One that can't be heeded is as good as none.
    pub fn on_offer<'a>(&mut self, fields: impl Iterator<Item = (&'a str, &'a [u8])>) {
        let said = Said::of(fields);
        if self.state != State::First || !said.is_offer_of(self.protocol) {
            return;
        }
        if self.resource.is_none() {
            self.resource = said.location.and_then(|location| self.origin.resource(location));
        }
    }

    /// What was out broke: the first request, that for the offset, or that with the rest.
    ///
    /// # Errors
    ///
    /// [`Fault::NotOffered`].
    pub fn on_break(&mut self) -> Result<Step, Fault> {
        match self.state {
            State::First | State::Asking | State::Appending { .. } if self.resource.is_some() => {
                Ok(self.ask())
            }
            State::First | State::Asking | State::Appending { .. } | State::Over => {
                self.give_up(Fault::NotOffered)
            }
        }
    }

    /// The answer to the request for the offset.
    ///
    /// # Errors
    ///
    /// The upload can't be continued.
    pub fn on_offset<'a>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Step, Fault> {
        debug_assert_eq!(self.state, State::Asking);
        match status {
            200..=299 => {}
            404 | 410 => return self.give_up(Fault::Gone),
            _ if is_passing(status) => return Ok(self.ask()),
            _ => return self.give_up(Fault::Refused),
        }
        let said = Said::of(fields);
        let from = match self.offset(&said) {
            Ok(from) => from,
            Err(fault) => return self.give_up(fault),
        };
        match self.protocol {
            Protocol::Ietf { .. } => match said.complete {
                Field::Is(false) => Ok(self.append(from)),
                Field::Is(true) => self.give_up(Fault::AnswerLost),
                Field::Absent | Field::Unreadable => self.give_up(Fault::NoOffset),
            },
            Protocol::Tus if self.length == Some(from) => Ok(self.end(Step::Complete)),
            Protocol::Tus => Ok(self.append(from)),
        }
    }

    /// The answer to the first request, or to one with the rest.
    ///
    /// # Errors
    ///
    /// The upload can't be continued, and the answer isn't one to deliver.
    pub fn on_answer<'a>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Step, Fault> {
        match self.state {
            State::First => self.on_first_answer(status, &Said::of(fields)),
            State::Appending { from } => self.on_append_answer(from, status, &Said::of(fields)),
            State::Asking | State::Over => {
                debug_assert!(false, "an answer to nothing");
                self.give_up(Fault::NotOffered)
            }
        }
    }

    /// By the draft it is that of the call, unless the server has broken in the middle of what it had offered to continue, or says
    /// that it doesn't have everything: such an answer isn't passed off as a success.
    ///
    /// By tus it is the creation's: where that went well nothing was uploaded yet, and it isn't passed off as if it were.
    fn on_first_answer(&mut self, status: u16, said: &Said<'_>) -> Result<Step, Fault> {
        if self.resource.is_some() && is_passing(status) {
            return Ok(self.ask());
        }
        let went_well = (200..=299).contains(&status);
        if self.protocol != Protocol::Tus && went_well && said.complete == Field::Is(false) {
            // All was sent, and it waits for more: what is missing is told by the offset.
            if self.resource.is_none() {
                self.resource = said.location.and_then(|location| self.origin.resource(location));
            }
            return match self.resource {
                Some(_) => Ok(self.ask()),
                None => self.give_up(Fault::NotOffered),
            };
        }
        if self.protocol != Protocol::Tus || !went_well {
            return Ok(self.end(Step::Deliver));
        }
        self.resource = said.location.and_then(|location| self.origin.resource(location));
        if status != 201 || self.resource.is_none() {
            return self.give_up(Fault::NotOffered);
        }
        Ok(self.append(0))
    }

    fn on_append_answer(&mut self, from: u64, status: u16, said: &Said<'_>) -> Result<Step, Fault> {
        match status {
            404 | 410 => self.give_up(Fault::Gone),
            // What it told just now it doesn't stand by.
            409 if self.refused_at == Some(from) => self.give_up(Fault::Disagrees),
            409 => {
                self.refused_at = Some(from);
                Ok(self.ask())
            }
            _ if is_passing(status) => Ok(self.ask()),
            200..=299 if self.protocol == Protocol::Tus => self.on_taken(from, said),
            // All was sent, and it waits for more: what is missing is told by the offset.
            200..=299 if said.complete == Field::Is(false) => Ok(self.ask()),
            _ => Ok(self.end(Step::Deliver)),
        }
    }

    /// A server of tus may take a part, and says how much.
    fn on_taken(&mut self, from: u64, said: &Said<'_>) -> Result<Step, Fault> {
        match self.offset(said) {
            Ok(offset) if self.length == Some(offset) => Ok(self.end(Step::Deliver)),
            Ok(offset) if offset > from => Ok(self.append(offset)),
            // It takes nothing, and says that this went well.
            Ok(_) => self.give_up(Fault::Disagrees),
            Err(fault) => self.give_up(fault),
        }
    }

    /// The offset that the server tells, held against all that is known.
    fn offset(&self, said: &Said<'_>) -> Result<u64, Fault> {
        let offset = said.offset.value().ok_or(Fault::NoOffset)?;
        if offset < self.told {
            return Err(Fault::WentDown);
        }
        if offset > self.sent {
            return Err(Fault::BeyondSent);
        }
        match (said.length, self.length) {
            (Field::Absent, _) => Ok(offset),
            (Field::Is(said), Some(length)) if said == length => Ok(offset),
            // Of a body whose end isn't known yet only that is known.
            (Field::Is(said), None) if said >= self.sent => Ok(offset),
            (Field::Is(_) | Field::Unreadable, _) => Err(Fault::OtherLength),
        }
    }

    const fn ask(&mut self) -> Step {
        self.state = State::Asking;
        Step::AskOffset
    }

    const fn append(&mut self, from: u64) -> Step {
        self.told = from;
        self.state = State::Appending { from };
        Step::Append { from }
    }

    const fn end(&mut self, step: Step) -> Step {
        self.state = State::Over;
        step
    }

    const fn give_up(&mut self, fault: Fault) -> Result<Step, Fault> {
        self.state = State::Over;
        Err(fault)
    }
}

/// Whether the upload may go on later: the server is busy with it (423, of tus), asks for patience, or has broken.
const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 423 | 429 | 500 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Head<'a> = (u16, &'a [(&'a str, &'a str)]);

    const DRAFT: Protocol = Protocol::Ietf { interop_version: 8 };

    fn fields<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        list.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    fn of(protocol: Protocol, method: &str, length: Option<u64>) -> Result<Upload, Unsuitable> {
        let origin = Origin { scheme: "http".into(), authority: "a".into() };
        Upload::of(protocol, origin, method, length, core::iter::empty())
    }

    /// Of 100 bytes, 70 of which were sent when it broke.
    fn broken() -> Upload {
        let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
        upload.on_offer(fields(&[("upload-draft-interop-version", "8"), ("location", "/u")]));
        upload.on_sent(70);
        assert_eq!(upload.on_break(), Ok(Step::AskOffset));
        upload
    }

    /// A creation that went well.
    fn created() -> Upload {
        let mut upload = of(Protocol::Tus, "POST", Some(100)).unwrap();
        let created = upload.on_answer(201, fields(&[("location", "http://a/u")]));
        assert_eq!(created, Ok(Step::Append { from: 0 }));
        upload
    }

    fn offset(upload: &mut Upload, (status, list): Head<'_>) -> Result<Step, Fault> {
        upload.on_offset(status, fields(list))
    }

    #[test]
    fn only_requests_that_create_something_begin_an_upload() {
        assert_eq!(of(DRAFT, "PATCH", Some(1)).unwrap_err(), Unsuitable::Method);
        assert_eq!(of(Protocol::Tus, "PUT", Some(1)).unwrap_err(), Unsuitable::Method);
        assert_eq!(of(DRAFT, "PUT", Some(0)).unwrap_err(), Unsuitable::NoContent);
        assert_eq!(of(Protocol::Tus, "POST", None).unwrap_err(), Unsuitable::NoLength);
        assert!(of(DRAFT, "POST", None).is_ok());
    }

    #[test]
    fn an_application_that_speaks_a_protocol_itself_is_left_alone() {
        for name in ["upload-complete", "upload-offset", "tus-resumable"] {
            let origin = Origin { scheme: "http".into(), authority: "a".into() };
            let asked = [(name, "1")];
            let made = Upload::of(DRAFT, origin, "PUT", Some(1), fields(&asked));
            assert_eq!(made.unwrap_err(), Unsuitable::OwnProtocol, "{name}");
        }
    }

    #[test]
    fn without_an_offer_nothing_is_continued() {
        let no_place = [("upload-draft-interop-version", "8")];
        let elsewhere = [("upload-draft-interop-version", "8"), ("location", "http://b/u")];
        let other_version = [("upload-draft-interop-version", "6"), ("location", "/u")];
        for offer in [&no_place[..], &elsewhere, &other_version] {
            let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
            upload.on_offer(fields(offer));
            assert_eq!(upload.on_break(), Err(Fault::NotOffered), "{offer:?}");
        }
    }

    #[test]
    fn an_answer_to_the_first_request_is_that_of_the_call() {
        for status in [200, 201, 400, 500] {
            let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
            assert_eq!(upload.on_answer(status, fields(&[])), Ok(Step::Deliver), "{status}");
        }
    }

    #[test]
    fn what_was_offered_goes_on_after_an_answer_that_says_that_the_server_broke() {
        let offered = || {
            let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
            upload.on_offer(fields(&[("upload-draft-interop-version", "8"), ("location", "/u")]));
            upload
        };
        assert_eq!(offered().on_answer(502, fields(&[])), Ok(Step::AskOffset));
        for status in [201, 409, 422, 501] {
            assert_eq!(offered().on_answer(status, fields(&[])), Ok(Step::Deliver), "{status}");
        }
    }

    #[test]
    fn a_first_answer_that_says_that_something_is_missing_isnt_that_of_the_call() {
        let offered = || {
            let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
            upload.on_offer(fields(&[("upload-draft-interop-version", "8"), ("location", "/u")]));
            upload
        };
        let missing = ("upload-complete", "?0");
        let mut upload = offered();
        assert_eq!(upload.on_answer(201, fields(&[missing])), Ok(Step::AskOffset));
        assert_eq!(upload.resource(), Some("/u"));
        let named = [missing, ("location", "/v")];
        let mut upload = offered();
        assert_eq!(upload.on_answer(201, fields(&named)), Ok(Step::AskOffset));
        assert_eq!(upload.resource(), Some("/u"), "as it was offered");

        let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
        assert_eq!(upload.on_answer(200, fields(&named)), Ok(Step::AskOffset));
        assert_eq!(upload.resource(), Some("/v"));
        for nowhere in [&[missing][..], &[missing, ("location", "http://b/u")]] {
            let mut upload = of(DRAFT, "PUT", Some(100)).unwrap();
            let lost = upload.on_answer(204, fields(nowhere));
            assert_eq!(lost, Err(Fault::NotOffered), "{nowhere:?}");
        }
        // A refusal says what it says.
        assert_eq!(offered().on_answer(422, fields(&[missing])), Ok(Step::Deliver));
        assert_eq!(
            offered().on_answer(201, fields(&[("upload-complete", "?1")])),
            Ok(Step::Deliver)
        );
    }

    #[test]
    fn an_offset_has_to_fit_what_is_known() {
        let going_on = ("upload-complete", "?0");
        let cases: [(Head<'_>, Result<Step, Fault>); 11] = [
            ((204, &[("upload-offset", "64"), going_on]), Ok(Step::Append { from: 64 })),
            ((200, &[("upload-offset", "70"), going_on]), Ok(Step::Append { from: 70 })),
            ((204, &[("upload-offset", "71"), going_on]), Err(Fault::BeyondSent)),
            ((204, &[going_on]), Err(Fault::NoOffset)),
            ((204, &[("upload-offset", "64")]), Err(Fault::NoOffset)),
            (
                (204, &[("upload-offset", "64"), going_on, ("upload-length", "99")]),
                Err(Fault::OtherLength),
            ),
            ((204, &[("upload-offset", "64"), ("upload-complete", "?1")]), Err(Fault::AnswerLost)),
            ((404, &[]), Err(Fault::Gone)),
            ((410, &[]), Err(Fault::Gone)),
            ((403, &[]), Err(Fault::Refused)),
            ((503, &[]), Ok(Step::AskOffset)),
        ];
        for (head, wanted) in cases {
            assert_eq!(offset(&mut broken(), head), wanted, "{head:?}");
        }
    }

    #[test]
    fn what_a_server_has_once_it_keeps() {
        let mut upload = broken();
        let has = |offset| (204, [("upload-offset", offset), ("upload-complete", "?0")]);
        let (status, list) = has("64");
        assert_eq!(offset(&mut upload, (status, &list)), Ok(Step::Append { from: 64 }));
        assert_eq!(upload.acknowledged(), 64);
        assert_eq!(upload.on_break(), Ok(Step::AskOffset));
        let (status, list) = has("63");
        assert_eq!(offset(&mut upload, (status, &list)), Err(Fault::WentDown));
    }

    #[test]
    fn a_server_may_disagree_once() {
        let mut upload = broken();
        let has: Head<'_> = (204, &[("upload-offset", "64"), ("upload-complete", "?0")]);
        offset(&mut upload, has).unwrap();
        assert_eq!(upload.on_answer(409, fields(&[])), Ok(Step::AskOffset));
        offset(&mut upload, has).unwrap();
        assert_eq!(upload.on_answer(409, fields(&[])), Err(Fault::Disagrees));
    }

    #[test]
    fn an_answer_that_isnt_the_end_isnt_delivered() {
        let has: Head<'_> = (204, &[("upload-offset", "64"), ("upload-complete", "?0")]);
        for (head, wanted) in [
            ((201, &[][..]), Ok(Step::Deliver)),
            ((200, &[("upload-complete", "?1")][..]), Ok(Step::Deliver)),
            ((200, &[("upload-complete", "?0")]), Ok(Step::AskOffset)),
            ((422, &[]), Ok(Step::Deliver)),
            ((502, &[]), Ok(Step::AskOffset)),
            ((404, &[]), Err(Fault::Gone)),
        ] {
            let mut upload = broken();
            offset(&mut upload, has).unwrap();
            assert_eq!(upload.on_answer(head.0, fields(head.1)), wanted, "{head:?}");
        }
    }

    #[test]
    fn tus_creates_first_and_is_complete_where_all_is_there() {
        let mut upload = created();
        assert_eq!(upload.resource(), Some("/u"));
        upload.on_sent(100);
        let part = upload.on_answer(204, fields(&[("upload-offset", "60")]));
        assert_eq!(part, Ok(Step::Append { from: 60 }));
        let whole = upload.on_answer(204, fields(&[("upload-offset", "100")]));
        assert_eq!(whole, Ok(Step::Deliver));

        let mut upload = created();
        upload.on_sent(100);
        assert_eq!(upload.on_break(), Ok(Step::AskOffset));
        let has: Head<'_> = (200, &[("upload-offset", "100"), ("upload-length", "100")]);
        assert_eq!(offset(&mut upload, has), Ok(Step::Complete));
    }

    #[test]
    fn tus_has_to_take_something_to_go_on() {
        let mut upload = created();
        upload.on_sent(100);
        let taken = upload.on_answer(204, fields(&[("upload-offset", "0")]));
        assert_eq!(taken, Err(Fault::Disagrees));
        assert_eq!(created().on_answer(204, fields(&[])), Err(Fault::NoOffset));
    }

    #[test]
    fn a_creation_that_names_no_place_isnt_passed_off_as_an_upload() {
        for head in [(201, &[][..]), (201, &[("location", "http://b/u")]), (200, &[])] {
            let mut upload = of(Protocol::Tus, "POST", Some(100)).unwrap();
            assert_eq!(upload.on_answer(head.0, fields(head.1)), Err(Fault::NotOffered));
        }
        let mut upload = of(Protocol::Tus, "POST", Some(100)).unwrap();
        assert_eq!(upload.on_answer(413, fields(&[])), Ok(Step::Deliver));
    }
}
