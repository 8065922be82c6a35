//! Which coding of a file a client gets (RFC 9110 §8.4, §12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap};

/// A content coding that usher makes and serves.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Coding {
    Brotli,
    Gzip,
    Zstd,
}

impl Coding {
    /// The smallest first: what is chosen among equals.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The word of `Content-Encoding`, and the end of the entity tags.
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What the name of a file compressed beforehand ends in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// One value for each coding.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PerCoding<T> {
    brotli: T,
    gzip: T,
    zstd: T,
}

impl<T> PerCoding<T> {
    pub(super) fn from_fn(mut value: impl FnMut(Coding) -> T) -> Self {
        Self {
            brotli: value(Coding::Brotli),
            gzip: value(Coding::Gzip),
            zstd: value(Coding::Zstd),
        }
    }

    pub(super) fn of(&self, coding: Coding) -> &T {
        match coding {
            Coding::Brotli => &self.brotli,
            Coding::Gzip => &self.gzip,
            Coding::Zstd => &self.zstd,
        }
    }

    pub(super) fn of_mut(&mut self, coding: Coding) -> &mut T {
        match coding {
            Coding::Brotli => &mut self.brotli,
            Coding::Gzip => &mut self.gzip,
            Coding::Zstd => &mut self.zstd,
        }
    }
}

/// A weight in thousandths; zero is a refusal (RFC 9110 §12.4.2).
type Weight = u16;

/// What a client says it can decode.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Accepted {
    weights: PerCoding<Weight>,
    /// `None` where the client does not speak of it: acceptable, and less wanted than anything named.
    identity: Option<Weight>,
}

impl Accepted {
    /// Without `Accept-Encoding` nothing but the file itself is sent: whoever does not ask, often
    /// cannot.
    pub fn parse(fields: &HeaderMap) -> Self {
        let mut named = PerCoding::<Option<Weight>>::default();
        let mut identity = None;
        let mut rest = None;
        let values = fields.get_all(ACCEPT_ENCODING).into_iter();
        let elements = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        for element in elements {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = parts.next().map_or(Some(1000), parse_weight) else {
                continue;
            };
            let coding = Coding::ALL
                .into_iter()
                .find(|coding| name.eq_ignore_ascii_case(coding.token()));
            match coding {
                Some(coding) => *named.of_mut(coding) = Some(weight),
                // RFC 9110 §8.4.1.3
                None if name.eq_ignore_ascii_case("x-gzip") => {
                    *named.of_mut(Coding::Gzip) = Some(weight);
                }
                None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
                None if name == "*" => rest = Some(weight),
                None => {}
            }
        }
        Self {
            weights: PerCoding::from_fn(|coding| named.of(coding).or(rest).unwrap_or(0)),
            // `*;q=0` refuses the file as it is as well, unless it is named.
            identity: identity.or_else(|| rest.filter(|weight| *weight == 0)),
        }
    }

    pub fn accepts(&self, coding: Coding) -> bool {
        *self.weights.of(coding) > 0
    }

    /// Whether the file itself will do.
    pub fn accepts_identity(&self) -> bool {
        self.identity != Some(0)
    }

    /// Whether anything but the file itself will do.
    pub fn accepts_any_coding(&self) -> bool {
        Coding::ALL.into_iter().any(|coding| self.accepts(coding))
    }

    /// The coding to send among those that there are; `None` is the file itself, which is also the
    /// answer to a client that accepts nothing.
    pub fn choose(&self, there_is: impl Fn(Coding) -> bool) -> Option<Coding> {
        let mut best: Option<(Weight, Coding)> = None;
        for coding in Coding::ALL {
            let weight = *self.weights.of(coding);
            if weight > best.map_or(0, |(weight, _)| weight) && there_is(coding) {
                best = Some((weight, coding));
            }
        }
        best.filter(|(weight, _)| *weight >= self.identity.unwrap_or(0))
            .map(|(_, coding)| coding)
    }
}

