//! Downloads that break at random, continued by a server that answers well or lies in one of many ways.
//!
//! What is delivered is a prefix of the first representation at all times, and all of it exactly when the download says so. Each
//! lie is found, with its reason, before one byte of it is delivered; honest answers always heal.
#![cfg(not(loom))]

use mainstay_core::heal::range::{
    Asked, Download, End, Mismatch, OVERLAP, REPLACED, RangeSettings, Splice,
};
use proptest::prelude::*;

/// What a server does to a request for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Gives the part that was asked for.
    Honest,
    /// Gives the first so many bytes of it, in hundredths.
    Short(usize),
    /// Gives all from the beginning, of the same representation.
    Whole,
    /// Says what the total is, and gives nothing.
    Unsatisfied,
    Lie(Lie),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    EarlierStart,
    LaterStart,
    BeyondEnd,
    OtherTotal,
    NoTag,
    WeakTag,
    /// If it changed, a server that doesn't know `If-Range` gives a part of the new one.
    ChangedPart,
    /// One that does gives all of the new one.
    ChangedWhole,
    CodedPart,
    CodedWhole,
    Multipart,
    NoContentRange,
    BadContentRange,
    TwoContentRanges,
    OtherLength,
    NothingNew,
    ShorterWhole,
    OtherStatus,
    UnsatisfiedOfOther,
    /// The head is right, and a byte of the overlap isn't.
    OtherBytes(usize),
    /// The head is right, and behind the last byte there are others.
    MoreBytes,
}

impl Lie {
    const ALL: [Self; 21] = [
        Self::EarlierStart,
        Self::LaterStart,
        Self::BeyondEnd,
        Self::OtherTotal,
        Self::NoTag,
        Self::WeakTag,
        Self::ChangedPart,
        Self::ChangedWhole,
        Self::CodedPart,
        Self::CodedWhole,
        Self::Multipart,
        Self::NoContentRange,
        Self::BadContentRange,
        Self::TwoContentRanges,
        Self::OtherLength,
        Self::NothingNew,
        Self::ShorterWhole,
        Self::OtherStatus,
        Self::UnsatisfiedOfOther,
        Self::OtherBytes(0),
        Self::MoreBytes,
    ];

    fn reason(self) -> Mismatch {
        match self {
            Self::EarlierStart | Self::LaterStart => Mismatch::WrongStart,
            Self::BeyondEnd => Mismatch::WrongEnd,
            Self::OtherTotal | Self::ShorterWhole | Self::UnsatisfiedOfOther => {
                Mismatch::WrongTotal
            }
            Self::NoTag => Mismatch::NoValidator,
            Self::WeakTag => Mismatch::WeakValidator,
            Self::ChangedPart | Self::ChangedWhole => Mismatch::OtherValidator,
            Self::CodedPart | Self::CodedWhole => Mismatch::OtherCoding,
            Self::Multipart => Mismatch::SeveralParts,
            Self::NoContentRange => Mismatch::NoContentRange,
            Self::BadContentRange | Self::TwoContentRanges => Mismatch::MalformedContentRange,
            Self::OtherLength => Mismatch::WrongLength,
            Self::NothingNew => Mismatch::NothingNew,
            Self::OtherStatus => Mismatch::Status,
            Self::OtherBytes(_) => Mismatch::OtherBytes,
            Self::MoreBytes => Mismatch::TooManyBytes,
        }
    }
}

/// An answer that a server gives, and where it breaks.
#[derive(Clone, Debug)]
struct Turn {
    manner: Manner,
    says_total: bool,
    says_length: bool,
    /// In hundredths of the body; 100 and above: not at all.
    breaks_at: usize,
    piece: usize,
}

impl Turn {
    const LAST: Self = Self {
        manner: Manner::Honest,
        says_total: true,
        says_length: true,
        breaks_at: 100,
        piece: 700,
    };
}

struct Answer {
    status: u16,
    fields: Vec<(&'static str, String)>,
    length: Option<u64>,
    body: Vec<u8>,
}

impl Answer {
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.retain(|(before, _)| *before != name);
        self.fields.push((name, value.into()));
    }
}

