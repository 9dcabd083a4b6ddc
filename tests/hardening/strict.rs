//! A reader of HTTP/1.1 that forgives nothing, for what leaves the proxy: the grammar of RFC 9112, and no more than it.
//!
//! It is written for the tests alone and shares nothing with the proxy, so that both don't err in the same way. What
//! RFC 9112 lets a recipient forgive (bare LF, empty lines before a request, several equal lengths) is wrong here: a
//! proxy has no reason to send it.

/// One request or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The three parts of its first line.
    pub(crate) start: [String; 3],
    /// Names in lower case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// What comes behind the last whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// The beginning of a message.
    Incomplete,
    /// What can't become one, and why.
    Wrong(&'static str),
}

/// How a stream is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side<'a> {
    Requests,
    /// Answers to requests of these methods. A body without a length goes on to the end, if it has come.
    Answers {
        to: &'a [&'a str],
        ended: bool,
    },
}

/// All messages in a stream.
pub(crate) fn read(mut bytes: &[u8], side: Side<'_>) -> (Vec<Message>, Rest) {
    let mut messages = Vec::new();
    let mut answered = 0;
    while !bytes.is_empty() {
        let method = match side {
            Side::Requests => None,
            Side::Answers { to, .. } => match to.get(answered) {
                Some(method) => Some(*method),
                None => return (messages, Rest::Wrong("an answer that nobody asked for")),
            },
        };
        match message(bytes, side, method) {
            Ok((message, length)) => {
                if !message.start[1].starts_with('1') || method.is_none() {
                    answered += 1;
                }
                messages.push(message);
                bytes = &bytes[length..];
            }
            Err(rest) => return (messages, rest),
        }
    }
    (messages, Rest::Nothing)
}

type Read<T> = Result<T, Rest>;

fn message(bytes: &[u8], side: Side<'_>, method: Option<&str>) -> Read<(Message, usize)> {
    let mut at = 0;
    let start = match method {
        None => request_line(line(bytes, &mut at)?)?,
        Some(_) => status_line(line(bytes, &mut at)?)?,
    };
    let fields = fields(bytes, &mut at)?;
    let mut message = Message { start, fields, body: Vec::new() };
    let framing = framing(&message, method)?;
    let rest = &bytes[at..];
    match framing {
        Framing::Length(length) => {
            let length = usize::try_from(length).map_err(|_| Rest::Incomplete)?;
            message.body = rest.get(..length).ok_or(Rest::Incomplete)?.to_vec();
            at += length;
        }
        Framing::Chunks => message.body = chunks(bytes, &mut at)?,
        Framing::ToTheEnd => {
            if !matches!(side, Side::Answers { ended: true, .. }) {
                return Err(Rest::Incomplete);
            }
            message.body = rest.to_vec();
            at = bytes.len();
        }
    }
    Ok((message, at))
}

/// The next line, without its CR LF. A CR or LF by itself is wrong.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Read<&'a [u8]> {
    let rest = &bytes[*at..];
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).ok_or(Rest::Incomplete)?;
    match rest[end..] {
        [b'\r', b'\n', ..] => {
            *at += end + 2;
            Ok(&rest[..end])
        }
        [b'\r'] => Err(Rest::Incomplete),
        _ => Err(Rest::Wrong("a CR or LF by itself")),
    }
}

fn request_line(line: &[u8]) -> Read<[String; 3]> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(Rest::Wrong("a request line that hasn't three parts"));
    };
    if !is_token(method) {
        return Err(Rest::Wrong("a method that is no token"));
    }
    let is_path = target.first() == Some(&b'/') || target == b"*";
    if !is_path || !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        return Err(Rest::Wrong("a target that is no path"));
    }
    if version != b"HTTP/1.1" {
        return Err(Rest::Wrong("a version that isn't HTTP/1.1"));
    }
    Ok([method, target, version].map(lossy))
}

