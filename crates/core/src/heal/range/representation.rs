//! What is being downloaded, and whether another answer is of the same.

use alloc::boxed::Box;

use super::content_range::ContentRange;
use super::given::Given;
use super::validator::{Coding, Tag, Validator};
use super::{Ask, Asked, Mismatch, Unhealable};

/// The representation that an answer is of, and the part of it that the application was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Representation {
    validator: Validator,
    coding: Coding,
    /// Its length, as far as anybody has told.
    total: Option<u64>,
    /// Where in it the body begins that is delivered.
    pub(super) begins: u64,
    /// Behind the last byte of that body. Unknown only of a whole whose total is.
    pub(super) ends: Option<u64>,
}

/// How an answer continues a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// From the byte on that was asked for.
    From(Told),
    /// From the beginning of the representation.
    FromZero(Told),
    /// Not at all: there is no more.
    Complete,
}

/// What an answer says of itself that is believed once its bytes have been compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Where in the representation the answer ends. If it doesn't say so it is all of it.
    pub(super) ends: Option<u64>,
    /// The length of the representation.
    pub(super) total: Option<u64>,
}

impl Representation {
    pub(super) fn of(
        asked: Asked,
        given: &Given<'_>,
        declared: &[impl AsRef<str>],
    ) -> Result<Self, Unhealable> {
        asked.check()?;
        let (begins, ends, total) = match given.status {
            200 => (0, given.exact_length, given.exact_length),
            206 => part(asked, given)?,
            _ => return Err(Unhealable::Status),
        };
        if given.announces_trailers {
            return Err(Unhealable::Trailers);
        }
        let validator = validator(given, declared)?;
        let coding = given.coding.clone();
        Ok(Self { validator, coding, total, begins, ends })
    }

    /// What to look for in other answers.
    pub(super) fn declared(&self) -> &[Box<str>] {
        self.validator.declared()
    }

    /// Believes a total.
    pub(super) fn learn(&mut self, total: Option<u64>) {
        self.total = self.total.or(total);
        self.ends = self.ends.or(self.total);
    }

    /// Asks for what begins at `first`.
    pub(super) fn ask(&self, first: u64) -> Ask {
        let if_range = match &self.validator {
            Validator::Tag(tag) => Some(&tag[..]),
            Validator::Declared { .. } => None,
        };
        Ask::new(first, self.ends, if_range)
    }

    /// Judges the answer to a request for what begins at `first`, when all before `at` was delivered.
    pub(super) fn judge(
        &self,
        given: &Given<'_>,
        first: u64,
        at: u64,
    ) -> Result<Verdict, Mismatch> {
        match given.status {
            206 => self.judge_part(given, first, at).map(Verdict::From),
            200 => self.judge_whole(given, at).map(Verdict::FromZero),
            416 => self.judge_unsatisfied(given, at).map(|()| Verdict::Complete),
            _ => Err(Mismatch::Status),
        }
    }

    fn judge_part(&self, given: &Given<'_>, first: u64, at: u64) -> Result<Told, Mismatch> {
        if given.is_multipart {
            return Err(Mismatch::SeveralParts);
        }
        let (begins, ends, total) = match given.range {
            ContentRange::Part { first, ends, total } => (first, ends, total),
            ContentRange::Absent => return Err(Mismatch::NoContentRange),
            ContentRange::Unsatisfied { .. } | ContentRange::Unreadable => {
                return Err(Mismatch::MalformedContentRange);
            }
        };
        self.is_same(given)?;
        if begins != first {
            return Err(Mismatch::WrongStart);
        }
        self.is_same_total(total, at)?;
        if self.ends.is_some_and(|asked| ends > asked) {
            return Err(Mismatch::WrongEnd);
        }
        if given.exact_length.is_some_and(|length| length != ends - begins) {
            return Err(Mismatch::WrongLength);
        }
        // All of it may have been there already, and only nobody had said so.
        let is_new = ends > at || (ends == at && total == Some(at));
        if is_new { Ok(Told { ends: Some(ends), total }) } else { Err(Mismatch::NothingNew) }
    }

    fn judge_whole(&self, given: &Given<'_>, at: u64) -> Result<Told, Mismatch> {
        self.is_same(given)?;
        self.is_same_total(given.exact_length, at)?;
        Ok(Told { ends: given.exact_length.or(self.total), total: given.exact_length })
    }