const TAG: &str = "\"v1\"";

/// Where the part ends that a range is of, and where it begins.
type Part = (usize, usize);

fn part_of(content: &[u8], (first, ends): Part, turn: &Turn) -> Answer {
    let total = if turn.says_total { content.len().to_string() } else { "*".to_owned() };
    let body = content[first..ends].to_vec();
    Answer {
        status: 206,
        fields: vec![
            ("etag", TAG.to_owned()),
            ("content-range", format!("bytes {first}-{}/{total}", ends - 1)),
        ],
        length: turn.says_length.then_some(body.len() as u64),
        body,
    }
}

fn whole_of(content: &[u8], turn: &Turn) -> Answer {
    Answer {
        status: 200,
        fields: vec![("etag", TAG.to_owned())],
        length: turn.says_length.then_some(content.len() as u64),
        body: content.to_vec(),
    }
}

fn unsatisfied(total: usize) -> Answer {
    Answer {
        status: 416,
        fields: vec![("content-range", format!("bytes */{total}"))],
        length: Some(6),
        body: b"error!".to_vec(),
    }
}

/// Reads `Range` as a server does.
fn asked_for(range: &str, total: usize) -> Option<Part> {
    let (first, last) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .expect("a range of bytes");
    let first: usize = first.parse().expect("where it begins");
    let ends =
        if last.is_empty() { total } else { last.parse::<usize>().expect("where it ends") + 1 };
    (first < total).then_some((first, ends.min(total)))
}

/// What is known of a download that a lie has to fit.
struct Known {
    part: Part,
    /// How much of the part was delivered before.
    overlap: usize,
    /// Whether the request said where the part ends.
    is_bounded: bool,
    /// Whether the first answer said how much there is in all. Of a part alone another total is no lie that matters.
    knows_total: bool,
}

/// The answer of a lie; nothing if here it would be none.
fn lie(lie: Lie, content: &[u8], known: &Known, turn: &Turn) -> Option<Answer> {
    let (first, ends) = known.part;
    let mut answer = part_of(content, known.part, turn);
    let changed: Vec<u8> = content.iter().map(|byte| byte ^ 0x55).collect();
    match lie {
        Lie::EarlierStart => answer = part_of(content, (first.checked_sub(1)?, ends), turn),
        Lie::LaterStart if first + 1 < ends => answer = part_of(content, (first + 1, ends), turn),
        Lie::BeyondEnd if known.is_bounded && ends < content.len() => {
            answer = part_of(content, (first, ends + 1), turn);
        }
        Lie::OtherTotal if known.knows_total => {
            let total = content.len() + 1;
            answer.set("content-range", format!("bytes {first}-{}/{total}", ends - 1));
        }
        Lie::NoTag => answer.fields.retain(|(name, _)| *name != "etag"),
        Lie::WeakTag => answer.set("etag", format!("W/{TAG}")),
        Lie::ChangedPart => {
            answer = part_of(&changed, known.part, turn);
            answer.set("etag", "\"v2\"");
        }
        Lie::ChangedWhole => {
            answer = whole_of(&changed, turn);
            answer.set("etag", "\"v2\"");
        }
        Lie::CodedPart => answer.set("content-encoding", "gzip"),
        Lie::CodedWhole => {
            answer = whole_of(content, turn);
            answer.set("content-encoding", "gzip");
        }
        Lie::Multipart => answer.set("content-type", "multipart/byteranges; boundary=b"),
        Lie::NoContentRange => answer.fields.retain(|(name, _)| *name != "content-range"),
        Lie::BadContentRange => {
            answer.set("content-range", format!("bytes {first}-{ends}"));
        }
        Lie::TwoContentRanges => {
            let same = answer.fields.iter().find(|(name, _)| *name == "content-range").cloned();
            answer.fields.extend(same);
        }
        Lie::OtherLength => answer.length = Some((ends - first) as u64 + 1),
        Lie::NothingNew if known.overlap > 0 && first + known.overlap < content.len() => {
            answer = part_of(content, (first, first + known.overlap), turn);
        }
        Lie::ShorterWhole => {
            answer = whole_of(content, turn);
            answer.length = Some((first + known.overlap).checked_sub(1)? as u64);
        }
        Lie::OtherStatus => answer.status = 203,
        Lie::UnsatisfiedOfOther => answer = unsatisfied(content.len() + 1),
        Lie::OtherBytes(place) if known.overlap > 0 => answer.body[place % known.overlap] ^= 1,
        Lie::MoreBytes => {
            answer.length = None;
            answer.body.push(0);
        }
        _ => return None,
    }
    Some(answer)
}

