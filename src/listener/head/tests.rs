use super::*;

fn verdict(head: &str) -> Verdict {
    inspect(head.as_bytes(), 0)
}

fn is_ambiguous(head: &str) -> bool {
    matches!(verdict(head), Verdict::Refuse(Refusal::Ambiguous(_)))
}

fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

#[test]
fn an_ordinary_head_passes() {
    let head = with("User-Agent: x\r\nCookie: a=b; c=d\r\n");
    let expected = Verdict::Head {
        skip: 0,
        length: head.len(),
        body: Framing::Length(0),
        websocket: false,
    };
    assert_eq!(verdict(&head), expected);
}

#[test]
fn bodies_are_framed_by_exactly_one_field() {
    let framed =
        |fields: &str| match verdict(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")) {
            Verdict::Head { body, .. } => Some(body),
            _ => None,
        };
    assert_eq!(framed("Content-Length: 42\r\n"), Some(Framing::Length(42)));
    assert_eq!(
        framed("Transfer-Encoding: chunked\r\n"),
        Some(Framing::Chunked)
    );
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
    ] {
        assert_eq!(framed(fields), None, "{fields:?}");
    }
    assert!(is_ambiguous(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
}

#[test]
fn what_two_readers_could_split_differently_is_refused() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer.Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, content-length\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n",
        "GET /\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(is_ambiguous(head), "{head:?}");
    }
}

#[test]
fn there_is_exactly_one_host() {
    assert!(is_ambiguous("GET / HTTP/1.1\r\n\r\n"));
    assert!(is_ambiguous("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"));
    assert!(!is_ambiguous("GET / HTTP/1.0\r\n\r\n"));
}

#[test]
fn targets_have_the_forms_that_requests_to_servers_have() {
    for head in [
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(matches!(verdict(head), Verdict::Head { .. }), "{head:?}");
    }
}

#[test]
fn one_expectation_is_known() {
    let good = with("Expect: 100-Continue\r\n");
    assert!(matches!(verdict(&good), Verdict::Head { .. }));
    for fields in [
        "Expect: 200-ok\r\n",
        "Expect: \r\n",
        "Expect: 100-continue, 100-continue\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ] {
        let refused = Verdict::Refuse(Refusal::Expectation);
        assert_eq!(verdict(&with(fields)), refused, "{fields:?}");
    }
}

#[test]
fn connect_is_refused() {
    assert!(is_ambiguous(
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
    ));
}

#[test]
fn an_empty_line_or_two_before_a_request_are_skipped() {
    for (lines, skipped) in [("\r\n", 2), ("\r\n\r\n", 4)] {
        let head = format!("{lines}{}", with(""));
        assert!(matches!(verdict(&head), Verdict::Head { skip, .. } if skip == skipped));
    }
}

#[test]
fn limits_have_their_own_answers() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9 * 1024));
    assert_eq!(
        verdict(&long_target),
        Verdict::Refuse(Refusal::TargetTooLong)
    );
    let many: String = (0..101).map(|index| format!("X-{index}: y\r\n")).collect();
    assert_eq!(verdict(&with(&many)), Verdict::Refuse(Refusal::HeadTooLong));
    let long = format!("X: {}\r\n", "a".repeat(33 * 1024));
    assert_eq!(verdict(&with(&long)), Verdict::Refuse(Refusal::HeadTooLong));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(33 * 1024));
    assert_eq!(verdict(&endless), Verdict::Refuse(Refusal::HeadTooLong));
    let endless_target = format!("GET /{}", "a".repeat(33 * 1024));
    assert_eq!(
        verdict(&endless_target),
        Verdict::Refuse(Refusal::TargetTooLong)
    );
}

#[test]
fn a_websocket_is_recognised_and_nothing_else() {
    let is_websocket = |head: &str| {
        matches!(
            verdict(head),
            Verdict::Head {
                websocket: true,
                ..
            }
        )
    };
    let upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n";
    assert!(is_websocket(&with(upgrade)));
    assert!(is_websocket(&with(
        "Upgrade: WebSocket\r\nConnection: upgrade\r\n"
    )));
    assert!(!is_websocket(&with("Upgrade: websocket\r\n")));
    assert!(!is_websocket(&with(
        "Upgrade: h2c\r\nConnection: Upgrade\r\n"
    )));
    assert!(!is_websocket(&with(upgrade).replace("GET", "POST")));
    assert!(!is_websocket(&with(&format!(
        "{upgrade}Content-Length: 5\r\n"
    ))));
    assert!(!is_websocket(
        &with(upgrade).replace("HTTP/1.1", "HTTP/1.0")
    ));
}

#[test]
fn a_head_is_found_however_it_is_split() {
    let head = with("X: y\r\n");
    for cut in 1..head.len() {
        let bytes = head.as_bytes();
        assert_eq!(inspect(&bytes[..cut], 0), Verdict::More, "{cut}");
        let whole = inspect(bytes, cut);
        assert!(
            matches!(whole, Verdict::Head { length, .. } if length == bytes.len()),
            "{cut}"
        );
    }
}
