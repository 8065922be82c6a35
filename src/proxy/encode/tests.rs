use std::io::Read;

use super::*;

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, value.parse().expect("a value"));
    }
    fields
}

const TEXT: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const LONG: (&str, &str) = ("content-length", "5000");
const GZIP: (&str, &str) = ("accept-encoding", "gzip, br");
const COLLECTED: Verdict = Verdict::Encode {
    coding: Coding::Gzip,
    flush: false,
};

fn plain(fields: &HeaderMap) -> Asked<'_> {
    Asked {
        version: Version::HTTP_11,
        method: &Method::GET,
        fields,
        path: "/",
        cache_control: None,
    }
}

fn about(
    request: &[(&'static str, &str)],
    path: &str,
    status: u16,
    answer: &[(&'static str, &str)],
) -> Verdict {
    let request = fields(request);
    let asked = Asked {
        path,
        ..plain(&request)
    };
    let status = StatusCode::from_u16(status).expect("a status");
    judge(asked, status, &fields(answer))
}

#[test]
fn text_of_some_length_is_compressed() {
    for kind in [
        "text/html",
        "Text/Plain",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "image/svg+xml",
    ] {
        let answer = [("content-type", kind), LONG];
        assert_eq!(about(&[GZIP], "/", 200, &answer), COLLECTED, "{kind}");
    }
    let zstd = [("accept-encoding", "gzip, deflate, br, zstd")];
    let expected = Verdict::Encode {
        coding: Coding::Zstd,
        flush: true,
    };
    assert_eq!(about(&zstd, "/", 404, &[TEXT]), expected, "of any length");
}

#[test]
fn what_is_no_text_short_encoded_or_not_to_be_touched_is_left() {
    for answer in [
        vec![LONG],
        vec![("content-type", "image/png"), LONG],
        vec![("content-type", "font/ttf"), LONG],
        vec![TEXT, ("content-length", "1023")],
        vec![TEXT, ("content-length", "0")],
        vec![TEXT, LONG, ("content-encoding", "br")],
        vec![TEXT, LONG, ("content-range", "bytes 0-4999/9999")],
        vec![TEXT, LONG, ("cache-control", "private, No-Transform")],
        vec![TEXT, LONG, ("repr-digest", "sha-256=:x:")],
    ] {
        assert_eq!(
            about(&[GZIP], "/", 200, &answer),
            Verdict::Leave,
            "{answer:?}"
        );
    }
    for status in [100, 101, 204, 206, 304] {
        let verdict = about(&[GZIP], "/", status, &[TEXT, LONG]);
        assert_eq!(verdict, Verdict::Leave, "{status}");
    }
}

#[test]
fn streams_are_left() {
    for kind in [
        "text/event-stream",
        "application/x-ndjson",
        "Text/Event-Stream; charset=utf-8",
    ] {
        let verdict = about(&[GZIP], "/", 200, &[("content-type", kind)]);
        assert_eq!(verdict, Verdict::Leave, "{kind}");
    }
    let json = ("content-type", "application/json");
    for path in ["/system/autoupdate", "/system/autoupdate/"] {
        assert_eq!(about(&[GZIP], path, 200, &[json]), Verdict::Leave, "{path}");
    }
    let told = [TEXT, ("x-accel-buffering", "no")];
    assert_eq!(about(&[GZIP], "/", 200, &told), Verdict::Leave);
}

#[test]
fn a_route_and_an_old_client_can_forbid_it() {
    let (request, answer) = (fields(&[GZIP]), fields(&[TEXT, LONG]));
    let forbidden = Asked {
        cache_control: Some("public, no-transform"),
        ..plain(&request)
    };
    let old = Asked {
        version: Version::HTTP_10,
        ..plain(&request)
    };
    for asked in [forbidden, old] {
        let verdict = judge(asked, StatusCode::OK, &answer);
        assert_eq!(verdict, Verdict::Leave, "{asked:?}");
    }
}

#[test]
fn who_accepts_nothing_gets_what_there_is() {
    for request in [
        vec![],
        vec![("accept-encoding", "br")],
        vec![("accept-encoding", "gzip;q=0")],
        vec![("accept-encoding", "identity")],
    ] {
        let verdict = about(&request, "/", 200, &[TEXT, LONG]);
        assert_eq!(verdict, Verdict::LeaveThisOne, "{request:?}");
    }
    let request = fields(&[GZIP]);
    let asked = Asked {
        method: &Method::HEAD,
        ..plain(&request)
    };
    let verdict = judge(asked, StatusCode::OK, &fields(&[TEXT, LONG]));
    assert_eq!(
        verdict,
        Verdict::LeaveThisOne,
        "HEAD has nothing to compress"
    );
}

#[test]
fn secrets_are_compressed_only_where_no_stranger_can_make_the_browser_ask() {
    let cookie = ("cookie", "sessionid=1");
    let basic = ("authorization", "Basic eDp5");
    for (request, compressed) in [
        (vec![], true),
        (vec![("sec-fetch-site", "cross-site")], true),
        (vec![cookie, ("sec-fetch-site", "same-origin")], true),
        (vec![basic, ("sec-fetch-site", "none")], true),
        (vec![cookie], false),
        (vec![basic], false),
        (vec![cookie, ("sec-fetch-site", "cross-site")], false),
        (vec![cookie, ("sec-fetch-site", "same-site")], false),
        (
            vec![
                cookie,
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-site", "cross-site"),
            ],
            false,
        ),
    ] {
        let request = [vec![GZIP], request].concat();
        let expected = if compressed {
            COLLECTED
        } else {
            Verdict::LeaveThisOne
        };
        let verdict = about(&request, "/", 200, &[TEXT, LONG]);
        assert_eq!(verdict, expected, "{request:?}");
    }
}

fn begun(request: &[(&'static str, &str)], answer: &[(&'static str, &str)]) -> ResponseHeader {
    let request = fields(request);
    let asked = plain(&request);
    let mut head = ResponseHeader::build(200, None).expect("a head");
    for (name, value) in answer {
        head.append_header(*name, *value).expect("a field");
    }
    begin(asked, &mut head).expect("decided");
    head
}

#[test]
fn the_head_tells_what_was_done() {
    let answer = [
        TEXT,
        LONG,
        ("etag", "\"v1\""),
        ("accept-ranges", "bytes"),
        ("vary", "cookie"),
    ];
    let head = begun(&[GZIP], &answer);
    assert_eq!(head.headers["content-encoding"], "gzip");
    assert_eq!(head.headers["etag"], "W/\"v1\"");
    assert!(!head.headers.contains_key("content-length"));
    assert!(!head.headers.contains_key("accept-ranges"));
    let vary: Vec<_> = head.headers.get_all("vary").into_iter().collect();
    assert_eq!(vary, ["cookie", "accept-encoding"]);

    let head = begun(
        &[],
        &[TEXT, LONG, ("etag", "\"v1\""), ("vary", "Accept-Encoding")],
    );
    assert_eq!(head.headers["etag"], "\"v1\"");
    assert_eq!(head.headers["content-length"], "5000");
    assert_eq!(head.headers.get_all("vary").into_iter().count(), 1);
}

fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
        Coding::Zstd => zstd::Decoder::new(bytes)
            .expect("a decoder")
            .read_to_end(&mut content),
        Coding::Brotli => unreachable!("not made here"),
    }
    .expect("what was encoded");
    content
}

#[test]
fn a_body_comes_out_again_whatever_its_parts_are() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        for flush in [false, true] {
            for ends_alone in [false, true] {
                let encoder = Encoder::new(coding).expect("an encoder");
                let mut encoding = Encoding { encoder, flush };
                let parts: Vec<String> = (0..50).map(|n| format!("part {n}, ").repeat(n)).collect();
                let mut sent = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    let ends = !ends_alone && at + 1 == parts.len();
                    sent.extend(encoding.push(part.as_bytes(), ends).expect("encoded"));
                }
                if ends_alone {
                    sent.extend(encoding.push(&[], true).expect("encoded"));
                }
                let sent = sent.concat();
                assert_eq!(decode(coding, &sent), parts.concat().as_bytes());
                assert!(encoding.push(b"more", true).is_err(), "the end is the end");
            }
        }
    }
}

#[test]
fn a_part_of_unknown_length_leaves_when_it_comes() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let encoder = Encoder::new(coding).expect("an encoder");
        let mut encoding = Encoding {
            encoder,
            flush: true,
        };
        let sent = encoding
            .push(b"now", false)
            .expect("encoded")
            .expect("sent");
        let mut read = [0; 3];
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(&sent[..]).read_exact(&mut read),
            _ => zstd::Decoder::new(&sent[..])
                .expect("a decoder")
                .read_exact(&mut read),
        }
        .expect("at once");
        assert_eq!(&read, b"now");
    }
}