/// A download, what was delivered of it, and what should be.
struct Drive {
    content: Vec<u8>,
    wanted: Part,
    skip_limit: usize,
    download: Download,
    delivered: Vec<u8>,
    /// Whether the length of what is wanted can be known by now.
    knows_length: bool,
    /// Whether the first answer said that of the representation.
    knows_total: bool,
}

/// How reading an answer came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Ended(End),
    Broke,
    Refused(Mismatch),
}

impl Drive {
    fn new(
        content: Vec<u8>,
        range: Option<Part>,
        skip_limit: usize,
        turn: &Turn,
    ) -> (Self, Answer) {
        let range_field = range.map(|_| ("range", &b"bytes=whatever"[..]));
        let asked = Asked::of("GET", range_field.into_iter());
        let answer = match range {
            Some(part) => part_of(&content, part, turn),
            None => whole_of(&content, turn),
        };
        let settings =
            RangeSettings { skip_limit_bytes: skip_limit as u64, ..RangeSettings::default() };
        let download =
            Download::of(asked, answer.status, answer.fields(), answer.length, &settings)
                .expect("healable");
        let wanted = range.unwrap_or((0, content.len()));
        let knows_length = range.is_some() || turn.says_length;
        let knows_total = if range.is_some() { turn.says_total } else { turn.says_length };
        let delivered = Vec::new();
        (
            Self { content, wanted, skip_limit, download, delivered, knows_length, knows_total },
            answer,
        )
    }

    fn wanted(&self) -> &[u8] {
        &self.content[self.wanted.0..self.wanted.1]
    }

    /// Reads a body until it ends or breaks, as a driver does.
    fn read(&mut self, body: &[u8], turn: &Turn) -> Result<Came, TestCaseError> {
        let breaks_at = (turn.breaks_at < 100).then(|| body.len() * turn.breaks_at / 100);
        for piece in body[..breaks_at.unwrap_or(body.len())].chunks(turn.piece) {
            match self.download.take(piece) {
                Ok(new) => self.delivered.extend_from_slice(&piece[new]),
                Err(mismatch) => {
                    self.check()?;
                    return Ok(Came::Refused(mismatch));
                }
            }
            self.check()?;
            if self.download.is_complete() {
                return Ok(Came::Ended(End::Complete));
            }
        }
        if breaks_at.is_some() {
            return Ok(Came::Broke);
        }
        Ok(self.download.on_end().map_or_else(Came::Refused, Came::Ended))
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (wanted, delivered) = (self.wanted(), &self.delivered);
        prop_assert!(wanted.starts_with(delivered), "something else was delivered");
        prop_assert_eq!(self.download.delivered(), delivered.len() as u64);
        let is_all = delivered.len() == wanted.len();
        prop_assert!(is_all || !self.download.is_complete(), "said to be complete, and isn't");
        prop_assert!(!is_all || !self.knows_length || self.download.is_complete());
        prop_assert_eq!(self.download.ask().is_none(), self.download.is_complete());
        if let Some(length) = self.download.length() {
            prop_assert_eq!(length, wanted.len() as u64);
        }
        Ok(())
    }