    /// The number is the proof: a break is anywhere, and the total is that very place. A server that was asked by `If-Range` and
    /// has another representation sends that (RFC 9110, section 13.1.5); by a declared field it can't be asked, and has to say it.
    fn judge_unsatisfied(&self, given: &Given<'_>, at: u64) -> Result<(), Mismatch> {
        let total = match given.range {
            ContentRange::Unsatisfied { total } => total,
            ContentRange::Absent => return Err(Mismatch::NoContentRange),
            ContentRange::Part { .. } | ContentRange::Unreadable => {
                return Err(Mismatch::MalformedContentRange);
            }
        };
        match (&self.validator, given.tag) {
            (Validator::Tag(_), Tag::Absent) => {}
            (Validator::Tag(_) | Validator::Declared { .. }, _) => {
                self.is_same_by_validator(given)?
            }
        }
        self.is_same_total(Some(total), at)?;
        if total == at { Ok(()) } else { Err(Mismatch::WrongTotal) }
    }

    fn is_same(&self, given: &Given<'_>) -> Result<(), Mismatch> {
        self.is_same_by_validator(given)?;
        if given.coding == self.coding { Ok(()) } else { Err(Mismatch::OtherCoding) }
    }

    fn is_same_by_validator(&self, given: &Given<'_>) -> Result<(), Mismatch> {
        let is_same = match (&self.validator, given.tag, &given.declared) {
            (Validator::Tag(tag), Tag::Strong(given), _) => **tag == *given,
            (Validator::Tag(_), Tag::Weak, _) => return Err(Mismatch::WeakValidator),
            (Validator::Tag(_), Tag::Absent, _) => return Err(Mismatch::NoValidator),
            (Validator::Tag(_), Tag::Unreadable, _) => false,
            (Validator::Declared { value, .. }, _, Some((_, given))) => **value == **given,
            (Validator::Declared { .. }, _, None) => return Err(Mismatch::NoValidator),
        };
        if is_same { Ok(()) } else { Err(Mismatch::OtherValidator) }
    }

    fn is_same_total(&self, told: Option<u64>, at: u64) -> Result<(), Mismatch> {
        let fits = match (told, self.total) {
            (None, _) => true,
            (Some(told), Some(known)) => told == known,
            (Some(told), None) => told >= self.ends.unwrap_or(at),
        };
        if fits { Ok(()) } else { Err(Mismatch::WrongTotal) }
    }
}

/// Where the part is that a 206 delivers. What was asked for exactly doesn't matter: the application goes by this head.
fn part(asked: Asked, given: &Given<'_>) -> Result<(u64, Option<u64>, Option<u64>), Unhealable> {
    if !asked.has_range {
        return Err(Unhealable::UnaskedPart);
    }
    if given.is_multipart {
        return Err(Unhealable::SeveralParts);
    }
    let ContentRange::Part { first, ends, total } = given.range else {
        return Err(Unhealable::UnknownPart);
    };
    if given.exact_length.is_some_and(|length| length != ends - first) {
        return Err(Unhealable::Length);
    }
    Ok((first, Some(ends), total))
}

