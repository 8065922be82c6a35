//! Cases about where a body ends (RFC 9112 §6 and §7).

use super::cases::{Expect, Family, MARKER, in_chunks, lawful, passed};

/// Spellings of `Transfer-Encoding`.
pub fn codings(family: &mut Family) {
    let body = format!("0\r\n\r\n{MARKER}");
    for value in [
        "",
        "xchunked",
        "chunke",
        "chunkedd",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked,chunked",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "gzip, chunked",
        "gzip",
        "deflate, chunked",
        "compress",
        "br",
        "chunked;q=1",
        "chunked; foo=bar",
        "chunked;foo",
        "chunked gzip",
        "chunked\tgzip",
        "\"chunked\"",
        "'chunked'",
        "chunk",
        "cow",
        "trailers",
        "\u{b}chunked",
        "\u{c}chunked",
        "chunked\u{b}",
        "chunked\u{c}",
        "chunked\0",
        "\0chunked",
        "\u{a0}chunked",
        "chunked\u{a0}",
        "chunked\u{85}",
        "chun\u{212a}ed",
        "chunked\r",
        "\rchunked",
        "\nchunked",
        "chunked\n",
        "\r\n chunked",
        "\r\n\tchunked",
        "chunked\r\n ",
        "chunked, ",
        "null, chunked",
        "chunked\u{7f}",
        "chunked\u{ff}",
        "c hunked",
        "chunked()",
        "%63hunked",
    ] {
        let lines = format!("Transfer-Encoding: {value}\r\n");
        let name = format!("coding {value:?}");
        family.fields(&name, &lines, &body, Expect::Refused);
    }
    for value in [
        "chunked",
        "Chunked",
        "CHUNKED",
        "cHuNkEd",
        " chunked",
        "\tchunked",
        "chunked \t",
    ] {
        let lines = format!("Transfer-Encoding:{value}\r\n");
        let name = format!("lawful coding {value:?}");
        family.fields(&name, &lines, &in_chunks(MARKER), passed(MARKER));
    }
    names(family, "Transfer-Encoding", "chunked", &body);
    for (first, second) in [
        ("chunked", "chunked"),
        ("chunked", "identity"),
        ("identity", "chunked"),
        ("gzip", "chunked"),
        ("chunked", "cow"),
        ("chunked", ""),
        ("", "chunked"),
    ] {
        let lines = format!("Transfer-Encoding: {first}\r\nTransfer-encoding: {second}\r\n");
        let name = format!("codings {first:?} and {second:?}");
        family.fields(&name, &lines, &body, Expect::Refused);
    }
    // Another field is no framing: without one there is no body, and what follows is a request.
    let lines = format!(
        "X-Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
        MARKER.len()
    );
    family.fields("a coding of nothing", &lines, MARKER, passed(MARKER));
}

/// Spellings of a framing field's name.
fn names(family: &mut Family, name: &str, value: &str, body: &str) {
    let (first, second) = name.split_once('-').expect("two words");
    for spelling in [
        format!("{name} "),
        format!("{name}\t"),
        format!(" {name}"),
        format!("\t{name}"),
        format!("{name}\u{b}"),
        format!("{name}\0"),
        format!("\0{name}"),
        format!("{first}\u{b}{second}"),
        format!("{first} {second}"),
        format!("{first}_{second}"),
        format!("{first}.{second}"),
        format!("\u{ef}{name}"),
        format!("{name}\u{a0}"),
        format!("{first}\u{ad}{second}"),
        format!("{name}\r"),
        format!("{name}\n"),
        format!("X: y\r{name}"),
        format!("X: y\n{name}"),
        format!(":{name}"),
        format!("\"{name}\""),
        format!("{name}\u{7f}"),
        format!("{first}\u{2010}{second}"),
        format!("{first}\r\n -{second}"),
        format!("{name}\\"),
        format!("({name})"),
        format!("@{name}"),
    ] {
        let lines = format!("{spelling}: {value}\r\n");
        family.fields(&format!("name {spelling:?}"), &lines, body, Expect::Refused);
    }
}