    /// Asks for the rest. What came of it, and what had to come of its head and its bytes.
    fn resume(&mut self, turn: &Turn) -> Result<(), TestCaseError> {
        // That there is nothing behind the last byte only the total can say; without it a part has nothing new.
        let says_total = turn.says_total || self.delivered.len() == self.wanted().len();
        let turn = &Turn { says_total, ..turn.clone() };
        let ask = self.download.ask().expect("incomplete");
        prop_assert!(ask.fields().all(|(name, _)| REPLACED.contains(&name)));
        prop_assert_eq!(ask.if_range(), Some(TAG.as_bytes()));
        let overlap = self.delivered.len().min(OVERLAP);
        let first = self.wanted.0 + self.delivered.len() - overlap;
        let asked = asked_for(ask.range(), self.content.len());
        // Only of nothing at all there is no part.
        let Some(part) = asked else {
            prop_assert!(self.content.is_empty());
            return self.resume_by(unsatisfied(0), None, turn);
        };
        prop_assert_eq!(part, (first, self.wanted.1), "neither before nor behind what is wanted");
        let is_bounded = !ask.range().ends_with('-');
        let known = Known { part, overlap, is_bounded, knows_total: self.knows_total };
        let too_far = (first > self.skip_limit).then_some(Mismatch::TooFarToSkip);
        let (answer, reason) = match turn.manner {
            Manner::Honest => (part_of(&self.content, part, turn), None),
            Manner::Short(hundredths) => {
                // With progress, be it a byte.
                let least = (first + overlap + 1).min(part.1);
                let ends = least + (part.1 - least) * hundredths / 100;
                (part_of(&self.content, (first, ends), turn), None)
            }
            Manner::Whole => (whole_of(&self.content, turn), too_far),
            Manner::Unsatisfied => {
                let is_all = self.delivered.len() == self.content.len() && !is_bounded;
                let reason = (!is_all).then_some(Mismatch::WrongTotal);
                (unsatisfied(self.content.len()), reason)
            }
            Manner::Lie(kind) => match lie(kind, &self.content, &known, turn) {
                Some(answer) => (answer, Some(kind.reason())),
                None => (part_of(&self.content, part, turn), None),
            },
        };
        self.resume_by(answer, reason, turn)
    }

