//! A download, from its head to its end through all its answers.

use core::ops::Range;

use super::given::Given;
use super::representation::{Representation, Told, Verdict};
use super::seam::Seam;
use super::tail::{OVERLAP, Tail};
use super::{Ask, Asked, Mismatch, RangeSettings, Unhealable};

/// A download: what it is of, how much of it was delivered, and the answer that it is read from.
///
/// What [`take`](Self::take) lets through is, piece after piece, what the head promised that it was made from, and never more
/// than that.
#[derive(Clone, Debug)]
pub struct Download {
    representation: Representation,
    skip_limit: u64,
    delivered: u64,
    tail: Tail,
    /// The answer that is being read. None once one turned out to be another's.
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    seam: Seam,
    told: Told,
}

/// How an answer continues a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splice {
    /// From where it was asked to; its first bytes are compared with the last that were delivered.
    Continue {
        /// How many.
        overlap: usize,
    },
    /// From the beginning of the representation: what comes before these is read and thrown away.
    Skip {
        /// How many are thrown away unseen.
        bytes: u64,
        /// How many are compared behind that.
        overlap: usize,
    },
    /// All was delivered before; the answer says that there is no more.
    Complete,
}

/// What it means that an answer ended as a message should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is delivered.
    Complete,
    /// It was a part, and all of it came: the rest is to be asked for.
    More,
    /// It ended before it should have: a break like any other.
    Truncated,
}

impl Download {
    /// Begins with the head of an answer, whose body has `exact_length` bytes if that is known. Names of fields are in lower case.
    ///
    /// # Errors
    ///
    /// The first reason for which a break of it can't be healed.
    pub fn of<'a>(
        asked: Asked,
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        exact_length: Option<u64>,
        settings: &RangeSettings,
    ) -> Result<Self, Unhealable> {
        // Most requests that it doesn't concern are told by themselves, before anything is read of their answers.
        asked.check()?;
        let declared = &settings.as_good_as_tag[..];
        let given = Given::of(status, fields, exact_length, declared);
        let representation = Representation::of(asked, &given, declared)?;
        // Its total was believed with its head: there is nothing to compare it with.
        let told = Told { ends: representation.ends, total: None };
        Ok(Self {
            representation,
            skip_limit: settings.skip_limit_bytes,
            delivered: 0,
            tail: Tail::default(),
            source: Some(Source { seam: Seam::NONE, told }),
        })
    }

    /// Takes a piece of the answer's body and says which of its bytes are to be delivered, which then counts as done.
    ///
    /// Nothing is, of an answer that was refused by this or by [`judge`](Self::judge).
    ///
    /// # Errors
    ///
    /// The answer isn't what it said to be. No byte of this piece may be delivered; those before it stand.
    pub fn take(&mut self, piece: &[u8]) -> Result<Range<usize>, Mismatch> {
        let new = self.new_in(piece).inspect_err(|_| self.source = None)?;
        self.delivered += new.len() as u64;
        // Nobody will ask again for the end.
        if !self.is_complete() {
            self.tail.push(&piece[new.clone()]);
        }
        Ok(new)
    }

    /// What to ask for after a break, or after [`End::More`]. `None` when all is delivered.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        (!self.is_complete()).then(|| self.representation.ask(self.first()))
    }

    /// Judges the head of an answer to [`ask`](Self::ask), whose body has `exact_length` bytes if that is known. After `Ok`
    /// its body is what [`take`](Self::take) gets.
    ///
    /// # Errors
    ///
    /// It doesn't continue this download, and nothing has changed: another one may.
    pub fn judge<'a>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        exact_length: Option<u64>,
    ) -> Result<Splice, Mismatch> {
        self.source = None;
        let (first, at, overlap) = (self.first(), self.at(), self.tail.len());
        let given = Given::of(status, fields, exact_length, self.representation.declared());
        let (skip, told) = match self.representation.judge(&given, first, at)? {
            Verdict::From(told) => (0, told),
            Verdict::FromZero(_) if first > self.skip_limit => return Err(Mismatch::TooFarToSkip),
            Verdict::FromZero(told) => (first, told),
            Verdict::Complete => {
                self.representation.learn(Some(at));
                return Ok(Splice::Complete);
            }
        };
        self.source = Some(Source { seam: Seam::new(skip, overlap), told });
        Ok(match skip {
            0 => Splice::Continue { overlap },
            bytes => Splice::Skip { bytes, overlap },
        })
    }

    /// The answer ended as a message should: by its length, its last chunk, the end of its stream.
    ///
    /// # Errors
    ///
    /// It was the whole of it, and shorter than what was told or delivered before.
    pub fn on_end(&mut self) -> Result<End, Mismatch> {
        let Some(Source { seam, told }) = self.source else { return Ok(End::Truncated) };
        if !seam.is_passed() {
            return if told.ends.is_some() {
                Ok(End::Truncated)
            } else {
                Err(Mismatch::WrongLength)
            };
        }
        // Of an answer with nothing in it no piece has come.
        self.representation.learn(told.total);
        match (self.representation.ends, told.ends) {
            (Some(ends), _) if ends == self.at() => Ok(End::Complete),
            (_, Some(ends)) if ends == self.at() => Ok(End::More),
            (_, Some(_)) => Ok(End::Truncated),
            (Some(_), None) => Err(Mismatch::WrongLength),
            (None, None) => {
                self.representation.learn(Some(self.at()));
                Ok(End::Complete)
            }
        }
    }

    /// Whether all is delivered. The rest of an answer that has more is of no use.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.representation.ends == Some(self.at())
    }

    /// How many bytes were delivered.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many bytes there are to be delivered in all, as soon as anybody has told.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.representation.ends.map(|ends| ends.saturating_sub(self.representation.begins))
    }

    /// Where in the representation the next byte is.
    const fn at(&self) -> u64 {
        self.representation.begins + self.delivered
    }

    /// Where in the representation an answer begins that continues this.
    fn first(&self) -> u64 {
        self.at() - self.tail.len() as u64
    }

    fn new_in(&mut self, piece: &[u8]) -> Result<Range<usize>, Mismatch> {
        let at = self.at();
        let Some(source) = &mut self.source else { return Ok(0..0) };
        let old = source.seam.pass(piece, &self.tail)?;
        if source.seam.is_passed() {
            self.representation.learn(source.told.total);
        }
        let left_until = |ends: Option<u64>| {
            ends.map_or(usize::MAX, |ends| {
                usize::try_from(ends.saturating_sub(at)).unwrap_or(usize::MAX)
            })
        };
        let new = piece.len() - old;
        if new > left_until(source.told.ends) {
            return Err(Mismatch::TooManyBytes);
        }
        // A whole in place of a part goes on behind it.
        Ok(old..old + new.min(left_until(self.representation.ends)))
    }
}