fn validator(given: &Given<'_>, declared: &[impl AsRef<str>]) -> Result<Validator, Unhealable> {
    match (given.tag, &given.declared) {
        (Tag::Strong(tag), _) => Ok(Validator::Tag(tag.into())),
        (_, Some(_)) if !given.coding.is_identity() => Err(Unhealable::Coded),
        (_, Some((place, value))) => Ok(Validator::Declared {
            name: declared[*place].as_ref().into(),
            value: value[..].into(),
        }),
        (Tag::Weak, None) => Err(Unhealable::WeakValidator),
        (Tag::Absent | Tag::Unreadable, None) => Err(Unhealable::NoValidator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'static str, &'static str)];

    const NAMES: [&str; 2] = ["x-generation", "repr-digest"];

    fn given(
        status: u16,
        fields: Fields<'_>,
        exact_length: Option<u64>,
        names: &[impl AsRef<str>],
    ) -> Given<'static> {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        Given::of(status, fields, exact_length, names)
    }

    fn asked(method: &str, fields: Fields<'_>) -> Asked {
        Asked::of(method, fields.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    fn of(
        asked: Asked,
        status: u16,
        fields: Fields<'_>,
        length: Option<u64>,
    ) -> Result<Representation, Unhealable> {
        Representation::of(asked, &given(status, fields, length, &NAMES), &NAMES)
    }

    #[test]
    fn an_answer_is_healable_if_it_is_known_what_and_which_part_it_is() {
        let get = asked("GET", &[]);
        let part = asked("GET", &[("range", "bytes=100-199")]);
        for (asked, status, fields, length, expected) in [
            (get, 200, &[("etag", "\"v\"")][..], Some(1_000), (0, Some(1_000), Some(1_000))),
            (get, 200, &[("etag", "\"v\"")][..], None, (0, None, None)),
            (
                get,
                200,
                &[("etag", "\"v\""), ("content-encoding", "gzip")][..],
                None,
                (0, None, None),
            ),
            (get, 200, &[("x-generation", "7")][..], None, (0, None, None)),
            (get, 200, &[("x-generation", "7"), ("etag", "W/\"v\"")][..], None, (0, None, None)),
            (
                get,
                200,
                &[("etag", "\"v\""), ("content-range", "nonsense")][..],
                None,
                (0, None, None),
            ),
            (part, 200, &[("etag", "\"v\"")][..], Some(1_000), (0, Some(1_000), Some(1_000))),
            (
                part,
                206,
                &[("etag", "\"v\""), ("content-range", "bytes 100-199/1000")][..],
                Some(100),
                (100, Some(200), Some(1_000)),
            ),
            (
                part,
                206,
                &[("etag", "\"v\""), ("content-range", "bytes 100-149/*")][..],
                None,
                (100, Some(150), None),
            ),
        ] {
            let read = of(asked, status, fields, length);
            let read = read.map(|read| (read.begins, read.ends, read.total));
            assert_eq!(read, Ok(expected), "{status} {fields:?}");
        }
    }

    #[test]
    fn whatever_is_in_doubt_is_unhealable() {
        use Unhealable::*;
        const TAG: (&str, &str) = ("etag", "\"v\"");
        let get = asked("GET", &[]);
        let part = asked("GET", &[("range", "bytes=100-199")]);
        for (asked, status, fields, length, expected) in [
            (asked("HEAD", &[]), 200, &[TAG][..], None, Method),
            (asked("POST", &[]), 200, &[TAG][..], None, Method),
            (asked("GET", &[("content-length", "2")]), 200, &[TAG][..], None, RequestContent),
            (get, 203, &[TAG][..], None, Status),
            (get, 404, &[TAG][..], None, Status),
            (get, 206, &[TAG, ("content-range", "bytes 0-99/100")][..], None, UnaskedPart),
            (
                part,
                206,
                &[TAG, ("content-type", "multipart/byteranges; boundary=b")][..],
                None,
                SeveralParts,
            ),
            (
                part,
                206,
                &[
                    TAG,
                    ("content-type", "multipart/byteranges"),
                    ("content-range", "bytes 0-99/100"),
                ][..],
                None,
                SeveralParts,
            ),
            (part, 206, &[TAG][..], None, UnknownPart),
            (part, 206, &[TAG, ("content-range", "bytes */100")][..], None, UnknownPart),
            (part, 206, &[TAG, ("content-range", "bytes=0-99/100")][..], None, UnknownPart),
            (part, 206, &[TAG, ("content-range", "bytes 100-199/1000")][..], Some(99), Length),
            (get, 200, &[TAG, ("trailer", "repr-digest")][..], None, Trailers),
            (get, 200, &[][..], None, NoValidator),
            (
                get,
                200,
                &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")][..],
                None,
                NoValidator,
            ),
            (get, 200, &[("etag", "v")][..], None, NoValidator),
            (get, 200, &[TAG, TAG][..], None, NoValidator),
            (get, 200, &[("etag", "W/\"v\"")][..], None, WeakValidator),
            (get, 200, &[("x-generation", "7"), ("content-encoding", "gzip")][..], None, Coded),
        ] {
            assert_eq!(of(asked, status, fields, length), Err(expected), "{status} {fields:?}");
        }
    }

    /// Asks at 1,000 with an overlap of 500; the whole has 2,000 bytes, which is known or not.
    fn judged(
        first: Fields<'_>,
        total: Option<u64>,
        status: u16,
        fields: Fields<'_>,
        length: Option<u64>,
    ) -> Result<Verdict, Mismatch> {
        let what = of(asked("GET", &[]), 200, first, total).expect("healable");
        what.judge(&given(status, fields, length, what.declared()), 500, 1_000)
    }

    #[test]
    fn an_answer_continues_another_if_it_is_of_the_same_from_the_right_place() {
        const TAG: (&str, &str) = ("etag", "\"v\"");
        const RANGE: (&str, &str) = ("content-range", "bytes 500-1999/2000");
        let from = |ends, total| Verdict::From(Told { ends, total });
        let whole = |ends, total| Verdict::FromZero(Told { ends, total });
        for (known, status, fields, length, expected) in [
            (Some(2_000), 206, &[TAG, RANGE][..], Some(1_500), from(Some(2_000), Some(2_000))),
            (None, 206, &[RANGE, TAG][..], None, from(Some(2_000), Some(2_000))),
            (
                Some(2_000),
                206,
                &[TAG, ("content-range", "bytes 500-1999/*")][..],
                None,
                from(Some(2_000), None),
            ),
            (
                Some(2_000),
                206,
                &[TAG, ("content-range", "bytes 500-1000/2000")][..],
                None,
                from(Some(1_001), Some(2_000)),
            ),
            (
                None,
                206,
                &[TAG, ("content-range", "bytes 500-999/1000")][..],
                None,
                from(Some(1_000), Some(1_000)),
            ),
            (
                Some(2_000),
                206,
                &[TAG, RANGE, ("content-encoding", "identity")][..],
                None,
                from(Some(2_000), Some(2_000)),
            ),
            (Some(2_000), 200, &[TAG][..], Some(2_000), whole(Some(2_000), Some(2_000))),
            (Some(2_000), 200, &[TAG][..], None, whole(Some(2_000), None)),
            (None, 200, &[TAG][..], None, whole(None, None)),
            (None, 200, &[TAG][..], Some(1_000), whole(Some(1_000), Some(1_000))),
            (None, 416, &[("content-range", "bytes */1000")][..], None, Verdict::Complete),
            (None, 416, &[TAG, ("content-range", "bytes */1000")][..], Some(20), Verdict::Complete),
        ] {
            assert_eq!(
                judged(&[TAG], known, status, fields, length),
                Ok(expected),
                "{status} {fields:?}"
            );
        }
    }

    #[test]
    fn whatever_differs_is_a_mismatch() {
        use Mismatch::*;
        const TAG: (&str, &str) = ("etag", "\"v\"");
        const RANGE: (&str, &str) = ("content-range", "bytes 500-1999/2000");
        const KNOWN: Option<u64> = Some(2_000);
        for (known, status, fields, length, expected) in [
            (KNOWN, 204, &[TAG, RANGE][..], None, Status),
            (KNOWN, 304, &[TAG][..], None, Status),
            (KNOWN, 412, &[TAG][..], None, Status),
            (KNOWN, 503, &[TAG, RANGE][..], None, Status),
            (KNOWN, 206, &[RANGE][..], None, NoValidator),
            (KNOWN, 206, &[("etag", "W/\"v\""), RANGE][..], None, WeakValidator),
            (KNOWN, 206, &[("etag", "\"w\""), RANGE][..], None, OtherValidator),
            (KNOWN, 206, &[("etag", "\"V\""), RANGE][..], None, OtherValidator),
            (KNOWN, 206, &[TAG, TAG, RANGE][..], None, OtherValidator),
            (KNOWN, 206, &[TAG, RANGE, ("content-encoding", "gzip")][..], None, OtherCoding),
            (
                KNOWN,
                206,
                &[TAG, RANGE, ("content-type", "multipart/byteranges")][..],
                None,
                SeveralParts,
            ),
            (KNOWN, 206, &[TAG][..], None, NoContentRange),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 500-")][..], None, MalformedContentRange),
            (
                KNOWN,
                206,
                &[TAG, ("content-range", "bytes */2000")][..],
                None,
                MalformedContentRange,
            ),
            (KNOWN, 206, &[TAG, RANGE, RANGE][..], None, MalformedContentRange),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 0-1999/2000")][..], None, WrongStart),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 501-1999/2000")][..], None, WrongStart),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 1000-1999/2000")][..], None, WrongStart),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 500-1999/2001")][..], None, WrongTotal),
            (None, 206, &[TAG, ("content-range", "bytes 500-998/999")][..], None, WrongTotal),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 500-2000/*")][..], None, WrongEnd),
            (KNOWN, 206, &[TAG, RANGE][..], Some(1_499), WrongLength),
            (KNOWN, 206, &[TAG, ("content-range", "bytes 500-999/2000")][..], None, NothingNew),
            (None, 206, &[TAG, ("content-range", "bytes 500-999/*")][..], None, NothingNew),
            (KNOWN, 200, &[][..], KNOWN, NoValidator),
            (KNOWN, 200, &[("etag", "\"w\"")][..], KNOWN, OtherValidator),
            (KNOWN, 200, &[TAG, ("content-encoding", "gzip")][..], KNOWN, OtherCoding),
            (KNOWN, 200, &[TAG][..], Some(1_999), WrongTotal),
            (None, 200, &[TAG][..], Some(999), WrongTotal),
            (None, 416, &[TAG][..], None, NoContentRange),
            (
                None,
                416,
                &[TAG, ("content-range", "bytes 500-999/1000")][..],
                None,
                MalformedContentRange,
            ),
            (None, 416, &[TAG, ("content-range", "bytes */999")][..], None, WrongTotal),
            (None, 416, &[TAG, ("content-range", "bytes */1001")][..], None, WrongTotal),
            (KNOWN, 416, &[TAG, ("content-range", "bytes */1000")][..], None, WrongTotal),
            (KNOWN, 416, &[TAG, ("content-range", "bytes */2000")][..], None, WrongTotal),
            (
                None,
                416,
                &[("etag", "\"w\""), ("content-range", "bytes */1000")][..],
                None,
                OtherValidator,
            ),
        ] {
            let read = judged(&[TAG], known, status, fields, length);
            assert_eq!(read, Err(expected), "{known:?} {status} {fields:?}");
        }
    }

    #[test]
    fn a_declared_field_is_checked_on_each_answer_and_never_said_in_the_request() {
        const GENERATION: (&str, &str) = ("x-generation", "7");
        const END: (&str, &str) = ("content-range", "bytes */1000");
        const RANGE: (&str, &str) = ("content-range", "bytes 500-1999/2000");
        let first = [GENERATION, ("repr-digest", "sha-256=:a:")];
        for (status, fields, expected) in [
            (206, &[GENERATION, RANGE][..], None),
            (206, &[GENERATION, RANGE, ("etag", "\"new\"")][..], None),
            (206, &[RANGE][..], Some(Mismatch::NoValidator)),
            (206, &[RANGE, first[1]][..], Some(Mismatch::NoValidator)),
            (206, &[RANGE, ("x-generation", "8")][..], Some(Mismatch::OtherValidator)),
            (206, &[RANGE, GENERATION, GENERATION][..], Some(Mismatch::OtherValidator)),
            (416, &[END, GENERATION][..], None),
            (416, &[END][..], Some(Mismatch::NoValidator)),
            (416, &[END, ("x-generation", "8")][..], Some(Mismatch::OtherValidator)),
        ] {
            assert_eq!(judged(&first, None, status, fields, None).err(), expected, "{fields:?}");
        }
        let ask = |fields| of(asked("GET", &[]), 200, fields, None).map(|what| what.ask(500));
        assert_eq!(ask(&first[..]), Ok(Ask::new(500, None, None)));
        assert_eq!(
            ask(&[GENERATION, ("etag", "\"v\"")][..]),
            Ok(Ask::new(500, None, Some(b"\"v\"")))
        );
    }

    #[test]
    fn a_coded_answer_is_continued_by_one_that_says_the_same_coding() {
        let first = [("etag", "\"v\""), ("content-encoding", "gzip")];
        let range = ("content-range", "bytes 500-1999/2000");
        assert!(judged(&first, None, 206, &[first[0], first[1], range], None).is_ok());
        for fields in [&[first[0], range][..], &[first[0], range, ("content-encoding", "br")][..]] {
            assert_eq!(
                judged(&first, None, 206, fields, None),
                Err(Mismatch::OtherCoding),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_part_that_was_asked_for_stays_that_part() {
        let tag = ("etag", "\"v\"");
        let range = asked("GET", &[("range", "bytes=100-199")]);
        let what = |told| of(range, 206, &[tag, ("content-range", told)], None).expect("healable");
        let judge = |told, status, range| {
            let what = what(told);
            what.judge(
                &given(status, &[tag, ("content-range", range)], None, what.declared()),
                130,
                150,
            )
        };
        assert_eq!(what("bytes 100-199/1000").ask(130), Ask::new(130, Some(200), Some(b"\"v\"")));
        for told in ["bytes 100-199/1000", "bytes 100-199/*"] {
            assert!(judge(told, 206, "bytes 130-199/1000").is_ok());
            assert!(judge(told, 200, "").is_ok());
            assert_eq!(judge(told, 206, "bytes 130-200/1000"), Err(Mismatch::WrongEnd));
            assert_eq!(judge(told, 206, "bytes 130-149/150"), Err(Mismatch::WrongTotal));
            assert_eq!(judge(told, 416, "bytes */150"), Err(Mismatch::WrongTotal));
        }
    }
}