/// Forms of `Content-Length`.
pub fn lengths(family: &mut Family) {
    for value in [
        "",
        " ",
        "+@",
        "-@",
        "@ @",
        "@,@",
        "@, @",
        "@;",
        "@ ,",
        ",@",
        "@.0",
        "@e0",
        "0x@",
        "@h",
        "@\u{b}",
        "\u{b}@",
        "@\0",
        "\0@",
        "@\u{a0}",
        "\u{a0}@",
        "@_",
        "_@",
        "\"@\"",
        "'@'",
        "@a",
        "a@",
        "--@",
        "++@",
        "-0",
        "+0",
        "0,@",
        "@;q=1",
        "18446744073709551616",
        "18446744073709551681",
        "4294967296@",
        "99999999999999999999999999",
        "1e2",
        "1_0",
        "\u{661}",
        "\u{ff11}",
        "@\r",
        "@\n",
        "\r\n @",
        "NaN",
        "infinity",
        "-1",
        "@%00",
        "(@)",
        "@/2",
        "0b1",
        "0o7",
        "@ b",
    ] {
        let value = value.replace('@', &MARKER.len().to_string());
        let lines = format!("Content-Length: {value}\r\n");
        family.fields(
            &format!("length {value:?}"),
            &lines,
            MARKER,
            Expect::Refused,
        );
    }
    let length = MARKER.len();
    for value in [
        format!(" {length}"),
        format!("{length}"),
        format!("\t{length}"),
        format!(" {length} \t"),
    ] {
        let lines = format!("Content-Length:{value}\r\n");
        family.fields(
            &format!("lawful length {value:?}"),
            &lines,
            MARKER,
            passed(MARKER),
        );
    }
    names(family, "Content-Length", &length.to_string(), MARKER);
    for (first, second) in [
        ("@", "@"),
        ("0", "@"),
        ("@", "0"),
        ("@", ""),
        ("", "@"),
        ("@", "+@"),
        ("@", "99999"),
    ] {
        let [first, second] = [first, second].map(|text| text.replace('@', &length.to_string()));
        let lines = format!("Content-Length: {first}\r\ncontent-length: {second}\r\n");
        let name = format!("lengths {first:?} and {second:?}");
        family.fields(&name, &lines, MARKER, Expect::Refused);
    }
    // What is longer than it says begins another request; it has to be one.
    family.bytes(
        "two lawful requests",
        lawful("Content-Length: 3\r\n", "abc") + &lawful("", ""),
        Expect::Pipelined(2),
    );
    family.bytes(
        "three requests, bodies in chunks",
        [
            lawful("Transfer-Encoding: chunked\r\n", &in_chunks("abc")),
            lawful("Content-Length: 0\r\n", ""),
            lawful("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ]
        .concat(),
        Expect::Pipelined(3),
    );
    family.bytes(
        "surplus behind a body",
        lawful("Content-Length: 3\r\n", "abc") + "x=1&" + MARKER,
        Expect::ThenRefused(1),
    );
    family.bytes(
        "surplus behind the last chunk",
        lawful("Transfer-Encoding: chunked\r\n", &in_chunks("abc")) + "5\r\n" + MARKER,
        Expect::ThenRefused(1),
    );
    family.fields(
        "shorter than it says",
        "Content-Length: 999\r\n",
        MARKER,
        Expect::Cut,
    );
}

/// Both framings at once (RFC 9112 §6.3: a sign of smuggling).
pub fn both(family: &mut Family) {
    let body = format!("0\r\n\r\n{MARKER}");
    for coding in [
        "chunked",
        "Chunked",
        "identity",
        "xchunked",
        "gzip, chunked",
        "",
        "chunked\u{b}",
    ] {
        for length in ["0", "3", "5", &body.len().to_string(), "", "+5"] {
            let [te, cl] = [
                format!("Transfer-Encoding: {coding}\r\n"),
                format!("Content-Length: {length}\r\n"),
            ];
            for (order, lines) in [("TE.CL", te.clone() + &cl), ("CL.TE", cl + &te)] {
                let name = format!("{order} {coding:?} {length:?}");
                family.fields(&name, &lines, &body, Expect::Refused);
            }
        }
    }
}

/// `Expect`, and answers that come before the body (0.CL, CL.0).
pub fn expectations(family: &mut Family) {
    let length = format!("Content-Length: {}\r\n", MARKER.len());
    for value in ["100-continue", "100-Continue", "100-continue\t"] {
        let lines = format!("{length}Expect: {value}\r\n");
        family.fields(
            &format!("Expect {value:?} with a length"),
            &lines,
            MARKER,
            passed(MARKER),
        );
        let lines = format!("Expect: {value}\r\nTransfer-Encoding: chunked\r\n");
        let name = format!("Expect {value:?} in chunks");
        family.fields(&name, &lines, &in_chunks(MARKER), passed(MARKER));
    }
    // RFC 9110 §10.1.1: what cannot be met is 417.
    for value in [
        "",
        "100-continue, 100-continue",
        "200-ok",
        "x 100-continue",
        "100-continue;a",
        "y",
        "\"100-continue\"",
        "100 continue",
        "100-continue\u{a0}",
    ] {
        let lines = format!("{length}Expect: {value}\r\n");
        family.fields(
            &format!("Expect {value:?}"),
            &lines,
            MARKER,
            Expect::Refused,
        );
    }
    let lines = format!("{length}Expect: 100-continue\r\nExpect: 100-continue\r\n");
    family.fields("two of Expect", &lines, MARKER, Expect::Refused);
    family.fields(
        "Expect without a body",
        "Expect: 100-continue\r\n",
        "",
        passed(""),
    );
    for method in ["POST", "GET", "HEAD", "OPTIONS", "DELETE"] {
        for target in ["/early/@ID@", "/case/@ID@"] {
            let line = format!("{method} {target} HTTP/1.1\r\n");
            let name = format!("{method} {target} with a body");
            family.request(&name, &line, &length, MARKER, passed(MARKER));
            let lines = "Transfer-Encoding: chunked\r\n";
            let name = format!("{method} {target} with chunks");
            family.request(&name, &line, lines, &in_chunks(MARKER), passed(MARKER));
        }
    }
    // Answered by usher before any replica has it; the body is still no request.
    let line = "POST /case/../@ID@ HTTP/1.1\r\n";
    family.request(
        "answered without its body",
        line,
        &length,
        MARKER,
        Expect::Answered,
    );
    let chunks = in_chunks(MARKER);
    let lines = "Transfer-Encoding: chunked\r\n";
    family.request(
        "answered without its chunks",
        line,
        lines,
        &chunks,
        Expect::Answered,
    );
    for nominated in [
        "content-length",
        "transfer-encoding",
        "close, content-length",
        "host",
    ] {
        let lines = format!("{length}Connection: {nominated}\r\n");
        let name = format!("nominated {nominated}");
        family.fields(&name, &lines, MARKER, Expect::Refused);
    }
}