fn status_line(line: &[u8]) -> Read<[String; 3]> {
    let (version, rest) = line.split_at_checked(9).ok_or(Rest::Wrong("a short status line"))?;
    if !matches!(version, b"HTTP/1.1 " | b"HTTP/1.0 ") {
        return Err(Rest::Wrong("a version that isn't HTTP/1.1 or 1.0"));
    }
    let [status @ .., reason] = &rest.splitn(2, |byte| *byte == b' ').collect::<Vec<_>>()[..]
    else {
        return Err(Rest::Wrong("no status"));
    };
    let [status] = status else { return Err(Rest::Wrong("no blank behind the status")) };
    if status.len() != 3
        || !(b'1'..=b'9').contains(&status[0])
        || !status.iter().all(u8::is_ascii_digit)
    {
        return Err(Rest::Wrong("a status that isn't of three digits"));
    }
    if !reason.iter().all(|byte| is_text(*byte)) {
        return Err(Rest::Wrong("a reason with controls"));
    }
    Ok([lossy(version), lossy(status), lossy(reason)])
}

/// Fields up to and with the empty line.
fn fields(bytes: &[u8], at: &mut usize) -> Read<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or(Rest::Wrong("a field without a colon"))?);
        if !is_token(name) {
            return Err(Rest::Wrong("a field's name that is no token"));
        }
        let value = value[1..].trim_ascii();
        if !value.iter().all(|byte| is_text(*byte)) {
            return Err(Rest::Wrong("a field's value with controls"));
        }
        fields.push((lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
}

enum Framing {
    Length(u64),
    Chunks,
    ToTheEnd,
}

fn framing(message: &Message, method: Option<&str>) -> Read<Framing> {
    let all = |name: &str| -> Vec<&[u8]> {
        message
            .fields
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| &value[..])
            .collect()
    };
    if method.is_none() && all("host").len() != 1 {
        return Err(Rest::Wrong("not just one Host"));
    }
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    if method.is_some_and(|method| method == "HEAD")
        || matches!(&message.start[1][..], "204" | "304")
    {
        return Ok(Framing::Length(0));
    }
    if method.is_some() && message.start[1].starts_with('1') {
        return Ok(Framing::Length(0));
    }
    match (&lengths[..], &codings[..]) {
        ([], []) if method.is_some() => Ok(Framing::ToTheEnd),
        ([], []) => Ok(Framing::Length(0)),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            lossy(length)
                .parse()
                .map(Framing::Length)
                .map_err(|_| Rest::Wrong("a length that is too large"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunks),
        ([_], []) => Err(Rest::Wrong("a length that is no number")),
        ([], [_]) => Err(Rest::Wrong("a coding other than chunked")),
        _ => Err(Rest::Wrong("a length that is announced more than once")),
    }
}

/// A body in chunks, without extensions: they end at each hop, and ours doesn't make any.
fn chunks(bytes: &[u8], at: &mut usize) -> Read<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(bytes, at)?;
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(Rest::Wrong("a chunk's size that is no number"));
        }
        let size =
            u64::from_str_radix(&lossy(size), 16).map_err(|_| Rest::Wrong("a chunk's size"))?;
        if size == 0 {
            let trailers = fields(bytes, at)?;
            let framed = |(name, _): &(String, Vec<u8>)| FRAMING.contains(&&name[..]);
            return match trailers.iter().any(framed) {
                true => Err(Rest::Wrong("a trailer that frames or routes")),
                false => Ok(body),
            };
        }
        let size = usize::try_from(size).map_err(|_| Rest::Incomplete)?;
        let rest = &bytes[*at..];
        body.extend_from_slice(rest.get(..size).ok_or(Rest::Incomplete)?);
        match rest[size..] {
            [b'\r', b'\n', ..] => *at += size + 2,
            [] | [b'\r'] => return Err(Rest::Incomplete),
            _ => return Err(Rest::Wrong("a chunk that doesn't end where it should")),
        }
    }
}

/// RFC 9110, section 6.5.1: never in a trailer.
const FRAMING: &[&str] = &[
    "content-length",
    "transfer-encoding",
    "host",
    "trailer",
    "te",
    "connection",
    "authorization",
    "set-cookie",
];

fn is_token(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(fits)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
