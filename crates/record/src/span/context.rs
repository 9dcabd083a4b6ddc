//! W3C Trace Context: what a request says of its trace, and what each attempt says on.

use mainstay_core::Ratio;
use mainstay_core::event::AttemptId;

use crate::CallId;
use crate::digits::write_hex;

/// The trace that a call belongs to, and its place in it.
///
/// The call's own span has the call's id. An attempt's span is found from a number that nobody else knows, so that its id,
/// which a third party gets to see, tells nothing of other calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    /// The span that the request came from; 0 for none.
    parent: u64,
    span: u64,
    seed: u64,
    sampled: bool,
    random: bool,
}

/// What a request's `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// Which calls are kept before anything is known of how they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The share of those without a parent.
    pub ratio: Ratio,
    /// Whether a parent's flag decides.
    pub parent: bool,
}

impl TraceParent {
    /// Reads the field's value: `00-<trace>-<parent>-<flags>`, or what a later version has put behind these. `None` for
    /// anything else, which counts as no value (Trace Context, section 3.2).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let is_apart = [2, 35, 52].iter().all(|place| head[*place] == b'-');
        let version = u8::try_from(hex(&head[..2])?).ok()?;
        let is_whole = rest.is_empty() || (version > 0 && rest[0] == b'-');
        if !is_apart || !is_whole || version == 0xff {
            return None;
        }
        let trace = hex(&head[3..35]).filter(|trace| *trace != 0)?;
        let span = u64::try_from(hex(&head[36..52])?).ok().filter(|span| *span != 0)?;
        Some(Self { trace, span, flags: u8::try_from(hex(&head[53..])?).ok()? })
    }
}

impl TraceContext {
    /// The context of a call that begins. `number` is asked for numbers by chance.
    pub fn begin(
        call: CallId,
        parent: Option<TraceParent>,
        sampling: Sampling,
        mut number: impl FnMut() -> u64,
    ) -> Self {
        let seed = number();
        // No id is all zeros.
        let span = call.as_u64().max(1);
        match parent {
            Some(TraceParent { trace, span: parent, flags }) => Self {
                trace,
                parent,
                span,
                seed,
                sampled: if sampling.parent { flags & SAMPLED != 0 } else { sampling.takes(trace) },
                random: flags & RANDOM != 0,
            },
            None => {
                let trace = (u128::from(number()) << 64 | u128::from(number())).max(1);
                let sampled = sampling.takes(trace);
                Self { trace, parent: 0, span, seed, sampled, random: true }
            }
        }
    }

    /// Whether the call is kept however it ends.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Whether the request came with a trace of its own.
    #[must_use]
    pub const fn has_parent(&self) -> bool {
        self.parent != 0
    }

    /// The value of `traceparent` for an attempt's request. `broken`: something broke before, so that the call will be kept.
    #[must_use]
    pub fn header(&self, attempt: AttemptId, broken: bool) -> [u8; LENGTH] {
        let mut value = [b'-'; LENGTH];
        value[..2].copy_from_slice(b"00");
        write_hex(&mut value[3..35], &self.trace_id());
        write_hex(&mut value[36..52], &self.attempt_id(attempt));
        write_hex(&mut value[53..], &[self.flags(broken)]);
        value
    }

    /// The trace's id, as it is written.
    #[must_use]
    pub fn trace_digits(&self) -> String {
        format!("{:032x}", self.trace)
    }

    pub(crate) const fn trace_id(&self) -> [u8; 16] {
        self.trace.to_be_bytes()
    }

    pub(crate) const fn span_id(&self) -> [u8; 8] {
        self.span.to_be_bytes()
    }

    /// The span that the request came from.
    pub(crate) fn parent_id(&self) -> Option<[u8; 8]> {
        (self.parent != 0).then(|| self.parent.to_be_bytes())
    }

    pub(crate) const fn attempt_id(&self, attempt: AttemptId) -> [u8; 8] {
        self.attempt_span(attempt).to_be_bytes()
    }

    pub(crate) const fn flags(&self, broken: bool) -> u8 {
        let sampled = if self.sampled || broken { SAMPLED } else { 0 };
        let random = if self.random { RANDOM } else { 0 };
        sampled | random
    }