const _: () = assert!(OVERLAP > 0, "without an overlap nothing is compared");

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    const TAG: (&str, &str) = ("etag", "\"v\"");

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|place| (place * 7 % 251) as u8).collect()
    }

    fn fields<'a>(fields: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        fields.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    fn download(range: Option<&str>, length: Option<u64>) -> Download {
        let asked = Asked::of(
            "GET",
            fields(&range.map(|_| ("range", "bytes=0-")).into_iter().collect::<Vec<_>>()),
        );
        let head: Vec<_> =
            range.map(|range| ("content-range", range)).into_iter().chain([TAG]).collect();
        let status = if range.is_some() { 206 } else { 200 };
        let settings = RangeSettings { skip_limit_bytes: 1_000, ..RangeSettings::default() };
        Download::of(asked, status, fields(&head), length, &settings).expect("healable")
    }

    fn range(download: &Download) -> Option<String> {
        download.ask().map(|ask| ask.range().into())
    }

    fn part(download: &mut Download, range: &str) -> Result<Splice, Mismatch> {
        download.judge(206, fields(&[TAG, ("content-range", range)]), None)
    }

    #[test]
    fn a_break_is_healed_by_the_rest_of_it() {
        let all = bytes(2_000);
        let mut download = download(None, Some(2_000));
        assert_eq!(download.take(&all[..900]), Ok(0..900));
        assert_eq!(download.take(&all[900..1_000]), Ok(0..100));
        assert_eq!(range(&download).as_deref(), Some("bytes=488-1999"));
        let splice = part(&mut download, "bytes 488-1999/2000");
        assert_eq!(splice, Ok(Splice::Continue { overlap: OVERLAP }));
        assert_eq!(download.take(&all[488..900]), Ok(412..412));
        assert_eq!(download.take(&all[900..1_100]), Ok(100..200));
        assert_eq!((download.delivered(), download.is_complete()), (1_100, false));
        assert_eq!(download.take(&all[1_100..]), Ok(0..900));
        assert_eq!((download.is_complete(), range(&download)), (true, None));
        assert_eq!(download.on_end(), Ok(End::Complete));
    }

    #[test]
    fn a_shorter_part_is_delivered_and_the_rest_asked_for() {
        let all = bytes(2_000);
        let mut download = download(None, None);
        assert_eq!(download.take(&all[..100]), Ok(0..100));
        assert_eq!(range(&download).as_deref(), Some("bytes=0-"));
        assert!(part(&mut download, "bytes 0-999/*").is_ok());
        assert_eq!(download.take(&all[..1_000]), Ok(100..1_000));
        assert_eq!(download.on_end(), Ok(End::More));
        assert_eq!(range(&download).as_deref(), Some("bytes=488-"));
        assert!(part(&mut download, "bytes 488-1999/2000").is_ok());
        assert_eq!(download.length(), None, "what an answer tells is believed with its bytes");
        assert_eq!(download.take(&all[488..1_500]), Ok(512..1_012));
        assert_eq!((download.length(), download.on_end()), (Some(2_000), Ok(End::Truncated)));
        assert_eq!(range(&download).as_deref(), Some("bytes=988-1999"));
    }

    #[test]
    fn an_end_that_got_lost_is_found_by_the_overlap_alone() {
        let all = bytes(600);
        let mut download = download(None, None);
        assert_eq!(download.take(&all), Ok(0..600));
        assert!(part(&mut download, "bytes 88-599/600").is_ok());
        assert!(!download.is_complete());
        assert_eq!(download.take(&all[88..]), Ok(512..512));
        assert!(download.is_complete());
    }

    #[test]
    fn a_416_whose_total_is_there_is_the_end() {
        let mut download = download(None, None);
        assert_eq!(download.take(&bytes(600)), Ok(0..600));
        let splice = download.judge(416, fields(&[("content-range", "bytes */600")]), Some(10));
        assert_eq!(splice, Ok(Splice::Complete));
        assert_eq!(
            (download.is_complete(), download.length(), download.ask()),
            (true, Some(600), None)
        );
        assert_eq!(download.take(b"error page"), Ok(0..0));
    }

    #[test]
    fn a_whole_is_skipped_to_where_it_broke_if_that_is_not_too_far() {
        let all = bytes(2_000);
        for (delivered, expected) in [
            (300, Ok(Splice::Continue { overlap: 300 })),
            (600, Ok(Splice::Skip { bytes: 88, overlap: 512 })),
            (1_512, Ok(Splice::Skip { bytes: 1_000, overlap: 512 })),
            (1_513, Err(Mismatch::TooFarToSkip)),
        ] {
            let mut download = download(None, None);
            assert_eq!(download.take(&all[..delivered]), Ok(0..delivered));
            assert_eq!(download.judge(200, fields(&[TAG]), None), expected, "{delivered}");
            let new = if expected.is_ok() { delivered..2_000 } else { 0..0 };
            assert_eq!(download.take(&all), Ok(new.clone()));
            let end = if expected.is_ok() { End::Complete } else { End::Truncated };
            assert_eq!(download.on_end(), Ok(end));
            assert_eq!(download.is_complete(), expected.is_ok());
        }
    }

    #[test]
    fn a_part_that_was_asked_for_ends_where_it_ends_even_in_a_whole() {
        let all = bytes(400);
        let mut download = download(Some("bytes 100-199/*"), None);
        assert_eq!(download.take(&all[100..150]), Ok(0..50));
        assert_eq!(range(&download).as_deref(), Some("bytes=100-199"));
        let splice = download.judge(200, fields(&[TAG]), Some(400));
        assert_eq!(splice, Ok(Splice::Skip { bytes: 100, overlap: 50 }));
        assert_eq!(download.take(&all[..120]), Ok(120..120));
        assert_eq!(download.take(&all[120..300]), Ok(30..80));
        assert!(download.is_complete());
        assert_eq!(download.take(&all[300..]), Ok(0..0));
        assert_eq!(download.on_end(), Ok(End::Complete));
        assert_eq!((download.delivered(), download.length()), (100, Some(100)));
    }

    #[test]
    fn nothing_more_is_taken_of_an_answer_that_was_refused_and_another_may_be_better() {
        let all = bytes(2_000);
        let mut download = download(None, Some(2_000));
        assert_eq!(download.take(&all[..1_000]), Ok(0..1_000));
        assert!(part(&mut download, "bytes 488-1999/2000").is_ok());
        assert_eq!(download.take(&all[487..1_200]), Err(Mismatch::OtherBytes));
        assert_eq!(download.take(&all[1_000..1_200]), Ok(0..0));
        assert_eq!(part(&mut download, "bytes 0-1999/2000"), Err(Mismatch::WrongStart));
        assert_eq!(download.take(&all[1_000..1_200]), Ok(0..0));
        assert_eq!(download.on_end(), Ok(End::Truncated));
        assert!(part(&mut download, "bytes 488-1999/2000").is_ok());
        assert_eq!(download.take(&all[488..]), Ok(512..1_512));
        assert!(download.is_complete());
    }

    #[test]
    fn a_total_that_came_with_wrong_bytes_is_not_believed() {
        let all = bytes(2_000);
        let mut download = download(None, None);
        assert_eq!(download.take(&all[..1_000]), Ok(0..1_000));
        assert!(part(&mut download, "bytes 488-999/1000").is_ok());
        assert_eq!(download.take(&all[489..1_001]), Err(Mismatch::OtherBytes));
        assert_eq!((download.is_complete(), download.length()), (false, None));
        assert!(part(&mut download, "bytes 488-1999/2000").is_ok());
    }

    #[test]
    fn more_than_was_announced_is_a_mismatch_and_less_is_a_break() {
        let all = bytes(2_000);
        let mut part_only = download(Some("bytes 0-999/2000"), None);
        assert_eq!(part_only.take(&all[..999]), Ok(0..999));
        assert_eq!(part_only.on_end(), Ok(End::Truncated));
        assert_eq!(part_only.take(&all[999..1_001]), Err(Mismatch::TooManyBytes));
        assert_eq!(part_only.delivered(), 999);

        let mut whole = download(None, None);
        assert_eq!(whole.take(&all[..1_000]), Ok(0..1_000));
        assert!(part(&mut whole, "bytes 488-1499/2000").is_ok());
        assert_eq!(whole.take(&all[488..700]), Ok(212..212));
        assert_eq!(whole.on_end(), Ok(End::Truncated));
        assert_eq!(whole.take(&all[700..1_501]), Err(Mismatch::TooManyBytes));
        assert_eq!(whole.delivered(), 1_000);
    }

    #[test]
    fn a_whole_that_ends_before_what_was_delivered_or_told_is_a_mismatch() {
        let all = bytes(2_000);
        let mut longer = download(None, None);
        assert_eq!(longer.take(&all[..600]), Ok(0..600));
        assert!(longer.judge(200, fields(&[TAG]), None).is_ok());
        assert_eq!(longer.take(&all[..599]), Ok(599..599));
        assert_eq!(longer.on_end(), Err(Mismatch::WrongLength));

        let mut told = download(Some("bytes 100-199/*"), None);
        assert_eq!(told.take(&all[100..150]), Ok(0..50));
        assert!(told.judge(200, fields(&[TAG]), None).is_ok());
        assert_eq!(told.take(&all[..160]), Ok(150..160));
        assert_eq!(told.on_end(), Err(Mismatch::WrongLength));
    }

    #[test]
    fn an_answer_that_broke_before_its_first_byte_is_asked_for_from_its_beginning() {
        let mut download = download(None, None);
        assert_eq!(range(&download).as_deref(), Some("bytes=0-"));
        assert_eq!(
            download.judge(200, fields(&[TAG]), Some(0)),
            Ok(Splice::Continue { overlap: 0 })
        );
        assert_eq!(download.on_end(), Ok(End::Complete));
        assert!(download.is_complete());
    }
}
