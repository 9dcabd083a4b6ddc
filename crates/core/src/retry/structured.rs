//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), which are structured fields (RFC 9651).
//!
//! ```text
//!   RateLimit-Policy: "hour";q=1000;w=3600, "second";q=10;w=1
//!   RateLimit: "hour";r=500;t=1800, "second";r=0;t=1
//!   RateLimit: limit=10, remaining=0, reset=5          draft 07
//! ```
//!
//! Lists of items with parameters, and for draft 07 a dictionary; inner lists have no place there. Of the whole grammar three
//! numbers are wanted, so it is read in one pass over the bytes and nothing is kept but the names of policies; a general
//! reader builds the tree of each field. A line that isn't well-formed makes the field as good as absent.

use core::time::Duration;

/// What the two fields of an answer said.
#[derive(Default)]
pub(super) struct Limits<'a> {
    /// The longest wait for something that is spent.
    spent_for: Option<Duration>,
    /// Policies that are spent and don't say for how long; [`Limits::spent_for`] looks for their windows.
    untold: [Option<&'a [u8]>; NAMES],
    /// Policies and their windows in seconds.
    windows: [Option<(&'a [u8], u64)>; NAMES],
    malformed: bool,
    policy_malformed: bool,
}

impl<'a> Limits<'a> {
    /// Takes in a line of `RateLimit`.
    pub(super) fn on_state(&mut self, line: &'a [u8]) {
        let read = self.read_items(line).or_else(|| self.read_dictionary(line));
        self.malformed |= read.is_none();
    }

    /// Takes in a line of `RateLimit-Policy`.
    pub(super) fn on_policy(&mut self, line: &'a [u8]) {
        let windows = &mut self.windows;
        let read = each_item(line, |name, parameters| {
            if let (Some(window), Some(free)) =
                (parameters.window, windows.iter_mut().find(|slot| slot.is_none()))
            {
                *free = Some((name, window));
            }
        });
        self.policy_malformed |= read.is_none();
    }

    /// How long until all that is spent is there again.
    ///
    /// Where `t` isn't told, the window of the policy with the same name is the longest that it can take.
    pub(super) fn spent_for(&self) -> Option<Duration> {
        if self.malformed {
            return None;
        }
        let windows = self.windows.iter().flatten().filter(|_| !self.policy_malformed);
        let untold = self.untold.iter().flatten();
        let longest = untold
            .filter_map(|name| windows.clone().find(|(known, _)| known == name))
            .map(|(_, window)| Duration::from_secs(*window))
            .max();
        self.spent_for.max(longest)
    }

    fn read_items(&mut self, line: &'a [u8]) -> Option<()> {
        let (mut spent_for, mut untold) = (self.spent_for, self.untold);
        let mut complete = true;
        each_item(line, |name, parameters| match (parameters.remaining, parameters.reset) {
            (Some(0), Some(reset)) => {
                spent_for = spent_for.max(Some(Duration::from_secs(reset)));
            }
            (Some(0), None) => {
                if let Some(free) = untold.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(name);
                }
            }
            (Some(_), _) => {}
            // `r` must be there.
            (None, _) => complete = false,
        })?;
        complete.then(|| (self.spent_for, self.untold) = (spent_for, untold))
    }

    fn read_dictionary(&mut self, line: &[u8]) -> Option<()> {
        let (mut remaining, mut reset) = (None, None);
        let mut rest = Reader(line);
        loop {
            let key = rest.key()?;
            rest.byte(b'=')?;
            let value = rest.bare_item()?;
            match key {
                b"remaining" => remaining = Some(value.count()?),
                b"reset" => reset = Some(value.count()?),
                _ => {}
            }
            rest.parameters()?;
            if !rest.comma()? {
                break;
            }
        }
        if let (Some(0), Some(reset)) = (remaining, reset) {
            self.spent_for = self.spent_for.max(Some(Duration::from_secs(reset)));
        }
        remaining.map(|_| ())
    }
}

/// The parameters that matter; the last one of a name counts (RFC 9651, section 4.2.3.2).
#[derive(Default)]
struct Parameters {
    remaining: Option<u64>,
    reset: Option<u64>,
    window: Option<u64>,
}

/// Calls `each` with every item of a list and its parameters; `None` if the list isn't well-formed. An empty one has none.
fn each_item<'a>(line: &'a [u8], mut each: impl FnMut(&'a [u8], Parameters)) -> Option<()> {
    let mut rest = Reader(line);
    rest.blanks(b" ");
    if rest.0.is_empty() {
        return Some(());
    }
    loop {
        let Bare::Name(name) = rest.bare_item()? else { return None };
        each(name, rest.parameters()?);
        if !rest.comma()? {
            return Some(());
        }
    }
}

/// A bare item.
enum Bare<'a> {
    /// A string, as it stands between its quotes, or a token.
    Name(&'a [u8]),
    Integer(i64),
    /// Of a type that nothing here may have.
    Other,
}

impl Bare<'_> {
    /// A count, which is an integer and not negative.
    fn count(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Name(_) | Self::Other => None,
        }
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// As many bytes as `is` allows.
    fn run(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is(*byte)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    fn blanks(&mut self, which: &[u8]) {
        self.run(|byte| which.contains(&byte));
    }

    /// Whether a comma comes, and something after it; `None` for anything but a comma or the end.
    fn comma(&mut self) -> Option<bool> {
        self.blanks(b" \t");
        if self.0.is_empty() {
            return Some(false);
        }
        self.byte(b',')?;
        self.blanks(b" \t");
        (!self.0.is_empty()).then_some(true)
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let starts = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'*';
        self.0.first().filter(|byte| starts(byte))?;
        Some(self.run(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut found = Parameters::default();
        while self.byte(b';').is_some() {
            self.blanks(b" ");
            let key = self.key()?;
            let value = match self.byte(b'=') {
                Some(()) => self.bare_item()?,
                // Alone it is the boolean true.
                None => Bare::Other,
            };
            match key {
                b"r" => found.remaining = Some(value.count()?),
                b"t" => found.reset = Some(value.count()?),
                b"w" => found.window = Some(value.count()?),
                _ => {}
            }
        }
        Some(found)
    }

    fn bare_item(&mut self) -> Option<Bare<'a>> {
        match self.0.first()? {
            b'"' => self.string().map(Bare::Name),
            b'-' | b'0'..=b'9' => self.number(),
            b':' => self.between(b":", |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
            }),
            b'%' => {
                self.byte(b'%')?;
                self.between(b"\"", |byte| matches!(byte, b' '..=b'~') && byte != b'"')
            }
            b'?' => {
                self.byte(b'?')?;
                self.byte(b'0').or_else(|| self.byte(b'1'))?;
                Some(Bare::Other)
            }
            b'@' => {
                self.byte(b'@')?;
                let Bare::Integer(_) = self.number()? else { return None };
                Some(Bare::Other)
            }
            first if first.is_ascii_alphabetic() || *first == b'*' => {
                Some(Bare::Name(self.run(is_token)))
            }
            _ => None,
        }
    }

    /// What stands between two of `mark`.
    fn between(&mut self, mark: &[u8; 1], is: impl Fn(u8) -> bool) -> Option<Bare<'a>> {
        self.byte(mark[0])?;
        self.run(is);
        self.byte(mark[0])?;
        Some(Bare::Other)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.byte(b'"')?;
        let whole = self.0;
        loop {
            self.run(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
            if self.byte(b'\\').is_some() {
                self.byte(b'"').or_else(|| self.byte(b'\\'))?;
            } else {
                let length = whole.len() - self.0.len();
                self.byte(b'"')?;
                return Some(&whole[..length]);
            }
        }
    }

    /// An integer of 15 digits at most, or a decimal of 12 and 3.
    fn number(&mut self) -> Option<Bare<'a>> {
        let negative = self.byte(b'-').is_some();
        let whole = self.run(|byte| byte.is_ascii_digit());
        if self.byte(b'.').is_some() {
            let fraction = self.run(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return fits.then_some(Bare::Other);
        }
        if !(1..=15).contains(&whole.len()) {
            return None;
        }
        let number = whole.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(Bare::Integer(if negative { -number } else { number }))
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

/// Policies whose names are kept. The draft's examples have three; what is beyond this is well-formed and not looked for.
const NAMES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds.
    #[track_caller]
    fn check(state: &[&str], policy: &[&str], expected: Option<u64>) {
        let mut limits = Limits::default();
        policy.iter().for_each(|line| limits.on_policy(line.as_bytes()));
        state.iter().for_each(|line| limits.on_state(line.as_bytes()));
        let spent = limits.spent_for().map(|wait| wait.as_secs());
        assert_eq!(spent, expected, "{state:?} {policy:?}");
    }

    #[test]
    fn the_longest_of_what_is_spent_counts() {
        check(&[r#""a";r=0;t=30"#], &[], Some(30));
        check(&[r#""a";r=0;t=30, "b";r=0;t=5 ,"c";r=1;t=900"#], &[], Some(30));
        check(&[r#""a";r=0;t=30"#, r#""b";r=0;t=50"#], &[], Some(50));
        check(&[r#""a";r=1;t=30"#], &[], None);
        check(&[r#"a; r=0; pk=:Y2FmZQ==:; x; y=?0; z="a\"b\\"; d=1.5;t=4"#], &[], Some(4));
        check(&[""], &[], None);
        check(&[r#""a";r=0;t=999999999999999"#], &[], Some(999_999_999_999_999));
        check(&[r#""a";r=5;r=0;t=3"#], &[], Some(3));
    }

    #[test]
    fn without_a_time_the_window_of_the_policy_counts() {
        let policy = r#""hour";q=1000;w=3600, "day";q=5000;w=86400"#;
        check(&[r#""hour";r=0"#], &[policy], Some(3_600));
        check(&[r#""hour";r=0, "day";r=9"#], &[policy], Some(3_600));
        check(&[r#""week";r=0"#], &[policy], None);
        check(&[r#""hour";r=0"#], &[policy, "w=1"], None);
        check(&[r#""hour";r=0;t=1"#], &["w=1"], Some(1));
    }

    #[test]
    fn draft_07_wrote_a_dictionary() {
        check(&["limit=12, remaining=0, reset=3"], &["12;w=60"], Some(3));
        check(&["limit=12, remaining=1, reset=3"], &[], None);
        check(&["limit=12, reset=3"], &[], None);
        check(&["remaining=-0, reset=3"], &[], Some(3));
    }

    #[test]
    fn whatever_is_not_well_formed_is_as_good_as_absent() {
        for line in [
            r#""a""#,
            r#""a";r"#,
            r#""a";r=0;t="#,
            r#""a";r=-1;t=3"#,
            r#""a";r=0.0;t=3"#,
            r#""a";r="0";t=3"#,
            r#""a";r=0;t=3,"#,
            r#""a";r=0;t=3 "b";r=0"#,
            r#""a;r=0;t=3"#,
            r#""a\x";r=0;t=3"#,
            r#"("a");r=0;t=3"#,
            r#"1;r=0;t=3"#,
            r#""a";R=0;t=3"#,
            r#""a";r=0;t=1000000000000000"#,
            r#""a" ;r=0;t=3"#,
            r#""ä";r=0;t=3"#,
            "remaining=0, reset=a",
            ",",
        ] {
            check(&[line], &[], None);
            // And with it what other lines say.
            check(&[line, r#""b";r=0;t=9"#], &[], None);
            check(&[r#""b";r=0;t=9"#, line], &[], None);
        }
    }
}
