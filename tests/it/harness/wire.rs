//! HTTP/1.1 messages as the strictest reader takes them. Written from RFC 9110 and RFC 9112 alone, so
//! that it shares no leniency with the parsers it judges.

/// A whole message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The first line, without its end.
    pub start: String,
    /// Names in lower case; a byte of a value is a character here.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many bytes it took, framing included.
    pub length: usize,
}

/// What the bytes so far are.
#[derive(Clone, Debug)]
pub enum Read {
    More,
    Whole(Message),
    /// Not what a strict reader accepts, and why.
    Broken(String),
}

/// How a response is read: that depends on more than its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// It answers a HEAD.
    pub to_head: bool,
    /// The connection has ended.
    pub ended: bool,
}

/// How long a body is.
enum Body {
    Chunked,
    Length(usize),
    UntilEnd,
}

type Strict<T> = Result<T, String>;

impl Message {
    fn values<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.fields
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn part(&self, index: usize) -> &str {
        self.start.split(' ').nth(index).unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.part(0)
    }

    pub fn target(&self) -> &str {
        self.part(1)
    }

    /// Of a response; zero where there is none.
    pub fn status(&self) -> u16 {
        self.part(1).parse().unwrap_or(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads a request from the beginning of these bytes.
pub fn request(bytes: &[u8]) -> Read {
    read(bytes, |message| {
        check_request_line(&message.start)?;
        let hosts = message.values("host").count();
        if hosts != 1 {
            return Err(format!("{hosts} Host fields"));
        }
        Ok(framing(message)?.unwrap_or(Body::Length(0)))
    })
}

/// The head of a request alone, as soon as it is there.
pub fn request_head(bytes: &[u8]) -> Option<Message> {
    head(bytes).ok().flatten()
}

/// Reads a response from the beginning of these bytes.
pub fn response(bytes: &[u8], context: Context) -> Read {
    let read = read(bytes, |message| {
        check_status_line(&message.start)?;
        let bodiless = matches!(message.status(), 100..=199 | 204 | 304);
        let framed = framing(message)?;
        Ok(if bodiless || context.to_head {
            Body::Length(0)
        } else {
            framed.unwrap_or(Body::UntilEnd)
        })
    });
    match read {
        Read::Whole(message) if message.length == usize::MAX => {
            let length = bytes.len();
            match context.ended {
                true => Read::Whole(Message { length, ..message }),
                false => Read::More,
            }
        }
        other => other,
    }
}

fn read(bytes: &[u8], body: impl FnOnce(&Message) -> Strict<Body>) -> Read {
    let whole = || -> Strict<Option<Message>> {
        let Some(mut message) = head(bytes)? else {
            return Ok(None);
        };
        let rest = &bytes[message.length..];
        let framed = match body(&message)? {
            Body::Length(length) => rest.get(..length).map(|body| (body.to_vec(), length)),
            Body::Chunked => chunked(rest)?,
            Body::UntilEnd => {
                message.body = rest.to_vec();
                message.length = usize::MAX;
                return Ok(Some(message));
            }
        };
        Ok(framed.map(|(body, length)| {
            message.body = body;
            message.length += length;
            message
        }))
    };
    match whole() {
        Ok(None) => Read::More,
        Ok(Some(message)) => Read::Whole(message),
        Err(why) => Read::Broken(why),
    }
}

/// RFC 9112 §2.1: lines that end with CR LF, the last of them empty.
fn head(bytes: &[u8]) -> Strict<Option<Message>> {
    let end = find(bytes, b"\r\n\r\n");
    let lines = &bytes[..end.map_or(bytes.len(), |end| end + 2)];
    for (at, byte) in lines.iter().enumerate() {
        let bare = match byte {
            b'\n' => at == 0 || lines[at - 1] != b'\r',
            b'\r' => lines.get(at + 1).is_some_and(|next| *next != b'\n'),
            b'\t' => false,
            other => other.is_ascii_control(),
        };
        if bare {
            return Err(format!("byte {byte:#04x} in a head"));
        }
    }
    let Some(end) = end else { return Ok(None) };
    let text: String = bytes[..end].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("field name {name:?}"));
        }
        let value = value.trim_matches([' ', '\t']);
        fields.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    Ok(Some(Message {
        start,
        fields,
        body: Vec::new(),
        length: end + 4,
    }))
}

/// RFC 9112 §3: method, one space, a target in origin form, one space, the version.
fn check_request_line(line: &str) -> Strict<()> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(format!("request line {line:?}"));
    };
    let origin_form = target.starts_with('/') || (target, method) == ("*", "OPTIONS");
    let graphic = target.bytes().all(|byte| byte.is_ascii_graphic());
    if method.is_empty() || !method.bytes().all(is_token) || !origin_form || !graphic {
        return Err(format!("request line {line:?}"));
    }
    if target.contains('#') {
        return Err(format!("fragment in {line:?}"));
    }
    Ok(())
}

/// RFC 9112 §4.
fn check_status_line(line: &str) -> Strict<()> {
    let mut parts = line.splitn(3, ' ');
    let version = matches!(parts.next(), Some("HTTP/1.1" | "HTTP/1.0"));
    let code = parts.next().is_some_and(|code| {
        code.len() == 3 && matches!(code.parse::<u16>(), Ok(100..=599)) && !code.starts_with('+')
    });
    if version && code {
        Ok(())
    } else {
        Err(format!("status line {line:?}"))
    }
}

/// RFC 9112 §6: one field says how long the body is, or none does.
fn framing(message: &Message) -> Strict<Option<Body>> {
    let lengths: Vec<&str> = message.values("content-length").collect();
    let codings: Vec<&str> = message.values("transfer-encoding").collect();
    for (name, _) in &message.fields {
        let plain = name.replace(['_', '.'], "-");
        if *name != plain && matches!(&*plain, "content-length" | "transfer-encoding") {
            return Err(format!("{name} could be taken for {plain}"));
        }
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(None),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Body::Chunked)),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            let length = length.parse().map_err(|_| "a length too long")?;
            Ok(Some(Body::Length(length)))
        }
        _ => Err(format!("framed by {lengths:?} and {codings:?}")),
    }
}

/// RFC 9112 §7.1, without extensions and trailers: the body and how many bytes it took.
fn chunked(bytes: &[u8]) -> Strict<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let behind = &rest[digits..];
        if !b"\r\n".starts_with(&behind[..behind.len().min(2)]) || (digits == 0 && !rest.is_empty())
        {
            return Err(format!(
                "chunk {:?}",
                rest[..rest.len().min(40)].escape_ascii().to_string()
            ));
        }
        if behind.len() < 2 {
            return Ok(None);
        }
        let text = std::str::from_utf8(&rest[..digits]).map_err(|_| "chunk size")?;
        let size = usize::from_str_radix(text, 16).map_err(|_| "chunk size")?;
        let data = &behind[2..];
        let Some(end) = data.get(size..size + 2) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err(format!(
                "{:?} behind a chunk of {size}",
                end.escape_ascii().to_string()
            ));
        }
        body.extend_from_slice(&data[..size]);
        at += digits + 2 + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// RFC 9110 §5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