    fn resume_by(
        &mut self,
        answer: Answer,
        reason: Option<Mismatch>,
        turn: &Turn,
    ) -> Result<(), TestCaseError> {
        let before = self.delivered.len();
        let judged = self.download.judge(answer.status, answer.fields(), answer.length);
        let by_bytes = matches!(reason, Some(Mismatch::OtherBytes | Mismatch::TooManyBytes));
        match (judged, reason) {
            (Err(mismatch), reason) => {
                prop_assert_eq!(Some(mismatch), reason);
                // Who reads on all the same gets nothing.
                self.read(&answer.body, turn)?;
                prop_assert_eq!(self.delivered.len(), before);
                return Ok(());
            }
            (Ok(Splice::Complete), None) => {
                self.knows_length = true;
                prop_assert!(self.download.is_complete());
                return self.check();
            }
            (Ok(Splice::Continue { .. } | Splice::Skip { .. }), None) => {}
            (Ok(splice), reason) => prop_assert!(by_bytes, "{splice:?} in spite of {reason:?}"),
        }
        let came = self.read(&answer.body, turn)?;
        match came {
            Came::Refused(mismatch) => prop_assert_eq!(Some(mismatch), reason),
            Came::Broke | Came::Ended(End::Complete) => {}
            Came::Ended(End::More) => prop_assert!(self.delivered.len() > before),
            Came::Ended(End::Truncated) => prop_assert!(false, "it ended as announced"),
        }
        if reason == Some(Mismatch::OtherBytes) {
            prop_assert_eq!(self.delivered.len(), before);
            prop_assert!(matches!(came, Came::Broke | Came::Refused(_)));
        }
        self.check()
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    // Few different bytes look alike at many places.
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4_000),
        prop::collection::vec(0_u8..2, 0..2_000),
        (0_usize..3_000).prop_map(|length| vec![0; length]),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    let lie =
        prop_oneof![prop::sample::select(&Lie::ALL[..]), (0..OVERLAP).prop_map(Lie::OtherBytes),];
    prop_oneof![
        2 => Just(Manner::Honest),
        2 => (0_usize..100).prop_map(Manner::Short),
        1 => Just(Manner::Whole),
        1 => Just(Manner::Unsatisfied),
        4 => lie.prop_map(Manner::Lie),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    let piece = prop_oneof![1_usize..20, 100_usize..1_000, Just(10_000)];
    (manner(), any::<bool>(), any::<bool>(), 0_usize..130, piece).prop_map(
        |(manner, says_total, says_length, breaks_at, piece)| Turn {
            manner,
            says_total,
            says_length,
            breaks_at,
            piece,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_delivered_is_the_first_representation_and_nothing_else(
        content in content(),
        range in prop::option::of((0_usize..100, 1_usize..=100)),
        skip_limit in prop_oneof![0_usize..2_000, Just(1 << 20)],
        first in turn(),
        turns in prop::collection::vec(turn(), 0..12),
    ) {
        let length = content.len();
        let range = range.map(|(from, size)| {
            let from = length * from / 100;
            (from, from + ((length - from) * size / 100).max(1))
        });
        let range = range.filter(|(_, ends)| *ends <= length);
        let (mut drive, answer) = Drive::new(content, range, skip_limit, &first);
        drive.check()?;
        let came = drive.read(&answer.body, &first)?;
        prop_assert!(matches!(came, Came::Broke | Came::Ended(End::Complete)), "{:?}", came);
        for turn in turns {
            if drive.download.is_complete() {
                break;
            }
            drive.resume(&turn)?;
        }
        if !drive.download.is_complete() {
            drive.resume(&Turn::LAST)?;
        }
        prop_assert!(drive.download.is_complete(), "honest answers heal");
        prop_assert_eq!(&drive.delivered[..], drive.wanted());
    }
}

/// Delivers half of a part, or of a whole, of 2,000 bytes.
fn half_way(range: Option<Part>) -> Drive {
    let content: Vec<u8> = (0..2_000_u32).map(|place| (place * 7 % 251) as u8).collect();
    let turn = Turn { breaks_at: 50, ..Turn::LAST };
    let (mut drive, answer) = Drive::new(content, range, 1 << 20, &turn);
    assert_eq!(drive.read(&answer.body, &turn).expect("a prefix"), Came::Broke);
    drive
}

#[test]
fn each_lie_is_told_and_found() {
    for kind in Lie::ALL {
        let is_told = [None, Some((100, 1_900))].map(|range| {
            let mut drive = half_way(range);
            let ask = drive.download.ask().unwrap();
            let part = asked_for(ask.range(), drive.content.len()).unwrap();
            let known = Known { part, overlap: OVERLAP, is_bounded: true, knows_total: true };
            let is_told = lie(kind, &drive.content, &known, &Turn::LAST).is_some();
            let turn = Turn { manner: Manner::Lie(kind), ..Turn::LAST };
            drive.resume(&turn).unwrap();
            assert_eq!(drive.download.is_complete(), !is_told, "{kind:?}");
            is_told
        });
        assert!(is_told.contains(&true), "{kind:?}");
    }
}

/// The limit of what can be known: the head is right, the overlap too, and what is behind it isn't.
#[test]
fn a_server_that_lies_behind_the_overlap_is_believed() {
    let mut drive = half_way(None);
    let ask = drive.download.ask().unwrap();
    let part = asked_for(ask.range(), drive.content.len()).unwrap();
    let mut answer = part_of(&drive.content, part, &Turn::LAST);
    answer.body[OVERLAP] ^= 1;
    let judged = drive.download.judge(answer.status, answer.fields(), answer.length);
    assert_eq!(judged, Ok(Splice::Continue { overlap: OVERLAP }));
    assert_eq!(drive.download.take(&answer.body), Ok(OVERLAP..answer.body.len()));
    assert!(drive.download.is_complete());
}
