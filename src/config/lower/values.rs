//! What all lowering shares: how texts become values.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::config::issue::{At, Issues, report};
use crate::config::reader::Field;
use crate::names::StackName;
use crate::plan::KeyType;

/// The value, or its default where the file is silent.
pub(super) fn value_or<T>(field: Option<Field<T>>, default: T) -> T {
    field.map_or(default, |field| field.value)
}

/// A port that one can connect to.
pub(super) fn port(field: &Field<u16>, issues: &Issues) -> Option<u16> {
    if field.value == 0 {
        report(issues, field.at.error("must be between 1 and 65535"));
        return None;
    }
    Some(field.value)
}

/// Parses each text of a list; what does not parse is an issue and left out.
pub(in crate::config) fn parse_list<T>(
    field: &Field<Vec<String>>,
    issues: &Issues,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    for text in &field.value {
        match parse(text) {
            Ok(value) => parsed.push(value),
            Err(why) => report(issues, field.at.error(format!("`{text}` {why}"))),
        }
    }
    parsed
}

/// `FromStr` for [`parse_list`].
pub(in crate::config) fn from_str<T>(text: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "is neither an address nor a network; write for example 10.0.0.0/8".to_owned())
}

pub(super) fn networks(field: Option<Field<Vec<String>>>, issues: &Issues) -> Vec<IpNet> {
    field.map_or_else(Vec::new, |field| parse_list(&field, issues, network))
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "is no address with a port; write for example 127.0.0.1:9000 or [::1]:9000".to_owned()
    })
}

/// Replaces `{stack}`, which is filled only from names that are one DNS label once `_` is `-`.
pub(super) fn fill(text: &str, stack: &StackName) -> Result<String, String> {
    if !text.contains("{stack}") {
        return Ok(text.to_owned());
    }
    let label = stack.as_str();
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = label.bytes().next().is_some_and(lower)
        && label.bytes().all(|b| lower(b) || matches!(b, b'-' | b'_'));
    if !fits {
        return Err(format!(
            "is not filled from the stack name `{label}`: only lower-case letters, digits, `-` and `_`"
        ));
    }
    Ok(text.replace("{stack}", &label.replace('_', "-")))
}

pub(super) fn check_header_value(at: &At, value: &str, issues: &Issues) {
    if http::HeaderValue::from_str(value).is_err() {
        report(
            issues,
            at.error(format!(
                "`{}` cannot be sent in a header",
                value.escape_debug()
            )),
        );
    }
}

/// The kind of a key. `None`, and an issue, where it is none.
pub(super) fn lower_key_type(field: &Field<String>, issues: &Issues) -> Option<KeyType> {
    let parsed = field.value.parse();
    let wrong = |why: &&str| {
        report(issues, field.at.error(format!("`{}` {why}", field.value)));
    };
    parsed.inspect_err(wrong).ok()
}