    /// SplitMix64's permutation: no two attempts of a call have the same.
    const fn attempt_span(&self, attempt: AttemptId) -> u64 {
        let mut z = self.seed.wrapping_add((attempt.0 as u64 + 1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if z == 0 { GOLDEN } else { z }
    }
}

impl Sampling {
    /// Decides by the trace's last 56 bits, so that all who sample by as much keep the same traces (OpenTelemetry's
    /// consistent probability sampling).
    fn takes(self, trace: u128) -> bool {
        const BITS: u32 = 56;
        let number = u64::try_from(trace & ((1 << BITS) - 1)).unwrap_or_default();
        let parts = u64::from(self.ratio.parts());
        let whole = u64::from(Ratio::ONE.parts());
        let least = (whole - parts) * ((1 << BITS) / whole);
        parts > 0 && number >= least
    }
}

/// Lower-case digits only, as the standard wants them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Version, trace, parent and flags, with what is between them.
const LENGTH: usize = 55;

const SAMPLED: u8 = 1;

/// The trace's id was made by chance (Trace Context, level 2).
const RANDOM: u8 = 2;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sampling(percent: u16) -> Sampling {
        Sampling { ratio: Ratio::percent(percent), parent: true }
    }

    fn numbers() -> impl FnMut() -> u64 {
        let mut chance = mainstay_core::Chance::from_seed(7);
        move || chance.next_u64()
    }

    #[test]
    fn what_is_no_traceparent_counts_as_none() {
        assert!(TraceParent::parse(VALUE.as_bytes()).is_some());
        let later = format!("01{}-what-is-new", &VALUE[2..]);
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        for wrong in [
            String::new(),
            VALUE.to_uppercase(),
            VALUE.replace("01", "0g"),
            format!("{VALUE}-more"),
            format!("ff{}", &VALUE[2..]),
            format!("01{}x", &VALUE[2..]),
            VALUE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALUE.replace("b7ad6b7169203331", &"0".repeat(16)),
            VALUE[..54].to_owned(),
            VALUE.replace('-', "_"),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn an_attempt_says_its_own_span_in_the_same_trace() {
        let parent = TraceParent::parse(VALUE.as_bytes());
        let context = TraceContext::begin(CallId::next(1), parent, sampling(0), numbers());
        let said = |attempt, broken| {
            let value = context.header(AttemptId(attempt), broken);
            TraceParent::parse(&value).unwrap()
        };
        let (first, second) = (said(1, false), said(2, false));
        assert_eq!((first.trace, first.flags), (parent.unwrap().trace, 1));
        assert_ne!(first.span, second.span);
        assert_ne!(first.span, parent.unwrap().span);
        assert_eq!(context.parent_id(), Some(0xb7ad_6b71_6920_3331_u64.to_be_bytes()));
    }

    #[test]
    fn the_parents_flag_decides_unless_it_is_not_heeded() {
        let not_sampled = VALUE.replace("-01", "-00");
        for (value, percent, heeds, kept) in [
            (VALUE, 0, true, true),
            (&*not_sampled, 100, true, false),
            (VALUE, 0, false, false),
            (&*not_sampled, 100, false, true),
        ] {
            let sampling = Sampling { parent: heeds, ..sampling(percent) };
            let parent = TraceParent::parse(value.as_bytes());
            let context = TraceContext::begin(CallId::next(1), parent, sampling, numbers());
            assert_eq!(context.is_sampled(), kept, "{value} {percent} {heeds}");
        }
    }

    #[test]
    fn after_a_break_attempts_say_that_the_trace_is_kept() {
        let context = TraceContext::begin(CallId::next(1), None, sampling(0), numbers());
        let flags =
            |broken| TraceParent::parse(&context.header(AttemptId(2), broken)).unwrap().flags;
        assert_eq!((flags(false), flags(true)), (RANDOM, RANDOM | SAMPLED));
    }

    #[test]
    fn as_many_are_kept_as_the_share_says() {
        let mut number = numbers();
        for (percent, between) in
            [(0, 0..=0), (1, 60..=140), (50, 4_800..=5_200), (100, 10_000..=10_000)]
        {
            let kept = (0..10_000).filter(|_| {
                TraceContext::begin(CallId::next(1), None, sampling(percent), &mut number)
                    .is_sampled()
            });
            let kept = kept.count();
            assert!(between.contains(&kept), "{percent} %: {kept} of 10,000");
        }
    }
}
