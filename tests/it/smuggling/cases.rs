//! Requests that two readers could understand differently, and lawful ones that look like them. Each
//! has a second request, the marker, hidden where a smuggler would hide it.

use super::{bodies, chunks, heads};

pub const HOST: &str = "congress.example.org";
/// The request that must never be one. Its id is filled in with the case's own.
pub const MARKER: &str = "GET /marker/@ID@ HTTP/1.1\r\nHost: congress.example.org\r\n\
                          X-Marker: @ID@\r\n\r\n";

/// One connection's bytes, and what has to become of them.
#[derive(Clone, Debug)]
pub struct Case {
    pub id: usize,
    pub name: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

/// What has to become of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expect {
    /// 4xx, the end of the connection, and nothing forwarded.
    Refused,
    /// One request is forwarded, with this body.
    Passed(Vec<u8>),
    /// So many lawful requests in a row, all forwarded.
    Pipelined(usize),
    /// So many lawful requests; then one that is refused.
    ThenRefused(usize),
    /// Answered by usher with a 4xx of its own; the connection may go on.
    Answered,
    /// Never whole, so never forwarded as whole.
    Cut,
}

/// What is around the thing that a case is about.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    pub name: &'static str,
    pub method: &'static str,
    /// Field lines before and behind those of the case.
    pub before: &'static str,
    pub behind: &'static str,
}

pub const CARRIERS: [Carrier; 5] = [
    Carrier {
        name: "post",
        method: "POST",
        before: "Host: congress.example.org\r\n",
        behind: "",
    },
    Carrier {
        name: "host last",
        method: "PUT",
        before: "",
        behind: "Host: congress.example.org\r\n",
    },
    Carrier {
        name: "get",
        method: "GET",
        before: "Host: congress.example.org\r\n",
        behind: "",
    },
    Carrier {
        name: "among others",
        method: "PATCH",
        before: "Accept: */*\r\nhost: congress.example.org\r\nCookie: a=b\r\n",
        behind: "User-Agent: x\r\n",
    },
    Carrier {
        name: "keep-alive",
        method: "DELETE",
        before: "Host: congress.example.org\r\n",
        behind: "Connection: keep-alive\r\n",
    },
];

/// Collects cases around one carrier.
pub struct Family {
    pub carrier: Carrier,
    cases: Vec<(String, String, Expect)>,
}

impl Family {
    /// A request with these field lines and what follows the head.
    pub fn fields(&mut self, name: &str, lines: &str, rest: &str, expect: Expect) {
        let line = format!("{} /case/@ID@ HTTP/1.1\r\n", self.carrier.method);
        self.request(name, &line, lines, rest, expect);
    }

    /// As [`Self::fields`], with this request line.
    pub fn request(&mut self, name: &str, line: &str, lines: &str, rest: &str, expect: Expect) {
        let Carrier { before, behind, .. } = self.carrier;
        let bytes = format!("{line}X-Case: @ID@\r\n{before}{lines}{behind}\r\n{rest}");
        self.bytes(name, bytes, expect);
    }

    /// These bytes, with nothing around them.
    pub fn bytes(&mut self, name: &str, bytes: String, expect: Expect) {
        let name = format!("{}: {name}", self.carrier.name);
        self.cases.push((name, bytes, expect));
    }
}

/// All cases; the shorter list has the first carrier only.
pub fn all(long: bool) -> Vec<Case> {
    let mut drafts = Vec::new();
    for carrier in &CARRIERS[..if long { CARRIERS.len() } else { 1 }] {
        let mut family = Family {
            carrier: *carrier,
            cases: Vec::new(),
        };
        bodies::codings(&mut family);
        bodies::lengths(&mut family);
        bodies::both(&mut family);
        chunks::all(&mut family);
        bodies::expectations(&mut family);
        heads::lines(&mut family);
        heads::bytes(&mut family);
        heads::targets(&mut family);
        heads::hosts(&mut family);
        heads::versions(&mut family);
        drafts.append(&mut family.cases);
    }
    drafts
        .into_iter()
        .enumerate()
        .map(|(id, (name, text, expect))| Case {
            id,
            name,
            bytes: with_id(&text, id),
            expect: match expect {
                Expect::Passed(body) => Expect::Passed(with_id(&one_byte_each(&body), id)),
                other => other,
            },
        })
        .collect()
}

/// Characters below 256 are bytes; others are written in UTF-8. An id is as long as its place.
fn with_id(text: &str, id: usize) -> Vec<u8> {
    let text = text.replace("@ID@", &format!("{id:04}"));
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match u8::try_from(letter) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(letter.to_string().as_bytes()),
        }
    }
    bytes
}

fn one_byte_each(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Forwarded with this body.
pub fn passed(body: &str) -> Expect {
    Expect::Passed(body.as_bytes().to_vec())
}

/// A lawful request for a row.
pub fn lawful(lines: &str, body: &str) -> String {
    format!("POST /case/@ID@ HTTP/1.1\r\nHost: {HOST}\r\nX-Case: @ID@\r\n{lines}\r\n{body}")
}

/// One chunk and the last.
pub fn in_chunks(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n0\r\n\r\n", data.len())
}
