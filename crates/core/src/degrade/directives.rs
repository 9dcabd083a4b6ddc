//! `Cache-Control` (RFC 9111, section 5.2; `stale-if-error` of RFC 5861), of requests and answers alike.

/// What is said in `Cache-Control`. Times are in seconds.
///
/// What is unknown is passed over, as the RFC has it. A time that can't be read is zero, and of one that is said twice the
/// shorter one counts: both keep what is in doubt from being used for longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`; of an answer with a list of fields too, since all of it is then treated so.
    pub no_cache: bool,
    /// `private`, with a list of fields too.
    pub private: bool,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `max-age`
    pub max_age: Option<u32>,
    /// `s-maxage`
    pub s_maxage: Option<u32>,
    /// `stale-if-error`
    pub stale_if_error: Option<u32>,
    /// `min-fresh`
    pub min_fresh: Option<u32>,
    /// `max-stale`; without a number any staleness, the most that there is.
    pub max_stale: Option<u32>,
}

impl Directives {
    /// Adds a line of the field.
    pub fn add(&mut self, line: &[u8]) {
        for item in Items(line) {
            let (name, value) = match item.iter().position(|byte| *byte == b'=') {
                Some(at) => (item[..at].trim_ascii(), Some(item[at + 1..].trim_ascii())),
                None => (item, None),
            };
            self.add_one(name, value);
        }
    }

    fn add_one(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let shorter = |before: Option<u32>| {
            let read = seconds(value);
            Some(before.map_or(read, |before| before.min(read)))
        };
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("max-age") {
            self.max_age = shorter(self.max_age);
        } else if is("s-maxage") {
            self.s_maxage = shorter(self.s_maxage);
        } else if is("stale-if-error") {
            self.stale_if_error = shorter(self.stale_if_error);
        } else if is("min-fresh") {
            // Here the longer one is the stricter one, and one that can't be read asks for more than there is.
            let read = if value.is_some_and(is_number) { seconds(value) } else { MOST };
            self.min_fresh = Some(self.min_fresh.map_or(read, |before| before.max(read)));
        } else if is("max-stale") {
            let read = if value.is_none() { MOST } else { seconds(value) };
            self.max_stale = Some(self.max_stale.map_or(read, |before| before.min(read)));
        }
    }
}

/// The items of a list; a comma between quotes divides nothing.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = self.0.iter().position(|byte| {
            let divides = *byte == b',' && !quoted;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            divides
        });
        let (item, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, &self.0[self.0.len()..]),
        };
        self.0 = rest;
        Some(item.trim_ascii())
    }
}

/// `delta-seconds` (RFC 9111, section 1.2.2), in quotes too; zero for what is none.
fn seconds(value: Option<&[u8]>) -> u32 {
    match value {
        Some(value) if is_number(value) => digits(value),
        _ => 0,
    }
}

fn is_number(value: &[u8]) -> bool {
    let value = unquoted(value);
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

fn digits(value: &[u8]) -> u32 {
    unquoted(value).iter().fold(0, |sum: u32, digit| {
        sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')).min(MOST)
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// What a larger number is taken for (RFC 9111, section 1.2.2): 68 years.
pub(super) const MOST: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Directives {
        let mut directives = Directives::default();
        directives.add(line.as_bytes());
        directives
    }

    #[test]
    fn each_directive_is_read_whatever_its_case() {
        let all = of("No-Store, NO-CACHE,private , public,must-revalidate,Proxy-Revalidate");
        assert!(all.no_store && all.no_cache && all.private && all.public);
        assert!(all.must_revalidate && all.proxy_revalidate);
        let times = of("max-age=1, s-maxage=2,stale-if-error=3,min-fresh=4,max-stale=5");
        assert_eq!(
            (times.max_age, times.s_maxage, times.stale_if_error),
            (Some(1), Some(2), Some(3))
        );
        assert_eq!((times.min_fresh, times.max_stale), (Some(4), Some(5)));
        assert_eq!(of("max-stale").max_stale, Some(MOST));
        assert_eq!(of(""), Directives::default());
        assert_eq!(of(" , ,x, y=1, max-agex=3"), Directives::default());
    }

    #[test]
    fn what_is_in_quotes_is_no_directive() {
        assert_eq!(of("x=\"no-store, max-age=5\""), Directives::default());
        assert_eq!(
            of("x=\"a\\\", no-store\", public"),
            Directives { public: true, ..Directives::default() }
        );
        assert_eq!(of("max-age=\"7\"").max_age, Some(7));
        assert!(of("private=\"set-cookie, x\"").private);
        assert!(of("no-cache=\"x\"").no_cache);
    }

    #[test]
    fn a_time_in_doubt_is_the_shorter_one() {
        for (line, read) in [
            ("max-age=10, max-age=5", 5),
            ("max-age=5, max-age=10", 5),
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=-1", 0),
            ("max-age=1.5", 0),
            ("max-age=5x", 0),
            ("max-age = 5", 5),
            ("max-age=99999999999999999999", MOST),
        ] {
            assert_eq!(of(line).max_age, Some(read), "{line}");
        }
        assert_eq!(of("min-fresh=x").min_fresh, Some(MOST));
        assert_eq!(of("min-fresh=1, min-fresh=3").min_fresh, Some(3));
        assert_eq!(of("max-stale=x").max_stale, Some(0));
    }
}