/// `q=0.5`; `None` for what is no weight.
fn parse_weight(text: &str) -> Option<Weight> {
    let (name, value) = text.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 3 || !digits {
        return None;
    }
    let thousandths: Weight = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Whether a type shrinks when it is compressed; pictures, sounds and archives are so already.
///
/// `essence` is the media type without its parameters, in lower case.
pub(super) fn is_compressible(essence: &str) -> bool {
    is_text(essence)
        || matches!(
            essence,
            "application/vnd.ms-fontobject"
                | "application/wasm"
                | "font/otf"
                | "font/ttf"
                | "image/bmp"
                | "image/vnd.microsoft.icon"
                | "image/x-icon"
        )
}

/// Whether a type is text, of any language.
///
/// `essence` is the media type without its parameters, in lower case.
pub fn is_text(essence: &str) -> bool {
    let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
    match kind {
        // A stream of events is never finished, and each has to arrive at once.
        "text" => subtype != "event-stream",
        "application" => {
            matches!(
                subtype,
                "ecmascript" | "javascript" | "json" | "rtf" | "x-javascript" | "xml"
            ) || subtype.ends_with("+json")
                || subtype.ends_with("+xml")
        }
        "image" => subtype == "svg+xml",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(values: &[&str]) -> Accepted {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(ACCEPT_ENCODING, value.parse().expect("a value"));
        }
        Accepted::parse(&fields)
    }

    #[test]
    fn the_smallest_of_what_is_accepted_is_chosen() {
        use Coding::{Brotli, Gzip, Zstd};
        for (value, chosen) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, zstd", Some(Zstd)),
            ("gzip", Some(Gzip)),
            ("X-GZIP", Some(Gzip)),
            ("BR", Some(Brotli)),
            ("*", Some(Brotli)),
            ("*, br;q=0", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("gzip;q=0.001", Some(Gzip)),
            ("gzip; q=0.5 , br ; Q=0.7", Some(Brotli)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0, *", Some(Brotli)),
            ("identity;q=0, *;q=0", None),
            ("deflate, compress", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;level=3", None),
            ("br;q=", None),
        ] {
            assert_eq!(accepted(&[value]).choose(|_| true), chosen, "{value}");
        }
        assert_eq!(accepted(&[]).choose(|_| true), None);
        assert_eq!(accepted(&["gzip", "br"]).choose(|_| true), Some(Brotli));
    }

    #[test]
    fn only_what_there_is_is_chosen() {
        let all = accepted(&["br, zstd, gzip"]);
        assert_eq!(
            all.choose(|coding| coding == Coding::Gzip),
            Some(Coding::Gzip)
        );
        assert_eq!(all.choose(|_| false), None);
    }

    #[test]
    fn the_file_itself_can_be_refused() {
        for (value, accepts) in [
            ("gzip", true),
            ("", true),
            ("gzip, identity;q=0", false),
            ("gzip, *;q=0", false),
            ("*;q=0, identity;q=0.1", true),
        ] {
            assert_eq!(accepted(&[value]).accepts_identity(), accepts, "{value}");
        }
    }

    #[test]
    fn text_is_compressible_and_what_is_compressed_is_not() {
        for kind in [
            "text/css",
            "text/javascript",
            "application/json",
            "application/manifest+json",
            "image/svg+xml",
            "application/wasm",
            "font/ttf",
        ] {
            assert!(is_compressible(kind), "{kind}");
        }
        for kind in [
            "text/event-stream",
            "image/png",
            "font/woff2",
            "application/zip",
            "application/octet-stream",
            "video/mp4",
            "",
        ] {
            assert!(!is_compressible(kind), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn nothing_refused_is_ever_chosen(text in "[a-z*;=0-9., -]{0,40}") {
            let accepted = accepted(&[&text]);
            if let Some(coding) = accepted.choose(|_| true) {
                prop_assert!(accepted.accepts(coding));
            }
        }
    }
}
